//! The watermark node: tags the event-time column and measures what passes.
//!
//! It changes no row. Logically it tags a column with the delay threshold; physically it keeps count, minimum,
//! maximum and sum of the column's event times, from which the query loop computes the next watermark. NULL event
//! times pass; they count as the epoch, as in Spark.
//!
//! Its position matters: filters that do not touch the event-time column are pushed below it by the optimizer, so
//! rows that they drop do not advance the watermark; filters on the event-time column stay above.
mod exec;
mod node;

pub use exec::WatermarkExec;
pub use node::{Declaration, WatermarkNode};
