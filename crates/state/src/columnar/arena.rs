//! Bytes of the encoded keys, packed into chunks.
//!
//! A store has millions of short keys; one allocation each would cost more than the keys. Keys of one
//! micro-batch land in one chunk and, where event time is part of the key, also leave together: a chunk
//! whose last key is gone is freed at once. What remains scattered is repacked when more
//! than half of the bytes are garbage.

/// First chunk of a small store; later chunks double up to [`CHUNK_MAX`].
const CHUNK_MIN: usize = 1 << 10;
const CHUNK_MAX: usize = 1 << 20;
/// Garbage below this size is not worth a repack.
const GARBAGE_MIN: usize = 64 << 10;

/// Where a key's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyRef {
    chunk: u32,
    offset: u32,
    len: u32,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    live: usize,
}

/// Append-only storage of byte strings with per-chunk reclamation.
#[derive(Debug, Default)]
pub(super) struct KeyArena {
    chunks: Vec<Chunk>,
    /// Freed positions of `chunks`, so that ids stay small.
    vacant: Vec<u32>,
    /// The chunk that takes new keys.
    open: Option<u32>,
    allocated: usize,
    live: usize,
}

impl KeyArena {
    /// Stores a key. Keys are limited to 4 GiB by the Arrow offsets they come from.
    pub(super) fn push(&mut self, key: &[u8]) -> KeyRef {
        let chunk = match self.open {
            Some(id) if self.has_room(id, key.len()) => id,
            _ => self.open_chunk(key.len()),
        };
        let target = &mut self.chunks[chunk as usize];
        let offset = target.bytes.len() as u32;
        target.bytes.extend_from_slice(key);
        target.live += key.len();
        self.live += key.len();
        KeyRef {
            chunk,
            offset,
            len: key.len() as u32,
        }
    }

    /// The bytes of a key that was pushed and not released.
    pub(super) fn get(&self, key: KeyRef) -> &[u8] {
        if key.len == 0 {
            return &[];
        }
        let start = key.offset as usize;
        &self.chunks[key.chunk as usize].bytes[start..start + key.len as usize]
    }

    /// Gives a key's bytes back.
    pub(super) fn release(&mut self, key: KeyRef) {
        let chunk = &mut self.chunks[key.chunk as usize];
        chunk.live -= key.len as usize;
        self.live -= key.len as usize;
        // The empty key pins nothing; `get` does not look at its chunk.
        if chunk.live == 0 && key.len > 0 && self.open != Some(key.chunk) {
            self.allocated -= chunk.bytes.capacity();
            chunk.bytes = Vec::new();
            self.vacant.push(key.chunk);
        }
    }

    /// Whether a rewrite of all live keys would free at least half of the memory.
    pub(super) fn wants_repack(&self) -> bool {
        self.allocated > 2 * self.live + GARBAGE_MIN.max(CHUNK_MAX.min(self.live))
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.allocated + self.chunks.capacity() * size_of::<Chunk>() + self.vacant.capacity() * 4
    }

    fn has_room(&self, chunk: u32, len: usize) -> bool {
        let bytes = &self.chunks[chunk as usize].bytes;
        bytes.capacity() - bytes.len() >= len
    }

    fn open_chunk(&mut self, len: usize) -> u32 {
        if let Some(old) = self.open.take() {
            let chunk = &mut self.chunks[old as usize];
            if chunk.live == 0 {
                self.allocated -= chunk.bytes.capacity();
                chunk.bytes = Vec::new();
                self.vacant.push(old);
            }
        }
        let size = self.allocated.clamp(CHUNK_MIN, CHUNK_MAX).max(len);
        let chunk = Chunk {
            bytes: Vec::with_capacity(size),
            live: 0,
        };
        self.allocated += chunk.bytes.capacity();
        let id = match self.vacant.pop() {
            Some(id) => {
                self.chunks[id as usize] = chunk;
                id
            }
            None => {
                self.chunks.push(chunk);
                (self.chunks.len() - 1) as u32
            }
        };
        self.open = Some(id);
        id
    }
}
