//! A join's condition, taken apart: equalities to find rows by, filters of one side, and the rest.
//!
//! Filters of a side that the join does not preserve are rows' business before the join, as are NULLs that cannot match:
//! both go below it ([`JoinCondition::below`]), as does what a filter of the other side says of an equal column, and, where they do not touch event time, below the watermark, so that
//! what they drop does not move it. Filters of a preserved side decide whether a row can match at all.
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::{
    common::{Column, DFSchema, JoinType, NullEquality, Result, plan_err},
    logical_expr::{
        Aggregate, Expr, Filter, Join, LogicalPlan, Operator,
        utils::{conjunction, split_conjunction},
    },
    optimizer::{
        OptimizerContext, OptimizerRule, eliminate_outer_join::EliminateOuterJoin,
        push_down_filter::PushDownFilter,
    },
};

use super::{
    semi::{WrittenAs, lowered, subqueries_as_joins},
    terms::required_columns,
};
use crate::{operator::watermark::WatermarkNode, plan::is_streaming, time::event_time::is_session};

/// `left = right`, or `left <=> right`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct JoinKey {
    /// Over the columns of the left input.
    pub left: Expr,
    /// Over the columns of the right input.
    pub right: Expr,
    /// NULL matches NULL.
    pub null_safe: bool,
}

/// The parts of a condition.
#[derive(Debug, Clone, Default)]
pub(super) struct JoinCondition {
    /// Equalities between the sides.
    pub keys: Vec<JoinKey>,
    /// What a left row needs by itself, where the join preserves left rows.
    pub left: Vec<Expr>,
    /// What a right row needs by itself, where the join preserves right rows.
    pub right: Vec<Expr>,
    /// What only a pair can answer.
    pub pair: Vec<Expr>,
    /// What goes below the join.
    below: [Vec<Expr>; 2],
}

/// The side that an expression reads, if it is one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Left,
    Right,
    Both,
    Neither,
}

impl JoinCondition {
    /// The parts of the condition of `join`.
    pub fn of(join: &Join) -> Result<Self> {
        let (left, right) = (join.left.schema(), join.right.schema());
        let mut parts = Self::default();
        let mut required = vec![];
        for (l, r) in &join.on {
            let equal = match join.null_equality {
                NullEquality::NullEqualsNothing => Operator::Eq,
                NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
            };
            let equal = datafusion::logical_expr::binary_expr(l.clone(), equal, r.clone());
            parts.add(&equal, join.join_type, left, right)?;
            required_columns(&equal, &mut required);
        }
        for conjunct in join.filter.iter().flat_map(split_conjunction) {
            parts.add(conjunct, join.join_type, left, right)?;
            required_columns(conjunct, &mut required);
        }
        parts.infer(join)?;
        parts.require(required, join.join_type, left, right);
        Ok(parts)
    }

    fn add(
        &mut self,
        conjunct: &Expr,
        join_type: JoinType,
        left: &DFSchema,
        right: &DFSchema,
    ) -> Result<()> {
        let (keeps_left, keeps_right) = preserved(join_type);
        let place = match reads(conjunct, left, right)? {
            Reads::Left if keeps_left => &mut self.left,
            Reads::Right if keeps_right => &mut self.right,
            Reads::Left => &mut self.below[0],
            Reads::Right => &mut self.below[1],
            Reads::Neither if *conjunct == datafusion::logical_expr::lit(true) => return Ok(()),
            Reads::Neither => &mut self.pair,
            Reads::Both => match key(conjunct, left, right)? {
                Some(key) => {
                    self.keys.push(key);
                    return Ok(());
                }
                None => &mut self.pair,
            },
        };
        place.push(conjunct.clone());
        Ok(())
    }

    /// What a filter says of a key's column holds for the column it equals.
    fn infer(&mut self, join: &Join) -> Result<()> {
        let (left, right) = (join.left.schema(), join.right.schema());
        let known: Vec<Expr> = [&self.left, &self.right]
            .into_iter()
            .chain(&self.below)
            .flatten()
            .cloned()
            .chain(filters_on_top(&join.left))
            .chain(filters_on_top(&join.right))
            .filter(|known| !known.is_volatile())
            .collect();
        let (keeps_left, keeps_right) = preserved(join.join_type);
        for key in self.keys.iter().filter(|key| !key.null_safe) {
            let (Expr::Column(l), Expr::Column(r)) = (&key.left, &key.right) else {
                continue;
            };
            let [of_left, of_right] = &mut self.below;
            let ways = [
                (l, r, keeps_right, Reads::Right, of_right),
                (r, l, keeps_left, Reads::Left, of_left),
            ];
            for (from, to, keeps, side, filters) in ways {
                for filter in known.iter().filter(|_| !keeps) {
                    if !filter.column_refs().contains(from) {
                        continue;
                    }
                    let inferred = replaced(filter, from, to)?;
                    if reads(&inferred, left, right)? == side
                        && !known.contains(&inferred)
                        && !filters.contains(&inferred)
                    {
                        filters.push(inferred);
                    }
                }
            }
        }
        Ok(())
    }

    /// Rows that are NULL where the condition needs a value go where the join does not preserve them.
    fn require(
        &mut self,
        columns: Vec<Column>,
        join_type: JoinType,
        left: &DFSchema,
        right: &DFSchema,
    ) {
        let (keeps_left, keeps_right) = preserved(join_type);
        let keys = |of: fn(&JoinKey) -> &Expr| -> Vec<Expr> {
            let strict = self.keys.iter().filter(|key| !key.null_safe);
            let computed = strict.map(of).filter(|key| !matches!(key, Expr::Column(_)));
            computed.cloned().collect()
        };
        let sides = [
            (left, keeps_left, keys(|key| &key.left)),
            (right, keeps_right, keys(|key| &key.right)),
        ];
        for (filters, (schema, keeps, keys)) in self.below.iter_mut().zip(sides) {
            if keeps {
                continue;
            }
            let nullable = columns.iter().filter(|column| {
                let index = schema.maybe_index_of_column(column);
                index.is_some_and(|index| schema.field(index).is_nullable())
            });
            for value in nullable.cloned().map(Expr::Column).chain(keys) {
                let filter = value.is_not_null();
                if !filters.contains(&filter) {
                    filters.push(filter);
                }
            }
        }
    }

    /// The conjuncts that stay in the join, other than its equalities.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        self.left
            .iter()
            .chain(&self.right)
            .chain(&self.pair)
            .collect()
    }

    /// The inputs of `join`, streams under the filters that go below it.
    pub fn below(&self, join: &Join) -> Result<(LogicalPlan, LogicalPlan)> {
        let filtered = |input: &LogicalPlan, filters: &[Expr]| match conjunction(filters.to_vec()) {
            Some(predicate) if is_streaming(input)? => {
                Filter::try_new(predicate, input.clone().into()).map(LogicalPlan::Filter)
            }
            _ => Ok(input.clone()),
        };
        let [left, right] = &self.below;
        Ok((filtered(&join.left, left)?, filtered(&join.right, right)?))
    }
}

/// Whether rows without a match come out, by side. (A semi join puts out left rows, but only those with a match.)
pub(super) fn preserved(join_type: JoinType) -> (bool, bool) {
    match join_type {
        JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (true, false),
        JoinType::Right | JoinType::RightAnti | JoinType::RightMark => (false, true),
        JoinType::Full => (true, true),
        _ => (false, false),
    }
}

/// The filters at the top of a join's input: over it, and over its watermark.
fn filters_on_top(input: &LogicalPlan) -> Vec<Expr> {
    match input {
        LogicalPlan::Filter(filter) => {
            let own = split_conjunction(&filter.predicate).into_iter().cloned();
            own.chain(filters_on_top(&filter.input)).collect()
        }
        LogicalPlan::Extension(extension) => {
            match extension.node.as_any().downcast_ref::<WatermarkNode>() {
                Some(watermark) => filters_on_top(watermark.input()),
                None => vec![],
            }
        }
        _ => vec![],
    }
}

fn replaced(filter: &Expr, from: &Column, to: &Column) -> Result<Expr> {
    let replaced = filter.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column == *from => Transformed::yes(Expr::Column(to.clone())),
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}

fn reads(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Result<Reads> {
    let mut reads = Reads::Neither;
    for column in expr.column_refs() {
        let one = match (
            left.maybe_index_of_column(column),
            right.maybe_index_of_column(column),
        ) {
            (Some(_), _) => Reads::Left,
            (None, Some(_)) => Reads::Right,
            (None, None) => return plan_err!("no input of the join has a column {column}"),
        };
        reads = match reads {
            Reads::Neither => one,
            reads if reads == one => one,
            _ => Reads::Both,
        };
    }
    // A random number is drawn per pair.
    Ok(if expr.is_volatile() {
        Reads::Both
    } else {
        reads
    })
}

fn key(conjunct: &Expr, left: &DFSchema, right: &DFSchema) -> Result<Option<JoinKey>> {
    let Expr::BinaryExpr(equality) = conjunct else {
        return Ok(None);
    };
    let null_safe = match equality.op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return Ok(None),
    };
    if conjunct.is_volatile() {
        return Ok(None);
    }
    let (one, other) = (equality.left.as_ref(), equality.right.as_ref());
    let sides = (reads(one, left, right)?, reads(other, left, right)?);
    let (left, right) = match sides {
        (Reads::Left, Reads::Right) => (one, other),
        (Reads::Right, Reads::Left) => (other, one),
        _ => return Ok(None),
    };
    Ok(Some(JoinKey {
        left: left.clone(),
        right: right.clone(),
        null_safe,
    }))
}

/// Whether the join is between two streams.
pub(crate) fn joins_streams(join: &Join) -> Result<bool> {
    Ok(is_streaming(&join.left)? && is_streaming(&join.right)?)
}

/// Whether a side of the join is a stream.
fn joins_a_stream(join: &Join) -> Result<bool> {
    Ok(is_streaming(&join.left)? || is_streaming(&join.right)?)
}

/// Puts filters as far down as Spark does, while operators can still be seen through. Above a join they become part of its
/// condition: `WHERE` is where a range often stands, and a filter that wants a match makes an outer join an inner one.
/// What a condition asks of one side goes below the join, and what is asked of a grouping key below the aggregation: from
/// there it gets below the watermark. Semi and anti joins move as `semi.rs` says.
pub(crate) fn gather_conditions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new();
    let gathered = plan.transform_down(|mut plan| {
        if let Some(joins) = subqueries_as_joins(&plan, &context)? {
            plan = joins;
        }
        let filters = filters_an_operator(&plan)?;
        if filters {
            plan = filtered_below(plan, &context)?;
        }
        match plan {
            LogicalPlan::Join(join) if joins_a_stream(&join)? && !join.null_aware => {
                let (left, right) = JoinCondition::of(&join)?.below(&join)?;
                let left = match filters_an_operator(&left)? {
                    true => filtered_below(left, &context)?,
                    false => left,
                };
                let join = Join {
                    left: left.into(),
                    right: right.into(),
                    ..join
                };
                let lowered = lowered(&join, WrittenAs::Join)?;
                Ok(Transformed::yes(lowered.unwrap_or(LogicalPlan::Join(join))))
            }
            plan => Ok(Transformed::new_transformed(plan, filters)),
        }
    })?;
    Ok(gathered.data)
}

/// A filter of a join or an aggregation, on the way down.
fn filtered_below(plan: LogicalPlan, context: &OptimizerContext) -> Result<LogicalPlan> {
    let plan = EliminateOuterJoin::new().rewrite(plan, context)?.data;
    Ok(PushDownFilter::new().rewrite(plan, context)?.data)
}

/// Whether the plan is a filter with a join or an aggregation of streams right below it, or below projections.
fn filters_an_operator(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Filter(filter) = plan else {
        return Ok(false);
    };
    let mut below = filter.input.as_ref();
    loop {
        below = match below {
            LogicalPlan::Join(join) => return joins_a_stream(join),
            LogicalPlan::Aggregate(aggregate) => return filters_groups(filter, aggregate),
            // A random number is drawn per group.
            LogicalPlan::Filter(filter) if filter.predicate.is_volatile() => return Ok(false),
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return Ok(false),
        };
    }
}

/// Whether what a filter says of a streaming aggregation's groups may be asked of its rows: without rows a global aggregate is
/// a group all the same, and a session is not known before its rows are.
fn filters_groups(filter: &Filter, aggregate: &Aggregate) -> Result<bool> {
    let sessions = filter.predicate.column_refs().into_iter().any(|column| {
        let index = aggregate.schema.maybe_index_of_column(column);
        index.is_some_and(|index| is_session(aggregate.schema.field(index)))
    });
    let asked = !filter.predicate.is_volatile() && !sessions && !aggregate.group_expr.is_empty();
    Ok(asked && is_streaming(&aggregate.input)?)
}
