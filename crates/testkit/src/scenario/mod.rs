//! Scenario files: a streaming query, what is fed to it and what must come out, as plain text.
//!
//! ```text
//! # Groups live on from batch to batch.
//! stream words(at timestamp, word string, n bigint) watermark at 10 seconds
//! query update key 1
//!   SELECT word, count(*), sum(n) FROM words GROUP BY word
//!
//! AddData words
//!   00:00:01, a, 1
//! CheckNewAnswer
//!   a, 1, 1
//! Progress numRowsTotal=1
//! ```
//!
//! The verbs are those of Spark's own `StreamTest`. A step is a verb and the indented lines below it.
//!
//! | verb | meaning |
//! |---|---|
//! | `AddData STREAM` | rows, comma-separated; `NULL` is NULL; timestamps may leave out the date (1970-01-01) |
//! | `MultiAddData` | rows of several streams, `STREAM: values` a line, that arrive in one batch |
//! | `CheckNewAnswer` | processes all that is there; the rows that came out since the last check, in any order |
//! | `CheckLastBatch` | processes all that is there; the rows of the last batch that had any |
//! | `Progress name=value …` | figures of the last batch's first stateful operator, or of the batch |
//! | `StopStream`, `StartStream` | ends the run, begins another on the same checkpoint |
//! | `ExpectFailure text` | the query fails at start, or when all is processed, with this text in its message |
//!
//! The body of `query` is SQL; what SQL has no word for follows as methods of a DataFrame, a line each, such as
//! `.dropDuplicates(word, at)`, `.dropDuplicatesWithinWatermark(word)`, `.distinct()` or `.limit(3)`. `view NAME`, with a body
//! of the same kind, names a relation that later views and the query read.
//!
//! # Variations
//!
//! On each state store provider, every scenario is played straight with 1, 2 and 7 state partitions, restarted after every check, and crashed at every fault
//! point of every addition but the last. Two more let every run ask for another number of state partitions: restarted after every check, and
//! crashed at every fault point that moving state passes. A crash may move rows to a later batch, so there the final result counts:
//! all rows in append mode, the last row of each key in update mode (`key N`: the first N columns), the last
//! batch in complete mode. `except POINT` leaves a fault point out, where Spark's own rules make a crash there
//! visible: a crash right after the commit log skips the batch without data, and a row that this batch would have made
//! late is still taken.
mod parse;
mod play;
mod rows;
mod variation;

pub use parse::{Scenario, ScenarioError, Step, StreamSpec};
pub use play::play;
pub use variation::{Variation, variations};
