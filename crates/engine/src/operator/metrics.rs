//! What a stateful operator reports of a batch.
use std::collections::BTreeMap;

use millstream_state::{StateMetrics, StateStoreId};

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
    /// Bytes of the rows that state holds, without what is kept of older versions.
    pub current_version_bytes: u64,
    /// Newest durable snapshot of every open state store, where this process knows of one.
    pub snapshots: BTreeMap<StateStoreId, Option<u64>>,
    /// Figures that only this operator has, under the names of progress reports.
    pub custom: BTreeMap<&'static str, i64>,
}

impl OperatorMetrics {
    /// Adds what a store is after its commit.
    pub fn add_store(&mut self, id: StateStoreId, store: &StateMetrics) {
        self.rows_total += store.num_keys;
        self.memory_bytes += store.memory_bytes;
        self.current_version_bytes += store.current_version_bytes;
        self.snapshots.insert(id, store.last_snapshot_version);
    }

    /// State stores that the operator has open.
    pub fn stores(&self) -> u64 {
        self.snapshots.len() as u64
    }

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
        self.current_version_bytes += other.current_version_bytes;
        let snapshots = other.snapshots.iter();
        self.snapshots
            .extend(snapshots.map(|(id, version)| (id.clone(), *version)));
        for (name, value) in &other.custom {
            *self.custom.entry(name).or_default() += value;
        }
    }

    /// The figures under the names of progress reports: the operator's own and those of Spark's default provider that have
    /// a meaning here. Of the stores' snapshots the `most` oldest are told, of a store without one -1, as Spark does: they
    /// are for finding stores that fall behind.
    pub fn named(&self, most: usize) -> BTreeMap<String, i64> {
        let own = self.custom.iter();
        let mut named: BTreeMap<String, i64> = own
            .map(|(name, value)| ((*name).to_string(), *value))
            .collect();
        named.insert(
            "stateOnCurrentVersionSizeBytes".to_string(),
            figure(self.current_version_bytes),
        );
        let mut snapshots: Vec<_> = self
            .snapshots
            .iter()
            .map(|(id, version)| (version.map_or(-1, figure), id))
            .collect();
        snapshots.sort_unstable();
        named.extend(snapshots.into_iter().take(most).map(|(version, id)| {
            let (partition, store) = (id.partition, &id.store_name);
            let name = format!("SnapshotLastUploaded.partition_{partition}_{store}");
            (name, version)
        }));
        named
    }
}

fn figure(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: u32, last_snapshot_version: Option<u64>) -> OperatorMetrics {
        let mut metrics = OperatorMetrics {
            partitions: 1,
            custom: [("numDroppedDuplicateRows", 1)].into(),
            ..OperatorMetrics::default()
        };
        let store = StateMetrics {
            num_keys: 2,
            current_version_bytes: 10,
            last_snapshot_version,
            ..StateMetrics::default()
        };
        for name in ["left", "right"] {
            metrics.add_store(StateStoreId::named(0, partition, name), &store);
        }
        metrics
    }

    #[test]
    fn every_store_counts_and_the_oldest_snapshots_are_told() {
        let mut metrics = partition(0, Some(7));
        metrics.merge(&partition(1, None));
        assert_eq!((metrics.stores(), metrics.rows_total), (4, 8));
        let named = metrics.named(3);
        let expected = [
            ("SnapshotLastUploaded.partition_0_left", 7),
            ("SnapshotLastUploaded.partition_1_left", -1),
            ("SnapshotLastUploaded.partition_1_right", -1),
            ("numDroppedDuplicateRows", 2),
            ("stateOnCurrentVersionSizeBytes", 40),
        ];
        let expected = expected.map(|(name, value)| (name.to_string(), value));
        assert_eq!(named, BTreeMap::from(expected));
    }
}
