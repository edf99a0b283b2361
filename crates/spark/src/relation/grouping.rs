//! Grouping keys: what a `GROUP BY` or `groupBy(…)` groups by.
//!
//! In SQL a key may also be a position in the select list, an alias of it, or `ALL` of what has no aggregate function.
//! ROLLUP, CUBE and GROUPING SETS become sets of indexes into the keys.
use arrow::datatypes::DataType;
use datafusion::common::Column;
use spark_connect_proto::{
    Aggregate, Expression,
    aggregate::GroupType,
    expression::{ExprType, literal::LiteralType},
};

use super::aggregate::has_grouping_call;
use crate::{
    error::{Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

/// A grouping expression.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// As it was written, resolved.
    pub value: TypedExpr,
    /// Name of its column in the output of a DataFrame aggregation.
    pub name: String,
    /// Whether the user named it.
    pub aliased: bool,
    /// Its column above the aggregation.
    pub column: Column,
}

impl Planner<'_> {
    pub(super) fn keys(
        &self,
        scope: &Expressions<'_>,
        expressions: &[Expression],
    ) -> Result<Vec<Key>> {
        let mut keys = vec![];
        for expression in expressions {
            for item in scope.items(expression)? {
                match item {
                    SelectItem::Column {
                        name,
                        value,
                        aliased,
                    } => keys.push(self.key(name, value, aliased)?),
                    SelectItem::Generator { generator, .. } => {
                        return Err(SparkError::analysis(
                            "UNSUPPORTED_GENERATOR.OUTSIDE_SELECT",
                            &[("plan", &generator.name)],
                        ));
                    }
                }
            }
        }
        Ok(keys)
    }

    pub(super) fn key(&self, name: String, value: TypedExpr, aliased: bool) -> Result<Key> {
        if has_grouping_call(&value.expr) {
            return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
        }
        if value.has_aggregate() {
            return Err(SparkError::analysis(
                "GROUP_BY_AGGREGATE",
                &[("sqlExpr", &value.name)],
            ));
        }
        if contains_map(&value.data_type) {
            return Err(SparkError::analysis(
                "GROUP_EXPRESSION_TYPE_IS_NOT_ORDERABLE",
                &[("sqlExpr", &value.sql()), ("dataType", &value.type_sql())],
            ));
        }
        let column = match value.as_column() {
            Some(column) => column.clone(),
            None => self.ids.column(&name),
        };
        Ok(Key {
            value,
            name,
            aliased,
            column,
        })
    }

    pub(super) fn sql_keys(
        &self,
        scope: &Expressions<'_>,
        rows: &Resolved,
        expressions: &[Expression],
        items: &[SelectItem],
    ) -> Result<Vec<Key>> {
        let mut keys = vec![];
        for expression in expressions {
            if is_all(expression)
                && expressions.len() == 1
                && !rows.output.iter().any(|a| self.names.same(&a.name, "all"))
            {
                return self.group_by_all(items);
            }
            if let Some(position) = ordinal(expression) {
                keys.push(self.key_at(position, items)?);
                continue;
            }
            match scope.items(expression) {
                Ok(found) => {
                    for item in found {
                        if let SelectItem::Column {
                            name,
                            value,
                            aliased,
                        } = item
                        {
                            let key = self.key(name, value, aliased);
                            keys.push(key.map_err(|error| qualified_aggregate(error, rows))?);
                        }
                    }
                }
                Err(error) if error.is("UNRESOLVED_COLUMN") => {
                    keys.push(self.key_by_alias(expression, items).ok_or(error)?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    fn key_at(&self, position: i32, items: &[SelectItem]) -> Result<Key> {
        let item = usize::try_from(position - 1)
            .ok()
            .and_then(|i| items.get(i));
        match item {
            Some(SelectItem::Column {
                name,
                value,
                aliased,
            }) => {
                if value.has_aggregate() {
                    return Err(SparkError::analysis(
                        "GROUP_BY_POS_AGGREGATE",
                        &[("index", &position.to_string()), ("aggExpr", &value.name)],
                    ));
                }
                self.key(name.clone(), value.clone(), *aliased)
            }
            _ => Err(SparkError::analysis(
                "GROUP_BY_POS_OUT_OF_RANGE",
                &[
                    ("index", &position.to_string()),
                    ("size", &items.len().to_string()),
                ],
            )),
        }
    }

    fn key_by_alias(&self, expression: &Expression, items: &[SelectItem]) -> Option<Key> {
        let Some(ExprType::UnresolvedAttribute(attribute)) = &expression.expr_type else {
            return None;
        };
        items.iter().find_map(|item| match item {
            SelectItem::Column {
                name,
                value,
                aliased: true,
            } if self
                .names
                .same(name, attribute.unparsed_identifier.trim_matches('`')) =>
            {
                self.key(name.clone(), value.clone(), true).ok()
            }
            _ => None,
        })
    }

    /// `GROUP BY ALL`: every item without an aggregate function.
    fn group_by_all(&self, items: &[SelectItem]) -> Result<Vec<Key>> {
        items
            .iter()
            .filter_map(|item| match item {
                SelectItem::Column {
                    name,
                    value,
                    aliased,
                } if !value.has_aggregate() => {
                    Some(self.key(name.clone(), value.clone(), *aliased))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn grouping_sets(
        &self,
        scope: &Expressions<'_>,
        node: &Aggregate,
        keys: &[Key],
    ) -> Result<Option<Vec<Vec<usize>>>> {
        let count = keys.len();
        Ok(match node.group_type() {
            GroupType::Rollup => Some((0..=count).rev().map(|n| (0..n).collect()).collect()),
            GroupType::Cube => {
                if count > 12 {
                    return Err(SparkError::analysis(
                        "GROUPING_SIZE_LIMIT_EXCEEDED",
                        &[("maxSize", "12")],
                    ));
                }
                let subset = |bits: usize| {
                    (0..count)
                        .filter(|i| bits & (1 << (count - 1 - i)) != 0)
                        .collect()
                };
                Some((0..1_usize << count).rev().map(subset).collect())
            }
            _ if !node.grouping_sets.is_empty() => {
                let mut sets = vec![];
                for set in &node.grouping_sets {
                    let mut members = vec![];
                    for expression in &set.grouping_set {
                        let value = scope.value(expression)?;
                        let found = keys.iter().position(|k| k.value.expr == value.expr);
                        members.push(found.ok_or_else(|| {
                            SparkError::analysis(
                                "MISSING_AGGREGATION",
                                &[
                                    ("expression", &value.sql()),
                                    (
                                        "expressionAnyValue",
                                        &quoted(format!("any_value({})", value.name)),
                                    ),
                                ],
                            )
                        })?);
                    }
                    sets.push(members);
                }
                Some(sets)
            }
            _ => None,
        })
    }
}

fn contains_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => true,
        DataType::List(item) => contains_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| contains_map(f.data_type())),
        _ => false,
    }
}

fn is_all(expression: &Expression) -> bool {
    match &expression.expr_type {
        Some(ExprType::UnresolvedAttribute(a)) => a.unparsed_identifier.eq_ignore_ascii_case("all"),
        _ => false,
    }
}

fn ordinal(expression: &Expression) -> Option<i32> {
    match &expression.expr_type {
        Some(ExprType::Literal(literal)) => match &literal.literal_type {
            Some(LiteralType::Integer(v)) => Some(*v),
            _ => None,
        },
        _ => None,
    }
}

/// Spark shows the aggregate function with the tables of its columns.
fn qualified_aggregate(error: SparkError, rows: &Resolved) -> SparkError {
    match error.message_parameters.get("sqlExpr") {
        Some(text) if error.is("GROUP_BY_AGGREGATE") => {
            let text = super::filter::with_qualifiers(text, rows);
            SparkError::analysis("GROUP_BY_AGGREGATE", &[("sqlExpr", &text)])
        }
        _ => error,
    }
}
