//! Semi and anti joins go down, as filters do.
//!
//! Such a join only says which of its left rows stay. Spark moves it to where these come from, and it shows: a row that it
//! takes away there is not late further up, and is in nobody's state. It goes
//!
//! - below projections that only rename or compute from what an aggregation puts out, and into every branch of a union;
//! - to one side of a join, if it asks about that side only and the join preserves it;
//! - below an aggregation, if it asks about grouping keys only. Spark does that where the right side is small enough to be
//!   sent everywhere, which it decides by bytes and per batch. Here files, rows of the program and what is made of them
//!   without a join count as small, all other streams do not.
//!
//! `IN` and `EXISTS` are filters until Spark has moved its filters. So they go below computed columns as well, below any
//! aggregation, and below a watermark if they do not ask about event time; then what they drop does not move it.
use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{
        Column, JoinType, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Aggregate, Expr, Extension, Filter, Join, LogicalPlan, Projection, Union,
        utils::{conjunction, split_conjunction},
    },
    optimizer::{
        OptimizerConfig, OptimizerRule,
        decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
    },
};

use crate::{
    operator::watermark::WatermarkNode, plan::is_streaming, source::StreamTable,
    time::event_time::is_session,
};

/// Formats of streams whose batches Spark can tell the size of.
const FILES: [&str; 5] = ["csv", "json", "orc", "parquet", "text"];

/// What a join was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenAs {
    /// A join.
    Join,
    /// A filter with a subquery.
    Filter,
}

/// A filter of a stream with `IN` or `EXISTS`, as joins at their places; `None` if `plan` is none.
pub(super) fn subqueries_as_joins(
    plan: &LogicalPlan,
    context: &dyn OptimizerConfig,
) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = plan else {
        return Ok(None);
    };
    let subquery = |expr: &Expr| Ok(matches!(expr, Expr::InSubquery(_) | Expr::Exists(_)));
    if !filter.predicate.exists(subquery)? || !is_streaming(&filter.input)? {
        return Ok(None);
    }
    let joined = DecorrelatePredicateSubquery::new().rewrite(plan.clone(), context)?;
    joined
        .transformed
        .then(|| at_their_places(joined.data))
        .transpose()
}

/// Puts the joins at the top of what a filter has turned into where they belong, the lowest first.
fn at_their_places(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => {
            let input = at_their_places(filter.input.as_ref().clone())?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(input))?)
        }
        LogicalPlan::Join(join) if is_subquery(&join.right) => {
            let left = at_their_places(join.left.as_ref().clone())?;
            let join = Join {
                left: Arc::new(left),
                ..join
            };
            lowered(&join, WrittenAs::Filter)?.unwrap_or(LogicalPlan::Join(join))
        }
        plan => plan,
    })
}

/// Whether the rule that makes joins of subqueries has made this plan: it names them so.
fn is_subquery(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(named) => named.alias.table().starts_with("__correlated_sq"),
        _ => false,
    }
}

/// The plan in which the join stands as far down as it gets; `None` if it stays where it is, or is no semi or anti join.
pub(super) fn lowered(join: &Join, written_as: WrittenAs) -> Result<Option<LogicalPlan>> {
    let filters_left = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    if !filters_left || asks_a_random_number(join) || !is_streaming(&join.left)? {
        return Ok(None);
    }
    // Whether a filter goes somewhere is asked of all that it reads.
    if written_as == WrittenAs::Join
        && let Some(join) = without_own_filters(join)?
    {
        return lowered(&join, written_as);
    }
    match join.left.as_ref() {
        LogicalPlan::Filter(filter) if !filter.predicate.is_volatile() => {
            below_filter(join, filter, written_as)
        }
        LogicalPlan::Projection(below) => below_projection(join, below, written_as),
        LogicalPlan::Union(below) => into_branches(join, below, written_as).map(Some),
        LogicalPlan::Join(below) => to_one_side(join, below, written_as),
        LogicalPlan::Aggregate(below) => below_aggregation(join, below, written_as),
        LogicalPlan::Extension(Extension { node }) => {
            match (node.as_any().downcast_ref(), written_as) {
                (Some(watermark), WrittenAs::Filter) => below_watermark(join, watermark),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The plan of a join that has got somewhere, there or further down.
fn placed(join: Join, written_as: WrittenAs) -> Result<Arc<LogicalPlan>> {
    let further = lowered(&join, written_as)?;
    Ok(Arc::new(further.unwrap_or(LogicalPlan::Join(join))))
}

/// Passing a filter is no progress by itself.
fn below_filter(
    join: &Join,
    filter: &Filter,
    written_as: WrittenAs,
) -> Result<Option<LogicalPlan>> {
    let join = over(join, Arc::clone(&filter.input), &HashMap::new())?;
    let Some(input) = lowered(&join, written_as)? else {
        return Ok(None);
    };
    Filter::try_new(filter.predicate.clone(), Arc::new(input))
        .map(|filter| Some(LogicalPlan::Filter(filter)))
}

fn below_projection(
    join: &Join,
    below: &Projection,
    written_as: WrittenAs,
) -> Result<Option<LogicalPlan>> {
    let renames = |expr: &Expr| matches!(without_names(expr), Expr::Column(_));
    if below.expr.iter().any(Expr::is_volatile) {
        return Ok(None);
    }
    let computed = below.expr.iter().map(without_names).cloned();
    let origins = below.schema.columns().into_iter().zip(computed).collect();
    let join = over(join, Arc::clone(&below.input), &origins)?;
    let input = if written_as == WrittenAs::Filter || below.expr.iter().all(renames) {
        placed(join, written_as)?
    } else if computes_from_groups(&below.input) {
        match lowered(&join, written_as)? {
            Some(input) => Arc::new(input),
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    Projection::try_new_with_schema(below.expr.clone(), input, Arc::clone(&below.schema))
        .map(|below| Some(LogicalPlan::Projection(below)))
}

/// Whether a projection of this plan is one of groups. Spark has it compute in the aggregation, which is no obstacle.
fn computes_from_groups(input: &LogicalPlan) -> bool {
    match input {
        LogicalPlan::Projection(below) => computes_from_groups(&below.input),
        LogicalPlan::Aggregate(_) => true,
        _ => false,
    }
}

fn into_branches(join: &Join, below: &Union, written_as: WrittenAs) -> Result<LogicalPlan> {
    let branches = below.inputs.iter().map(|branch| {
        let columns = branch.schema().columns().into_iter().map(Expr::Column);
        let origins = below.schema.columns().into_iter().zip(columns).collect();
        placed(over(join, Arc::clone(branch), &origins)?, written_as)
    });
    Ok(LogicalPlan::Union(Union {
        inputs: branches.collect::<Result<_>>()?,
        schema: Arc::clone(&below.schema),
    }))
}

fn to_one_side(join: &Join, below: &Join, written_as: WrittenAs) -> Result<Option<LogicalPlan>> {
    let asked = asked_of_left(join);
    let of = |side: &LogicalPlan| asked.iter().all(|column| side.schema().has_column(column));
    let filtered = written_as == WrittenAs::Filter;
    let (left, right) = match below.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left => (true, false),
        JoinType::Right => (false, true),
        JoinType::LeftSemi | JoinType::LeftAnti => (filtered, false),
        _ => (false, false),
    };
    let side = |side: &Arc<LogicalPlan>| {
        placed(over(join, Arc::clone(side), &HashMap::new())?, written_as)
    };
    let mut moved = below.clone();
    if left && of(&below.left) {
        moved.left = side(&below.left)?;
    } else if right && of(&below.right) {
        moved.right = side(&below.right)?;
    } else {
        return Ok(None);
    }
    Ok(Some(LogicalPlan::Join(moved)))
}

fn below_aggregation(
    join: &Join,
    below: &Aggregate,
    written_as: WrittenAs,
) -> Result<Option<LogicalPlan>> {
    let sets = below
        .group_expr
        .iter()
        .any(|key| matches!(key, Expr::GroupingSet(_)));
    if sets || (written_as == WrittenAs::Join && !is_small(&join.right)?) {
        return Ok(None);
    }
    let keys = below.group_expr.iter().map(without_names).cloned();
    let origins: HashMap<Column, Expr> = below.schema.columns().into_iter().zip(keys).collect();
    let session = |column: &Column| {
        let index = below.schema.maybe_index_of_column(column);
        index.is_some_and(|index| is_session(below.schema.field(index)))
    };
    let asked = asked_of_left(join);
    // Without a key a global aggregate has a group all the same, and a session is not known before its rows are.
    let of_keys = |column: &Column| origins.contains_key(column) && !session(column);
    if below.group_expr.is_empty() || !asked.iter().all(of_keys) {
        return Ok(None);
    }
    let input = placed(over(join, Arc::clone(&below.input), &origins)?, written_as)?;
    let (keys, aggregates) = (below.group_expr.clone(), below.aggr_expr.clone());
    Aggregate::try_new_with_schema(input, keys, aggregates, Arc::clone(&below.schema))
        .map(|below| Some(LogicalPlan::Aggregate(below)))
}

fn below_watermark(join: &Join, watermark: &WatermarkNode) -> Result<Option<LogicalPlan>> {
    if asked_of_left(join).contains(watermark.event_time()) {
        return Ok(None);
    }
    let join = over(join, Arc::new(watermark.input().clone()), &HashMap::new())?;
    let input = placed(join, WrittenAs::Filter)?.as_ref().clone();
    let node = watermark.over(input, watermark.event_time().clone())?;
    Ok(Some(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    })))
}

/// The join over another left input, in which `origins` tells what columns of the old one were; others have kept their names.
fn over(join: &Join, left: Arc<LogicalPlan>, origins: &HashMap<Column, Expr>) -> Result<Join> {
    let of_left = |column: &Column| join.left.schema().has_column(column);
    let moved = |expr: &Expr| -> Result<Expr> {
        let moved = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) if of_left(column) => match origins.get(column) {
                    Some(origin) => Transformed::new(origin.clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        })?;
        Ok(moved.data)
    };
    let on = join.on.iter();
    let on = on.map(|(left, right)| Ok((moved(left)?, right.clone())));
    Join::try_new(
        left,
        Arc::clone(&join.right),
        on.collect::<Result<_>>()?,
        join.filter.as_ref().map(moved).transpose()?,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}

/// What a semi join asks of left rows alone is a filter of theirs; `None` if there is nothing of that.
fn without_own_filters(join: &Join) -> Result<Option<Join>> {
    let Some(condition) = join
        .filter
        .as_ref()
        .filter(|_| join.join_type == JoinType::LeftSemi)
    else {
        return Ok(None);
    };
    let own = |conjunct: &&Expr| {
        let columns = conjunct.column_refs();
        !columns.is_empty()
            && columns
                .into_iter()
                .all(|column| join.left.schema().has_column(column))
    };
    let (own, rest): (Vec<&Expr>, Vec<&Expr>) =
        split_conjunction(condition).into_iter().partition(own);
    let Some(own) = conjunction(own.into_iter().cloned()) else {
        return Ok(None);
    };
    Ok(Some(Join {
        left: Arc::new(LogicalPlan::Filter(Filter::try_new(
            own,
            Arc::clone(&join.left),
        )?)),
        filter: conjunction(rest.into_iter().cloned()),
        ..join.clone()
    }))
}

/// The left columns that the condition reads.
fn asked_of_left(join: &Join) -> Vec<Column> {
    let keys = join.on.iter().map(|(left, _)| left);
    let read = keys.chain(&join.filter).flat_map(Expr::column_refs);
    read.filter(|column| join.left.schema().has_column(column))
        .cloned()
        .collect()
}

fn asks_a_random_number(join: &Join) -> bool {
    let keys = join.on.iter().flat_map(|(left, right)| [left, right]);
    keys.chain(&join.filter).any(Expr::is_volatile)
}

/// Whether Spark would send the rows of the plan everywhere.
fn is_small(plan: &LogicalPlan) -> Result<bool> {
    let large = plan.exists(|plan| {
        Ok(match plan {
            LogicalPlan::Join(_) => true,
            LogicalPlan::TableScan(scan) => StreamTable::of(&scan.source)
                .is_some_and(|stream| !FILES.contains(&stream.definition().format())),
            _ => false,
        })
    })?;
    Ok(!large)
}

fn without_names(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_names(&alias.expr),
        expr => expr,
    }
}
