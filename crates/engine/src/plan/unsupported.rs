//! What a streaming plan may not contain, and in which output mode.
//!
//! The check runs before anything is opened, on the plan as the user wrote it. Its answers are causes with fields; the
//! texts are those that users of Structured Streaming know.
use datafusion::{
    common::{Result, tree_node::TreeNode},
    logical_expr::{Distinct, Expr, Extension, JoinType, LogicalPlan},
};

use super::OutputMode;
use crate::{
    operator::deduplicate::DeduplicateNode, source::StreamTable, time::event_time::delay_ms,
};

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
    /// A join whose preserved side is the table.
    #[error(
        "{join} join with a streaming DataFrame/Dataset on the {stream} and a static DataFrame/DataSet on the {table} not supported"
    )]
    OuterJoinWithStatic {
        /// `LeftOuter`, `RightOuter`, …
        join: String,
        /// `left` or `right`.
        stream: &'static str,
        /// `right` or `left`.
        table: &'static str,
    },
    /// `intersect`/`except` with a stream on the wrong side.
    #[error("{operation} of streaming DataFrames/Datasets is not supported")]
    SetOperation {
        /// `Intersect` or `Except`.
        operation: &'static str,
    },
    /// A deduplication that forgets by event time, of which there is none.
    #[error(
        "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark"
    )]
    DuplicatesWithinNoWatermark,
    /// Found while the query runs: a watermark is declared above another one, and both would have to be the query's.
    #[error(
        "Redefining watermark is disallowed. You can set the config 'spark.sql.streaming.statefulOperator.allowMultiple' to \
         'false' to restore the previous behavior. Note that multiple stateful operators will be disallowed."
    )]
    RedefinedWatermark,
    /// Supported by Structured Streaming, but not built yet.
    #[error(
        "{operation} is not supported on streaming DataFrames/Datasets by this release of Millstream"
    )]
    NotBuilt {
        /// What is missing.
        operation: &'static str,
    },
}

/// Whether the plan reads a stream.
pub fn is_streaming(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| {
        Ok(matches!(plan, LogicalPlan::TableScan(scan) if StreamTable::of(&scan.source).is_some()))
    })
}

/// Checks a plan against an output mode.
pub fn check(plan: &LogicalPlan, mode: OutputMode) -> Result<Result<(), UnsupportedOperation>> {
    if !is_streaming(plan)? {
        return Ok(Err(UnsupportedOperation::NoStreamingSource));
    }
    let mut shape = Shape {
        mode,
        aggregations: 0,
        watermarked_key: false,
        failure: None,
    };
    shape.visit(plan)?;
    Ok(shape.verdict())
}

/// What the walk over the plan has found.
struct Shape {
    mode: OutputMode,
    aggregations: usize,
    watermarked_key: bool,
    failure: Option<UnsupportedOperation>,
}

impl Shape {
    fn fail(&mut self, why: UnsupportedOperation) {
        self.failure.get_or_insert(why);
    }

    /// Visits the streaming part of a plan, children first, as failures nearer to the source are named first.
    fn visit(&mut self, plan: &LogicalPlan) -> Result<()> {
        if !is_streaming(plan)? {
            return Ok(());
        }
        for input in plan.inputs() {
            self.visit(input)?;
        }
        self.visit_node(plan)
    }

    fn visit_node(&mut self, plan: &LogicalPlan) -> Result<()> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => self.visit_aggregate(aggregate)?,
            LogicalPlan::Sort(_) if self.mode != OutputMode::Complete || self.aggregations == 0 => {
                self.fail(UnsupportedOperation::Sort);
            }
            LogicalPlan::Limit(limit) => self.visit_limit(limit),
            LogicalPlan::Window(window) => self.visit_window(window),
            LogicalPlan::Union(union) => {
                for input in &union.inputs {
                    if !is_streaming(input)? {
                        self.fail(UnsupportedOperation::UnionWithBatch);
                    }
                }
                if self.aggregations > 0 {
                    self.fail(UnsupportedOperation::NotBuilt {
                        operation: "Union of aggregated streams",
                    });
                }
            }
            LogicalPlan::Join(join) => self.visit_join(join)?,
            LogicalPlan::Distinct(Distinct::On(_)) => {
                self.fail(UnsupportedOperation::NotBuilt {
                    operation: "DISTINCT ON",
                });
            }
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(duplicates) = node.as_any().downcast_ref::<DeduplicateNode>() {
                    self.visit_deduplication(duplicates);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_aggregate(&mut self, aggregate: &datafusion::logical_expr::Aggregate) -> Result<()> {
        self.aggregations += 1;
        if self.aggregations > 1 && self.mode != OutputMode::Append {
            self.fail(UnsupportedOperation::NotBuilt {
                operation: "More than one aggregation",
            });
        }
        for expr in &aggregate.aggr_expr {
            if expr.exists(|expr| {
                Ok(matches!(expr, Expr::AggregateFunction(call) if call.params.distinct))
            })? {
                self.fail(UnsupportedOperation::DistinctAggregation);
            }
        }
        if aggregate
            .group_expr
            .iter()
            .any(|expr| matches!(expr, Expr::GroupingSet(_)))
        {
            self.fail(UnsupportedOperation::NotBuilt {
                operation: "Aggregation over grouping sets",
            });
        }
        let keys = aggregate.group_expr.len();
        self.watermarked_key |= aggregate
            .schema
            .fields()
            .iter()
            .take(keys)
            .any(|field| delay_ms(field).is_some());
        Ok(())
    }

    fn visit_limit(&mut self, limit: &datafusion::logical_expr::Limit) {
        if limit.skip.is_some() {
            self.fail(UnsupportedOperation::Offset);
        }
        if self.mode == OutputMode::Update {
            self.fail(UnsupportedOperation::LimitInUpdateMode);
        }
    }

    fn visit_deduplication(&mut self, duplicates: &DeduplicateNode) {
        let mut fields = duplicates.input().schema().fields().iter();
        if duplicates.within_watermark() && fields.all(|field| delay_ms(field).is_none()) {
            self.fail(UnsupportedOperation::DuplicatesWithinNoWatermark);
        }
    }

    fn visit_window(&mut self, window: &datafusion::logical_expr::Window) {
        let list = |texts: Vec<String>| texts.join(", ");
        self.fail(UnsupportedOperation::NonTimeWindow {
            windows: list(
                window
                    .window_expr
                    .iter()
                    .map(|expr| expr.human_display().to_string())
                    .collect(),
            ),
            columns: list(
                window
                    .window_expr
                    .iter()
                    .map(|expr| expr.schema_name().to_string())
                    .collect(),
            ),
            specifications: list(window.window_expr.iter().map(ToString::to_string).collect()),
        });
    }

    fn visit_join(&mut self, join: &datafusion::logical_expr::Join) -> Result<()> {
        let (left, right) = (is_streaming(&join.left)?, is_streaming(&join.right)?);
        if left && right {
            self.fail(UnsupportedOperation::NotBuilt {
                operation: "Join between two streams",
            });
            return Ok(());
        }
        let allowed = match join.join_type {
            JoinType::Inner => true,
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                right
            }
            JoinType::Full => false,
        };
        if !allowed {
            let (stream, table) = if left {
                ("left", "right")
            } else {
                ("right", "left")
            };
            let join = match join.join_type {
                JoinType::Left => "LeftOuter".to_string(),
                JoinType::Right => "RightOuter".to_string(),
                JoinType::Full => "FullOuter".to_string(),
                other => other.to_string(),
            };
            self.fail(UnsupportedOperation::OuterJoinWithStatic {
                join,
                stream,
                table,
            });
        }
        Ok(())
    }

    fn verdict(self) -> Result<(), UnsupportedOperation> {
        let mode = self.mode;
        let operation = match (mode, self.aggregations) {
            (OutputMode::Complete, 0) => Some("no streaming aggregations"),
            (OutputMode::Append, 1..) if !self.watermarked_key => {
                Some("streaming aggregations without watermark")
            }
            _ => None,
        };
        match (self.failure, operation) {
            (_, Some(operation)) => Err(UnsupportedOperation::OutputMode { mode, operation }),
            (Some(failure), None) => Err(failure),
            (None, None) => Ok(()),
        }
    }
}
