//! Maintenance of state beside the batches: snapshots, merging of files on the local disk, deletion of what no version
//! needs any more.
//!
//! A round runs on a thread of its own, at lower priority where the system has that per thread: no batch waits for it, and
//! on a machine whose cores are busy with a batch it takes little of them. There is one round at a time; what a round does
//! not get to, the next one does.
//!
//! # On a crash
//!
//! Nothing here is needed for recovery. A snapshot that is not complete has no name yet, a tree whose files were being
//! merged is found unsealed and is built anew, and files that should be gone are deleted by a later round.
use std::{collections::HashMap, io, sync::Arc, thread};

use millstream_state::StateRegistry;
use tokio::{runtime::Handle, sync::oneshot};

/// How much less than a batch a round asks of the processor, in steps of Unix's nice value.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The rounds of one run.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    /// Ends with the round at work.
    round: Option<oneshot::Receiver<()>>,
}

impl Maintenance {
    /// Begins a round unless one is at work. `partitions` is the number of state partitions of each operator, `newest` the
    /// newest version. Must be called within a runtime, which does the round's waiting.
    pub fn begin(
        &mut self,
        state: &Arc<StateRegistry>,
        partitions: HashMap<u32, u32>,
        newest: u64,
    ) {
        let at_work = self.round.as_mut().is_some_and(|round| {
            let ended = round.try_recv();
            ended == Err(oneshot::error::TryRecvError::Empty)
        });
        if at_work {
            return;
        }
        let (state, runtime) = (Arc::clone(state), Handle::current());
        let (ends, round) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("millstream-maintenance".to_string());
        let started = thread.spawn(move || {
            // Let go at the end, also if that is a panic.
            let _ends = ends;
            if let Err(error) = lower_priority() {
                tracing::debug!(%error, "maintenance of state runs at full priority");
            }
            runtime.block_on(async {
                state.maintain().await;
                if let Err(error) = state.remove_retired(&partitions, newest).await {
                    tracing::warn!(%error, "cannot delete state of former partitions, will be tried again");
                }
            });
        });
        match started {
            Ok(_) => self.round = Some(round),
            Err(error) => tracing::warn!(%error, "cannot maintain state, will be tried again"),
        }
    }

    /// Waits for the round that is at work.
    pub async fn end(&mut self) {
        if let Some(round) = self.round.take() {
            // An error says that it ended.
            let _ = round.await;
        }
    }
}

/// Of the thread that calls.
#[cfg(target_os = "linux")]
fn lower_priority() -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, NICENESS)?)
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() -> io::Result<()> {
    Ok(())
}
