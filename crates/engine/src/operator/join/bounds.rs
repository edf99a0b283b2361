//! How long a join must keep its rows: state watermarks, solved from the join's condition.
//!
//! A buffered row may go when no row that is still to come can match it. Two shapes of condition say when:
//!
//! * **a key that carries event time** (`left.window = right.window`): rows of either side whose key is at or below
//!   the watermark. It is enough that one side's column is tagged: rows of the other side have the same key or no match.
//! * **a range between the two event times** (`rt BETWEEN lt AND lt + INTERVAL 5 MINUTES`): what is to come on the
//!   right is above the watermark W, so `rt <= lt + 5 min` can only hold for `lt > W - 5 min - 1 ms`. Every `<`, `<=`, `>`,
//!   `>=` that bounds a side from below gives one such limit; the lowest counts.
//!
//! Both are Spark's rules (`StreamingJoinHelper.getStateValueWatermark`), to the millisecond: a strict comparison evicts at
//! the limit, a non-strict one a millisecond below it. As in Spark the limit is applied to the side's tagged column, and
//! a comparison with a number limits, too, where it stays in the condition: that of a side which the join preserves.
use arrow::datatypes::Field;
use datafusion::{
    common::{Column, DFSchema, JoinType, Result},
    logical_expr::{Expr, Join, Operator},
};

use super::{
    condition::JoinCondition,
    terms::{self, SignedTerm, Term},
};
use crate::time::event_time::delay_ms;

/// What bounds the state of a join.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StateBounds {
    /// The first key that carries event time on either side.
    pub key: Option<usize>,
    /// How far the condition lets buffered left rows be behind the watermark of the right side.
    pub left_range: Option<RangeBound>,
    /// How far the condition lets buffered right rows be behind the watermark of the left side.
    pub right_range: Option<RangeBound>,
    left_tagged: bool,
    right_tagged: bool,
}

/// When a row of one side may go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SideBound {
    /// Its key of this number is at or below the watermark.
    Key(usize),
    /// Its event time is at or below this.
    EventTime(RangeBound),
}

/// A state watermark as a function of the watermark: the lowest of its limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangeBound {
    limits: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Limit {
    /// A comparison with a constant does not move.
    follows_watermark: bool,
    offset_us: i64,
    /// The row at the limit can still match.
    inclusive: bool,
}

impl Limit {
    fn at(&self, watermark_ms: i64) -> i64 {
        let base_us = match self.follows_watermark {
            true => watermark_ms.saturating_mul(1000),
            false => 0,
        };
        let limit_ms = base_us.saturating_add(self.offset_us) / 1000;
        limit_ms.saturating_sub(i64::from(self.inclusive))
    }
}

impl RangeBound {
    /// The state watermark, in milliseconds, when the watermark is `watermark_ms`.
    pub fn at(&self, watermark_ms: i64) -> i64 {
        let limits = self.limits.iter().map(|limit| limit.at(watermark_ms));
        limits.min().unwrap_or(i64::MIN)
    }

    /// What it stays below, whatever the watermark is, in milliseconds.
    fn at_most_ms(&self) -> Option<i64> {
        let fixed = self.limits.iter().filter(|limit| !limit.follows_watermark);
        fixed.map(|limit| limit.at(0)).min()
    }

    /// By how much it stays behind the watermark, in milliseconds; negative if it runs ahead.
    fn held_back_ms(&self) -> i64 {
        // Far from the epoch, so that the division rounds as it does in our days.
        const SOME_DAY_MS: i64 = 1 << 40;
        let moving = self.limits.iter().filter(|limit| limit.follows_watermark);
        let lowest = moving.map(|limit| limit.at(SOME_DAY_MS)).min();
        SOME_DAY_MS.saturating_sub(lowest.unwrap_or(SOME_DAY_MS))
    }
}

impl StateBounds {
    /// When left rows may go.
    pub fn left(&self) -> Option<SideBound> {
        self.side(self.left_tagged, &self.left_range)
    }

    /// When right rows may go.
    pub fn right(&self) -> Option<SideBound> {
        self.side(self.right_tagged, &self.right_range)
    }

    fn side(&self, tagged: bool, range: &Option<RangeBound>) -> Option<SideBound> {
        match (self.key, range) {
            (Some(key), _) => Some(SideBound::Key(key)),
            (None, Some(range)) if tagged => Some(SideBound::EventTime(range.clone())),
            _ => None,
        }
    }

    /// Whether a moved watermark evicts anything.
    pub fn is_bounded(&self) -> bool {
        self.left().is_some() || self.right().is_some()
    }

    /// Whether a join of this type can ever say that a row has found no match; an inner join need not.
    pub fn permits(&self, join_type: JoinType) -> bool {
        self.key.is_some()
            || match join_type {
                JoinType::Inner => true,
                JoinType::Left | JoinType::LeftSemi => self.left_range.is_some(),
                JoinType::Right => self.right_range.is_some(),
                JoinType::Full => self.left_range.is_some() || self.right_range.is_some(),
                _ => false,
            }
    }

    /// By how much rows that leave the join may be older than its watermark, in milliseconds.
    pub fn held_back_ms(&self) -> i64 {
        [self.left(), self.right()]
            .into_iter()
            .flatten()
            .map(|bound| match bound {
                SideBound::Key(_) => 0,
                SideBound::EventTime(range) => range.held_back_ms(),
            })
            .fold(0, i64::max)
    }

    /// What the watermark of rows that leave the join never passes, in milliseconds: comparisons with constants.
    pub fn at_most_ms(&self) -> Option<i64> {
        let ranges = [self.left(), self.right()].into_iter().flatten();
        let limits = ranges.filter_map(|bound| match bound {
            SideBound::Key(_) => None,
            SideBound::EventTime(range) => range.at_most_ms(),
        });
        limits.min()
    }
}

/// What the condition of a join between two streams says about its state.
///
/// # Errors
/// A condition that refers to columns that are in neither input.
pub fn bounds(join: &Join) -> Result<StateBounds> {
    let condition = JoinCondition::of(join)?;
    of_condition(&condition, join.left.schema(), join.right.schema())
}

/// As [`bounds`], of a condition that is taken apart already.
pub(super) fn of_condition(
    condition: &JoinCondition,
    left: &DFSchema,
    right: &DFSchema,
) -> Result<StateBounds> {
    let schema = left.join(right)?;
    let comparisons = condition.conjuncts();
    let tagged = |side: &DFSchema| side.fields().iter().any(|field| delay_ms(field).is_some());
    let (left_tagged, right_tagged) = (tagged(left), tagged(right));
    Ok(StateBounds {
        key: event_time_key(condition, left, right),
        left_range: right_tagged
            .then(|| range_bound(&comparisons, left, right, &schema))
            .flatten(),
        right_range: left_tagged
            .then(|| range_bound(&comparisons, right, left, &schema))
            .flatten(),
        left_tagged,
        right_tagged,
    })
}

/// The first left key, else the first right key, that is a tagged column.
fn event_time_key(condition: &JoinCondition, left: &DFSchema, right: &DFSchema) -> Option<usize> {
    let is_tagged = |expr: &Expr, side: &DFSchema| match expr {
        Expr::Column(column) => field(side, column).is_some_and(|field| delay_ms(field).is_some()),
        _ => false,
    };
    let keys = &condition.keys;
    let first_left = keys.iter().position(|key| is_tagged(&key.left, left));
    first_left.or_else(|| keys.iter().position(|key| is_tagged(&key.right, right)))
}

fn field<'a>(schema: &'a DFSchema, column: &Column) -> Option<&'a Field> {
    let index = schema.maybe_index_of_column(column)?;
    Some(schema.field(index).as_ref())
}

/// The limits that the comparisons set to rows of `side`, whose matches of the `other` side are above the watermark.
fn range_bound(
    comparisons: &[&Expr],
    side: &DFSchema,
    other: &DFSchema,
    schema: &DFSchema,
) -> Option<RangeBound> {
    let limits: Vec<_> = comparisons
        .iter()
        .filter_map(|comparison| limit(comparison, side, other, schema))
        .collect();
    (!limits.is_empty()).then_some(RangeBound { limits })
}

fn limit(comparison: &Expr, side: &DFSchema, other: &DFSchema, schema: &DFSchema) -> Option<Limit> {
    let (low, high, inclusive) = ordered(comparison, false)?;
    let terms = terms::difference(low, high, schema)?;
    let (own, rest): (Vec<_>, Vec<_>) = terms.iter().partition(|term| {
        columns(term)
            .iter()
            .any(|column| field(side, column).is_some())
    });
    // low - high < 0 bounds from below what stands in it with a minus.
    let [
        SignedTerm {
            negated: true,
            term: Term::Column(_),
        },
    ] = own.as_slice()
    else {
        return None;
    };
    let mut offset_us = 0.0;
    let mut follows_watermark = false;
    for SignedTerm { negated, term } in rest {
        match term {
            Term::Constant(micros) => offset_us += if *negated { -micros } else { *micros },
            Term::Column(column)
                if !negated
                    && !follows_watermark
                    && field(other, column).is_some_and(|field| delay_ms(field).is_some()) =>
            {
                follows_watermark = true;
            }
            _ => return None,
        }
    }
    Some(Limit {
        follows_watermark,
        offset_us: offset_us as i64,
        inclusive,
    })
}

fn columns(term: &SignedTerm) -> &[Column] {
    match &term.term {
        Term::Column(column) => std::slice::from_ref(column),
        Term::Other(columns) => columns,
        Term::Constant(_) => &[],
    }
}

/// The lower and the higher operand of a comparison, and whether they may be equal.
fn ordered(comparison: &Expr, negated: bool) -> Option<(&Expr, &Expr, bool)> {
    match comparison {
        Expr::Not(inner) => ordered(inner, !negated),
        Expr::BinaryExpr(binary) => {
            let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
            match (binary.op, negated) {
                (Operator::Lt, false) | (Operator::GtEq, true) => Some((left, right, false)),
                (Operator::LtEq, false) | (Operator::Gt, true) => Some((left, right, true)),
                (Operator::Gt, false) | (Operator::LtEq, true) => Some((right, left, false)),
                (Operator::GtEq, false) | (Operator::Lt, true) => Some((right, left, true)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, TimeUnit};
    use datafusion::logical_expr::{
        LogicalPlan, LogicalPlanBuilder, col, lit, logical_plan::builder::LogicalTableSource,
    };

    use super::*;
    use crate::time::event_time::DELAY_KEY;

    fn side(prefix: &str, tagged: bool) -> LogicalPlan {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut time = Field::new(format!("{prefix}t"), instant, true);
        if tagged {
            time = time.with_metadata([(DELAY_KEY.to_string(), "0".to_string())].into());
        }
        let id = Field::new(format!("{prefix}id"), DataType::Int64, true);
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![time, id]));
        let source = Arc::new(LogicalTableSource::new(schema));
        LogicalPlanBuilder::scan(prefix, source, None)
            .unwrap()
            .build()
            .unwrap()
    }

    fn bounds_of(condition: Expr, tagged: [bool; 2], join_type: JoinType) -> StateBounds {
        let plan = LogicalPlanBuilder::from(side("l", tagged[0]))
            .join_on(side("r", tagged[1]), join_type, [condition])
            .unwrap()
            .build()
            .unwrap();
        let LogicalPlan::Join(join) = plan else {
            panic!("not a join")
        };
        bounds(&join).unwrap()
    }

    const W: i64 = 1_700_000_000_000;

    fn limits(condition: Expr, tagged: [bool; 2]) -> [Option<i64>; 2] {
        let bounds = bounds_of(condition, tagged, JoinType::Inner);
        [bounds.left(), bounds.right()].map(|bound| match bound? {
            SideBound::EventTime(range) => Some(range.at(W) - W),
            SideBound::Key(_) => None,
        })
    }

    #[test]
    fn a_strict_comparison_evicts_at_the_watermark_and_another_a_millisecond_below() {
        let both = [true, true];
        assert_eq!(limits(col("lt").gt(col("rt")), both), [Some(0), None]);
        assert_eq!(limits(col("lt").gt_eq(col("rt")), both), [Some(-1), None]);
        assert_eq!(limits(col("lt").lt(col("rt")), both), [None, Some(0)]);
        let negated = datafusion::logical_expr::not(col("lt").lt(col("rt")));
        assert_eq!(limits(negated, both), [Some(-1), None]);
    }

    #[test]
    fn a_comparison_with_a_number_is_a_limit_that_does_not_move() {
        let range = || col("lt").gt(col("rt"));
        let outer = |condition: Expr| bounds_of(condition, [true, true], JoinType::Left);
        assert_eq!(outer(range()).at_most_ms(), None);
        let held = outer(range().and(col("lid").gt_eq(lit(3_i64))));
        assert_eq!(held.at_most_ms(), Some(2_999));
        // What the join does not preserve is a filter below it.
        let filtered = bounds_of(
            range().and(col("lid").gt(lit(3_i64))),
            [true, true],
            JoinType::Inner,
        );
        assert_eq!(filtered.at_most_ms(), None);
    }

    #[test]
    fn a_side_is_bounded_only_if_both_event_times_are_known() {
        let condition = || col("lt").gt(col("rt"));
        assert_eq!(limits(condition(), [true, false]), [None, None]);
        assert_eq!(limits(condition(), [false, true]), [None, None]);
    }

    #[test]
    fn a_tagged_key_bounds_both_sides_and_holds_nothing_back() {
        for tagged in [[true, false], [false, true]] {
            let bounds = bounds_of(col("lt").eq(col("rt")), tagged, JoinType::Full);
            assert_eq!(bounds.left(), Some(SideBound::Key(0)));
            assert_eq!(bounds.right(), Some(SideBound::Key(0)));
            assert_eq!(bounds.held_back_ms(), 0);
            assert!(bounds.permits(JoinType::Full));
        }
    }

    #[test]
    fn an_outer_join_wants_a_bound_on_the_side_it_preserves() {
        let bounds = bounds_of(col("lt").gt(col("rt")), [true, true], JoinType::Left);
        assert!(bounds.permits(JoinType::Left) && bounds.permits(JoinType::Full));
        assert!(!bounds.permits(JoinType::Right));
        let unbounded = bounds_of(col("lid").eq(col("rid")), [true, true], JoinType::Left);
        assert!(!unbounded.permits(JoinType::Left) && unbounded.permits(JoinType::Inner));
        assert!(!unbounded.is_bounded());
    }

    #[test]
    fn rows_that_wait_hold_the_watermark_back_by_the_longest_wait() {
        let five_seconds = lit(datafusion::common::ScalarValue::DurationMicrosecond(Some(
            5_000_000,
        )));
        let condition = col("rt")
            .gt_eq(col("lt"))
            .and(col("rt").lt_eq(col("lt") + five_seconds));
        let bounds = bounds_of(condition, [true, true], JoinType::Inner);
        assert_eq!(bounds.held_back_ms(), 5_001);
    }
}
