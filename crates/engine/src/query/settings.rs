//! Settings of a query, and which of them its checkpoint pins.
//!
//! Some settings are facts about the state on disk. They stand in every record of the offset log, and a restarted query
//! uses those, whatever the session says now.
use std::collections::BTreeMap;

use millstream_checkpoint::OffsetSeqMetadata;
pub use millstream_checkpoint::STATE_PARTITIONS;
use millstream_state::StateCompression;

use super::{LocalStateSettings, StateProvider};
use crate::{EngineError, plan::Checks, time::WatermarkPolicy};

/// The conf key of the watermark policy, as it stands in the offset log.
pub const WATERMARK_POLICY: &str = "spark.sql.streaming.multipleWatermarkPolicy";

/// The conf key of the state store provider's class, as it stands in the offset log.
pub const STATE_PROVIDER: &str = "spark.sql.streaming.stateStore.providerClass";

/// Settings of a query.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// Threads that a batch may use.
    pub parallelism: usize,
    /// Partitions of state; pinned.
    pub state_partitions: usize,
    /// How state is kept between batches; pinned.
    pub state_provider: StateProvider,
    /// What a provider on the local disk may use.
    pub local_state: LocalStateSettings,
    /// How several watermarks become one; pinned.
    pub watermark_policy: WatermarkPolicy,
    /// Whether a batch runs without new rows when the watermark has moved.
    pub no_data_batches: bool,
    /// Batches that stay recoverable.
    pub min_batches_to_retain: u64,
    /// Pause between two looks for new data, in milliseconds.
    pub polling_delay_ms: i64,
    /// Progress reports kept for `recentProgress`.
    pub recent_progress: usize,
    /// State stores whose last snapshot a report tells, of each operator
    /// (`spark.sql.streaming.stateStore.numStateStoreInstanceMetricsToReport`).
    pub reported_stores: usize,
    /// Whether reports count the rows of state on the local disk
    /// (`spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows`).
    pub total_rows: bool,
    /// Pause between two idle events, in milliseconds.
    pub idle_event_interval_ms: i64,
    /// Deltas between two snapshots of a state store.
    pub min_deltas_for_snapshot: u64,
    /// How new state files are compressed (`spark.sql.streaming.stateStore.compression.codec`).
    pub state_compression: StateCompression,
    /// Whether a stateful operator may go on with the state of another computation
    /// (`spark.millstream.checkpoint.allowChangedOperators`).
    pub allow_changed_operators: bool,
    /// Whether each stateful operator has a watermark of its own, and late rows are those behind the previous batch's
    /// (`spark.sql.streaming.statefulOperator.allowMultiple`); otherwise the running batch's is everybody's.
    pub multiple_operators: bool,
    /// Whether a restart moves state to `state_partitions` if the checkpoint has it in another number
    /// (`spark.millstream.checkpoint.repartitionState`, with a number that the user has set).
    pub repartition_state: bool,
    /// What is checked before the query starts.
    pub checks: Checks,
    /// What else is recorded with every batch.
    pub conf: BTreeMap<String, String>,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            parallelism: 1,
            state_partitions: 1,
            state_provider: StateProvider::default(),
            local_state: LocalStateSettings::default(),
            watermark_policy: WatermarkPolicy::Min,
            no_data_batches: true,
            min_batches_to_retain: 100,
            polling_delay_ms: 10,
            recent_progress: 100,
            reported_stores: 5,
            total_rows: true,
            idle_event_interval_ms: 10_000,
            min_deltas_for_snapshot: 10,
            state_compression: StateCompression::default(),
            allow_changed_operators: false,
            multiple_operators: true,
            repartition_state: false,
            checks: Checks::default(),
            conf: BTreeMap::new(),
        }
    }
}

impl QuerySettings {
    /// The same settings as pinned by a record of the offset log.
    pub fn pinned_by(mut self, record: &OffsetSeqMetadata) -> Result<Self, EngineError> {
        let refused = |key: &str, value: &str, reason: String| EngineError::PinnedSetting {
            key: key.to_string(),
            value: value.to_string(),
            reason,
        };
        if let Some(value) = record.conf.get(STATE_PARTITIONS) {
            let partitions: usize = value
                .parse()
                .map_err(|_| refused(STATE_PARTITIONS, value, "not a number".to_string()))?;
            if partitions == 0 {
                return Err(refused(
                    STATE_PARTITIONS,
                    value,
                    "there must be one at least".to_string(),
                ));
            }
            if partitions != self.state_partitions && !self.repartition_state {
                tracing::warn!(
                    pinned = partitions,
                    session = self.state_partitions,
                    "{STATE_PARTITIONS} is pinned by the checkpoint"
                );
            }
            self.state_partitions = partitions;
        }
        if let Some(value) = record.conf.get(STATE_PROVIDER) {
            let provider: StateProvider = value
                .parse()
                .map_err(|error| refused(STATE_PROVIDER, value, format!("{error}")))?;
            if provider != self.state_provider {
                tracing::warn!(
                    pinned = %provider,
                    session = %self.state_provider,
                    "{STATE_PROVIDER} is pinned by the checkpoint"
                );
            }
            self.state_provider = provider;
        }
        if let Some(value) = record.conf.get(WATERMARK_POLICY) {
            self.watermark_policy = value
                .parse()
                .map_err(|error| refused(WATERMARK_POLICY, value, format!("{error}")))?;
        }
        for (key, value) in &record.conf {
            self.conf.insert(key.clone(), value.clone());
        }
        Ok(self)
    }

    /// What is recorded with every batch.
    pub fn record(&self) -> BTreeMap<String, String> {
        let mut conf = self.conf.clone();
        conf.insert(
            STATE_PARTITIONS.to_string(),
            self.state_partitions.to_string(),
        );
        conf.insert(STATE_PROVIDER.to_string(), self.state_provider.to_string());
        conf.insert(
            WATERMARK_POLICY.to_string(),
            self.watermark_policy.to_string(),
        );
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> OffsetSeqMetadata {
        OffsetSeqMetadata {
            conf: BTreeMap::from([(key.to_string(), value.to_string())]),
            ..Default::default()
        }
    }

    #[test]
    fn the_checkpoint_wins_over_the_session() {
        let session = QuerySettings {
            state_partitions: 8,
            ..Default::default()
        };
        let pinned = session.pinned_by(&record(STATE_PARTITIONS, "3")).unwrap();
        assert_eq!(pinned.state_partitions, 3);
        assert_eq!(pinned.record()[STATE_PARTITIONS], "3");
    }

    #[test]
    fn the_checkpoint_names_the_state_store_provider() {
        let lsm = StateProvider::Lsm.to_string();
        let pinned = QuerySettings::default().pinned_by(&record(STATE_PROVIDER, &lsm));
        let pinned = pinned.unwrap();
        assert_eq!(pinned.state_provider, StateProvider::Lsm);
        assert_eq!(pinned.record()[STATE_PROVIDER], lsm);
        let other =
            QuerySettings::default().pinned_by(&record(STATE_PROVIDER, "org.example.Other"));
        assert!(other.unwrap_err().to_string().contains("org.example.Other"));
    }

    #[test]
    fn a_record_without_the_key_leaves_the_session_value() {
        let session = QuerySettings {
            state_partitions: 8,
            ..Default::default()
        };
        assert_eq!(
            session
                .pinned_by(&record("spark.other", "x"))
                .unwrap()
                .state_partitions,
            8
        );
    }

    #[test]
    fn a_damaged_value_is_refused_by_name() {
        let error = QuerySettings::default()
            .pinned_by(&record(STATE_PARTITIONS, "many"))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("spark.sql.shuffle.partitions=many"),
            "{error}"
        );
    }
}
