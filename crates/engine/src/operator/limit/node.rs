//! The logical side of a limit over the life of a query.
use std::{cmp::Ordering, fmt, sync::Arc};

use datafusion::{
    common::{DFSchemaRef, Result, internal_err},
    logical_expr::{
        Expr, Extension, FetchType, Limit, LogicalPlan, SkipType, UserDefinedLogicalNodeCore,
    },
    physical_plan::ExecutionPlan,
};

use super::GlobalLimitExec;
use crate::plan::{Lowering, PlannedNode};

/// A limit whose count is kept in state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GlobalLimitNode {
    input: LogicalPlan,
    rows: usize,
    operator_id: u32,
}

impl GlobalLimitNode {
    /// How many rows `limit` lets through, if it is one that can be counted over batches: a plain number, and no offset.
    pub(crate) fn rows_of(limit: &Limit) -> Result<Option<usize>> {
        Ok(match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(0), FetchType::Literal(rows)) => rows,
            _ => None,
        })
    }

    /// A limit of `input`, itself a limit, is the smaller of the two; `None` if `input` is something else.
    pub(crate) fn combine(input: &LogicalPlan, rows: usize) -> Option<LogicalPlan> {
        let LogicalPlan::Extension(Extension { node }) = input else {
            return None;
        };
        let below = node.as_any().downcast_ref::<Self>()?;
        let rows = rows.min(below.rows);
        Some(Self::replace(&below.input, rows, below.operator_id))
    }

    /// The limit of `input` as a stateful operator.
    pub(crate) fn replace(input: &LogicalPlan, rows: usize, operator_id: u32) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(Self {
                input: input.clone(),
                rows,
                operator_id,
            }),
        })
    }

    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }
}

impl PartialOrd for GlobalLimitNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.operator_id, self.rows)
            .partial_cmp(&(other.operator_id, other.rows))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for GlobalLimitNode {
    fn name(&self) -> &str {
        "GlobalLimit"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "GlobalLimit: rows={}, operator={}",
            self.rows, self.operator_id
        )
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a limit has one input");
        };
        Ok(Self {
            input,
            ..self.clone()
        })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

impl PlannedNode for GlobalLimitNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        Ok(Arc::new(GlobalLimitExec::new(
            input,
            self.rows,
            self.operator_id,
        )))
    }
}
