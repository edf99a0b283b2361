//! The state store contract: batched Arrow in, Arrow out, one version per micro-batch.
//!
//! Batch N of a query opens version N of every (operator, partition, store), changes it, and its commit
//! makes version N+1 durable. Nothing a batch did is visible to anybody until that commit returns; a batch
//! that fails leaves version N as it was, and running N again from the same record gives the same N+1.
//!
//! There is no single-row access on purpose: an operator that has a row has a batch of rows, and the cost
//! of a look-up is paid per column and not per call.
use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{filter, filter_record_batch},
    datatypes::SchemaRef,
};
use async_trait::async_trait;

use crate::{PartitionedStore, Repartitioned, StateError};

/// Result of every state operation.
pub type Result<T, E = StateError> = std::result::Result<T, E>;

/// Name of the store that an operator with a single store uses.
pub const DEFAULT_STORE: &str = "default";

/// Which store: a stateful operator has one instance of each of its stores per state partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateStoreId {
    /// Id of the stateful operator, stable across restarts of the query.
    pub operator_id: u32,
    /// State partition, `0..number of shuffle partitions`.
    pub partition: u32,
    /// Name of the store within the operator; [`DEFAULT_STORE`] unless the operator has several.
    pub store_name: String,
}

impl StateStoreId {
    /// The default store of an operator's partition.
    pub fn new(operator_id: u32, partition: u32) -> Self {
        Self::named(operator_id, partition, DEFAULT_STORE)
    }

    /// A named store of an operator's partition.
    pub fn named(operator_id: u32, partition: u32, store_name: impl Into<String>) -> Self {
        Self {
            operator_id,
            partition,
            store_name: store_name.into(),
        }
    }

    /// The folder that holds the store's files, relative to the checkpoint's `state` folder.
    pub fn folder(&self) -> String {
        let Self {
            operator_id,
            partition,
            store_name,
        } = self;
        if store_name == DEFAULT_STORE {
            format!("{operator_id}/{partition}")
        } else {
            format!("{operator_id}/{partition}/{store_name}")
        }
    }
}

impl fmt::Display for StateStoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operator_id,
            partition,
            store_name,
        } = self;
        write!(
            f,
            "operator {operator_id}, partition {partition}, store {store_name}"
        )
    }
}

/// Columns of a store. Column names are labels: a store written under other names opens as long as the
/// types agree, as in Spark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSchema {
    /// Columns of the key, in order. May be empty: then there is one key, as for an aggregate without
    /// grouping.
    pub key: SchemaRef,
    /// Columns of the value, in order. May be empty, as for a set of keys.
    pub value: SchemaRef,
    /// Index in `key` of the column (Timestamp(Microsecond) or Int64) that decides eviction.
    pub event_time: Option<usize>,
    /// Number of leading key columns that [`StateStore::prefix_scan`] may ask for; 0 when it is not used.
    pub prefix: usize,
}

impl StateSchema {
    /// A store without eviction by event time and without prefix scan.
    pub fn new(key: SchemaRef, value: SchemaRef) -> Self {
        Self {
            key,
            value,
            event_time: None,
            prefix: 0,
        }
    }

    /// The same store, evicting by key column `column`.
    pub fn with_event_time(mut self, column: usize) -> Self {
        self.event_time = Some(column);
        self
    }

    /// The same store, answering scans by its first `columns` key columns.
    pub fn with_prefix(mut self, columns: usize) -> Self {
        self.prefix = columns;
        self
    }
}

/// Answer to [`StateStore::get`], row i for the i-th key asked.
#[derive(Debug, Clone)]
pub struct StateLookup {
    /// Whether the key is in the store; never null.
    pub found: BooleanArray,
    /// The value columns, NULL in every column where `found` is false. All fields are nullable.
    pub values: RecordBatch,
}

/// Answer to [`StateStore::prefix_scan`].
#[derive(Debug, Clone)]
pub struct PrefixMatches {
    /// For each entry the row of the prefix that asked for it; ascending.
    pub asked: UInt32Array,
    /// The entries, key columns then value columns. Within one asked prefix in no particular order.
    pub entries: RecordBatch,
}

/// Entries that were found by their prefix; their columns are gathered when they are asked for.
pub trait FoundEntries {
    /// For each entry the row of the prefix that asked for it; ascending.
    fn asked(&self) -> &UInt32Array;

    /// Some columns of the entries, counted among key columns then value columns.
    fn columns(&self, wanted: &[usize]) -> Result<Vec<ArrayRef>>;

    /// Lets go of the entries that are not `accepted`, a flag for each, never null.
    fn retain(&mut self, accepted: &BooleanArray) -> Result<()>;

    /// The entries that are left, key columns then value columns.
    fn entries(&self) -> Result<RecordBatch>;
}

impl FoundEntries for PrefixMatches {
    fn asked(&self) -> &UInt32Array {
        &self.asked
    }

    fn columns(&self, wanted: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(self.entries.project(wanted)?.columns().to_vec())
    }

    fn retain(&mut self, accepted: &BooleanArray) -> Result<()> {
        let asked = filter(&self.asked, accepted)?;
        self.asked = asked.as_primitive().clone();
        self.entries = filter_record_batch(&self.entries, accepted)?;
        Ok(())
    }

    fn entries(&self) -> Result<RecordBatch> {
        Ok(self.entries.clone())
    }
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitSummary {
    /// The version that is durable now.
    pub version: u64,
    /// Keys whose value was written, each counted once.
    pub rows_updated: u64,
    /// Keys that were in the previous version and are not in this one.
    pub rows_removed: u64,
    /// Size of the changelog file in bytes.
    pub bytes_written: u64,
    /// Time spent in `commit`, in microseconds.
    pub commit_us: u64,
}

/// A store's size and health, cheap to ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateMetrics {
    /// Keys in the store, uncommitted changes included (Spark's `numRowsTotal`).
    pub num_keys: u64,
    /// Memory held in bytes: columns, key index, and garbage not yet compacted away (`memoryUsedBytes`).
    pub memory_bytes: u64,
    /// Bytes of live rows in the columns, an estimate (`stateOnCurrentVersionSizeBytes`).
    pub current_version_bytes: u64,
    /// Rows held in memory that no key points to any more.
    pub garbage_rows: u64,
    /// Immutable batches the values are spread over.
    pub segments: u64,
    /// Newest snapshot that this process knows to be durable.
    pub last_snapshot_version: Option<u64>,
}

/// The state of one (operator, partition, store) at one version, plus the changes of one running batch.
///
/// Obligations of an implementation:
///
/// 1. **Keys are values.** NULL is a legal key value and equals NULL. Floating-point keys are compared as
///    Spark groups them: -0.0 equals 0.0 and all NaNs are equal.
/// 2. **A batch reads its own writes.** `get`, `put_absent`, `scan` and `evict` see every earlier call; of several rows
///    with one key within a `put` the last wins.
/// 3. **Versions are atomic.** `commit` makes exactly one changelog file durable and then, and only then,
///    moves to `version() + 1`. If it fails or is cancelled, the store stands where it stood, changes
///    included: the caller may call `commit` again or `rollback`. The file may be there or not; a later
///    commit of the same version replaces it. (A fault injected at `after-state-commit` is the exception:
///    the error comes after the store has moved.)
/// 4. **Rollback is exact and cheap.** `rollback` restores the state as of the last commit in time that
///    follows the number of changed keys.
/// 5. **Eviction follows what it evicts**, and the keys of about a second of event time more, not the size
///    of the store. A NULL event time is never evicted.
/// 6. **Columns are checked.** Batches whose column count or types differ from the schema are refused with
///    [`StateError::WrongColumns`]; names are not looked at.
/// 7. An error from `get`, `put`, `delete` or `evict` leaves the store usable for `rollback`; the changes
///    of the failed call may be there in part.
#[async_trait]
pub trait StateStore: Send {
    /// Which store this is.
    fn id(&self) -> &StateStoreId;

    /// The last committed version, on which the uncommitted changes stand.
    fn version(&self) -> u64;

    /// Looks up one value per key.
    fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup>;

    /// Writes one value per key, replacing what is there. Passing the very key columns (the same `Arc`s)
    /// that the previous `get` was asked for saves the second look-up.
    fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()>;

    /// Writes the entries whose keys are not in the store, the first row of each key, and leaves the others as they are;
    /// returns which rows were written, never null. One look-up does for both, where a `get` before a `put` has two.
    fn put_absent(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<BooleanArray>;

    /// Removes keys; returns how many were there.
    fn delete(&mut self, keys: &RecordBatch) -> Result<u64>;

    /// Removes every entry whose event-time column is <= `threshold` (in the column's own unit:
    /// microseconds for timestamps) and returns the entries, key columns then value columns, in batches
    /// of a moderate size. Stores without an event-time column refuse.
    fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>>;

    /// As [`StateStore::evict`], for callers that do not look at what went; returns how many went.
    fn drop_expired(&mut self, threshold: i64) -> Result<u64>;

    /// All live entries, key columns then value columns, in no particular order.
    fn scan(&self) -> Result<Vec<RecordBatch>>;

    /// As [`StateStore::scan`], piece by piece, for callers that cannot hold all of it.
    fn entries(&self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send + '_>;

    /// All entries whose first `prefixes.num_columns()` key columns equal one of the given rows. The
    /// number of columns must be the schema's `prefix`.
    fn prefix_scan(&mut self, prefixes: &RecordBatch) -> Result<PrefixMatches>;

    /// As [`StateStore::prefix_scan`], for callers that choose among what is found by some of its columns.
    fn find_by_prefix<'a>(
        &'a mut self,
        prefixes: &RecordBatch,
    ) -> Result<Box<dyn FoundEntries + 'a>> {
        Ok(Box::new(self.prefix_scan(prefixes)?))
    }

    /// Makes `version() + 1` durable.
    async fn commit(&mut self) -> Result<CommitSummary>;

    /// Forgets everything since the last commit.
    fn rollback(&mut self);

    /// Whether there are changes that are not committed.
    fn has_changes(&self) -> bool;

    /// Size and health.
    fn metrics(&self) -> StateMetrics;

    /// Takes hold of the committed version so that it can be written as a snapshot while the store goes
    /// on, if enough deltas have gathered since the last one. Costs a fraction of a bit per row. `None`
    /// when no snapshot is due or when there are uncommitted changes.
    fn capture_snapshot(&mut self) -> Option<Box<dyn SnapshotTask>>;

    /// Work on what this process keeps outside the checkpoint, to be done beside the running query. `None` when
    /// none is due.
    fn capture_compaction(&mut self) -> Option<Box<dyn CompactionTask>> {
        None
    }
}

/// A captured version, to be written from a background task.
#[async_trait]
pub trait SnapshotTask: Send + fmt::Debug {
    /// The version captured.
    fn version(&self) -> u64;

    /// Writes the snapshot file and returns its size in bytes; 0 when another run of the batch has made
    /// the version anew since the capture, so that there is nothing to write. Dropping the future midway,
    /// or an error, leaves a store that loads from older files.
    async fn write(self: Box<Self>) -> Result<u64>;
}

/// Local maintenance of a store, to be run from a background task. Takes time and blocks its thread. What the store
/// answers does not depend on it.
pub trait CompactionTask: Send + fmt::Debug {
    /// Does the work.
    fn run(self: Box<Self>) -> Result<()>;
}

/// Opens stores and looks after their files.
///
/// Obligations:
///
/// 1. `open(id, schema, v)` gives the store as it was when `v` was committed, or an error; never something
///    else. Version 0 is the empty store and has no file.
/// 2. Any `v` that [`StateStoreProvider::remove_obsolete`] was told to retain can be opened.
/// 3. Files written by an older release of the format open.
/// 4. `open` writes nothing. Two stores of one id must not be open for writing at once: that is the
///    [`StateRegistry`](crate::StateRegistry)'s promise within a process, and the query's lock between.
#[async_trait]
pub trait StateStoreProvider: fmt::Debug + Send + Sync + 'static {
    /// Loads a version.
    async fn open(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<Box<dyn StateStore>>;

    /// The versions that `open` should be able to load, ascending, by the names of the files.
    async fn versions(&self, id: &StateStoreId) -> Result<Vec<u64>>;

    /// The stores that have files, by the names of the folders.
    async fn stores(&self) -> Result<Vec<StateStoreId>>;

    /// Deletes files that no version >= `oldest` needs; returns how many.
    async fn remove_obsolete(&self, id: &StateStoreId, oldest: u64) -> Result<u64>;

    /// Deletes all that is newer than `version`, as a rewind to an older batch must: what is written
    /// after it is another history. Returns the number of files.
    async fn remove_newer(&self, id: &StateStoreId, version: u64) -> Result<u64>;

    /// Whether [`StateStoreProvider::repartition`] could move `version` of these stores, which are all that there are:
    /// their files are there, under the columns that the query has. Writes nothing.
    async fn check_repartition(&self, stores: &[PartitionedStore], version: u64) -> Result<()>;

    /// Makes `version + 1` of a store, which must not be open: the rows of `version` in another number of partitions.
    /// Whatever was newer than `version` is deleted. `stop` is asked now and then whether to give up.
    async fn repartition(
        &self,
        store: &PartitionedStore,
        version: u64,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Repartitioned>;

    /// Lets go of what this machine keeps of a store outside the checkpoint. The store must not be open.
    fn forget(&self, id: &StateStoreId) {
        let _ = id;
    }

    /// How many batches must stay loadable behind the newest (`minBatchesToRetain`).
    fn versions_to_retain(&self) -> u64;
}

/// Shared handle to a provider.
pub type StateStoreProviderRef = Arc<dyn StateStoreProvider>;
