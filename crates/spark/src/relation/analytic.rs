//! How Spark words analytic functions when it refuses them over a stream.
//!
//! Functions are worded with the ids of their columns (`SUM(V#12)`), windows and columns with their names; all but the
//! columns in capitals.
use datafusion::{
    common::tree_node::TreeNode,
    logical_expr::{Expr, LogicalPlan, expr::WindowFunction},
};
use millstream_engine::plan::{Operation, OperationNode};

use crate::{error::quoted_id, typed::TypedExpr};

/// The functions whose value depends on the order alone, and which Spark therefore gives the order's columns.
const OF_ORDER: [&str; 4] = ["rank", "dense_rank", "percent_rank", "cume_dist"];

/// `plan`, which computes `functions`, with the words for them: `columns` are the select list they are part of.
pub(super) fn marked(
    plan: LogicalPlan,
    functions: &[&Expr],
    columns: &[(String, TypedExpr, bool)],
) -> LogicalPlan {
    let mut texts: [Vec<String>; 3] = Default::default();
    for function in functions {
        let found = columns.iter().find(|(_, value, _)| {
            value
                .expr
                .exists(|expr| Ok(expr == *function))
                .unwrap_or(false)
        });
        let (Some((name, value, _)), Expr::WindowFunction(window)) = (found, *function) else {
            continue;
        };
        let (call, specification) = value.name.split_once(" OVER ").unwrap_or((&value.name, ""));
        let [functions, columns, specifications] = &mut texts;
        functions.push(worded(call, window).to_uppercase());
        columns.push(quoted_id(name));
        specifications.push(specification.to_uppercase());
    }
    let [functions, columns, specifications] = texts.map(|texts| texts.join(","));
    let operation = Operation::AnalyticFunctions {
        functions,
        columns,
        specifications,
    };
    OperationNode::operation(operation, plan)
}

/// `lag(v, 2, NULL)` as `lag(v#12, -2, NULL)`.
fn worded(call: &str, window: &WindowFunction) -> String {
    let (name, arguments) = call.split_once('(').unwrap_or((call, ")"));
    if OF_ORDER.contains(&name) {
        let order: Vec<String> = window
            .params
            .order_by
            .iter()
            .map(|key| with_id(&key.expr))
            .collect();
        return format!("{name}({})", order.join(", "));
    }
    let mut arguments: Vec<String> = arguments
        .trim_end_matches(')')
        .split(", ")
        .map(str::to_string)
        .collect();
    for column in window.params.args.iter().flat_map(Expr::column_refs) {
        let shown = with_id(&Expr::Column(column.clone()));
        let name = column.name.split('#').next().unwrap_or_default();
        for argument in arguments.iter_mut().filter(|argument| *argument == name) {
            argument.clone_from(&shown);
        }
    }
    // Looking back is looking ahead by less than nothing.
    if name == "lag"
        && let Some(offset) = arguments.get_mut(1)
    {
        *offset = match offset.strip_prefix('-') {
            Some(back) => back.to_string(),
            None => format!("-{offset}"),
        };
    }
    format!("{name}({})", arguments.join(", "))
}

/// `v#12`; the generation of an internal name is not shown.
fn with_id(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => match column.name.rsplit_once('#') {
            Some((name, id)) => format!("{name}#{}", id.rsplit('.').next().unwrap_or(id)),
            None => column.name.clone(),
        },
        other => other.to_string(),
    }
}
