//! Tests that span crates: scenarios of streaming queries played in many variations.
//!
//! The differential suite against Spark and the tests of the gRPC surface are Python programs beside this crate; `make test`
//! runs all of them.
mod planning;
pub mod scenario;

pub use planning::Planner;
