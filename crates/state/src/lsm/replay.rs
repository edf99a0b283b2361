//! The log's files into the tree: going on from what the local folder stands for, or building it anew.
use std::{sync::Arc, thread};

use super::{
    codec::Codecs,
    local::LocalTree,
    provider::{BufferShare, Local},
    state::{Flush, LsmState},
    store::LsmStore,
};
use crate::{
    Result,
    format::Lineage,
    log::{FileContent, Loader, Replay, StoreFiles},
    schema::StorageSchema,
};

/// A state with the version that it stands at, and the one that its tree stands for.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) state: LsmState,
    pub(super) version: u64,
    pub(super) lineage: Lineage,
    pub(super) base: u64,
    pub(super) share: BufferShare,
    pub(super) flush: Option<RunningFlush>,
}

/// A layer that a thread of its own moves into the tree.
#[derive(Debug)]
pub(super) struct RunningFlush {
    /// `None` once it was waited for.
    thread: Option<thread::JoinHandle<Result<()>>>,
    /// What the tree will stand for.
    version: u64,
}

impl RunningFlush {
    fn start(flush: Flush, version: u64) -> std::io::Result<Self> {
        let thread = thread::Builder::new().name("millstream-flush".to_string());
        let thread = Some(thread.spawn(move || flush.run())?);
        Ok(Self { thread, version })
    }

    fn is_finished(&self) -> bool {
        let running = self.thread.as_ref();
        running.is_none_or(thread::JoinHandle::is_finished)
    }

    fn wait(&mut self) -> Result<()> {
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(flushed)) => flushed,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for RunningFlush {
    /// Whoever opens the folder next must not find it in use.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // What went wrong shows when the folder is opened.
            let _ = thread.join();
        }
    }
}

impl Standing {
    /// Whether the committed layer has grown too large, or too old for its files to be kept.
    fn is_flush_due(&self, versions_max: u64) -> bool {
        let flushed = self.flush.as_ref().map_or(self.base, |flush| flush.version);
        let large = self.state.buffer.committed_bytes() > self.share.bytes();
        large || self.version - flushed >= versions_max
    }

    /// Moves the committed layer into the tree if that is due.
    fn flush_if_due(&mut self, versions_max: u64) -> Result<()> {
        if self.is_flush_due(versions_max) {
            self.state.flush(Some((self.version, self.lineage)))?;
            self.base = self.version;
        }
        Ok(())
    }

    /// Has the committed layer moved into the tree, if that is due, while batches go on. A commit waits only if the layer
    /// before is still on its way.
    pub(super) fn flush_beside(&mut self, versions_max: u64) -> Result<()> {
        let due = self.is_flush_due(versions_max);
        if let Some(mut flush) = self.flush.take_if(|flush| due || flush.is_finished()) {
            flush.wait()?;
            self.state.flushed();
            self.base = flush.version;
        }
        if due {
            let flush = self.state.begin_flush(Some((self.version, self.lineage)));
            let started = RunningFlush::start(flush, self.version);
            self.flush = Some(started.map_err(|error| self.state.tree.unusable(error))?);
        }
        Ok(())
    }

    /// The running batch's changes are `version` now.
    pub(super) fn advance(&mut self, version: u64, lineage: Lineage) {
        self.state.promote();
        self.version = version;
        self.lineage = lineage;
    }
}

struct Target {
    standing: Standing,
    versions_max: u64,
}

impl Target {
    fn put(&mut self, content: &FileContent, fresh: bool) -> Result<()> {
        let state = &mut self.standing.state;
        let columns = state.schema.entry.fields().len();
        let (keys, values): (Vec<usize>, Vec<usize>) =
            (0..columns).partition(|column| *column < state.schema.key_columns());
        for entries in &content.upserts {
            let (keys, values) = (entries.project(&keys)?, entries.project(&values)?);
            match fresh {
                true => state.fill(&keys, &values)?,
                false => state.put(&keys, &values)?,
            }
        }
        Ok(())
    }
}

impl Replay for Target {
    fn reset(&mut self) -> Result<()> {
        let standing = &mut self.standing;
        (standing.version, standing.lineage, standing.base) = (0, 0, 0);
        standing.state.reset()
    }

    fn fill(&mut self, content: FileContent) -> Result<()> {
        self.put(&content, true)?;
        let Standing { state, share, .. } = &mut self.standing;
        state.promote();
        if state.buffer.committed_bytes() > share.bytes() {
            state.flush(None)?;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        version: u64,
        lineage: Lineage,
        delta: Option<FileContent>,
    ) -> Result<()> {
        let Some(delta) = delta else {
            // The tree may hold part of the snapshot already: from here on it stands for something.
            self.standing.advance(version, lineage);
            return self.standing.flush_if_due(0);
        };
        let state = &mut self.standing.state;
        if let Some((through, column)) = delta.evicted {
            match state.schema.asked.event_time == Some(column) {
                true => drop(state.drop_expired(through)?),
                false => state.evict_by_scan(column, through)?,
            }
        }
        for keys in &delta.tombstones {
            state.delete(keys)?;
        }
        self.put(&delta, false)?;
        self.standing.flush_if_due(self.versions_max)?;
        self.standing.advance(version, lineage);
        Ok(())
    }
}

/// Opens a version.
pub(super) async fn open(
    local: &Arc<Local>,
    files: StoreFiles,
    schema: StorageSchema,
    version: u64,
) -> Result<LsmStore> {
    let loader = Loader::new(&files, &schema, version).await?;
    let encoding = local.encoding;
    let codecs = Codecs::try_new(&schema, encoding)?;
    let (tree, marker) = LocalTree::open(&local.folder, &files.id, &local.caches, |marker| {
        LsmState::fits(marker, &schema, encoding, version)
    })?;
    let keys = marker.map_or(0, |marker| marker.keys);
    let state = LsmState::new(files.id.clone(), schema.clone(), codecs, tree, keys);
    let mut target = Target {
        standing: Standing {
            state,
            version: marker.map_or(0, |marker| marker.version),
            lineage: marker.map_or(0, |marker| marker.lineage),
            base: marker.map_or(0, |marker| marker.version),
            share: BufferShare::new(local),
            flush: None,
        },
        versions_max: flush_after(&files),
    };
    let snapshot = match marker {
        Some(marker) => match loader
            .go_on(marker.version, marker.lineage, &mut target)
            .await
        {
            Ok(true) => loader.newest_snapshot(),
            Ok(false) => loader.run(&mut target).await?,
            Err(error) => {
                tracing::warn!(store = %files.id, version, %error,
                    "cannot go on from the local copy of state, which is built anew");
                loader.run(&mut target).await?
            }
        },
        None => loader.run(&mut target).await?,
    };
    let superseded = loader.superseded();
    Ok(LsmStore::new(files, target.standing, snapshot, superseded))
}

/// Versions after which the tree is brought up to date however little has changed, so that the deltas that continue
/// it are still there.
pub(super) fn flush_after(files: &StoreFiles) -> u64 {
    (files.options.min_versions_to_retain / 2).max(1)
}
