//! Confs as connectors know them.
use millstream_connectors::{
    format::FormatSettings,
    settings::{ConnectorSettings, LogSettings},
};

use crate::{
    conf::{RuntimeConf, parse_bytes, parse_duration_ms, parse_time_zone},
    error::Result,
};

/// Settings of sources and sinks under `conf`.
pub(super) fn connectors(conf: &RuntimeConf, parallelism: usize) -> Result<ConnectorSettings> {
    let defaults = ConnectorSettings::default();
    let flag = |key: &str, default: bool| {
        conf.get_option(key)
            .map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
    };
    let bytes = |key: &str, default: u64| {
        let value = conf.get_option(key).and_then(|text| parse_bytes(&text));
        value
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    let count = |key: &str, default: u64| {
        conf.integer(key)
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    let log = |name: &str, default: LogSettings| {
        let key = |what: &str| format!("spark.sql.streaming.{name}.log.{what}");
        let interval = count(&key("compactInterval"), default.compact_interval.get());
        LogSettings {
            compact_interval: interval.try_into().unwrap_or(default.compact_interval),
            cleanup_delay_ms: conf
                .get_option(&key("cleanupDelay"))
                .and_then(|text| parse_duration_ms(&text))
                .unwrap_or(default.cleanup_delay_ms),
            deletion: flag(&key("deletion"), default.deletion),
        }
    };
    Ok(ConnectorSettings {
        format: format(conf)?,
        schema_inference: flag(
            "spark.sql.streaming.schemaInference",
            defaults.schema_inference,
        ),
        force_nullable: flag(
            "spark.sql.streaming.fileSource.schema.forceNullable",
            defaults.force_nullable,
        ),
        partition_type_inference: flag(
            "spark.sql.sources.partitionColumnTypeInference.enabled",
            defaults.partition_type_inference,
        ),
        ignore_sink_metadata: flag(
            "spark.sql.streaming.fileStreamSink.ignoreMetadata",
            defaults.ignore_sink_metadata,
        ),
        cleaner_threads: usize::try_from(count(
            "spark.sql.streaming.fileSource.cleaner.numThreads",
            1,
        ))
        .unwrap_or(1),
        partition_bytes_max: bytes(
            "spark.sql.files.maxPartitionBytes",
            defaults.partition_bytes_max,
        ),
        open_cost_bytes: bytes("spark.sql.files.openCostInBytes", defaults.open_cost_bytes),
        dynamic_partition_overwrite: conf
            .get_option("spark.sql.sources.partitionOverwriteMode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("dynamic")),
        file_records_max: count(
            "spark.sql.files.maxRecordsPerFile",
            defaults.file_records_max,
        ),
        source_log: log("fileSource", defaults.source_log),
        sink_log: log("fileSink", defaults.sink_log),
        min_batches_to_retain: count(
            "spark.sql.streaming.minBatchesToRetain",
            defaults.min_batches_to_retain,
        ),
        parallelism,
    })
}

fn format(conf: &RuntimeConf) -> Result<FormatSettings> {
    let defaults = FormatSettings::default();
    let flag = |key: &str, default: bool| {
        conf.get_option(key)
            .map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
    };
    let text = |key: &str, default: String| conf.get_option(key).unwrap_or(default);
    Ok(FormatSettings {
        time_zone: parse_time_zone(&conf.time_zone())?,
        case_sensitive: conf.case_sensitive(),
        time_parser_policy: conf.time_parser_policy(),
        column_name_of_corrupt_record: text(
            "spark.sql.columnNameOfCorruptRecord",
            defaults.column_name_of_corrupt_record,
        ),
        infer_timestamp_ntz: conf
            .get_option("spark.sql.timestampType")
            .is_some_and(|name| name.eq_ignore_ascii_case("TIMESTAMP_NTZ")),
        json_partial_results: flag(
            "spark.sql.json.enablePartialResults",
            defaults.json_partial_results,
        ),
        json_ignore_null_fields: flag(
            "spark.sql.jsonGenerator.ignoreNullFields",
            defaults.json_ignore_null_fields,
        ),
        csv_column_pruning: flag(
            "spark.sql.csv.parser.columnPruning.enabled",
            defaults.csv_column_pruning,
        ),
        parquet_codec: text(
            "spark.sql.parquet.compression.codec",
            defaults.parquet_codec,
        ),
        parquet_merge_schema: flag(
            "spark.sql.parquet.mergeSchema",
            defaults.parquet_merge_schema,
        ),
        orc_codec: text("spark.sql.orc.compression.codec", defaults.orc_codec),
        orc_merge_schema: flag("spark.sql.orc.mergeSchema", defaults.orc_merge_schema),
        ignore_missing_files: flag(
            "spark.sql.files.ignoreMissingFiles",
            defaults.ignore_missing_files,
        ),
        ignore_corrupt_files: flag(
            "spark.sql.files.ignoreCorruptFiles",
            defaults.ignore_corrupt_files,
        ),
        ..FormatSettings::default()
    })
}
