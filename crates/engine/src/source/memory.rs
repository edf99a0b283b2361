//! A source that a program feeds: `add` appends rows, every addition is one step of the offset.
//!
//! It keeps all it was given, so any range can be replayed, by later runs too as long as they share the stream. It is for tests of
//! queries, as Spark's `MemoryStream` is; nothing of it survives the process.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::stream;

use super::{
    InputPartition, Offset, ReadLimit, ScanRequest, Source, SourceContext, SourceDefinition,
};
use crate::BoxError;

/// A growing list of batches; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryStream {
    schema: SchemaRef,
    additions: Arc<Mutex<Vec<RecordBatch>>>,
}

impl MemoryStream {
    /// An empty stream.
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            additions: Arc::default(),
        }
    }

    fn additions(&self) -> MutexGuard<'_, Vec<RecordBatch>> {
        self.additions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends rows, which become readable at once; returns the offset that includes them.
    pub fn add(&self, rows: RecordBatch) -> Offset {
        let mut additions = self.additions();
        additions.push(rows);
        Offset::new((additions.len() - 1).to_string())
    }
}

#[async_trait]
impl SourceDefinition for MemoryStream {
    fn format(&self) -> &str {
        "memory"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn create(&self, _: SourceContext) -> Result<Arc<dyn Source>, BoxError> {
        Ok(Arc::new(self.clone()))
    }
}

/// Number of additions at or before an offset.
fn count(offset: Option<&Offset>) -> Result<usize, BoxError> {
    offset.map_or(Ok(0), |offset| Ok(offset.json().parse::<usize>()? + 1))
}

#[async_trait]
impl Source for MemoryStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn description(&self) -> String {
        let columns: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        format!("MemoryStream[{}]", columns.join(","))
    }

    async fn latest_offset(
        &self,
        _: Option<&Offset>,
        _: ReadLimit,
    ) -> Result<Option<Offset>, BoxError> {
        let additions = self.additions().len();
        Ok(additions
            .checked_sub(1)
            .map(|last| Offset::new(last.to_string())))
    }

    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError> {
        let range = count(start)?..count(Some(end))?;
        let additions = self.additions();
        let added = additions.get(range.clone()).ok_or_else(|| {
            format!(
                "additions {range:?} are not there: the stream has {}",
                additions.len()
            )
        })?;
        Ok(added
            .iter()
            .map(|rows| Arc::new(MemoryPartition(rows.clone())) as Arc<dyn InputPartition>)
            .collect())
    }

    async fn commit(&self, _: &Offset) -> Result<(), BoxError> {
        Ok(())
    }

    async fn prepare_for_available_now(&self) -> Result<bool, BoxError> {
        // What is added while the run lasts is read too: the test decides when it adds.
        Ok(true)
    }
}

#[derive(Debug)]
struct MemoryPartition(RecordBatch);

impl InputPartition for MemoryPartition {
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError> {
        let rows = self.0.project(&request.projection).map_err(Into::into);
        let rows = stream::iter([rows]);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&request.schema),
            rows,
        )))
    }
}
