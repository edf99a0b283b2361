//! The console sink: prints every batch as a table.
//!
//! | question | answer |
//! |---|---|
//! | output modes | all |
//! | checkpoint location | may be left out |
//! | delivery | a batch that runs again is printed again |
//!
//! ```text
//! -------------------------------------------
//! Batch: 0
//! -------------------------------------------
//! +-----+
//! |value|
//! ```
//!
//! Only the rows that are shown travel from the tasks to the driver, however many the batch has.
mod options;
mod table_text;

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};

pub use options::ConsoleOptions;
pub use table_text::TableText;

use crate::{batches, error::ConnectorError, memory::decode_all};

/// What progress reports call the sink.
pub(crate) const DESCRIPTION: &str = "org.apache.spark.sql.execution.streaming.ConsoleTable$";

const RULE: &str = "-------------------------------------------";

/// Where tables are printed. Clones print to the same place; a table is written in one piece.
#[derive(Clone)]
pub struct ConsoleOutput(Arc<Mutex<dyn Write + Send>>);

impl ConsoleOutput {
    /// Prints to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(out)))
    }

    fn print(&self, text: &str) -> io::Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Default for ConsoleOutput {
    /// Prints to the process's standard output.
    fn default() -> Self {
        Self::new(io::stdout())
    }
}

impl fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsoleOutput")
    }
}

/// Prints batches.
#[derive(Debug)]
pub struct ConsoleSink {
    schema: SchemaRef,
    table: TableText,
    output: ConsoleOutput,
}

impl ConsoleSink {
    /// A sink that prints rows of `schema` to `output`.
    pub fn new(schema: SchemaRef, table: TableText, output: ConsoleOutput) -> Self {
        Self {
            schema,
            table,
            output,
        }
    }
}

#[async_trait]
impl Sink for ConsoleSink {
    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    async fn begin(&self, _batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(ConsoleWriter {
            schema: Arc::clone(&self.schema),
            // One more than is shown, so that the commit knows whether there are more.
            rows_max: self.table.num_rows.saturating_add(1),
        }))
    }

    async fn commit(
        &self,
        batch: &SinkBatch,
        messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        let rows = decode_all("console", &messages)?;
        let table = self
            .table
            .format(&self.schema, &rows)
            .map_err(ConnectorError::from)?;
        let text = format!("{RULE}\nBatch: {}\n{RULE}\n{table}\n", batch.batch_id);
        self.output
            .print(&text)
            .map_err(ConnectorError::io("write to", "the console"))?;
        Ok(())
    }
}

#[derive(Debug)]
struct ConsoleWriter {
    schema: SchemaRef,
    rows_max: usize,
}

#[async_trait]
impl BatchWriter for ConsoleWriter {
    async fn write(
        &self,
        _partition: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let mut kept = Vec::new();
        let mut room = self.rows_max;
        let mut count = 0;
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows() as u64;
            if room > 0 {
                let shown = batch.slice(0, batch.num_rows().min(room));
                room -= shown.num_rows();
                kept.push(batches::with_schema(&shown, &self.schema)?);
            }
        }
        Ok(CommitMessage {
            rows: count,
            payload: batches::encode(&self.schema, &kept)?,
        })
    }
}

#[cfg(test)]
mod tests;
