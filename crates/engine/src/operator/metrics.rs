//! What a stateful operator reports of a batch.
use std::collections::BTreeMap;

/// Figures of one stateful operator, summed over its partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorMetrics {
    /// Partitions that committed their state.
    pub partitions: u64,
    /// Keys in state after the batch.
    pub rows_total: u64,
    /// Keys written by the batch.
    pub rows_updated: u64,
    /// Keys evicted by the batch.
    pub rows_removed: u64,
    /// Rows dropped because they were late, counted after partial aggregation.
    pub rows_dropped_by_watermark: u64,
    /// Time spent reading and writing state, in microseconds.
    pub updates_us: u64,
    /// Time spent evicting, in microseconds.
    pub removals_us: u64,
    /// Time spent making state durable, in microseconds.
    pub commit_us: u64,
    /// Memory that state holds, in bytes.
    pub memory_bytes: u64,
    /// Figures that only this operator or its state store has, under the names of progress reports.
    pub custom: BTreeMap<&'static str, i64>,
}

impl OperatorMetrics {
    /// Adds another partition's figures.
    pub fn merge(&mut self, other: &Self) {
        self.partitions += other.partitions;
        self.rows_total += other.rows_total;
        self.rows_updated += other.rows_updated;
        self.rows_removed += other.rows_removed;
        self.rows_dropped_by_watermark += other.rows_dropped_by_watermark;
        self.updates_us += other.updates_us;
        self.removals_us += other.removals_us;
        self.commit_us += other.commit_us;
        self.memory_bytes += other.memory_bytes;
        for (name, value) in &other.custom {
            *self.custom.entry(name).or_default() += value;
        }
    }
}
