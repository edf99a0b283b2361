//! The settings of a query, from the session's confs.
//!
//! Spark records seventeen confs with every batch. Millstream records the same, so that Spark can go on with a
//! stateless query's checkpoint; those that speak of Spark's own state formats are recorded with Spark's defaults and
//! mean nothing here.
use std::collections::BTreeMap;

use millstream_engine::{plan::Checks, query::QuerySettings};

use super::state_store;
use crate::{
    conf::{ConfType, RuntimeConf, known},
    error::{Exception, Result, SparkError},
};

/// What Spark 4.3 records, with its defaults. The partition count, the state store provider
/// and the watermark policy are the engine's.
const RECORDED: [(&str, &str); 14] = [
    (
        "spark.sql.dropDuplicates.deterministicKeyOrder.enabled",
        "true",
    ),
    (
        "spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion",
        "2",
    ),
    ("spark.sql.streaming.stateStore.rocksdb.formatVersion", "5"),
    (
        "spark.sql.streaming.queryEvolution.enableSourceEvolution",
        "false",
    ),
    ("spark.sql.streaming.stateStore.encodingFormat", "unsaferow"),
    (
        "spark.sql.streaming.statefulOperator.useStrictDistribution",
        "true",
    ),
    (
        "spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion",
        "2",
    ),
    (
        "spark.sql.streaming.stateStore.rowChecksum.enabled",
        "false",
    ),
    (
        "spark.sql.streaming.statefulOperator.alwaysNullableOutput.enabled",
        "true",
    ),
    ("spark.sql.streaming.aggregation.stateFormatVersion", "2"),
    ("spark.sql.function.protobufExtensions.enabled", "false"),
    ("spark.sql.streaming.join.stateFormatVersion", "2"),
    ("spark.sql.streaming.stateStore.compression.codec", "lz4"),
    (
        "spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan",
        "false",
    ),
];

/// The number of state partitions.
const PARTITIONS: &str = "spark.sql.shuffle.partitions";
/// Lets a restarted query go on with state that other operations have made.
const ALLOW_CHANGED_OPERATORS: &str = "spark.millstream.checkpoint.allowChangedOperators";
/// Lets a restarted query move its state to the number of partitions that the session has set.
const REPARTITION_STATE: &str = "spark.millstream.checkpoint.repartitionState";

/// Settings of a query that starts under `conf` on an engine with `parallelism` threads.
pub(super) fn settings(conf: &RuntimeConf, parallelism: usize) -> Result<QuerySettings> {
    let defaults = QuerySettings::default();
    let number = |key: &str, default: u64| -> u64 {
        conf.integer(key)
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    // Spark's default of 200 is for clusters: only a number that somebody chose is taken.
    let partitions = chosen_partitions(conf)?;
    let policy = conf
        .get_option("spark.sql.streaming.multipleWatermarkPolicy")
        .unwrap_or_else(|| "min".to_string());
    let recorded: BTreeMap<String, String> = RECORDED
        .iter()
        .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
        .collect();
    let on = |key: &str| {
        conf.get_option(key)
            .is_none_or(|value| value.trim().eq_ignore_ascii_case("true"))
    };
    let delay = |key: &str, default: i64| {
        conf.get_option(key)
            .and_then(|text| crate::conf::parse_duration_ms(&text))
            .unwrap_or(default)
    };
    Ok(QuerySettings {
        parallelism,
        state_partitions: partitions.unwrap_or(parallelism),
        state_provider: state_store::provider(conf)?,
        local_state: state_store::local_state(conf)?,
        watermark_policy: policy
            .parse()
            .map_err(|error| SparkError::plain(Exception::IllegalArgument, format!("{error}")))?,
        no_data_batches: on("spark.sql.streaming.noDataMicroBatches.enabled"),
        min_batches_to_retain: number(
            "spark.sql.streaming.minBatchesToRetain",
            defaults.min_batches_to_retain,
        ),
        polling_delay_ms: delay(
            "spark.sql.streaming.pollingDelay",
            defaults.polling_delay_ms,
        ),
        recent_progress: usize::try_from(number(
            "spark.sql.streaming.numRecentProgressUpdates",
            100,
        ))
        .unwrap_or(100),
        reported_stores: conf
            .get_option("spark.sql.streaming.stateStore.numStateStoreInstanceMetricsToReport")
            .and_then(|most| most.trim().parse().ok())
            .unwrap_or(defaults.reported_stores),
        total_rows: conf
            .get_option("spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows")
            .is_none_or(|count| !count.trim().eq_ignore_ascii_case("false")),
        idle_event_interval_ms: delay(
            "spark.sql.streaming.noDataProgressEventInterval",
            defaults.idle_event_interval_ms,
        ),
        min_deltas_for_snapshot: number(
            "spark.sql.streaming.stateStore.minDeltasForSnapshot",
            defaults.min_deltas_for_snapshot,
        ),
        state_compression: state_store::compression(conf)?,
        allow_changed_operators: wished(conf, ALLOW_CHANGED_OPERATORS)?,
        // The number of threads is nobody's wish.
        repartition_state: wished(conf, REPARTITION_STATE)? && partitions.is_some(),
        multiple_operators: on("spark.sql.streaming.statefulOperator.allowMultiple"),
        checks: Checks {
            operations: on("spark.sql.streaming.unsupportedOperationCheck"),
            correctness: on("spark.sql.streaming.statefulOperator.checkCorrectness.enabled"),
            avro_state: conf
                .get_option("spark.sql.streaming.stateStore.encodingFormat")
                .is_some_and(|format| format.trim().eq_ignore_ascii_case("avro")),
        },
        conf: recorded,
    })
}

/// The number of state partitions, if somebody chose one.
fn chosen_partitions(conf: &RuntimeConf) -> Result<Option<usize>> {
    let Some(text) = conf.explicit_settings().remove(PARTITIONS) else {
        return Ok(None);
    };
    // What the server was started with has not been looked at.
    check(PARTITIONS, &text)?;
    let count = text.trim().parse();
    count.map(Some).map_err(|_| {
        let reason = format!("The value of {PARTITIONS} must be positive, but was {text}");
        SparkError::plain(Exception::IllegalArgument, reason)
    })
}

/// Whether a conf of Millstream's own is `true`; it is `false` if nobody set it, and anything else is refused.
fn wished(conf: &RuntimeConf, key: &str) -> Result<bool> {
    let Some(text) = conf.get_option(key) else {
        return Ok(false);
    };
    ConfType::Boolean.check(key, &text)?;
    Ok(text.trim().eq_ignore_ascii_case("true"))
}

fn check(key: &str, text: &str) -> Result<()> {
    let mut all = known();
    let known = all.find(|known| known.key == key);
    known.map_or(Ok(()), |known| known.check(text))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;

    fn settings_of(confs: &[(&str, &str)]) -> Result<QuerySettings> {
        let confs: BTreeMap<String, String> = confs
            .iter()
            .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
            .collect();
        settings(&RuntimeConf::new(Arc::new(confs)), 4)
    }

    #[test]
    fn state_is_moved_to_a_number_that_was_chosen_and_only_if_it_is_wished() {
        let moves = |confs: &[(&str, &str)]| {
            let settings = settings_of(confs).unwrap();
            (settings.state_partitions, settings.repartition_state)
        };
        let wish = (REPARTITION_STATE, "true");
        assert_eq!(moves(&[]), (4, false));
        assert_eq!(moves(&[wish]), (4, false));
        assert_eq!(moves(&[(PARTITIONS, "7")]), (7, false));
        assert_eq!(moves(&[wish, (PARTITIONS, "7")]), (7, true));
        let not = (REPARTITION_STATE, "false");
        assert_eq!(moves(&[not, (PARTITIONS, "7")]), (7, false));
    }

    #[test]
    fn values_that_cannot_be_are_refused_in_sparks_words() {
        for (value, class) in [
            ("0", "INVALID_CONF_VALUE.REQUIREMENT"),
            ("-3", "INVALID_CONF_VALUE.REQUIREMENT"),
            ("many", "INVALID_CONF_VALUE.TYPE_MISMATCH"),
        ] {
            let error = settings_of(&[(PARTITIONS, value)]).unwrap_err();
            assert!(error.message.contains(class), "{}", error.message);
            assert!(error.message.contains(value), "{}", error.message);
        }
        let error = settings_of(&[(REPARTITION_STATE, "maybe")]).unwrap_err();
        assert!(
            error.message.contains(REPARTITION_STATE),
            "{}",
            error.message
        );
    }
}
