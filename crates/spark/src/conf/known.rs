//! The keys this engine knows, with Spark's defaults.
use super::ConfType;
use crate::error::{Result, SparkError};

/// A key, its default and what values it takes.
#[derive(Debug, Clone, Copy)]
pub struct KnownConf {
    /// The key.
    pub key: &'static str,
    /// Value where nobody set one.
    pub default: Option<&'static str>,
    /// Type of its values.
    pub conf_type: ConfType,
    /// Whether only the server's start can set it.
    pub is_static: bool,
}

impl KnownConf {
    /// Refuses a value of the wrong type.
    pub fn check(&self, value: &str) -> Result<()> {
        self.conf_type.check(self.key, value)?;
        let not_positive = value.trim().parse::<i64>().is_ok_and(|n| n <= 0);
        if self.key == "spark.sql.shuffle.partitions" && not_positive {
            return Err(SparkError::illegal_argument(
                "INVALID_CONF_VALUE.REQUIREMENT",
                &[
                    ("confName", self.key),
                    ("confValue", value),
                    (
                        "confRequirement",
                        &format!("The value of {} must be positive", self.key),
                    ),
                ],
            ));
        }
        Ok(())
    }
}

pub(super) fn find(key: &str) -> Option<&'static KnownConf> {
    KNOWN
        .binary_search_by(|k| k.key.cmp(key))
        .ok()
        .and_then(|i| KNOWN.get(i))
}

/// Keys of Spark's core are fixed when the application starts.
pub(super) fn is_static_name(key: &str) -> bool {
    const CORE: [&str; 5] = [
        "spark.master",
        "spark.driver.",
        "spark.executor.",
        "spark.submit.",
        "spark.ui.",
    ];
    CORE.iter().any(|prefix| key.starts_with(prefix))
}

const fn session(
    key: &'static str,
    default: Option<&'static str>,
    conf_type: ConfType,
) -> KnownConf {
    KnownConf {
        key,
        default,
        conf_type,
        is_static: false,
    }
}

const fn fixed(key: &'static str, default: Option<&'static str>, conf_type: ConfType) -> KnownConf {
    KnownConf {
        key,
        default,
        conf_type,
        is_static: true,
    }
}

use ConfType::{Boolean, Bytes, Double, Duration, Integer, Text, TimeZone};

/// All known keys, sorted.
pub static KNOWN: &[KnownConf] = &[
    session(
        "spark.connect.session.planCompression.defaultAlgorithm",
        Some("NONE"),
        Text,
    ),
    session(
        "spark.connect.session.planCompression.threshold",
        Some("-1"),
        Integer,
    ),
    session(
        "spark.python.sql.dataFrameDebugging.enabled",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.adaptive.enabled", Some("true"), Boolean),
    session(
        "spark.sql.adaptive.streaming.stateless.enabled",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.ansi.enabled", Some("true"), Boolean),
    session(
        "spark.sql.autoBroadcastJoinThreshold",
        Some("10485760"),
        Bytes,
    ),
    session("spark.sql.broadcastTimeout", Some("300"), Integer),
    session("spark.sql.caseSensitive", Some("false"), Boolean),
    fixed("spark.sql.catalogImplementation", Some("in-memory"), Text),
    fixed("spark.sql.codegen.cache.maxEntries", Some("100"), Text),
    session(
        "spark.sql.columnNameOfCorruptRecord",
        Some("_corrupt_record"),
        Text,
    ),
    session(
        "spark.sql.connect.serverStacktrace.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.connect.streaming.foreachBatch.useClonedSession",
        Some("false"),
        Boolean,
    ),
    session("spark.sql.crossJoin.enabled", Some("true"), Boolean),
    session("spark.sql.debug.maxToStringFields", Some("25"), Integer),
    session(
        "spark.sql.decimalOperations.allowPrecisionLoss",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.defaultCatalog", Some("spark_catalog"), Text),
    session(
        "spark.sql.dropDuplicates.deterministicKeyOrder.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.arrow.maxRecordsPerBatch",
        Some("10000"),
        Integer,
    ),
    session(
        "spark.sql.execution.arrow.pyspark.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.execution.arrow.pyspark.fallback.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.arrow.pyspark.selfDestruct.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.execution.arrow.transformWithStateInPySpark.maxStateRecordsPerBatch",
        Some("10000"),
        Integer,
    ),
    session(
        "spark.sql.execution.arrow.useLargeVarTypes",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pandas.convertToArrowArraySafely",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pandas.inferPandasDictAsMap",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pandas.structHandlingMode",
        Some("legacy"),
        Text,
    ),
    session(
        "spark.sql.execution.pyspark.binaryAsBytes",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pythonUDF.arrow.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.pythonUDTF.arrow.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.execution.topKSortFallbackThreshold",
        Some("2147483632"),
        Integer,
    ),
    fixed("spark.sql.extensions", None, Text),
    session("spark.sql.files.ignoreCorruptFiles", Some("false"), Boolean),
    session("spark.sql.files.ignoreMissingFiles", Some("false"), Boolean),
    session(
        "spark.sql.files.maxPartitionBytes",
        Some("134217728"),
        Bytes,
    ),
    session("spark.sql.files.maxRecordsPerFile", Some("0"), Integer),
    fixed(
        "spark.sql.filesourceTableRelationCacheSize",
        Some("1000"),
        Text,
    ),
    fixed("spark.sql.globalTempDatabase", Some("global_temp"), Text),
    session("spark.sql.groupByAliases", Some("true"), Boolean),
    session("spark.sql.groupByOrdinal", Some("true"), Boolean),
    session(
        "spark.sql.jsonGenerator.ignoreNullFields",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.legacy.allowParameterlessCount",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.legacy.createHiveTableByDefault",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.legacy.pathOptionBehavior.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.legacy.setopsPrecedence.enabled",
        Some("false"),
        Boolean,
    ),
    session("spark.sql.legacy.timeParserPolicy", Some("CORRECTED"), Text),
    session("spark.sql.mapKeyDedupPolicy", Some("EXCEPTION"), Text),
    session("spark.sql.maxPlanStringLength", Some("2147483632"), Integer),
    session("spark.sql.optimizer.maxIterations", Some("100"), Integer),
    session(
        "spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan",
        Some("false"),
        Boolean,
    ),
    session("spark.sql.orc.compression.codec", Some("zstd"), Text),
    session("spark.sql.orderByOrdinal", Some("true"), Boolean),
    session("spark.sql.parquet.compression.codec", Some("snappy"), Text),
    session("spark.sql.parquet.mergeSchema", Some("false"), Boolean),
    session("spark.sql.pivotMaxValues", Some("10000"), Integer),
    session(
        "spark.sql.pyspark.inferNestedDictAsStruct.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.pyspark.jvmStacktrace.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled",
        Some("false"),
        Boolean,
    ),
    fixed("spark.sql.queryExecutionListeners", None, Text),
    session("spark.sql.repl.eagerEval.enabled", Some("false"), Boolean),
    session("spark.sql.repl.eagerEval.maxNumRows", Some("20"), Integer),
    session("spark.sql.repl.eagerEval.truncate", Some("20"), Integer),
    session(
        "spark.sql.session.localRelationBatchOfChunksSizeBytes",
        Some("1073741824"),
        Bytes,
    ),
    session(
        "spark.sql.session.localRelationCacheThreshold",
        Some("1048576"),
        Integer,
    ),
    session(
        "spark.sql.session.localRelationChunkSizeBytes",
        Some("16777216"),
        Bytes,
    ),
    session(
        "spark.sql.session.localRelationChunkSizeRows",
        Some("10000"),
        Integer,
    ),
    session(
        "spark.sql.session.localRelationSizeLimit",
        Some("3221225472"),
        Bytes,
    ),
    session("spark.sql.session.timeZone", None, TimeZone),
    session("spark.sql.shuffle.partitions", Some("200"), Integer),
    session("spark.sql.sources.default", Some("parquet"), Text),
    session(
        "spark.sql.sources.partitionColumnTypeInference.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.sources.partitionOverwriteMode",
        Some("STATIC"),
        Text,
    ),
    session("spark.sql.storeAssignmentPolicy", Some("ANSI"), Text),
    session(
        "spark.sql.streaming.aggregation.stateFormatVersion",
        Some("2"),
        Integer,
    ),
    session(
        "spark.sql.streaming.asyncLogPurge.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkUnfinishedRepartitionOnRestart",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkpoint.escapedPathCheck.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkpoint.fileChecksum.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkpoint.fileChecksum.skipCreationIfFileMissingChecksum",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkpoint.renamedFileCheck.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.checkpoint.verifyMetadataExists.enabled",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.streaming.checkpointLocation", None, Text),
    session(
        "spark.sql.streaming.commitProtocolClass",
        Some("org.apache.spark.sql.execution.streaming.ManifestFileCommitProtocol"),
        Text,
    ),
    session(
        "spark.sql.streaming.continuous.epochBacklogQueueSize",
        Some("10000"),
        Integer,
    ),
    session(
        "spark.sql.streaming.continuous.executorPollIntervalMs",
        Some("100ms"),
        Duration,
    ),
    session(
        "spark.sql.streaming.continuous.executorQueueSize",
        Some("1024"),
        Integer,
    ),
    session(
        "spark.sql.streaming.disabledV2MicroBatchReaders",
        Some(""),
        Text,
    ),
    session("spark.sql.streaming.disabledV2Writers", Some(""), Text),
    session(
        "spark.sql.streaming.fileSink.log.cleanupDelay",
        Some("10min"),
        Duration,
    ),
    session(
        "spark.sql.streaming.fileSink.log.compactInterval",
        Some("10"),
        Integer,
    ),
    session(
        "spark.sql.streaming.fileSink.log.deletion",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.fileSource.cleaner.numThreads",
        Some("1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.fileSource.log.cleanupDelay",
        Some("10min"),
        Duration,
    ),
    session(
        "spark.sql.streaming.fileSource.log.compactInterval",
        Some("10"),
        Integer,
    ),
    session(
        "spark.sql.streaming.fileSource.log.deletion",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.fileSource.schema.forceNullable",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.fileStreamSink.ignoreMetadata",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.flatMapGroupsWithState.skipEmittingInitialStateKeys",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion",
        Some("2"),
        Integer,
    ),
    session(
        "spark.sql.streaming.forceDeleteTempCheckpointLocation",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.internal.stateStore.partitions",
        None,
        Text,
    ),
    session(
        "spark.sql.streaming.join.stateFormatVersion",
        Some("2"),
        Integer,
    ),
    session(
        "spark.sql.streaming.kafka.useDeprecatedOffsetFetching",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.maxBatchesToRetainInMemory",
        Some("2"),
        Integer,
    ),
    session(
        "spark.sql.streaming.metadataCache.enabled",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.streaming.metricsEnabled", Some("false"), Boolean),
    session(
        "spark.sql.streaming.minBatchesToRetain",
        Some("100"),
        Integer,
    ),
    session(
        "spark.sql.streaming.multipleWatermarkPolicy",
        Some("min"),
        Text,
    ),
    session(
        "spark.sql.streaming.noDataMicroBatches.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.noDataProgressEventInterval",
        Some("10s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.numRecentProgressUpdates",
        Some("100"),
        Integer,
    ),
    session(
        "spark.sql.streaming.offsetLog.formatVersion",
        Some("1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.optimizeOneRowPlan.enabled",
        Some("false"),
        Boolean,
    ),
    session("spark.sql.streaming.pollingDelay", Some("10ms"), Duration),
    session(
        "spark.sql.streaming.queryEvolution.enableSinkEvolution",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.queryEvolution.enableSourceEvolution",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.ratioExtraSpaceAllowedInCheckpoint",
        Some("0.3"),
        Double,
    ),
    session(
        "spark.sql.streaming.realTimeMode.allowlistCheck",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.realTimeMode.asyncProgressTrackingByDefault.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.realTimeMode.dangerouslyAllowCheckpointV1.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.realTimeMode.minBatchDuration",
        Some("5s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.realTimeMode.transformWithState.ttlEvictionIntervalMs",
        Some("1000"),
        Integer,
    ),
    session(
        "spark.sql.streaming.schemaInference",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.sessionWindow.merge.sessions.in.local.partition",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.sessionWindow.stateFormatVersion",
        Some("1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.autoSnapshotRepair.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.autoSnapshotRepair.maxChangeFileReplay",
        Some("500"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.autoSnapshotRepair.numFailuresBeforeActivating",
        Some("1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.checkpointFormatVersion",
        Some("1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.commitValidation.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.compression.codec",
        Some("lz4"),
        Text,
    ),
    session(
        "spark.sql.streaming.stateStore.coordinatorReportSnapshotUploadLag",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.encodingFormat",
        Some("unsaferow"),
        Text,
    ),
    session(
        "spark.sql.streaming.stateStore.fileChecksumThreadPoolSize",
        Some("4"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.forceSnapshotUploadOnLag",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.formatValidation.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.maintenanceForceShutdownTimeout",
        Some("60s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.stateStore.maintenanceInterval",
        Some("60s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.stateStore.maintenanceProcessingTimeout",
        Some("30s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.stateStore.maintenanceShutdownTimeout",
        Some("300s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.stateStore.maxLaggingStoresToReport",
        Some("5"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.maxNumStateSchemaFiles",
        Some("128"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.maxVersionsToDeletePerMaintenance",
        Some("-1"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.minDeltasForSnapshot",
        Some("10"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.multiplierForMinTimeDiffToLog",
        Some("10"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.multiplierForMinVersionDiffToLog",
        Some("5"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.numStateStoreInstanceMetricsToReport",
        Some("5"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.numStateStoreMaintenanceThreads",
        None,
        Text,
    ),
    session(
        "spark.sql.streaming.stateStore.providerClass",
        Some("org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"),
        Text,
    ),
    session(
        "spark.sql.streaming.stateStore.rocksdb.formatVersion",
        Some("5"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion",
        Some("2"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.rowChecksum.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.rowChecksum.readVerificationRatio",
        Some("0"),
        Integer,
    ),
    session(
        "spark.sql.streaming.stateStore.skipNullsForStreamStreamJoins.enabled",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.snapshotLagReportInterval",
        Some("300s"),
        Duration,
    ),
    session(
        "spark.sql.streaming.stateStore.snapshotToCleanupThreadRatio",
        Some("0.5"),
        Double,
    ),
    session(
        "spark.sql.streaming.stateStore.stateSchemaCheck",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.unloadOnCommit",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stateStore.valueStateSchemaEvolutionThreshold",
        Some("16"),
        Integer,
    ),
    session(
        "spark.sql.streaming.statefulOperator.allowMultiple",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.statefulOperator.alwaysNullableOutput.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.statefulOperator.checkCorrectness.enabled",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.statefulOperator.incrementalCleanupFactor",
        Some("0"),
        Integer,
    ),
    session(
        "spark.sql.streaming.statefulOperator.useStrictDistribution",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.stopActiveRunOnRestart",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.streaming.stopTimeout", Some("0ms"), Duration),
    fixed("spark.sql.streaming.streamingQueryListeners", None, Text),
    session(
        "spark.sql.streaming.transformWithState.stateSchemaVersion",
        Some("3"),
        Integer,
    ),
    session(
        "spark.sql.streaming.triggerAvailableNowWrapper.enabled",
        Some("false"),
        Boolean,
    ),
    fixed("spark.sql.streaming.ui.enabled", Some("true"), Text),
    fixed(
        "spark.sql.streaming.ui.enabledCustomMetricList",
        Some(""),
        Text,
    ),
    fixed(
        "spark.sql.streaming.ui.retainedProgressUpdates",
        Some("100"),
        Text,
    ),
    fixed("spark.sql.streaming.ui.retainedQueries", Some("100"), Text),
    session(
        "spark.sql.streaming.unsupportedOperationCheck",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.useStreamlineAggregator",
        Some("false"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.validateEventTimeWatermarkColumn",
        Some("true"),
        Boolean,
    ),
    session(
        "spark.sql.streaming.verifyCheckpointDirectoryEmptyOnStart",
        Some("true"),
        Boolean,
    ),
    session("spark.sql.timestampType", Some("TIMESTAMP_LTZ"), Text),
    fixed("spark.sql.ui.retainedExecutions", Some("1000"), Text),
    session("spark.sql.variable.substitute", Some("true"), Boolean),
    fixed("spark.sql.warehouse.dir", None, Text),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_defaults_are_of_their_type() {
        assert!(KNOWN.is_sorted_by(|a, b| a.key < b.key));
        for known in KNOWN {
            if let Some(default) = known.default {
                known.check(default).unwrap();
            }
        }
    }
}
