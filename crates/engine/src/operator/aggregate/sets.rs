//! Grouping sets: ROLLUP, CUBE and GROUPING SETS over a stream.
//!
//! Every row belongs to one group of each set. In state the groups of all sets live together: a key that a set leaves out is
//! NULL, and the number of the set is one more key column, so that such a NULL and a NULL in the data stay apart.
use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, Result},
    logical_expr::{
        Aggregate, Expr, GroupingSet, Operator, binary_expr, cast, lit,
        utils::{grouping_set_to_exprlist, powerset},
    },
};

use super::keys::Key;

/// Name of the key column with the number of the set.
pub(super) const SET_KEY: &str = "grouping_set#";

/// The sets of an aggregation: for each, which of its grouping expressions it leaves out.
pub(super) fn sets_of(aggregate: &Aggregate) -> Result<Option<Vec<Vec<bool>>>> {
    let Some(Expr::GroupingSet(sets)) = aggregate.group_expr.first() else {
        return Ok(None);
    };
    let all = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let members: Vec<Vec<&Expr>> = match sets {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
        GroupingSet::Rollup(keys) => (0..=keys.len())
            .rev()
            .map(|length| keys.iter().take(length).collect())
            .collect(),
        GroupingSet::Cube(keys) => powerset(keys)?,
    };
    let leaves_out = |set: &Vec<&Expr>| all.iter().map(|key| !set.contains(key)).collect();
    Ok(Some(members.iter().map(leaves_out).collect()))
}

/// The same sets over the parts of the keys.
pub(super) fn over_parts(sets: &[Vec<bool>], keys: &[Key]) -> Vec<Vec<bool>> {
    let spread = |set: &Vec<bool>| {
        set.iter()
            .zip(keys)
            .flat_map(|(left_out, key)| vec![*left_out; key.parts.len()])
            .collect()
    };
    sets.iter().map(spread).collect()
}

/// The number that the aggregation gives to a set, from the number of the set over the parts of the keys.
pub(super) fn set_number(aggregate: &Aggregate, keys: &[Key]) -> Expr {
    let (qualifier, field) = aggregate.schema.qualified_field(keys.len());
    let number = || Expr::Column(Column::new_unqualified(SET_KEY));
    let parts: usize = keys.iter().map(|key| key.parts.len()).sum();
    let shift = |value, by: usize, operator| binary_expr(value, operator, lit(by as i64));
    let right = |by| shift(number(), by, Operator::BitwiseShiftRight);
    // The bit above the keys is never set.
    let mut whole = shift(right(parts + 1), keys.len(), Operator::BitwiseShiftLeft);
    let mut below = parts;
    for (index, key) in keys.iter().enumerate() {
        below -= key.parts.len();
        let bit = binary_expr(right(below), Operator::BitwiseAnd, lit(1_i64));
        let bit = shift(bit, keys.len() - 1 - index, Operator::BitwiseShiftLeft);
        whole = binary_expr(whole, Operator::BitwiseOr, bit);
    }
    let DataType::Int64 = field.data_type() else {
        return cast(whole, field.data_type().clone())
            .alias_qualified(qualifier.cloned(), field.name().clone());
    };
    whole.alias_qualified(qualifier.cloned(), field.name().clone())
}
