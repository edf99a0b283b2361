//! Grouping sets over a stream: every row once for each set, its other keys NULL.
//!
//! ```text
//!   Projection: *, keys (NULL outside their sets), grouping id
//!     Unnest: the set's number
//!       Projection: *, [0, 1, …]
//! ```
//!
//! A batch leaves grouping sets to DataFusion. Groups that are kept in state need plain keys, so here the grouping id becomes
//! one of them, as in Spark's `Expand`; the source is read once.
use datafusion::{
    common::{Column, ScalarValue, UnnestOptions},
    logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit},
};

use super::{
    grouping::Key,
    project::{aliased_expr, projection_of},
};
use crate::error::{Result, SparkError};

/// Name of the column with the set's number.
const SET_COLUMN: &str = "set#";

/// The column that tells grouping sets apart: bit by bit, first key first, 1 where the set lacks the key.
pub(super) fn grouping_id() -> Expr {
    Expr::Column(Column::new_unqualified(Aggregate::INTERNAL_GROUPING_ID))
}

/// The rows of `input` for each of `sets`, which hold indexes of `keys`.
pub(super) fn expand(input: LogicalPlan, keys: &[Key], sets: &[Vec<usize>]) -> Result<LogicalPlan> {
    let ids: Vec<i64> = sets.iter().map(|set| id_of(set, keys.len())).collect();
    let repeated = ids
        .iter()
        .enumerate()
        .any(|(at, id)| ids.iter().skip(at + 1).any(|i| i == id));
    if repeated {
        return Err(SparkError::unsupported(
            "a grouping set that is given twice on a stream",
        ));
    }
    let numbers: Vec<_> = (0_i64..).take(sets.len()).map(ScalarValue::from).collect();
    let numbers = ScalarValue::new_list_nullable(&numbers, &arrow::datatypes::DataType::Int64);
    let columns = input.schema().columns();
    let mut numbered: Vec<Expr> = columns.iter().cloned().map(Expr::Column).collect();
    numbered.push(lit(ScalarValue::List(numbers)).alias(SET_COLUMN));
    let set = Column::new_unqualified(SET_COLUMN);
    let repeated = LogicalPlanBuilder::from(projection_of(numbered, input)?)
        .unnest_column_with_options(set.clone(), UnnestOptions::new().with_preserve_nulls(false))?
        .build()?;
    let set = Expr::Column(set);
    let mut expanded = vec![];
    for column in columns {
        let key = keys.iter().position(|key| key.column == column);
        expanded.push(
            match key.and_then(|index| keys.get(index).map(|key| (index, key))) {
                Some((index, key)) => {
                    let member = |(number, set): (i64, &Vec<usize>)| {
                        set.contains(&index).then(|| lit(number))
                    };
                    let members: Vec<_> = (0_i64..).zip(sets).filter_map(member).collect();
                    let value = datafusion::logical_expr::when(
                        set.clone().in_list(members, false),
                        Expr::Column(column),
                    )
                    .end()?;
                    aliased_expr(value, &key.column, &key.value.metadata)
                }
                None => Expr::Column(column),
            },
        );
    }
    let mut id = datafusion::logical_expr::case(set);
    for (number, value) in (0_i64..).zip(&ids) {
        id.when(lit(number), lit(*value));
    }
    expanded.push(id.end()?.alias(Aggregate::INTERNAL_GROUPING_ID));
    projection_of(expanded, repeated)
}

fn id_of(set: &[usize], width: usize) -> i64 {
    (0..width).fold(0, |id, key| (id << 1) | i64::from(!set.contains(&key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_the_highest_bit() {
        assert_eq!(id_of(&[0, 1], 2), 0b00);
        assert_eq!(id_of(&[0], 2), 0b01);
        assert_eq!(id_of(&[1], 2), 0b10);
        assert_eq!(id_of(&[], 2), 0b11);
    }
}
