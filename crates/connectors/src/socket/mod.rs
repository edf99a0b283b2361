//! The socket source: lines of text from a TCP server. For trying things out.
//!
//! | question | answer |
//! |---|---|
//! | schema | `value string`, and `timestamp timestamp` (arrival) with `includeTimestamp` |
//! | offset | number of the last row of the range, e.g. `4`; `-1` before the first |
//! | replay | within a run, until the batch is committed; never in another run |
//! | available now | no notion of it; one batch, which is empty |
//!
//! A line ends with `\n`, `\r` or `\r\n`; what follows the last line end is a line of its own once
//! the server closes the connection. Bytes that are not UTF-8 become U+FFFD. The connection is made
//! when the query asks for its first offset, which it gets at once: the first batch is empty. When
//! the server closes the connection the query goes on, without new rows.
//!
//! Rows are kept in memory until their batch is committed. When [`source::BUFFER_BYTES_MAX`] of
//! them wait, the source stops reading and TCP slows the server down.
//!
//! # On a crash
//!
//! A new run numbers its rows from the last offset in the checkpoint on, so what was committed is
//! neither lost nor seen twice. Rows that were received, but not committed, are lost: there is
//! nobody to ask for them again. The batch that they were part of runs again without them, as it
//! does in Spark, and the loss is logged as a warning.
mod lines;
mod options;
mod source;

pub use options::SocketOptions;
pub use source::SocketDefinition;
