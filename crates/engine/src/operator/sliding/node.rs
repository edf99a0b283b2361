//! The logical side of sliding windows that no aggregation could take over.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::datatypes::{Field, FieldRef};
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{
        Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
    },
    physical_expr::{PhysicalExpr, expressions},
    physical_plan::{ExecutionPlan, projection::ProjectionExec},
};

use super::{SlidingWindowsExec, pane::pane_of};
use crate::{
    operator::aggregate::join_window,
    plan::{Lowering, PlannedNode},
    time::WindowGrid,
};

/// Every row once for each window that its time lies in. Its output is its input, then start and end of the window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlidingWindowsNode {
    input: LogicalPlan,
    time: Expr,
    grid: WindowGrid,
    bounds: [Column; 2],
    schema: DFSchemaRef,
}

impl SlidingWindowsNode {
    /// `input` with one more column, the window, called and typed as `window` says. The columns `bounds` hold its start and
    /// end on the way; their names must be new.
    pub fn over(
        input: LogicalPlan,
        time: Expr,
        grid: WindowGrid,
        bounds: [Column; 2],
        window: FieldRef,
    ) -> Result<LogicalPlan> {
        let mut columns: Vec<Expr> = input
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let node = Self::try_new(input, time, grid, bounds)?;
        let [start, end] = node.bounds.clone().map(Expr::Column);
        let name = window.name().clone();
        let metadata = window.metadata().clone().into();
        columns.push(join_window(start, end, window).alias_with_metadata(name, Some(metadata)));
        LogicalPlanBuilder::from(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        }))
        .project(columns)?
        .build()
    }

    fn try_new(
        input: LogicalPlan,
        time: Expr,
        grid: WindowGrid,
        bounds: [Column; 2],
    ) -> Result<Self> {
        let data_type = time.get_type(input.schema())?;
        let mut fields: Vec<_> = input
            .schema()
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
            .collect();
        for bound in &bounds {
            let field = Field::new(bound.name(), data_type.clone(), true);
            fields.push((None, Arc::new(field)));
        }
        let metadata = input.schema().metadata().clone();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, metadata)?);
        Ok(Self {
            input,
            time,
            grid,
            bounds,
            schema,
        })
    }

    /// What the windows are of.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The time.
    pub fn time(&self) -> &Expr {
        &self.time
    }

    /// The windows.
    pub fn grid(&self) -> WindowGrid {
        self.grid
    }

    /// What the start or end of a window says of a row: in which windows its time lies. `None` for other columns.
    pub(crate) fn stands_for(&self, column: &Column) -> Option<Expr> {
        let made = self.bounds.contains(column);
        made.then(|| pane_of(self.time.clone(), self.grid))
    }

    /// Names of the columns of start and end.
    pub fn bounds(&self) -> &[Column; 2] {
        &self.bounds
    }
}

impl PartialOrd for SlidingWindowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.time, self.grid, &self.bounds)
            .partial_cmp(&(&other.time, other.grid, &other.bounds))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for SlidingWindowsNode {
    fn name(&self) -> &str {
        "SlidingWindows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SlidingWindows: time={}, {:?}", self.time, self.grid)
    }

    fn with_exprs_and_inputs(
        &self,
        mut exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        match (exprs.pop(), inputs.pop()) {
            (Some(time), Some(input)) if exprs.is_empty() && inputs.is_empty() => {
                Self::try_new(input, time, self.grid, self.bounds.clone())
            }
            _ => internal_err!("sliding windows have one input and one time"),
        }
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed: Vec<usize> = self
            .time
            .column_refs()
            .into_iter()
            .map(|column| schema.index_of_column(column))
            .collect::<Result<_>>()
            .ok()?;
        needed.extend(
            output
                .iter()
                .filter(|index| **index < schema.fields().len()),
        );
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl PlannedNode for SlidingWindowsNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        let schema = input.schema();
        let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let column = expressions::Column::new(field.name(), index);
                (Arc::new(column) as _, field.name().clone())
            })
            .collect();
        let [start, end] = &self.bounds;
        columns.push((lowering.expr(&self.time, 0)?, start.name().to_string()));
        let timed = Arc::new(ProjectionExec::try_new(columns, input)?);
        let bounds = [start.name(), end.name()];
        Ok(Arc::new(SlidingWindowsExec::try_new(
            timed,
            schema.fields().len(),
            self.grid,
            bounds,
        )?))
    }
}
