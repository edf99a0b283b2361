//! Sources: where rows come from, and the contract that makes them replayable.
//!
//! A source is known in two forms. A [`SourceDefinition`] is what `readStream…load()` yields: format, options
//! and schema, checked, but nothing opened; it is the leaf of a logical plan. At every start of a query the
//! definition creates a [`Source`], which belongs to that run and may keep a log of its own under
//! `sources/<i>` of the checkpoint.
//!
//! A batch reads the range *(start, end]* of offsets: start is excluded (`None` is the beginning), end is
//! included. Offsets are opaque JSON; only the source compares them.
mod memory;
mod scan;
mod table;
mod watched;

use std::{fmt, fmt::Debug, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::PhysicalExpr,
};
use millstream_checkpoint::{Faults, storage::StorageRef};

pub use memory::MemoryStream;
pub use scan::StreamScanExec;
pub use table::{RelationId, StreamTable};
pub(crate) use watched::stamps;
pub use watched::{TableWatch, WatchedTable};

use crate::{BoxError, time::ClockRef};

/// A position in a source: the JSON text that stands in the offset log, on one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offset(String);

impl Offset {
    /// Wraps one line of JSON.
    pub fn new(json: impl Into<String>) -> Self {
        Self(json.into())
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much a source may take into one batch (admission control).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLimit {
    /// Everything that is there.
    AllAvailable,
    /// At most this many rows.
    MaxRows(u64),
    /// At most this many files.
    MaxFiles(u64),
    /// Files of about this many bytes together, and at least one.
    MaxBytes(u64),
}

/// What a run gives a source when it creates it.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The source's own log folder, `sources/<i>` of the checkpoint.
    pub log: StorageRef,
    /// Processing time.
    pub clock: ClockRef,
    /// Threads of the engine; the default number of partitions.
    pub parallelism: usize,
    /// The query's fault points.
    pub faults: Faults,
}

/// A source that was described and checked, but not opened.
#[async_trait]
pub trait SourceDefinition: Debug + Send + Sync {
    /// Short format name, such as `json` or `socket`.
    fn format(&self) -> &str;
    /// Columns of every row.
    fn schema(&self) -> SchemaRef;
    /// Whether the source applies this condition on its columns itself, to all rows (exact) or to those that it can tell
    /// (inexact; it is then applied again above). Every partition of a source that says so gets it in
    /// [`ScanRequest::filters`], and rows that do not meet it neither leave the source nor count as its input.
    fn applies(&self, _filter: &Expr) -> TableProviderFilterPushDown {
        TableProviderFilterPushDown::Unsupported
    }
    /// Creates the source of one run.
    async fn create(&self, context: SourceContext) -> Result<Arc<dyn Source>, BoxError>;
}

/// The source of one run of a query. Contract:
///
/// 1. The query loop is the only caller, one call at a time, except for [`InputPartition::open`].
/// 2. `latest_offset` never goes back. `None` means that there is nothing to read yet, at all.
/// 3. `plan_batch` of a range that was logged must give the same rows, however often and in whichever run it is
///    asked, until `commit` was called with an offset at or after the end of the range. After a restart it may be
///    called for the last logged range before any `latest_offset`.
/// 4. `commit(end)` comes after batch N is in the commit log: what lies at or before `end` may be forgotten.
/// 5. A source that cannot replay (socket) says so in its documentation. Asked for what it no longer has, it gives no
///    rows and logs a warning: it never invents any.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Columns of every row.
    fn schema(&self) -> SchemaRef;
    /// What progress reports show, e.g. `FileStreamSource[file:/in]`.
    fn description(&self) -> String;
    /// Where the records of former runs end. At a restart every source is told, before anything else is asked of it: one
    /// that cannot go on from there says so before anything is written.
    async fn resume(&self, _end: &Offset) -> Result<(), BoxError> {
        Ok(())
    }
    /// How much the options allow into one batch.
    fn read_limit(&self) -> ReadLimit {
        ReadLimit::AllAvailable
    }
    /// Where a new query starts; `None` for sources whose first range is open at the start (files).
    async fn initial_offset(&self) -> Result<Option<Offset>, BoxError> {
        Ok(None)
    }
    /// The end of the next batch, given where the last one ended.
    async fn latest_offset(
        &self,
        start: Option<&Offset>,
        limit: ReadLimit,
    ) -> Result<Option<Offset>, BoxError>;
    /// The partitions that hold the rows of *(start, end]*.
    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError>;
    /// Everything at or before `end` is done.
    async fn commit(&self, end: &Offset) -> Result<(), BoxError>;
    /// Fixes what is available now as the end of the whole run. `false`: the source has no such notion, and the
    /// query runs one batch with everything.
    async fn prepare_for_available_now(&self) -> Result<bool, BoxError> {
        Ok(false)
    }
    /// The newest offset there is, whatever the limit, for progress reports.
    async fn report_latest_offset(&self) -> Option<Offset> {
        None
    }
    /// Source-specific metrics for progress reports.
    fn metrics(&self) -> Vec<(String, String)> {
        vec![]
    }
    /// Releases what the run held (threads, connections). No other call follows.
    async fn stop(&self) {}
}

/// What a scan wants of a partition.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Columns wanted, as indexes into the source's schema, in output order. May be empty: rows still count.
    pub projection: Vec<usize>,
    /// Schema of the batches to return: the projected columns.
    pub schema: SchemaRef,
    /// Conditions that every row returned must meet, over the source's whole schema: those that
    /// [`SourceDefinition::applies`] agreed to.
    pub filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows per batch to aim at.
    pub batch_size: usize,
}

/// One independently readable part of a batch.
pub trait InputPartition: Debug + Send + Sync {
    /// Starts reading. Dropping the stream stops it.
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError>;
}
