//! The micro-batch engine: event time, watermarks, stateful operators, the source and sink contracts and the query loop.
//!
//! The engine knows DataFusion plans and nothing of Spark's language or of gRPC.
pub mod batch;
mod error;
pub mod operator;
pub mod plan;
pub mod query;
pub mod sink;
pub mod source;
pub mod time;

pub use error::EngineError;

/// Any error of a source or a sink; the edge that reports it looks inside.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
