//! The workspace's integration tests, in one binary: every further one would link DataFusion again.
mod join_bounds;
mod scenarios;
