//! Time windows: the column that `window(…)` stands for.
//!
//! ```text
//!   tumbling   Projection: *, struct(start, start + duration) AS window     one row each
//!                Filter: time IS NOT NULL
//!   sliding    Projection: *, struct(start, start + duration) AS window
//!                Unnest: start                                              ⌈duration / slide⌉ rows each
//!                  Projection: *, starts(time) AS start
//!                    Filter: time IS NOT NULL
//! ```
//!
//! Starts are those of the engine's [`WindowGrid`], the latest first. Windows are aligned to the epoch in UTC, whatever the
//! session time zone. On a stream, sliding windows are the engine's own node, so that an aggregation over them
//! need not look at each row once per window.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, ListBuilder, PrimitiveArray, TimestampMicrosecondBuilder},
    datatypes::{DataType, Field, TimestampMicrosecondType},
};
use datafusion::{
    common::UnnestOptions,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility},
};

use millstream_engine::{plan::SlidingWindowsNode, time::WindowGrid};

use super::project::{aliased_expr, projection_of};
use crate::{
    error::{Result, SparkError, arithmetic_overflow},
    expression::{TimeWindow, TimeWindowKind},
    functions::{Batch, Call, PreparedKernel},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
    types::{list_item, relabel},
};

impl Planner<'_> {
    /// The relation with the columns of these windows, hidden.
    pub(crate) fn with_windows(
        &self,
        input: Resolved,
        windows: Vec<TimeWindow>,
    ) -> Result<Resolved> {
        let mut windows = windows.into_iter();
        let Some(window) = windows.next() else {
            return Ok(input);
        };
        if windows.next().is_some() {
            return Err(SparkError::analysis("_LEGACY_ERROR_TEMP_1039", &[]));
        }
        let plan = match &window.kind {
            TimeWindowKind::Fixed {
                duration,
                slide,
                start,
            } => {
                let grid = WindowGrid {
                    duration: *duration,
                    slide: *slide,
                    offset: *start,
                };
                self.fixed(&input, &window, grid)?
            }
            TimeWindowKind::Session { gap } => self.session(&input, &window, gap)?,
        };
        let mut with_window = input;
        with_window.plan = plan;
        with_window.hidden.push(window.attribute);
        // A filter above may no longer widen the projection below: the window lies between.
        with_window.below = None;
        Ok(with_window)
    }

    fn fixed(&self, rows: &Resolved, window: &TimeWindow, grid: WindowGrid) -> Result<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::from(rows.plan.clone());
        if window.time.nullable {
            plan = plan.filter(window.time.expr.clone().is_not_null())?;
        }
        if grid.slide == grid.duration {
            let first = self.grid_call("window_start", Step::Start, grid, window.time.clone())?;
            return self.bounds(plan.build()?, window, first, grid);
        }
        if rows.is_streaming {
            // What a checkpoint keeps of a column that a node makes is its name.
            let (duration, slide, offset) = (grid.duration, grid.slide, grid.offset);
            let bounds = ["window_start", "window_end"].map(|name| {
                self.ids
                    .column(&format!("{name}[{duration}, {slide}, {offset}]"))
            });
            let field = window.attribute.column.name.clone();
            let field = Field::new(field, window.attribute.data_type.clone(), false)
                .with_metadata(window.attribute.metadata.clone().into_iter().collect());
            let (input, time) = (plan.build()?, window.time.expr.clone());
            let windows = SlidingWindowsNode::over(input, time, grid, bounds, Arc::new(field))?;
            return Ok(windows);
        }
        let starts = self.grid_call("window_starts", Step::Starts, grid, window.time.clone())?;
        let column = self.ids.column("window_start");
        let input = plan.build()?;
        let mut columns: Vec<Expr> = input
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        columns.push(starts.expr.alias(column.name()));
        let expanded = LogicalPlanBuilder::from(projection_of(columns, input)?)
            .unnest_columns_with_options(
                vec![column.clone()],
                UnnestOptions::new().with_preserve_nulls(false),
            )?
            .build()?;
        let data_type = window.time.data_type.clone();
        let first = TypedExpr::new(Expr::Column(column), data_type, false, "start");
        self.bounds(expanded, window, first, grid)
    }

    /// Adds the window's struct to the plan.
    fn bounds(
        &self,
        plan: LogicalPlan,
        window: &TimeWindow,
        first: TypedExpr,
        grid: WindowGrid,
    ) -> Result<LogicalPlan> {
        let last = self.grid_call("window_end", Step::End, grid, first.clone())?;
        let whole = bounds_of(first, last);
        window_first(window, whole, plan)
    }

    fn grid_call(
        &self,
        name: &'static str,
        step: Step,
        grid: WindowGrid,
        time: TypedExpr,
    ) -> Result<TypedExpr> {
        let data_type = match step {
            Step::Starts => DataType::List(list_item(time.data_type.clone(), false)),
            _ => time.data_type.clone(),
        };
        let nullable = time.nullable && step != Step::Starts;
        let call = Call::new(name, vec![time], &self.context);
        let kernel = crate::functions::Kernel::Prepared(Arc::new(GridKernel { step, grid }));
        Ok(call.kernel_with(name, kernel, data_type, nullable, Volatility::Immutable))
    }

    fn session(
        &self,
        input: &Resolved,
        window: &TimeWindow,
        gap: &TypedExpr,
    ) -> Result<LogicalPlan> {
        const MERGED_EARLY: &str =
            "spark.sql.streaming.sessionWindow.merge.sessions.in.local.partition";
        if input.is_streaming && self.context.conf.flag(MERGED_EARLY) {
            static ONCE: std::sync::Once = std::sync::Once::new();
            ONCE.call_once(|| {
                tracing::warn!(
                    conf = MERGED_EARLY,
                    "no effect: sessions are merged where their state is"
                );
            });
        }
        // The first session of a row is [time, time + gap); merging is the aggregation's business.
        let call = Call::new(
            "session_end",
            vec![window.time.clone(), gap.clone()],
            &self.context,
        );
        let end = crate::functions::add_calendar_interval(&call)?;
        let first = window.time.clone();
        let open = first
            .expr
            .clone()
            .is_not_null()
            .and(end.expr.clone().gt(first.expr.clone()));
        let plan = LogicalPlanBuilder::from(input.plan.clone())
            .filter(open)?
            .build()?;
        let whole = bounds_of(first, end);
        window_first(window, whole, plan)
    }
}

/// The window before the other columns, as Spark has it: errors name columns in this order.
fn window_first(window: &TimeWindow, whole: TypedExpr, plan: LogicalPlan) -> Result<LogicalPlan> {
    let attribute = &window.attribute;
    let mut columns = vec![aliased_expr(
        whole.expr,
        &attribute.column,
        &attribute.metadata,
    )];
    columns.extend(plan.schema().columns().into_iter().map(Expr::Column));
    projection_of(columns, plan)
}

/// The window's struct, whose fields may be NULL for Spark although none ever is: the attribute says so, and Arrow does not take one
/// kind of struct for the other.
fn bounds_of(mut start: TypedExpr, mut end: TypedExpr) -> TypedExpr {
    (start.nullable, end.nullable) = (true, true);
    crate::functions::named_struct(vec![("start".into(), start), ("end".into(), end)])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Starts,
    End,
}

#[derive(Debug)]
struct GridKernel {
    step: Step,
    grid: WindowGrid,
}

impl PreparedKernel for GridKernel {
    fn fingerprint(&self) -> String {
        // The step is the function's name.
        self.grid.to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let times = batch.array(0)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let overflow = || arithmetic_overflow("long overflow", "");
        let grid = self.grid;
        let moved = |step: &dyn Fn(i64) -> Option<i64>| -> Result<ArrayRef> {
            let values: PrimitiveArray<TimestampMicrosecondType> = times.try_unary(|t| {
                step(t).ok_or_else(|| datafusion::error::DataFusionError::from(overflow()))
            })?;
            relabel(&(Arc::new(values) as ArrayRef), batch.return_type())
        };
        match self.step {
            Step::Start => moved(&|t| grid.last_start(t)),
            Step::End => moved(&|t| t.checked_add(grid.duration)),
            Step::Starts => {
                let mut starts = ListBuilder::new(TimestampMicrosecondBuilder::new());
                for time in times.iter() {
                    if let Some(time) = time {
                        for start in grid.starts(time).ok_or_else(overflow)? {
                            starts.values().append_value(start);
                        }
                    }
                    starts.append(true);
                }
                relabel(
                    &(Arc::new(starts.finish()) as ArrayRef),
                    batch.return_type(),
                )
            }
        }
    }
}
