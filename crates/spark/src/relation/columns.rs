//! Nodes that add, replace, rename, drop or retype columns.
use arrow::datatypes::DataType;
use spark_connect_proto::{
    Drop, Expression, NaDrop, NaFill, NaReplace, ToDf, ToSchema, WithColumns, WithColumnsRenamed,
    expression::{ExprType, Literal, UnresolvedAttribute},
};

use super::input;
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted_id},
    expression::{Expressions, SelectItem},
    literal::typed_literal,
    planner::Planner,
    scope::{
        Attribute, Resolved, candidates, parse_attribute_name, resolve_name, unresolved_column,
    },
    typed::TypedExpr,
    types::{self, data_type_from_proto, is_numeric, sql_name},
};

impl Planner<'_> {
    pub(super) fn with_columns(&self, node: &WithColumns) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "WithColumns")?)?;
        let mut names: Vec<&str> = vec![];
        for alias in &node.aliases {
            let [name] = alias.name.as_slice() else {
                return Err(SparkError::analysis(
                    "CONNECT_INVALID_PLAN.WITH_COLUMNS_REQUIRE_SINGLE_NAME_PART",
                    &[("got", &alias.name.join("."))],
                ));
            };
            if names.iter().any(|n| self.names.same(n, name)) {
                return Err(SparkError::analysis(
                    "COLUMN_ALREADY_EXISTS",
                    &[("columnName", &quoted_id(&name.to_lowercase()))],
                ));
            }
            names.push(name);
        }
        let (made, windows) = {
            let scope = Expressions::new(self, vec![&rows]);
            let aliases: Vec<Expression> = node
                .aliases
                .iter()
                .map(|a| Expression {
                    common: None,
                    expr_type: Some(ExprType::Alias(Box::new(a.clone()))),
                })
                .collect();
            (self.aliased_items(&scope, &aliases)?, scope.take_windows())
        };
        let rows = self.with_windows(rows, windows)?;
        let mut items = vec![];
        for attribute in &rows.output {
            match made
                .iter()
                .find(|(name, _)| self.names.same(name, &attribute.name))
            {
                Some((_, item)) => items.push(item.clone()),
                None => items.push(kept(attribute)),
            }
        }
        for (name, item) in made {
            if !rows.output.iter().any(|a| self.names.same(&a.name, &name)) {
                items.push(item);
            }
        }
        self.select_items(rows, items)
    }

    fn aliased_items(
        &self,
        scope: &Expressions<'_>,
        aliases: &[Expression],
    ) -> Result<Vec<(String, SelectItem)>> {
        let items = scope.select_list(aliases)?;
        Ok(aliases
            .iter()
            .zip(items)
            .map(|(alias, item)| {
                let name = match &alias.expr_type {
                    Some(ExprType::Alias(a)) => a.name.first().cloned().unwrap_or_default(),
                    _ => String::new(),
                };
                (name, item)
            })
            .collect())
    }

    pub(super) fn with_columns_renamed(&self, node: &WithColumnsRenamed) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "WithColumnsRenamed")?)?;
        let mut renames: Vec<(String, String)> = node
            .renames
            .iter()
            .map(|r| (r.col_name.clone(), r.new_col_name.clone()))
            .collect();
        #[allow(deprecated, reason = "older clients only set this field")]
        renames.extend(
            node.rename_columns_map
                .iter()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        let mut items = vec![];
        for attribute in &rows.output {
            let mut name = attribute.name.clone();
            for (from, to) in &renames {
                if self.names.same(&name, from) {
                    name.clone_from(to);
                }
            }
            let aliased = name != attribute.name;
            items.push(SelectItem::Column {
                name,
                value: attribute.reference(),
                aliased,
            });
        }
        self.select_items(rows, items)
    }

    pub(super) fn drop_columns(&self, node: &Drop) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Drop")?)?;
        let mut dropped: Vec<datafusion::common::Column> = vec![];
        {
            let scope = Expressions::new(self, vec![&rows]);
            for expression in &node.columns {
                match &expression.expr_type {
                    Some(ExprType::UnresolvedAttribute(UnresolvedAttribute {
                        plan_id: None,
                        unparsed_identifier,
                        ..
                    })) => {
                        // A name that is not there drops nothing, one that is there twice drops both.
                        let parts = parse_attribute_name(unparsed_identifier)?;
                        let (found, taken) = candidates(&parts, rows.output.iter(), self.names);
                        if taken == parts.len() {
                            dropped.extend(found.into_iter().map(|a| a.column.clone()));
                        }
                    }
                    _ => {
                        if let Ok(value) = scope.value(expression)
                            && let Some(column) = value.as_column()
                        {
                            dropped.push(column.clone());
                        }
                    }
                }
            }
        }
        let items = rows
            .output
            .iter()
            .filter(|a| {
                !dropped.contains(&a.column)
                    && !node
                        .column_names
                        .iter()
                        .any(|n| self.names.same(n, &a.name))
            })
            .map(kept)
            .collect();
        self.select_items(rows, items)
    }

    pub(super) fn to_df(&self, node: &ToDf) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "ToDF")?)?;
        if rows.output.len() != node.column_names.len() {
            return Err(SparkError::analysis(
                "ASSIGNMENT_ARITY_MISMATCH",
                &[
                    ("numExpr", &node.column_names.len().to_string()),
                    ("numTarget", &rows.output.len().to_string()),
                ],
            ));
        }
        // Spark makes new columns of all. It shows where two were one.
        let repeated = rows.columns().len() < rows.output.len();
        let items = rows
            .output
            .iter()
            .zip(&node.column_names)
            .map(|(a, name)| SelectItem::Column {
                name: name.clone(),
                value: a.reference(),
                aliased: repeated || *name != a.name,
            })
            .collect();
        self.select_items(rows, items)
    }

    /// `df.to(schema)`: columns by name, cast where nothing is lost, missing nullable ones as NULL.
    pub(super) fn to_schema(&self, node: &ToSchema) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "ToSchema")?)?;
        let schema = node.schema.as_ref().map(data_type_from_proto).transpose()?;
        let Some(DataType::Struct(fields)) = schema else {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.INVALID_SCHEMA_NON_STRUCT_TYPE",
                &[("inputSchema", "schema"), ("dataType", "not a struct")],
            ));
        };
        let mut items = vec![];
        for field in &fields {
            let (found, _) = candidates(
                std::slice::from_ref(field.name()),
                rows.output.iter(),
                self.names,
            );
            let value = match found.as_slice() {
                [] if field.is_nullable() => {
                    TypedExpr::literal(crate::literal::null_of(field.data_type())?, field.name())
                }
                [] => {
                    return Err(unresolved_column(
                        std::slice::from_ref(field.name()),
                        rows.output.iter(),
                    ));
                }
                [attribute] => self.reconciled(attribute, field)?,
                many => {
                    return Err(SparkError::analysis(
                        "AMBIGUOUS_COLUMN_OR_FIELD",
                        &[
                            ("name", &quoted_id(field.name())),
                            ("n", &many.len().to_string()),
                        ],
                    ));
                }
            };
            let name = field.name().clone();
            items.push(SelectItem::Column {
                name,
                value,
                aliased: true,
            });
        }
        self.select_items(rows, items)
    }

    fn reconciled(
        &self,
        attribute: &Attribute,
        field: &arrow::datatypes::Field,
    ) -> Result<TypedExpr> {
        if attribute.nullable && !field.is_nullable() {
            return Err(SparkError::analysis(
                "NULLABLE_COLUMN_OR_FIELD",
                &[("name", &quoted_id(&attribute.name))],
            ));
        }
        let to = field.data_type();
        let from = &attribute.data_type;
        let fits = crate::cast::can_up_cast(from, to)
            || types::same_type(from, to)
            || (is_numeric(from) && is_numeric(to));
        if !fits {
            return Err(SparkError::analysis(
                "INVALID_COLUMN_OR_FIELD_DATA_TYPE",
                &[
                    ("name", &quoted_id(&attribute.name)),
                    (
                        "type",
                        &crate::error::quoted(sql_name(&attribute.data_type)),
                    ),
                    ("expectedType", &crate::error::quoted(sql_name(to))),
                ],
            ));
        }
        let mut value = coerce(attribute.reference(), to, &self.context.eval)?;
        value
            .metadata
            .extend(field.metadata().iter().map(|(k, v)| (k.clone(), v.clone())));
        Ok(value)
    }

    /// The columns of a subset, or all of them.
    fn subset(&self, rows: &Resolved, names: &[String]) -> Result<Vec<Attribute>> {
        if names.is_empty() {
            return Ok(rows.output.clone());
        }
        names
            .iter()
            .map(|name| {
                let parts = parse_attribute_name(name)?;
                let value = resolve_name(&parts, rows.output.iter(), self.names)?
                    .ok_or_else(|| unresolved_column(&parts, rows.output.iter()))?;
                let column = value.as_column().cloned();
                rows.output
                    .iter()
                    .find(|a| Some(&a.column) == column.as_ref())
                    .cloned()
                    .ok_or_else(|| {
                        SparkError::unsupported(format!("the nested column {name} here"))
                    })
            })
            .collect()
    }

    pub(super) fn fill_na(&self, node: &NaFill) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "NAFill")?)?;
        if node.values.is_empty() {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.NA_FILL_VALUES_EMPTY",
                &[],
            ));
        }
        if node.values.len() > 1 && node.values.len() != node.cols.len() {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.NA_FILL_VALUES_LENGTH_MISMATCH",
                &[],
            ));
        }
        let columns = self.subset(&rows, &node.cols)?;
        let mut items = vec![];
        for attribute in &rows.output {
            let position = columns.iter().position(|c| c.column == attribute.column);
            let literal =
                position.and_then(|i| node.values.get(if node.values.len() == 1 { 0 } else { i }));
            let filled = match literal {
                Some(literal) => self.filled(attribute, literal)?,
                None => None,
            };
            items.push(match filled {
                Some(value) => SelectItem::Column {
                    name: attribute.name.clone(),
                    value,
                    aliased: true,
                },
                None => kept(attribute),
            });
        }
        self.select_items(rows, items)
    }

    /// The column with its NULLs (and NaNs) replaced; `None` where the value is not for columns of this type.
    fn filled(&self, attribute: &Attribute, literal: &Literal) -> Result<Option<TypedExpr>> {
        let value = typed_literal(literal, &self.context.eval)?;
        let fits = match (&attribute.data_type, &value.data_type) {
            (a, v) if is_numeric(a) && is_numeric(v) => true,
            (DataType::Utf8, DataType::Utf8) | (DataType::Boolean, DataType::Boolean) => true,
            _ => false,
        };
        if !fits {
            return Ok(None);
        }
        let value = coerce(value, &attribute.data_type, &self.context.eval)?;
        let column = attribute.reference();
        let mut missing = column.expr.clone().is_null();
        if types::is_floating(&attribute.data_type) {
            missing = missing.or(datafusion::functions::math::expr_fn::isnan(
                column.expr.clone(),
            ));
        }
        let nullable = value.nullable;
        let expr = datafusion::logical_expr::when(missing, value.expr).otherwise(column.expr)?;
        Ok(Some(TypedExpr::new(
            expr,
            attribute.data_type.clone(),
            nullable,
            &attribute.name,
        )))
    }

    pub(super) fn drop_na(&self, node: &NaDrop) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "NADrop")?)?;
        let columns = self.subset(&rows, &node.cols)?;
        let wanted = node.min_non_nulls.map_or(columns.len() as i32, |n| n);
        let mut count: Option<datafusion::logical_expr::Expr> = None;
        for attribute in &columns {
            let column = attribute.reference().expr;
            let mut present = column.clone().is_not_null();
            if types::is_floating(&attribute.data_type) {
                present = present.and(datafusion::logical_expr::not(
                    datafusion::functions::math::expr_fn::isnan(column),
                ));
            }
            let one = datafusion::logical_expr::when(present, datafusion::logical_expr::lit(1_i32))
                .otherwise(datafusion::logical_expr::lit(0_i32))?;
            count = Some(match count {
                Some(sum) => sum + one,
                None => one,
            });
        }
        let Some(count) = count else { return Ok(rows) };
        let enough = count.gt_eq(datafusion::logical_expr::lit(wanted));
        self.filtered(
            rows,
            TypedExpr::new(enough, DataType::Boolean, false, "atleastnnonnulls()"),
        )
    }

    pub(super) fn replace(&self, node: &NaReplace) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "NAReplace")?)?;
        let columns = self.subset(&rows, &node.cols)?;
        let mut items = vec![];
        for attribute in &rows.output {
            if !columns.iter().any(|c| c.column == attribute.column) {
                items.push(kept(attribute));
                continue;
            }
            items.push(match self.replaced(attribute, node)? {
                Some(value) => SelectItem::Column {
                    name: attribute.name.clone(),
                    value,
                    aliased: true,
                },
                None => kept(attribute),
            });
        }
        self.select_items(rows, items)
    }

    fn replaced(&self, attribute: &Attribute, node: &NaReplace) -> Result<Option<TypedExpr>> {
        let column = attribute.reference();
        let mut branches = vec![];
        let mut nullable = column.nullable;
        for replacement in &node.replacements {
            let (Some(old), Some(new)) = (&replacement.old_value, &replacement.new_value) else {
                continue;
            };
            let (old, new) = (
                typed_literal(old, &self.context.eval)?,
                typed_literal(new, &self.context.eval)?,
            );
            let same_kind = match (&attribute.data_type, &old.data_type) {
                (a, o) if is_numeric(a) && is_numeric(o) => true,
                (DataType::Utf8, DataType::Utf8) | (DataType::Boolean, DataType::Boolean) => true,
                _ => false,
            };
            if !same_kind {
                continue;
            }
            let common = coercion::wider(&attribute.data_type, &old.data_type, true)
                .ok_or_else(|| SparkError::internal("no common type of a number and a number"))?;
            let left = coerce(column.clone(), &common, &self.context.eval)?;
            let right = coerce(old, &common, &self.context.eval)?;
            let new = coerce(new, &attribute.data_type, &self.context.eval)?;
            nullable |= new.nullable;
            branches.push((left.expr.eq(right.expr), new.expr));
        }
        let mut branches = branches.into_iter();
        let Some((when, then)) = branches.next() else {
            return Ok(None);
        };
        let mut case = datafusion::logical_expr::when(when, then);
        for (when, then) in branches {
            case = case.when(when, then);
        }
        let expr = case.otherwise(column.expr)?;
        Ok(Some(TypedExpr::new(
            expr,
            attribute.data_type.clone(),
            nullable,
            &attribute.name,
        )))
    }
}

/// A column passed on.
pub(super) fn kept(attribute: &Attribute) -> SelectItem {
    SelectItem::Column {
        name: attribute.name.clone(),
        value: attribute.reference(),
        aliased: false,
    }
}
