//! The folder on the local disk: its lock, the tree in it, and the marker that says what the tree stands for.
//!
//! `<root>/<operator>/<partition>/<store>/lock` is locked by the process that uses the folder, `tree/` beside it belongs
//! to the LSM tree. The tree checks the blocks of its tables but not the small files that say which tables there are;
//! their checksums are in `seal`, written after every change. A crash in between leaves a seal that does not fit, and the
//! tree is built anew. If another owner has the lock (a query that is still going down, a second process on the same
//! checkpoint), a private folder is made and removed with its owner.
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, Guard, SequenceNumberCounter, Slice,
    compaction::Leveled, config::PartitioningPolicy,
};

use super::{buffer::KeyRange, codec::Space, run::Entry};
use crate::{Result, StateError, StateStoreId, format::Lineage};

const MARKER_FORMAT: u16 = 1;
const MARKER_BYTES: usize = size_of::<u16>() + 6 * size_of::<u64>() + size_of::<u32>();
/// Runs of level 0 from which a read touches too many files, and compaction is due.
const COMPACT_FROM_RUNS: usize = 4;
/// Runs of level 0 at which a flush does not wait for the background any more.
const COMPACT_NOW_RUNS: usize = 16;
/// Merges that one compaction does at most.
const COMPACTION_ROUNDS: usize = 8;

/// What a tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// Of the bytes of keys and values.
    pub(super) encoding: u64,
    pub(super) key_fingerprint: u64,
    pub(super) value_fingerprint: u64,
    /// Key column that the index is on.
    pub(super) event_time: Option<u32>,
    pub(super) version: u64,
    pub(super) lineage: Lineage,
    /// Entries at this version.
    pub(super) keys: u64,
}

impl Marker {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MARKER_BYTES);
        bytes.extend(MARKER_FORMAT.to_le_bytes());
        for number in [
            self.encoding,
            self.key_fingerprint,
            self.value_fingerprint,
            self.version,
            self.lineage,
            self.keys,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.event_time.unwrap_or(u32::MAX).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first_chunk::<2>()?;
        if u16::from_le_bytes(*format) != MARKER_FORMAT || bytes.len() != MARKER_BYTES {
            return None;
        }
        let (numbers, rest) = rest.as_chunks::<8>();
        let [encoding, key, value, version, lineage, keys] = numbers else {
            return None;
        };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let event_time = u32::from_le_bytes(rest.try_into().ok()?);
        Some(Self {
            encoding: number(encoding),
            key_fingerprint: number(key),
            value_fingerprint: number(value),
            event_time: Some(event_time).filter(|column| *column != u32::MAX),
            version: number(version),
            lineage: number(lineage),
            keys: number(keys),
        })
    }
}

/// Where the local copy of a store is.
fn folder_of(root: &Path, id: &StateStoreId) -> PathBuf {
    root.join(id.operator_id.to_string())
        .join(id.partition.to_string())
        .join(&id.store_name)
}

/// Deletes the local copy of a store, unless somebody uses it.
pub(super) fn discard(root: &Path, id: &StateStoreId) -> io::Result<()> {
    let path = folder_of(root, id);
    let lock = match File::open(path.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    match lock.try_lock() {
        Ok(()) => fs::remove_dir_all(&path),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A folder that nobody else uses.
#[derive(Debug)]
struct LocalFolder {
    path: PathBuf,
    /// Held for its lock.
    _lock: Option<File>,
    /// Whether it goes when its owner does.
    discard: AtomicBool,
    sealing: Mutex<()>,
}

impl LocalFolder {
    fn acquire(root: &Path, id: &StateStoreId) -> io::Result<Self> {
        let path = folder_of(root, id);
        fs::create_dir_all(&path)?;
        let lock = File::create(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path,
                _lock: Some(lock),
                discard: AtomicBool::new(false),
                sealing: Mutex::default(),
            }),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Ok(Self {
                path: tempfile::Builder::new()
                    .prefix("private-")
                    .tempdir_in(root)?
                    .keep(),
                _lock: None,
                discard: AtomicBool::new(true),
                sealing: Mutex::default(),
            }),
        }
    }

    fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Names and checksums of the files that say what the tree consists of; empty without a tree.
    fn checksums(&self) -> io::Result<String> {
        let mut lines = Vec::new();
        let entries = match fs::read_dir(self.tree()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let checksum = crc32fast::hash(&fs::read(entry.path())?);
                lines.push(format!("{} {checksum:08x}\n", entry.file_name().display()));
            }
        }
        lines.sort_unstable();
        Ok(lines.concat())
    }

    fn seal(&self) -> io::Result<()> {
        // A flush and a compaction may end at once: the later of the two seals what both have made.
        let _one = self.sealing.lock();
        let unnamed = self.path.join("seal.tmp");
        fs::write(&unnamed, self.checksums()?)?;
        fs::rename(unnamed, self.path.join("seal"))
    }

    /// Removes a tree that is not as it was sealed; whether it did.
    fn clear_unless_sealed(&self) -> io::Result<bool> {
        let found = self.checksums()?;
        let sealed = fs::read_to_string(self.path.join("seal")).unwrap_or_default();
        if found == sealed {
            return Ok(false);
        }
        self.clear()?;
        Ok(true)
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.tree()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for LocalFolder {
    fn drop(&mut self) {
        if self.discard.load(Ordering::Relaxed)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove a local state folder");
        }
    }
}

/// What the trees of a provider share.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) blocks: Arc<Cache>,
    pub(super) files: Arc<DescriptorTable>,
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes",
            self.blocks.size(),
            self.blocks.capacity()
        )
    }
}

/// An open tree with its clocks.
struct OpenTree {
    tree: AnyTree,
    next_seqno: SequenceNumberCounter,
    visible_seqno: SequenceNumberCounter,
}

impl OpenTree {
    fn at(path: PathBuf, caches: &Caches) -> lsm_tree::Result<Self> {
        let (next_seqno, visible_seqno) =
            <(SequenceNumberCounter, SequenceNumberCounter)>::default();
        let tree = Config::new(path, next_seqno.clone(), visible_seqno.clone())
            .use_cache(Arc::clone(&caches.blocks))
            .use_descriptor_table(Some(Arc::clone(&caches.files)))
            // A table's whole filter is megabytes, more than a part of a small cache takes: every look-up would read it.
            .filter_block_partitioning_policy(PartitioningPolicy::all(true))
            .index_block_partitioning_policy(PartitioningPolicy::all(true))
            .open()?;
        let next = tree.get_highest_seqno().map_or(1, |seqno| seqno + 1);
        next_seqno.set(next);
        visible_seqno.set(next);
        Ok(Self {
            tree,
            next_seqno,
            visible_seqno,
        })
    }

    fn marker(&self) -> lsm_tree::Result<Option<Marker>> {
        let bytes = self
            .tree
            .get([Space::Marker as u8], self.visible_seqno.get())?;
        Ok(bytes.and_then(|bytes| Marker::decode(&bytes)))
    }
}

/// The tree of one store.
pub(super) struct LocalTree {
    // Dropped before its folder.
    open: OpenTree,
    caches: Caches,
    folder: LocalFolder,
    id: StateStoreId,
}

impl fmt::Debug for LocalTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalTree({})", self.folder.path.display())
    }
}

/// What the tree holds under a range of keys, as of the moment it was asked.
pub(super) type TreeRange = Box<dyn Iterator<Item = Result<(Slice, Slice)>> + Send>;

impl LocalTree {
    /// Opens the folder's tree. One that cannot be opened, or whose marker `usable` does not want, is thrown away.
    pub(super) fn open(
        root: &Path,
        id: &StateStoreId,
        caches: &Caches,
        usable: impl Fn(&Marker) -> bool,
    ) -> Result<(Self, Option<Marker>)> {
        let failed = |path: &Path, error: &dyn fmt::Display| StateError::LocalStorage {
            store: id.clone(),
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let folder = LocalFolder::acquire(root, id).map_err(|e| failed(root, &e))?;
        if folder
            .clear_unless_sealed()
            .map_err(|e| failed(&folder.path, &e))?
        {
            tracing::info!(
                store = %id, folder = %folder.path.display(),
                "the local copy of state was not left in order and will be built anew"
            );
        }
        let found = OpenTree::at(folder.tree(), caches).and_then(|open| {
            let marker = open.marker()?.filter(|marker| usable(marker));
            Ok((open, marker))
        });
        let kept = match found {
            Ok((open, marker)) => {
                (marker.is_some() || open.tree.table_count() == 0).then_some((open, marker))
            }
            Err(error) => {
                tracing::warn!(
                    store = %id, folder = %folder.path.display(), %error,
                    "the local copy of state is damaged and will be built anew"
                );
                None
            }
        };
        let (open, marker) = match kept {
            Some(kept) => kept,
            None => {
                folder.clear().map_err(|e| failed(&folder.path, &e))?;
                let open = OpenTree::at(folder.tree(), caches);
                (open.map_err(|e| failed(&folder.path, &e))?, None)
            }
        };
        let tree = Self {
            open,
            caches: caches.clone(),
            folder,
            id: id.clone(),
        };
        tree.seal()?;
        Ok((tree, marker))
    }

    /// A damaged tree goes with its owner; the next open builds it anew.
    fn failed(&self, error: lsm_tree::Error) -> StateError {
        self.folder.discard.store(true, Ordering::Relaxed);
        StateError::LocalStorage {
            store: self.id.clone(),
            path: self.folder.path.display().to_string(),
            reason: error.to_string(),
        }
    }

    /// What the system does not let us do with the tree.
    pub(super) fn unusable(&self, error: io::Error) -> StateError {
        self.failed(error.into())
    }

    /// Whether nothing was ever written.
    pub(super) fn is_empty(&self) -> bool {
        self.open.tree.table_count() == 0
    }

    /// About how many entries there are, with those that newer ones hide.
    pub(super) fn entries(&self) -> u64 {
        self.open.tree.approximate_len() as u64
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        let seqno = self.open.visible_seqno.get();
        self.open.tree.get(key, seqno).map_err(|e| self.failed(e))
    }

    /// The pairs in a range, ascending. Later writes do not show.
    pub(super) fn range(self: &Arc<Self>, range: &KeyRange) -> TreeRange {
        let seqno = self.open.visible_seqno.get();
        let start = Bound::Included(range.start.clone());
        let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = self.open.tree.range((start, end), seqno, None);
        // The folder must not go while its files are read.
        let owner = Arc::clone(self);
        Box::new(pairs.map(move |pair| pair.into_inner().map_err(|e| owner.failed(e))))
    }

    /// Writes sorted keys and the marker in one step: after a crash either all is there or nothing. Without
    /// a marker the tree counts as unfinished until the next write brings one.
    pub(super) fn write<'a>(
        &self,
        entries: impl Iterator<Item = Entry<'a>>,
        marker: Option<&Marker>,
    ) -> Result<()> {
        let ingest = || -> lsm_tree::Result<()> {
            let mut tables = self.open.tree.ingestion()?;
            match marker {
                Some(marker) => tables.write([Space::Marker as u8], marker.encode())?,
                None => tables.write_tombstone([Space::Marker as u8])?,
            }
            for Entry { key, value, known } in entries {
                match known.alive {
                    true => tables.write(key, value)?,
                    false => tables.write_tombstone(key)?,
                }
            }
            tables.finish()
        };
        ingest().map_err(|e| self.failed(e))?;
        self.seal()?;
        if self.open.tree.l0_run_count() >= COMPACT_NOW_RUNS {
            self.compact()?;
        }
        Ok(())
    }

    /// Empties the tree.
    pub(super) fn clear(&self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        self.open.tree.clear().map_err(|e| self.failed(e))?;
        self.seal()
    }

    fn seal(&self) -> Result<()> {
        let sealed = self.folder.seal();
        sealed.map_err(|error| self.failed(error.into()))
    }

    /// Whether reads would profit from [`LocalTree::compact`].
    pub(super) fn needs_compaction(&self) -> bool {
        self.open.tree.l0_run_count() >= COMPACT_FROM_RUNS
    }

    /// Merges tables, level by level. May run beside reads and writes.
    pub(super) fn compact(&self) -> Result<()> {
        let strategy = Arc::new(Leveled::default().with_l0_threshold(COMPACT_FROM_RUNS as u8));
        for _ in 0..COMPACTION_ROUNDS {
            let before = self.open.tree.current_version().id();
            // Readers hold the tables that they began with: nobody needs an older sequence number.
            let oldest = self.open.next_seqno.get();
            let compacted = self.open.tree.compact(Arc::clone(&strategy) as _, oldest);
            compacted.map_err(|e| self.failed(e))?;
            if self.open.tree.current_version().id() == before {
                break;
            }
        }
        self.seal()
    }

    /// Bytes on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.open.tree.disk_space()
    }

    /// Files on disk.
    pub(super) fn tables(&self) -> u64 {
        self.open.tree.table_count() as u64
    }

    /// Bytes of blocks in memory, of all stores of the provider.
    pub(super) fn cached_bytes(&self) -> u64 {
        self.caches.blocks.size()
    }

    /// Memory held for this tree alone: filters and block indexes that stay loaded.
    pub(super) fn pinned_bytes(&self) -> u64 {
        (self.open.tree.pinned_filter_size() + self.open.tree.pinned_block_index_size()) as u64
    }
}
