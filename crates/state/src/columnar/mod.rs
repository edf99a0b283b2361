//! The columnar log.
mod arena;
mod buckets;
mod changes;
mod compaction;
mod index;
mod inspect;
mod keys;
mod load;
mod numbers;
mod prefix;
mod provider;
mod segment;
mod snapshot;
mod state;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use provider::ColumnarLogProvider;
