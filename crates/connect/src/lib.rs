//! The Spark Connect server: what an official Spark client talks to.
//!
//! ```text
//!  client ──gRPC──▶ service/ ──▶ sessions ──▶ execution ──▶ execute/ ──▶ millstream-spark
//!                    12 RPCs     who asks     responses,     the work     plans, confs
//!                                             reattach
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`server`] | the listening socket, maintenance, the end |
//! | [`codec`] | decoding plans, however deep |
//! | `service` | one file per RPC: find the session, delegate, wrap the answer |
//! | [`sessions`] | sessions by id, their expiry and tombstones |
//! | [`execution`] | operations: a task, its responses, clients that come and go |
//! | [`execute`] | the work of an operation by kind of plan |
//! | [`analyze`] | questions about plans |
//! | [`artifacts`] | what clients upload |
//! | [`arrow_batches`] | rows on the wire |
//! | [`error`] | errors on the wire |
//!
//! Nothing here survives the process, and nothing needs to: what a streaming query must remember is in its checkpoint.
//! A client whose server was restarted is told so by its session's server-side id.
pub mod analyze;
pub mod arrow_batches;
pub mod artifacts;
pub mod codec;
pub mod error;
pub mod execute;
pub mod execution;
pub mod server;
mod service;
pub mod sessions;

mod rpc {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    include!(concat!(
        env!("OUT_DIR"),
        "/spark.connect.SparkConnectService.rs"
    ));
}

pub use server::{BindError, Server, ServerOptions};
