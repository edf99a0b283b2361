//! The workspace's integration tests, in one binary: every further one would link DataFusion again.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself"
)]

mod join_bounds;
mod scenarios;
