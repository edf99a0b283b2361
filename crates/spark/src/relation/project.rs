//! Select lists: projections, and what has to happen below one.
//!
//! A select list becomes, from the bottom: time windows, generators (unnest), window functions, the projection. A list with
//! aggregate functions is a global aggregation.
use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        Column,
        metadata::FieldMetadata,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, expr::Alias},
};
use millstream_engine::plan::{OperationNode, is_streaming};
use spark_connect_proto::{Expression, Project};

use super::{AggregateParts, analytic};
use crate::{
    error::Result,
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::{Attribute, Resolved},
    typed::TypedExpr,
    types::Metadata,
};

/// What a projection or aggregation was made of, so that a filter or sort above may reach below it.
#[derive(Debug, Clone)]
pub(crate) struct Below {
    /// What names are resolved against.
    pub input: Resolved,
    /// The plan right below the projection. For an aggregation, `aggregate` makes it.
    pub plan: LogicalPlan,
    /// The projection.
    pub projection: Vec<Expr>,
    /// The aggregation below the projection.
    pub aggregate: Option<AggregateParts>,
    /// Filters above the projection.
    pub filters: Vec<Expr>,
}

impl Planner<'_> {
    pub(super) fn project(&self, node: &Project) -> Result<Resolved> {
        let input = match node.input.as_deref() {
            Some(relation) => self.relation(relation)?,
            None => Resolved::leaf(LogicalPlanBuilder::empty(true).build()?, vec![], false),
        };
        self.select(input, &node.expressions)
    }

    /// `input.select(expressions)`.
    pub(crate) fn select(&self, input: Resolved, expressions: &[Expression]) -> Result<Resolved> {
        let (items, windows) = {
            let scope = Expressions::new(self, vec![&input]);
            let items = scope.select_list(expressions)?;
            (items, scope.take_windows())
        };
        let input = self.with_windows(input, windows)?;
        self.select_items(input, items)
    }

    /// A projection of resolved items.
    pub(crate) fn select_items(&self, input: Resolved, items: Vec<SelectItem>) -> Result<Resolved> {
        let aggregates = items.iter().any(|item| match item {
            SelectItem::Column { value, .. } => has_aggregate(&value.expr),
            SelectItem::Generator { generator, .. } => has_aggregate(&generator.input.expr),
        });
        if aggregates {
            return self.global_aggregate(input, items);
        }
        let (plan, columns) = self.generate(&input, items)?;
        let (plan, columns) = compute_windows(plan, columns)?;
        let (projection, output) = self.outputs(columns);
        let projected = projection_of(projection.clone(), plan.clone())?;
        let mut resolved = input.derive(projected, output);
        resolved.below = Some(Arc::new(Below {
            input,
            plan,
            projection,
            aggregate: None,
            filters: vec![],
        }));
        Ok(resolved)
    }

    /// Gives items their columns: a column that is passed on keeps its internal name, all others get one. One that is passed
    /// on twice is projected once.
    pub(crate) fn outputs(
        &self,
        columns: Vec<(String, TypedExpr, bool)>,
    ) -> (Vec<Expr>, Vec<Attribute>) {
        let mut used: HashSet<Column> = HashSet::new();
        let (mut projection, mut output) = (vec![], vec![]);
        for (name, value, aliased) in columns {
            let passed = value.as_column().filter(|_| !aliased).cloned();
            let (column, qualifier) = match passed {
                Some(column) => {
                    if used.insert(column.clone()) {
                        projection.push(Expr::Column(column.clone()));
                    }
                    (column, value.qualifier)
                }
                None => {
                    let column = self.ids.column(&name);
                    projection.push(aliased_expr(value.expr, &column, &value.metadata));
                    (column, vec![])
                }
            };
            output.push(Attribute {
                name,
                column,
                data_type: value.data_type,
                nullable: value.nullable,
                metadata: value.metadata,
                qualifier,
            });
        }
        (projection, output)
    }
}

/// `expr AS column`, with Spark's metadata on the field so that the engine finds its marks.
pub(crate) fn aliased_expr(expr: Expr, column: &Column, metadata: &Metadata) -> Expr {
    let metadata = (!metadata.is_empty()).then(|| FieldMetadata::from(metadata.clone()));
    Expr::Alias(Alias {
        expr: Box::new(expr.unalias()),
        relation: None,
        name: column.name.clone(),
        metadata,
    })
}

/// A projection whose expressions are used as they are.
pub(crate) fn projection_of(expressions: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(
        expressions,
        Arc::new(input),
    )?))
}

pub(crate) fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))
        .unwrap_or(false)
}

/// Begins the names of the columns that window functions are computed into.
const WINDOW_COLUMN: &str = "over#";

/// Whether an expression above [`compute_windows`] reads a window function's value.
pub(crate) fn reads_window(expr: &Expr) -> bool {
    let mut columns = expr.column_refs().into_iter();
    columns.any(|column| column.name.starts_with(WINDOW_COLUMN))
}

/// A column of a select list: its name, its value, and whether the user named it.
pub(crate) type NamedColumn = (String, TypedExpr, bool);

/// Moves window functions into plan nodes below.
pub(crate) fn compute_windows(
    plan: LogicalPlan,
    columns: Vec<NamedColumn>,
) -> Result<(LogicalPlan, Vec<NamedColumn>)> {
    let mut functions: Vec<Expr> = vec![];
    for (_, value, _) in &columns {
        value.expr.apply(|e| {
            if matches!(e, Expr::WindowFunction(_)) {
                if !functions.contains(e) {
                    functions.push(e.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    if functions.is_empty() {
        return Ok((plan, columns));
    }
    let named: Vec<Expr> = functions
        .iter()
        .enumerate()
        .map(|(i, f)| f.clone().alias(format!("{WINDOW_COLUMN}{i}")))
        .collect();
    // One node per partitioning and order: DataFusion sorts once for each.
    let streaming = is_streaming(&plan)?;
    let mut plan = match streaming {
        true => OperationNode::operand(plan),
        false => plan,
    };
    let mut groups: Vec<(
        Vec<Expr>,
        Vec<datafusion::logical_expr::expr::Sort>,
        Vec<Expr>,
    )> = vec![];
    for (function, named) in functions.iter().zip(named) {
        let Expr::WindowFunction(window) = function else {
            continue;
        };
        let (partition, order) = (&window.params.partition_by, &window.params.order_by);
        match groups
            .iter_mut()
            .find(|(p, o, _)| p == partition && o == order)
        {
            Some((_, _, all)) => all.push(named),
            None => groups.push((partition.clone(), order.clone(), vec![named])),
        }
    }
    for (_, _, group) in groups {
        let calls: Vec<Expr> = group.iter().map(|call| call.clone().unalias()).collect();
        plan = LogicalPlanBuilder::from(plan).window(group)?.build()?;
        if streaming {
            let calls: Vec<&Expr> = calls.iter().collect();
            plan = OperationNode::operand(analytic::marked(plan, &calls, &columns));
        }
    }
    let columns = columns
        .into_iter()
        .map(|(name, mut value, aliased)| {
            value.expr = value
                .expr
                .transform_down(|e| match functions.iter().position(|f| *f == e) {
                    Some(i) => Ok(Transformed::new(
                        Expr::Column(Column::new_unqualified(format!("{WINDOW_COLUMN}{i}"))),
                        true,
                        TreeNodeRecursion::Jump,
                    )),
                    None => Ok(Transformed::no(e)),
                })?
                .data;
            // What was a window function is a computed column: it gets a name of its own.
            Ok((name, value, aliased))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((plan, columns))
}
