//! The source: a thread that reads lines, and the buffer between it and the query.
use std::{
    collections::VecDeque,
    io::Read,
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use millstream_engine::{
    BoxError,
    source::{InputPartition, Offset, ReadLimit, Source, SourceContext, SourceDefinition},
    time::ClockRef,
};

use super::{SocketOptions, lines::LineSplitter};
use crate::{batches::RowsPartition, error::ConnectorError};

/// Bytes of rows that wait for their commit before the source stops reading.
pub(super) const BUFFER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Offset of the row before the first.
const BEFORE_FIRST: i64 = -1;

/// `format("socket")`.
#[derive(Debug)]
pub struct SocketDefinition {
    options: SocketOptions,
}

impl SocketDefinition {
    /// A socket source with these options.
    pub fn new(options: SocketOptions) -> Self {
        Self { options }
    }
}

fn schema(options: &SocketOptions) -> SchemaRef {
    let mut fields = vec![Field::new("value", DataType::Utf8, true)];
    if options.include_timestamp {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        fields.push(Field::new("timestamp", timestamp, true));
    }
    Arc::new(Schema::new(fields))
}

#[async_trait]
impl SourceDefinition for SocketDefinition {
    fn format(&self) -> &str {
        "socket"
    }

    fn schema(&self) -> SchemaRef {
        schema(&self.options)
    }

    async fn create(&self, context: SourceContext) -> Result<Arc<dyn Source>, BoxError> {
        tracing::warn!(
            "the socket source cannot be read again after a failure and is not meant for production"
        );
        Ok(Arc::new(SocketSource {
            schema: schema(&self.options),
            partitions: self
                .options
                .num_partitions
                .unwrap_or(context.parallelism)
                .max(1),
            options: self.options.clone(),
            clock: context.clock,
            shared: Arc::default(),
            connection: tokio::sync::Mutex::new(None),
        }))
    }
}

#[derive(Debug)]
struct SocketSource {
    options: SocketOptions,
    schema: SchemaRef,
    partitions: usize,
    clock: ClockRef,
    shared: Arc<Shared>,
    connection: tokio::sync::Mutex<Option<TcpStream>>,
}

/// What the reading thread and the query share.
#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// Signalled when there is room again, or when the source stops.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    /// Offset of the last row that may be forgotten, once it is known where this run begins.
    forgotten: Option<i64>,
    /// The rows after it.
    rows: VecDeque<Row>,
    bytes: usize,
    /// The latest offset given out, for progress.
    reported: Option<i64>,
    stopped: bool,
}

#[derive(Debug, Clone)]
struct Row {
    value: String,
    arrived_ms: i64,
}

impl Row {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds rows and waits while there are too many. `false`: the source stopped.
    fn append(&self, rows: &mut Vec<Row>) -> bool {
        let mut buffer = self.lock();
        buffer.bytes += rows.iter().map(Row::bytes).sum::<usize>();
        buffer.rows.extend(rows.drain(..));
        while buffer.bytes > BUFFER_BYTES_MAX && !buffer.stopped {
            buffer = self
                .room
                .wait(buffer)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !buffer.stopped
    }
}

impl Buffer {
    /// The rows of *(start, end]*, and `None` for a range of an earlier run.
    fn range(&mut self, start: i64, end: i64) -> Result<Option<Vec<Row>>, ConnectorError> {
        let Some(forgotten) = self.forgotten else {
            self.forgotten = Some(end);
            return Ok(None);
        };
        let missing = || ConnectorError::SocketRows {
            first: forgotten + 1,
            last: forgotten + self.rows.len() as i64,
            from: start.saturating_add(1),
            to: end,
        };
        let skipped = usize::try_from(start - forgotten).map_err(|_| missing())?;
        let count = usize::try_from(end - start).map_err(|_| missing())?;
        if skipped + count > self.rows.len() {
            return Err(missing());
        }
        Ok(Some(
            self.rows.range(skipped..skipped + count).cloned().collect(),
        ))
    }

    fn forget(&mut self, end: i64) -> Result<(), ConnectorError> {
        let last = *self.forgotten.get_or_insert(end);
        let missing = || ConnectorError::CommitOrder { last, end };
        let count = usize::try_from(end - last).map_err(|_| missing())?;
        if count > self.rows.len() {
            return Err(missing());
        }
        self.bytes -= self
            .rows
            .drain(..count)
            .map(|row| row.bytes())
            .sum::<usize>();
        self.forgotten = Some(end);
        Ok(())
    }
}

fn row_number(offset: &Offset) -> Result<i64, ConnectorError> {
    let number = offset
        .json()
        .trim()
        .parse()
        .ok()
        .filter(|number| *number >= BEFORE_FIRST);
    number.ok_or_else(|| ConnectorError::ForeignOffset {
        format: "socket",
        offset: offset.json().to_owned(),
    })
}

impl SocketSource {
    async fn connect(&self) -> Result<(), ConnectorError> {
        let mut connection = self.connection.lock().await;
        if connection.is_some() {
            return Ok(());
        }
        let SocketOptions { host, port, .. } = &self.options;
        let port =
            u16::try_from(*port).map_err(|_| ConnectorError::SocketPortRange { port: *port })?;
        let refused = |e: std::io::Error| {
            // The operating system's words without the number that Rust adds.
            let text = e.to_string();
            let reason = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            ConnectorError::SocketConnect {
                host: host.clone(),
                port,
                reason,
            }
        };
        let stream = tokio::net::TcpStream::connect((host.as_str(), port))
            .await
            .map_err(refused)?;
        let stream = stream.into_std().map_err(refused)?;
        stream.set_nonblocking(false).map_err(refused)?;
        let reader = Reader {
            stream: stream.try_clone().map_err(refused)?,
            server: format!("{host}:{port}"),
            clock: Arc::clone(&self.clock),
            shared: Arc::clone(&self.shared),
        };
        // A thread of its own: rows get the time of their arrival, also while all of the engine's
        // threads are busy.
        std::thread::Builder::new()
            .name("socket-source".into())
            .spawn(move || reader.run())
            .map_err(refused)?;
        *connection = Some(stream);
        Ok(())
    }

    fn batch(&self, rows: &[&Row]) -> Result<RecordBatch, ConnectorError> {
        let values = StringArray::from_iter_values(rows.iter().map(|row| &row.value));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(values)];
        if self.options.include_timestamp {
            let times = rows.iter().map(|row| row.arrived_ms.saturating_mul(1000));
            let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
            columns.push(Arc::new(times));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[async_trait]
impl Source for SocketSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn description(&self) -> String {
        format!(
            "TextSocketV2[host: {}, port: {}]",
            self.options.host, self.options.port
        )
    }

    async fn initial_offset(&self) -> Result<Option<Offset>, BoxError> {
        Ok(Some(Offset::new(BEFORE_FIRST.to_string())))
    }

    async fn latest_offset(
        &self,
        start: Option<&Offset>,
        _limit: ReadLimit,
    ) -> Result<Option<Offset>, BoxError> {
        let start = start.map_or(Ok(BEFORE_FIRST), row_number)?;
        // Before the connection is there no row can be, so the first answer is where the run
        // begins.
        let latest = |buffer: &mut Buffer| {
            let forgotten = *buffer.forgotten.get_or_insert(start);
            let latest = forgotten + buffer.rows.len() as i64;
            buffer.reported = Some(latest);
            latest
        };
        let number = latest(&mut self.shared.lock());
        self.connect().await?;
        Ok(Some(Offset::new(number.to_string())))
    }

    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError> {
        let start = start.map_or(Ok(BEFORE_FIRST), row_number)?;
        let end = row_number(end)?;
        let Some(rows) = self.shared.lock().range(start, end)? else {
            if start < end {
                tracing::warn!(
                    source = %self.description(), first = start + 1, last = end,
                    "rows that an earlier run received, but did not commit, are lost"
                );
            }
            return Ok(vec![]);
        };
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let mut partitions: Vec<Arc<dyn InputPartition>> = Vec::with_capacity(self.partitions);
        for index in 0..self.partitions {
            let stripe: Vec<_> = rows.iter().skip(index).step_by(self.partitions).collect();
            partitions.push(Arc::new(RowsPartition {
                rows: self.batch(&stripe)?,
            }));
        }
        Ok(partitions)
    }

    async fn commit(&self, end: &Offset) -> Result<(), BoxError> {
        self.shared.lock().forget(row_number(end)?)?;
        self.shared.room.notify_all();
        Ok(())
    }

    async fn report_latest_offset(&self) -> Option<Offset> {
        self.shared
            .lock()
            .reported
            .map(|number| Offset::new(number.to_string()))
    }

    async fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.room.notify_all();
        if let Some(stream) = self.connection.lock().await.take() {
            // An error means that the server was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for SocketSource {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.room.notify_all();
        if let Some(stream) = self.connection.get_mut().take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The thread that reads.
struct Reader {
    stream: TcpStream,
    server: String,
    clock: ClockRef,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(mut self) {
        let mut splitter = LineSplitter::default();
        let mut packet = vec![0; 64 * 1024];
        let mut rows = Vec::new();
        loop {
            let count = match self.stream.read(&mut packet) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    if !self.shared.lock().stopped {
                        tracing::warn!(server = self.server, error = %e, "reading from the socket failed");
                    }
                    break;
                }
            };
            let arrived_ms = self.clock.now_ms();
            let bytes = packet.get(..count).unwrap_or_default();
            splitter.push(bytes, |value| rows.push(Row { value, arrived_ms }));
            if !self.shared.append(&mut rows) {
                return;
            }
        }
        let arrived_ms = self.clock.now_ms();
        rows.extend(splitter.finish().map(|value| Row { value, arrived_ms }));
        if self.shared.append(&mut rows) {
            tracing::warn!(
                server = self.server,
                "the server closed the connection; no more rows will come"
            );
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
