//! Why a state operation failed, with what a user can do about it.
use arrow::{datatypes::DataType, error::ArrowError};
use millstream_checkpoint::storage::StorageError;

use crate::StateStoreId;

/// Error of the state store. The engine maps kinds to Spark's error classes.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file that the asked version needs is not there.
    #[error(
        "state version {version} of {store} cannot be loaded: {path} is missing; restore the file, rewind \
         the checkpoint to an older batch, or start with a new checkpoint location"
    )]
    MissingFile {
        /// The store asked for.
        store: StateStoreId,
        /// The version asked for.
        version: u64,
        /// Full URL of the file.
        path: String,
    },
    /// A file that the asked version needs is damaged or is not what its name says.
    #[error(
        "state version {version} of {store} cannot be loaded: {path} is corrupt ({reason}); restore the \
         file, rewind the checkpoint to an older batch, or start with a new checkpoint location"
    )]
    CorruptFile {
        /// The store asked for.
        store: StateStoreId,
        /// The version asked for.
        version: u64,
        /// Full URL of the file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file was written by a newer release.
    #[error(
        "{path} has state format {found}, this release reads formats up to {supported}: resume the query \
         with the release that wrote it or a newer one"
    )]
    UnsupportedFormat {
        /// Full URL of the file.
        path: String,
        /// Format version of the file.
        found: u16,
        /// Newest format version known here.
        supported: u16,
    },
    /// The stored key has other column types than the query's.
    #[error(
        "the key schema of the state of {store} is not compatible: stored {found}, the query has {expected}"
    )]
    KeySchemaMismatch {
        /// The store.
        store: StateStoreId,
        /// Columns of the running query.
        expected: String,
        /// Columns in the checkpoint.
        found: String,
    },
    /// The stored value has other column types than the query's.
    #[error(
        "the value schema of the state of {store} is not compatible: stored {found}, the query has \
         {expected}"
    )]
    ValueSchemaMismatch {
        /// The store.
        store: StateStoreId,
        /// Columns of the running query.
        expected: String,
        /// Columns in the checkpoint.
        found: String,
    },
    /// A column type that state cannot hold.
    #[error("column {column} of type {data_type} cannot be kept in state: {reason}")]
    UnsupportedType {
        /// Name of the column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// Why not.
        reason: &'static str,
    },
    /// A schema that contradicts itself, such as an event-time column that does not exist.
    #[error("invalid state schema: {reason}")]
    InvalidSchema {
        /// What is wrong.
        reason: String,
    },
    /// A batch given to the store does not have the store's columns.
    #[error("{part} columns do not fit the state of {store}: expected {expected}, got {found}")]
    WrongColumns {
        /// The store.
        store: StateStoreId,
        /// `key`, `value` or `prefix`.
        part: &'static str,
        /// Columns of the store.
        expected: String,
        /// Columns of the batch.
        found: String,
    },
    /// A store that the query does not have.
    #[error(
        "{store} belongs to no operator of the query, so it is not known which of its key columns say in which partition \
         a row is, and it cannot get another number of partitions: start the query with the number that it has, or with \
         the program that made the store"
    )]
    UnknownStore {
        /// The store.
        store: StateStoreId,
    },
    /// A row is not in the partition in which its key is looked for.
    #[error(
        "a row of {store} belongs to partition {belongs_to} of {partitions}: it was not placed by the key columns that \
         the query looks for it by, and moving it would lose it"
    )]
    MisplacedRow {
        /// The store.
        store: StateStoreId,
        /// Where the key says it is.
        belongs_to: u32,
        /// Number of partitions.
        partitions: u32,
    },
    /// The operation needs something that the store was opened without.
    #[error("{operation} needs a state store with {needs}; {store} has none")]
    NotSupported {
        /// The store.
        store: StateStoreId,
        /// The method.
        operation: &'static str,
        /// What the schema lacks.
        needs: &'static str,
    },
    /// More rows than a store can address.
    #[error(
        "{store} is full: a state partition holds at most {limit} {what}; use more shuffle partitions"
    )]
    Full {
        /// The store.
        store: StateStoreId,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A key that the local tree cannot hold.
    #[error(
        "a key of {bytes} bytes is too long for {store}: the limit of this state store provider is {limit} bytes, \
         the default provider has none"
    )]
    KeyTooLong {
        /// The store.
        store: StateStoreId,
        /// Bytes of the encoded key.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The copy of state on the local disk failed. The checkpoint is not affected.
    #[error(
        "the local copy of the state of {store} in {path} failed: {reason}; it is built anew from the checkpoint \
         when the query starts again"
    )]
    LocalStorage {
        /// The store.
        store: StateStoreId,
        /// The folder.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The durable layer failed.
    #[error("state of {store}: {source}")]
    Storage {
        /// The store.
        store: StateStoreId,
        /// The storage's own error.
        #[source]
        source: StorageError,
    },
    /// The checkpoint's state folder cannot be listed.
    #[error("cannot list the state stores: {source}")]
    Listing {
        /// The storage's own error.
        #[source]
        source: StorageError,
    },
    /// Arrow refused an operation.
    #[error("state operation failed: {0}")]
    Arrow(#[from] ArrowError),
}
