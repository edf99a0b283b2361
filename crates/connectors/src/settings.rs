//! What the session decides about sources and sinks; filled from its confs by whoever knows their
//! names.
use std::num::NonZeroU64;

use millstream_checkpoint::CompactLogOptions;

use crate::format::FormatSettings;

/// Settings of sources and sinks, with Spark's defaults.
#[derive(Debug, Clone)]
pub struct ConnectorSettings {
    /// What formats need to know.
    pub format: FormatSettings,
    /// `spark.sql.streaming.schemaInference`.
    pub schema_inference: bool,
    /// `spark.sql.streaming.fileSource.schema.forceNullable`.
    pub force_nullable: bool,
    /// `spark.sql.sources.partitionColumnTypeInference.enabled`.
    pub partition_type_inference: bool,
    /// `spark.sql.streaming.fileStreamSink.ignoreMetadata`.
    pub ignore_sink_metadata: bool,
    /// `spark.sql.streaming.fileSource.cleaner.numThreads`; 0 cleans up while the batch waits.
    pub cleaner_threads: usize,
    /// `spark.sql.files.maxPartitionBytes`.
    pub partition_bytes_max: u64,
    /// `spark.sql.files.openCostInBytes`: what opening a file costs, expressed in bytes read.
    pub open_cost_bytes: u64,
    /// `spark.sql.sources.partitionOverwriteMode = dynamic`.
    pub dynamic_partition_overwrite: bool,
    /// `spark.sql.files.maxRecordsPerFile`; 0 is no limit.
    pub file_records_max: u64,
    /// `spark.sql.streaming.fileSource.log.*`.
    pub source_log: LogSettings,
    /// `spark.sql.streaming.fileSink.log.*`.
    pub sink_log: LogSettings,
    /// `spark.sql.streaming.minBatchesToRetain`.
    pub min_batches_to_retain: u64,
    /// Threads of the engine.
    pub parallelism: usize,
}

/// Settings of a log of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// `compactInterval`: every how many batches a record holds all files so far.
    pub compact_interval: NonZeroU64,
    /// `cleanupDelay` in milliseconds.
    pub cleanup_delay_ms: i64,
    /// `deletion`: whether superseded records are deleted.
    pub deletion: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        let CompactLogOptions {
            compact_interval,
            cleanup_delay_ms,
            deletion,
            ..
        } = CompactLogOptions::default();
        Self {
            compact_interval,
            cleanup_delay_ms,
            deletion,
        }
    }
}

impl ConnectorSettings {
    /// Options of a log with these settings. `retention_ms` is the age at which entries stop being
    /// visible.
    pub(crate) fn log_options(
        &self,
        log: LogSettings,
        retention_ms: Option<i64>,
    ) -> CompactLogOptions {
        CompactLogOptions {
            compact_interval: log.compact_interval,
            cleanup_delay_ms: log.cleanup_delay_ms,
            deletion: log.deletion,
            min_batches_to_retain: self.min_batches_to_retain,
            retention_ms,
        }
    }
}

impl Default for ConnectorSettings {
    fn default() -> Self {
        Self {
            format: FormatSettings::default(),
            schema_inference: false,
            force_nullable: true,
            partition_type_inference: true,
            ignore_sink_metadata: false,
            cleaner_threads: 1,
            partition_bytes_max: 128 * 1024 * 1024,
            open_cost_bytes: 4 * 1024 * 1024,
            dynamic_partition_overwrite: false,
            file_records_max: 0,
            source_log: LogSettings::default(),
            sink_log: LogSettings::default(),
            min_batches_to_retain: 100,
            parallelism: 1,
        }
    }
}
