//! What the condition of a join says about the times of the two sides.
//!
//! A predicate *bounds* side A by side B if, once B's watermark stands at some time, it can be true for no row of A before
//! another time: `rt < lt + 5 minutes`, say, for A with `lt` and B with the event time `rt`. It must be a comparison with
//! one column of A on the greater side, and nothing else but event times of B and constant lengths of time; months are
//! no length of time.
use datafusion::{
    common::{Result, ScalarValue, tree_node::TreeNode},
    logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator, utils::split_conjunction},
};

use crate::time::event_time::is_event_time;

/// Pairs that must be equal: the join's keys, and equalities in its filter.
pub(super) fn equalities(join: &Join) -> Vec<(Expr, Expr)> {
    let mut found = join.on.clone();
    for predicate in predicates(join) {
        if let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::IsNotDistinctFrom,
            right,
        }) = predicate
            && across(join, left, right)
        {
            found.push((left.as_ref().clone(), right.as_ref().clone()));
        }
    }
    found
}

fn predicates(join: &Join) -> Vec<&Expr> {
    join.filter.as_ref().map_or(vec![], split_conjunction)
}

/// Whether one expression is of one side and the other of the other.
fn across(join: &Join, a: &Expr, b: &Expr) -> bool {
    let of = |expr: &Expr, side: &LogicalPlan| {
        let columns = expr.column_refs();
        !columns.is_empty()
            && columns
                .iter()
                .all(|column| side.schema().has_column(column))
    };
    let (left, right) = (join.left.as_ref(), join.right.as_ref());
    (of(a, left) && of(b, right)) || (of(a, right) && of(b, left))
}

/// Whether the condition bounds `side` by the watermark of `other`.
pub(super) fn bounds(join: &Join, side: &LogicalPlan, other: &LogicalPlan) -> Result<bool> {
    for predicate in predicates(join) {
        // BETWEEN says two things.
        let comparisons: Vec<(&Expr, &Expr)> = match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Lt | Operator::LtEq => vec![(left, right)],
                Operator::Gt | Operator::GtEq => vec![(right, left)],
                _ => vec![],
            },
            Expr::Between(between) if !between.negated => vec![
                (&between.low, &between.expr),
                (&between.expr, &between.high),
            ],
            _ => vec![],
        };
        for (less, more) in comparisons {
            if bounded(less, more, side, other)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether `less < more` keeps the one column of `side` above event times of `other`.
fn bounded(less: &Expr, more: &Expr, side: &LogicalPlan, other: &LogicalPlan) -> Result<bool> {
    let mut terms = Terms {
        side,
        other,
        of_side: vec![],
        understood: true,
    };
    terms.collect(more, false)?;
    let on_greater_side = terms.of_side.len();
    terms.collect(less, true)?;
    Ok(terms.understood && on_greater_side == 1 && terms.of_side == [false])
}

/// The terms of a sum.
struct Terms<'a> {
    side: &'a LogicalPlan,
    other: &'a LogicalPlan,
    /// For each column of `side`, whether it is taken away.
    of_side: Vec<bool>,
    understood: bool,
}

impl Terms<'_> {
    fn collect(&mut self, expr: &Expr, negative: bool) -> Result<()> {
        match expr {
            Expr::Alias(alias) => self.collect(&alias.expr, negative)?,
            Expr::Cast(cast) => self.collect(&cast.expr, negative)?,
            Expr::Negative(inner) => self.collect(inner, !negative)?,
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Plus | Operator::Minus,
                right,
            }) => {
                let minus = matches!(expr, Expr::BinaryExpr(e) if e.op == Operator::Minus);
                self.collect(left, negative)?;
                self.collect(right, negative != minus)?;
            }
            Expr::Column(column) => {
                if self.side.schema().has_column(column) {
                    self.of_side.push(negative);
                } else {
                    self.understood &= is_event_time(self.other.schema(), column);
                }
            }
            Expr::Literal(value, _) => self.understood &= is_length(value),
            Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
                // The front end's spelling of time plus length, sums, differences and casts.
                ("time_add" | "interval_add" | "+" | "add", [time, length]) => {
                    self.collect(time, negative)?;
                    self.collect(length, negative)?;
                }
                ("-" | "subtract", [left, right]) => {
                    self.collect(left, negative)?;
                    self.collect(right, !negative)?;
                }
                ("negative" | "negate", [inner]) => self.collect(inner, !negative)?,
                (_, [inner]) if call.func.name().contains("cast") => {
                    self.collect(inner, negative)?;
                }
                _ => self.understood &= is_constant(expr)?,
            },
            _ => self.understood &= is_constant(expr)?,
        }
        Ok(())
    }
}

fn is_constant(expr: &Expr) -> Result<bool> {
    Ok(!expr.exists(|expr| Ok(matches!(expr, Expr::Column(_))))?)
}

/// A number, a time or a length of time without months.
fn is_length(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalYearMonth(_) => false,
        ScalarValue::IntervalMonthDayNano(Some(length)) => length.months == 0,
        value => !value.is_null(),
    }
}
