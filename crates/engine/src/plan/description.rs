//! What a stateful operator computes, in words that outlive the program.
//!
//! A restarted query may name its columns otherwise, filter before it groups, or show other columns: its state is still
//! right. It may not count what it used to add up. So an operator is described by its own expressions with every column
//! replaced by what it stands for below, through projections and down to the columns of the sources, without aliases
//! and without the numbers of internal names. Two programs with equal descriptions may share state; see
//! `docs/formats/checkpoint.md`.
use datafusion::{
    arrow::datatypes::DataType,
    common::{
        Column, Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, ExprSchemable, LogicalPlan, expr::ScalarFunction},
};
use millstream_checkpoint::OperatorFact;

use crate::{
    operator::{self, sliding::SlidingWindowsNode},
    time::span,
};

/// The description of every stateful operator of a rewritten plan, by id.
pub(super) fn describe(plan: &LogicalPlan) -> Result<Vec<(u32, Vec<OperatorFact>)>> {
    let mut found = vec![];
    plan.apply(|plan| {
        if let LogicalPlan::Extension(extension) = plan
            && let Some(id) = operator::id_of(extension.node.as_ref())
        {
            let inputs = extension.node.inputs();
            let mut facts = vec![];
            for (what, expr) in operator::parts_of(extension.node.as_ref()) {
                let fact = fact(what, &expr, &inputs)?;
                let window = facts.last().and_then(|last| window_of(last, &fact));
                if window.is_some() {
                    facts.pop();
                }
                facts.push(window.unwrap_or(fact));
            }
            found.push((id, facts));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.sort_by_key(|(id, _)| *id);
    Ok(found)
}

fn fact(what: &str, expr: &Expr, inputs: &[&LogicalPlan]) -> Result<OperatorFact> {
    let data_type = inputs
        .iter()
        .find_map(|input| expr.get_type(input.schema().as_ref()).ok())
        .unwrap_or(DataType::Null);
    Ok(OperatorFact {
        what: what.to_string(),
        is: text(&resolved(expr, inputs)?)?,
        data_type: data_type.to_string(),
    })
}

/// The expression over the columns of the leaves.
fn resolved(expr: &Expr, inputs: &[&LogicalPlan]) -> Result<Expr> {
    let resolved = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(origin(&column, inputs)?)),
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(resolved.data)
}

/// What a column of one of these plans stands for.
fn origin(column: &Column, plans: &[&LogicalPlan]) -> Result<Expr> {
    let plan = plans
        .iter()
        .find(|plan| plan.schema().maybe_index_of_column(column).is_some());
    let Some(plan) = plan else {
        return Ok(Expr::Column(column.clone()));
    };
    let index = plan.schema().maybe_index_of_column(column);
    let inputs = plan.inputs();
    let made;
    let defined = match (plan, index) {
        (LogicalPlan::Projection(projection), Some(index)) => projection.expr.get(index),
        (LogicalPlan::Aggregate(aggregate), Some(index)) => {
            let width = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            match index.checked_sub(width) {
                Some(call) => aggregate.aggr_expr.get(call),
                None => aggregate.group_expr.get(index),
            }
        }
        (LogicalPlan::Extension(extension), _) => {
            let node = extension.node.as_any().downcast_ref::<SlidingWindowsNode>();
            made = node.and_then(|node| node.stands_for(column));
            made.as_ref()
        }
        _ => None,
    };
    match defined {
        Some(expr) => resolved(expr, &inputs),
        None => match inputs
            .iter()
            .any(|input| input.schema().maybe_index_of_column(column).is_some())
        {
            true => origin(column, &inputs),
            // A source's column, or one that a node makes: its name without the number.
            false => Ok(Expr::Column(Column::new_unqualified(plain(&column.name)))),
        },
    }
}

fn plain(name: &str) -> &str {
    match name.rsplit_once('#') {
        Some((plain, number)) if number.chars().all(|c| c.is_ascii_digit() || c == '.') => plain,
        _ => name,
    }
}

/// The window whose start and end these are, as one fact: it is one thing to who wrote the program.
fn window_of(start: &OperatorFact, end: &OperatorFact) -> Option<OperatorFact> {
    let of_start = start.is.strip_suffix(".start");
    let window = of_start.filter(|window| end.is.strip_suffix(".end") == Some(window));
    // Windows that overlap have no column for each bound: both stand for the windows of a time.
    let window = window.or((start.is == end.is).then_some(start.is.as_str()))?;
    let what = match (start.what.as_str(), end.what.as_str()) {
        ("session start", "session end") => "session",
        (of_start, of_end) if of_start == of_end => of_start,
        _ => return None,
    };
    is_window(window).then(|| OperatorFact {
        what: what.to_string(),
        is: window.to_string(),
        data_type: format!("start {}, end {}", start.data_type, end.data_type),
    })
}

const WINDOW: &str = "window(";
const SESSION: &str = "session_window(";

fn is_window(text: &str) -> bool {
    text.starts_with(WINDOW) || text.starts_with(SESSION)
}

/// The expression with its windows as they are written in a program: `window(ts, 10 seconds)`, its bounds behind a dot.
fn with_windows(expr: &Expr) -> Result<Expr> {
    let written = expr.clone().transform_up(|expr| {
        let window = match &expr {
            Expr::ScalarFunction(call) => window(call),
            _ => None,
        };
        Ok(match window {
            Some(text) => Transformed::yes(Expr::Column(Column::new_unqualified(text))),
            None => Transformed::no(expr),
        })
    })?;
    Ok(written.data)
}

/// A call that makes a window, a bound of one, or takes a bound from one, as text. Its arguments are written already.
fn window(call: &ScalarFunction) -> Option<String> {
    let column = |arg: &Expr| match arg {
        Expr::Column(column) if is_window(&column.name) => Some(column.name.clone()),
        _ => None,
    };
    let name = call.func.name();
    match (name, call.args.as_slice()) {
        ("named_struct", [start, Expr::ScalarFunction(end)]) => match end.args.as_slice() {
            [of, gap] if of == start && end.func.name() == "interval_add" => {
                Some(format!("{SESSION}{start}, {})", gap_as_written(gap)?))
            }
            _ => None,
        },
        ("named_struct", [start, end]) => {
            let (start, end) = column(start).zip(column(end))?;
            let window = start.strip_suffix(".start")?;
            (end.strip_suffix(".end") == Some(window)).then(|| window.to_string())
        }
        ("get_field", [of, Expr::Literal(ScalarValue::Utf8(Some(bound)), _)]) => {
            column(of).map(|window| format!("{window}.{bound}"))
        }
        ("window_start" | "window_end" | "window_pane", [time]) => {
            let full = call.func.schema_name(&[]).ok()?;
            let grid = full.strip_prefix(name)?.strip_prefix('[')?;
            let grid = grid.strip_suffix("]()")?;
            Some(match name {
                "window_pane" => format!("{WINDOW}{time}, {grid})"),
                "window_start" => format!("{WINDOW}{time}, {grid}).start"),
                // The end is reckoned from the start, of the same window or of whatever else there is.
                _ => {
                    match column(time).and_then(|it| it.strip_suffix(".start").map(str::to_string))
                    {
                        Some(window) if window.ends_with(&format!(", {grid})")) => {
                            format!("{window}.end")
                        }
                        _ => return None,
                    }
                }
            })
        }
        _ => None,
    }
}

/// The gap of a session: a length of time, or an expression that makes the text of one.
fn gap_as_written(gap: &Expr) -> Option<String> {
    match gap {
        // Days are another thing than hours, and there is one way to write each.
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(gap)), _)
            if gap.months == 0 && gap.days == 0 =>
        {
            Some(span(gap.nanoseconds / 1000))
        }
        Expr::ScalarFunction(call) if call.func.name() == "spark_cast" => {
            call.args.first().and_then(|made| text(made).ok())
        }
        other => text(other).ok(),
    }
}

/// As DataFusion prints it, and the names of functions that have something built in: the length of a window, say, is no
/// argument of its function but part of its name.
fn text(expr: &Expr) -> Result<String> {
    // A part that is no expression is a word of the operator's own.
    if let Expr::Literal(ScalarValue::Utf8(Some(word)), _) = expr {
        return Ok(word.clone());
    }
    let expr = &with_windows(expr)?;
    let mut built_in = vec![];
    expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr {
            // A function that insists on arguments has nothing built in.
            let full = call.func.schema_name(&[]).unwrap_or_default();
            let plain = full.is_empty() || full == format!("{}()", call.func.name());
            if !plain && !built_in.contains(&full) {
                built_in.push(full);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(match built_in.is_empty() {
        true => expr.to_string(),
        false => format!("{expr} with {}", built_in.join(", ")),
    })
}
