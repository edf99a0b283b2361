//! Connectors: the systems that rows come from and go to, one folder each.
//!
//! | folder | reads | writes |
//! |---|---|---|
//! | [`file`] | json, csv, text, parquet, orc, binaryFile | the same, exactly once |
//! | [`socket`] | lines of text | |
//! | [`rate`], [`rate_micro_batch`] | made-up rows | |
//! | [`console`] | | tables of text |
//! | [`memory`] | | a table of the session |
//! | [`noop`] | | nothing |
//! | [`statestore`] | the state in a checkpoint, in batch | |
//!
//! A folder has the same rooms wherever they apply: `options.rs` turns strings into a typed struct,
//! `source.rs` and `sink.rs` implement the engine's contracts, `scan.rs` reads one partition.
//! [`registry`] finds a connector by the name that `format("…")` was given. Nothing here knows the
//! query loop.
mod batches;
pub mod console;
pub mod datetime;
mod error;
pub mod file;
pub mod format;
pub mod memory;
pub mod noop;
pub mod options;
pub mod rate;
pub mod rate_micro_batch;
pub mod registry;
#[cfg(test)]
mod scan_test;
pub mod settings;
pub mod socket;
pub mod statestore;
pub mod text;
mod unwritable;

pub use error::ConnectorError;
