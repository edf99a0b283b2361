//! Why a plan cannot run as a stream. The texts are those that users of Structured Streaming know.
use crate::plan::OutputMode;

/// Why a plan cannot run as a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedOperation {
    /// The plan has no streaming source.
    #[error("'writeStream' can be called only on streaming Dataset/DataFrame")]
    NoStreamingSource,
    /// The output mode does not fit the operations.
    #[error(
        "Invalid streaming output mode: {mode}. This output mode is not supported for {operation} on streaming \
         DataFrames/DataSets."
    )]
    OutputMode {
        /// The mode asked for.
        mode: OutputMode,
        /// What it does not go with.
        operation: &'static str,
    },
    /// `count(distinct …)` and its like.
    #[error(
        "Distinct aggregations are not supported on streaming DataFrames/Datasets. Consider using \
         approx_count_distinct() instead."
    )]
    DistinctAggregation,
    /// A sort anywhere but over an aggregation in complete mode.
    #[error(
        "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in \
         Complete output mode"
    )]
    Sort,
    /// `limit` in update mode.
    #[error("Limits are not supported on streaming DataFrames/Datasets in Update output mode")]
    LimitInUpdateMode,
    /// `offset`.
    #[error("Offset is not supported on streaming DataFrames/Datasets")]
    Offset,
    /// `sample`.
    #[error("Sampling is not supported on streaming DataFrames/Datasets")]
    Sample,
    /// Functions whose value depends on where in a table a row stands.
    #[error("Expression(s): {expressions} is not supported with streaming DataFrames/Datasets")]
    Expressions {
        /// The calls.
        expressions: String,
    },
    /// An analytic function over rows.
    #[error(
        "Window function is not supported in {windows} (as column {columns}) on streaming DataFrames/Datasets. \
         Structured Streaming only supports time-window aggregation using the WINDOW function. (window specification: \
         {specifications})"
    )]
    NonTimeWindow {
        /// The functions.
        windows: String,
        /// The columns they make.
        columns: String,
        /// Their OVER clauses.
        specifications: String,
    },
    /// A union of a stream and a table.
    #[error("Union between streaming and batch DataFrames/Datasets is not supported")]
    UnionWithBatch,
    /// `intersect` with a stream on any side.
    #[error("Intersect of streaming DataFrames/Datasets is not supported")]
    Intersect,
    /// `except` of a stream from anything.
    #[error("Except on a streaming DataFrame/Dataset on the right is not supported")]
    Except,
    /// A deduplication that forgets by event time, of which there is none.
    #[error(
        "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark"
    )]
    DuplicatesWithinNoWatermark,
    /// A join of a stream and a table that would have to keep rows of the table that never match.
    #[error("{0}")]
    StaticJoin(StaticJoin),
    /// `left anti` with a stream on the right.
    #[error("LeftAnti joins with a streaming DataFrame/Dataset on the right are not supported")]
    AntiJoin,
    /// A join of two streams in a mode that would have to take rows back.
    #[error(
        "{join} join between two streaming DataFrames/Datasets is not supported in {mode} output mode, only in {only}"
    )]
    StreamJoinMode {
        /// `Inner`, `LeftOuter`, …
        join: &'static str,
        /// The mode asked for.
        mode: &'static str,
        /// Where it would be supported.
        only: &'static str,
    },
    /// A join of two streams that could never tell that a row has no match.
    #[error(
        "Stream-stream {join} join between two streaming DataFrame/Datasets is not supported without a watermark in \
         the join keys, or a watermark on the nullable side and an appropriate range condition"
    )]
    StreamJoinWithoutWatermark {
        /// `LeftOuter`, `LeftSemi`, …
        join: &'static str,
    },
    /// An operator with state over one whose rows it may take for late.
    #[error(
        "Detected pattern of possible 'correctness' issue due to global watermark. The query contains stateful \
         operation which can emit rows older than the current watermark plus allowed late record delay, which are \
         \"late rows\" in downstream stateful operations and these rows can be discarded. Please refer the \
         programming guide doc for more details. If you understand the possible risk of correctness issue and still \
         need to run the query, you can disable this check by setting the config \
         `spark.sql.streaming.statefulOperator.checkCorrectness.enabled` to false."
    )]
    GlobalWatermark,
    /// An encoding of state that only other operators have.
    #[error(
        "State store encoding format as avro is not supported for operator={operator} used within the query"
    )]
    AvroState {
        /// Spark's name of the operator.
        operator: &'static str,
    },
    /// Found while the query runs: a watermark is declared above another one, and both would have to be the query's.
    #[error(
        "Redefining watermark is disallowed. You can set the config 'spark.sql.streaming.statefulOperator.allowMultiple' to \
         'false' to restore the previous behavior. Note that multiple stateful operators will be disallowed."
    )]
    RedefinedWatermark,
    /// Found while the query runs: two streams are joined on nothing but inequalities.
    #[error("Stream-stream join without equality predicate is not supported.;")]
    StreamJoinWithoutEquality,
    /// Found while the query runs: sessions of all rows together.
    #[error("Global aggregation with session window in streaming query is not supported.")]
    GlobalSession,
    /// Found while the query runs: an operator with state cannot tell which of its columns is event time.
    #[error(
        "More than one event time columns are available. Please ensure there is at most one event time column per stream. \
         event time columns: ({})", columns.join(",")
    )]
    MultipleEventTimeColumns {
        /// The columns, each with its delay.
        columns: Vec<String>,
    },
    /// Found while the query runs: an aggregation, in append mode, whose groups never end.
    #[error(
        "Append output mode not supported for aggregations on streaming DataFrames/DataSets without watermark."
    )]
    NeverDone,
    /// Supported by Structured Streaming, but not built yet.
    #[error(
        "{operation} is not supported on streaming DataFrames/Datasets by this release of Millstream"
    )]
    NotBuilt {
        /// What is missing.
        operation: &'static str,
    },
}

/// A join of a stream and a table, and which of them is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StaticJoin {
    /// `right outer`, stream on the left.
    #[error(
        "RightOuter join with a streaming DataFrame/Dataset on the left and a static DataFrame/DataSet on the right \
         not supported"
    )]
    RightOuterOfTable,
    /// `left outer`, stream on the right.
    #[error(
        "LeftOuter join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is \
         not supported"
    )]
    LeftOuterOfTable,
    /// `left semi`, stream on the right.
    #[error(
        "LeftSemi join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is \
         not supported"
    )]
    SemiOfTable,
    /// `full outer`, stream on the left.
    #[error(
        "FullOuter joins with streaming DataFrames/Datasets on the left and a static DataFrame/Dataset on the right is \
         not supported"
    )]
    FullOuterStreamLeft,
    /// `full outer`, stream on the right.
    #[error(
        "FullOuter joins with streaming DataFrames/Datasets on the right and a static DataFrame/Dataset on the left is \
         not supported"
    )]
    FullOuterStreamRight,
}
