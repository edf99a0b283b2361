//! Files: json, csv, text, parquet, orc and binaryFile in directories, as a source, a sink and a
//! batch table.
//!
//! | question | source | sink |
//! |---|---|---|
//! | what is there | new files of a directory or pattern | `part-…` files |
//! | offset | `{"logOffset":n}`, record `n` of `sources/<i>/` | |
//! | output modes | | append |
//! | checkpoint location | | required |
//! | replay, delivery | yes, until the files are gone | exactly once through `_spark_metadata` |
//! | available now | yes: the files that are there at the start | |
//!
//! | room | owns |
//! |---|---|
//! | `location`, `glob` | paths, URLs and patterns |
//! | `listing` | which files there are, and which are new |
//! | `seen_files`, `admission` | which of them a batch takes; pure |
//! | `partition_values` | columns in directory names |
//! | `definition`, `source`, `cleaner` | the streaming source |
//! | `scan`, `filter` | reading |
//! | `table`, `index` | the batch table, and which files it has |
//! | `writer`, `sink`, `batch_write` | writing |
//!
//! The bytes of the files are [`crate::format`]'s.
mod admission;
mod batch_write;
mod cleaner;
mod definition;
mod filter;
mod glob;
mod index;
mod listing;
mod location;
mod options;
mod partition_values;
mod scan;
mod seen_files;
mod sink;
mod source;
mod table;
mod writer;

pub use batch_write::{BatchWriteRequest, SaveMode, write_batch_files};
pub use definition::FileDefinition;
pub use location::{FileSystem, Location};
pub use options::{CleanSource, FileStreamOptions, ListingOptions, Tolerance};
pub use scan::{METADATA_COLUMN, metadata_field};
pub use sink::FileSink;
pub use table::{BatchReadRequest, FileTable};
