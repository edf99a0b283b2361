//! The settings of a query, from the session's confs.
//!
//! Spark records seventeen confs with every batch. Millstream records the same, so that Spark can go on with a
//! stateless query's checkpoint; those that speak of Spark's own state formats are recorded with Spark's defaults and
//! mean nothing here.
use std::collections::BTreeMap;

use millstream_engine::{plan::Checks, query::QuerySettings};

use super::state_store;
use crate::{
    conf::RuntimeConf,
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

/// Lets a restarted query go on with state that other operations have made.
const ALLOW_CHANGED_OPERATORS: &str = "spark.millstream.checkpoint.allowChangedOperators";

/// Settings of a query that starts under `conf` on an engine with `parallelism` threads.
pub(super) fn settings(conf: &RuntimeConf, parallelism: usize) -> Result<QuerySettings> {
    let defaults = QuerySettings::default();
    let number = |key: &str, default: u64| -> u64 {
        conf.integer(key)
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    // Spark's default of 200 is for clusters: only a number that somebody chose is taken.
    let partitions = conf
        .explicit_settings()
        .remove("spark.sql.shuffle.partitions");
    let state_partitions = match partitions {
        None => parallelism,
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| {
                SparkError::plain(
                    Exception::IllegalArgument,
                    format!(
                        "The value of spark.sql.shuffle.partitions must be positive, but was {text}"
                    ),
                )
            })?,
    };
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
        state_partitions,
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
        idle_event_interval_ms: delay(
            "spark.sql.streaming.noDataProgressEventInterval",
            defaults.idle_event_interval_ms,
        ),
        min_deltas_for_snapshot: number(
            "spark.sql.streaming.stateStore.minDeltasForSnapshot",
            defaults.min_deltas_for_snapshot,
        ),
        allow_changed_operators: conf
            .get_option(ALLOW_CHANGED_OPERATORS)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
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
