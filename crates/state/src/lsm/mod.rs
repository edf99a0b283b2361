//! State larger than memory: an LSM tree on the local disk under the state log.
//!
//! The state log (`docs/formats/state.md`) stays the only durable form of state: a commit writes the same delta as the
//! columnar log does. What differs is where the current version lives between batches:
//!
//! ```text
//!   get ─► pending ─► committed ─► flushing ─► tree
//!          (running   (versions    (versions    (local disk: all entries as of version `base`,
//!           batch)     f+1 … v)     base+1 … f)  written and marked in one atomic step)
//!
//!   commit v+1:  committed full?  flushing ◄─ committed       f = v
//!                write v+1.delta
//!                committed ◄─ pending
//!   beside it:   tree ◄─ flushing, marked (f, lineage)        base = f
//! ```
//!
//! The layers in memory are bounded by [`LsmOptions::buffer_bytes`] and the changes of one batch; hot keys are rewritten
//! there and reach the tree once a flush. A thread of its own writes the flushing layer, which hides what changes below it
//! until all of it is there; a commit waits for it only when the next layer is full as well. The tree is one version
//! behind at least, so that a batch that runs again after a crash finds its input in it. Three kinds of keys share the tree: the entries under their keys in
//! `arrow-row` encoding, which sorts as the columns do and so answers prefix scans; an index of (event time, key), unless
//! the event time leads the key anyway; and the marker.
//!
//! A call brings many keys, and all that follows is done for all of them in key order: they are encoded into one buffer,
//! sorted once, looked up layer by layer and then in the tree, and written as one sorted run. A layer is a few such runs,
//! merged as they grow: a delta and a flush read in order what is in order, a snapshot shares the runs with the layer, and
//! no entry has an allocation of its own.
//!
//! # On a crash
//!
//! Nothing here is trusted further than its marker. The marker names the version and the lineage that the tree stands
//! for, the column types and a fingerprint of the key encoding. A tree that is missing, damaged, of another history,
//! ahead of the asked version or older than the files that continue it is thrown away and built anew from the log. Block
//! checksums find damage that shows later: the read fails, and the next start builds anew.
//!
//! | module | owns |
//! |---|---|
//! | `codec` | rows of columns as bytes and back |
//! | `keys` | the keys of one call, sorted |
//! | `run` | sorted entries in memory, and merging them |
//! | `local` | the folder, its lock, the tree in it and its marker |
//! | `buffer` | the layers in memory, and merging them with the tree |
//! | `lookup` | finding keys in the layers and the tree |
//! | `state` | reads and writes |
//! | `replay` | the log's files into the tree |
//! | `store`, `provider` | the contract |
mod buffer;
mod codec;
mod keys;
mod local;
mod lookup;
mod provider;
mod replay;
mod run;
mod snapshot;
mod state;
mod store;

#[cfg(test)]
mod flush_tests;
#[cfg(test)]
mod tests;

pub use provider::{LsmOptions, LsmProvider};
