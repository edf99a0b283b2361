//! Values as text, exactly as Spark writes them.
//!
//! Two callers need every type as a string: `CAST(x AS STRING)`, and the tables that `show()` and
//! the console sink print. They agree on everything but nulls and binary: a cast writes `null`
//! inside nested values and takes bytes for UTF-8, a table writes `NULL` and `[61 62]`. [`Style`]
//! holds the difference.
//!
//! | type | text |
//! |---|---|
//! | double, float | as Java prints them: `1.0`, `1.0E10`, `4.9E-324`, `NaN`, `Infinity` |
//! | decimal | plain, with all digits of its scale: `1.50` |
//! | timestamp | in the session time zone, without trailing zeros: `2024-02-29 12:34:56.1` |
//! | day-time, year-month interval | `INTERVAL '1 02:03:04.5' DAY TO SECOND`, `INTERVAL '1-2' YEAR TO MONTH` |
//! | calendar interval | `1 years 2 months 25 days 5 hours` |
//! | array, map, struct | `[1, 2]`, `{k -> v}`, `{a, b}` |
mod numbers;
mod render;
mod shortest;
mod temporal;

pub use numbers::{write_double, write_float};
pub use render::{INTERVAL_FIELDS, RenderError, Style, render};
