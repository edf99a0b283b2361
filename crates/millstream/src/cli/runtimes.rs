//! The two runtimes: one answers clients and keeps time, the other runs plans, so that a busy batch never keeps a
//! client waiting.
use millstream_connect::codec::THREAD_STACK_BYTES;
use tokio::runtime::{Builder, Runtime};

use super::CliError;

/// Threads that answer clients.
const FRONT_THREADS: usize = 2;

/// Both runtimes. They are meant to live as long as the process.
#[derive(Debug)]
pub struct Runtimes {
    /// gRPC, timers, signals.
    pub front: Runtime,
    /// Plans.
    pub plans: Runtime,
}

impl Runtimes {
    /// Starts them, with `threads` for plans.
    pub fn start(threads: usize) -> Result<Self, CliError> {
        Ok(Self {
            front: runtime("millstream-rpc", FRONT_THREADS)?,
            plans: runtime("millstream-plan", threads)?,
        })
    }

    /// Ends both without waiting for what still runs.
    pub fn abandon(self) {
        self.front.shutdown_background();
        self.plans.shutdown_background();
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, CliError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|source| CliError::System {
            action: "start threads",
            source,
        })
}
