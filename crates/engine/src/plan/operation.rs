//! Operations that DataFusion has no node for, kept visible around the nodes that stand in for them.
//!
//! `sample`, `INTERSECT`, `EXCEPT` and analytic functions are written as filters, joins and projections before the engine
//! sees them. What may run as a stream is decided by what the user wrote, so the front end puts a bracket around such
//! nodes: an [`Operation`] on top, an operand mark where the user's own inputs begin.
//!
//! ```text
//!   Operation(Sample)
//!     Filter: draw < 0.5
//!       Projection: *, rand() AS draw
//!         Operand
//!           …
//! ```
//!
//! The brackets change nothing of the rows and are taken away before the plan is optimised.
use std::{cmp::Ordering, fmt, sync::Arc};

use datafusion::{
    common::{
        DFSchemaRef, Result, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
};

/// An operation as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `sample`
    Sample,
    /// `INTERSECT`, of one side from the other.
    Intersect,
    /// `EXCEPT`, of the second operand from the first.
    Except,
    /// Functions with an OVER clause, in the words of the front end.
    AnalyticFunctions {
        /// The functions.
        functions: String,
        /// The columns they make.
        columns: String,
        /// Their OVER clauses.
        specifications: String,
    },
}

/// A bracket: an operation, or (`None`) the beginning of one of its operands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperationNode {
    operation: Option<Operation>,
    input: LogicalPlan,
}

impl OperationNode {
    /// `plan`, which stands for `operation` down to its operands.
    pub fn operation(operation: Operation, plan: LogicalPlan) -> LogicalPlan {
        Self::node(Some(operation), plan)
    }

    /// `plan`, which the operation above it takes as it is.
    pub fn operand(plan: LogicalPlan) -> LogicalPlan {
        Self::node(None, plan)
    }

    fn node(operation: Option<Operation>, input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(Self { operation, input }),
        })
    }

    fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// The operation that `plan` stands for and its operands, if it is one.
pub(super) fn operation_of(plan: &LogicalPlan) -> Option<(&Operation, Vec<&LogicalPlan>)> {
    let node = OperationNode::of(plan)?;
    let mut found = vec![];
    operands(&node.input, &mut found);
    Some((node.operation.as_ref()?, found))
}

fn operands<'a>(plan: &'a LogicalPlan, found: &mut Vec<&'a LogicalPlan>) {
    match OperationNode::of(plan) {
        Some(OperationNode {
            operation: None,
            input,
        }) => found.push(input),
        _ => plan
            .inputs()
            .into_iter()
            .for_each(|input| operands(input, found)),
    }
}

/// The plan without brackets.
pub(super) fn without_brackets(plan: LogicalPlan) -> Result<LogicalPlan> {
    let stripped = plan.transform_up(|plan| {
        Ok(match OperationNode::of(&plan) {
            Some(node) => Transformed::yes(node.input.clone()),
            None => Transformed::no(plan),
        })
    })?;
    Ok(stripped.data)
}

impl PartialOrd for OperationNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.operation
            .partial_cmp(&other.operation)
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for OperationNode {
    fn name(&self) -> &str {
        match self.operation {
            Some(_) => "Operation",
            None => "Operand",
        }
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
        match &self.operation {
            Some(operation) => write!(f, "Operation: {operation:?}"),
            None => write!(f, "Operand"),
        }
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self {
                operation: self.operation.clone(),
                input,
            }),
            _ => internal_err!("an operation's bracket has one input"),
        }
    }
}
