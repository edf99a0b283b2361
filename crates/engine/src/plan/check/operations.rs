//! Step 2: whether each node is supported, from the sources up.
use datafusion::{
    common::{Result, tree_node::TreeNode},
    logical_expr::{Expr, Extension, LogicalPlan},
};

use super::{
    UnsupportedOperation as No, Verdict, is_streaming, joins,
    modes::{aggregates, inputs_of},
};
use crate::{
    operator::deduplicate::DeduplicateNode,
    plan::{
        OutputMode,
        operation::{Operation, operation_of},
    },
    time::event_time::delay_ms,
};

/// Functions whose value depends on where in a table a row stands.
const POSITIONAL: [&str; 1] = ["monotonically_increasing_id"];

pub(super) fn check(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    for input in inputs_of(plan) {
        if let Err(objection) = check(input, mode)? {
            return Ok(Err(objection));
        }
    }
    if !is_streaming(plan)? {
        return Ok(Ok(()));
    }
    if let Err(objection) = node(plan, mode)? {
        return Ok(Err(objection));
    }
    expressions(plan)
}

/// One node whose children have passed; at least one of them is a stream.
fn node(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    if let Some((operation, operands)) = operation_of(plan) {
        return marked(operation, &operands);
    }
    Ok(match plan {
        LogicalPlan::Aggregate(aggregate) if has_distinct(&aggregate.aggr_expr)? => {
            Err(No::DistinctAggregation)
        }
        LogicalPlan::Sort(sort) if mode != OutputMode::Complete || !aggregates(&sort.input)? => {
            Err(No::Sort)
        }
        LogicalPlan::Limit(limit) if limit.skip.is_some() => Err(No::Offset),
        LogicalPlan::Limit(_) if mode == OutputMode::Update => Err(No::LimitInUpdateMode),
        LogicalPlan::Union(union) => {
            let mut streams = 0;
            for input in &union.inputs {
                streams += usize::from(is_streaming(input)?);
            }
            if streams < union.inputs.len() {
                Err(No::UnionWithBatch)
            } else {
                Ok(())
            }
        }
        LogicalPlan::Join(join) => return joins::check(join, mode),
        LogicalPlan::Extension(Extension { node }) => {
            match node.as_any().downcast_ref::<DeduplicateNode>() {
                Some(duplicates) if never_forgets(duplicates) => {
                    Err(No::DuplicatesWithinNoWatermark)
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    })
}

/// The first operator with state that Spark names when it refuses an encoding of state, from the sink down.
pub(super) fn first_with_state(plan: &LogicalPlan) -> Result<Option<&'static str>> {
    let own = match plan {
        LogicalPlan::Aggregate(_) if is_streaming(plan)? => Some("aggregation"),
        LogicalPlan::Join(join) if is_streaming(&join.left)? && is_streaming(&join.right)? => {
            Some("join")
        }
        LogicalPlan::Extension(Extension { node }) if is_streaming(plan)? => {
            let duplicates = node.as_any().downcast_ref::<DeduplicateNode>();
            duplicates.map(|duplicates| match duplicates.within_watermark() {
                true => "dropDuplicatesWithinWatermark",
                false => "dropDuplicates",
            })
        }
        _ => None,
    };
    if own.is_some() {
        return Ok(own);
    }
    for input in inputs_of(plan) {
        if let Some(operator) = first_with_state(input)? {
            return Ok(Some(operator));
        }
    }
    Ok(None)
}

/// Whether duplicates are to be forgotten by event time, and there is none.
fn never_forgets(duplicates: &DeduplicateNode) -> bool {
    let mut columns = duplicates.input().schema().fields().iter();
    duplicates.within_watermark() && columns.all(|column| delay_ms(column).is_none())
}

/// An operation that the front end has written as other nodes.
fn marked(operation: &Operation, operands: &[&LogicalPlan]) -> Result<Verdict> {
    Ok(Err(match operation {
        Operation::Sample => No::Sample,
        Operation::Intersect => No::Intersect,
        Operation::Except => match operands.get(1) {
            Some(right) if is_streaming(right)? => No::Except,
            _ => return Ok(Ok(())),
        },
        Operation::AnalyticFunctions {
            functions,
            columns,
            specifications,
        } => No::NonTimeWindow {
            windows: functions.clone(),
            columns: columns.clone(),
            specifications: specifications.clone(),
        },
    }))
}

fn has_distinct(calls: &[Expr]) -> Result<bool> {
    for call in calls {
        if call.exists(|expr| {
            Ok(matches!(expr, Expr::AggregateFunction(call) if call.params.distinct))
        })? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn expressions(plan: &LogicalPlan) -> Result<Verdict> {
    let mut found: Vec<String> = vec![];
    for expr in plan.expressions() {
        expr.exists(|expr| {
            if let Expr::ScalarFunction(call) = expr
                && POSITIONAL.contains(&call.func.name())
            {
                let call = format!("{}()", call.func.name());
                if !found.contains(&call) {
                    found.push(call);
                }
            }
            Ok(false)
        })?;
    }
    Ok(if found.is_empty() {
        Ok(())
    } else {
        Err(No::Expressions {
            expressions: found.join(", "),
        })
    })
}
