//! Select items: expressions with names, stars, and generators.
use regex::RegexBuilder;
use spark_connect_proto::{
    Expression,
    expression::{Alias, ExprType, UnresolvedRegex, UnresolvedStar},
};

use super::{Expressions, extract, query_context};
use crate::{
    error::{Result, SparkError, quoted_name},
    functions::{Generator, Resolution},
    scope::{Attribute, parse_attribute_name, resolve_name},
    typed::TypedExpr,
    types::WATERMARK_DELAY_KEY,
};

/// One item of a select list.
#[derive(Debug, Clone)]
pub(crate) enum SelectItem {
    /// A column.
    Column {
        /// Its name.
        name: String,
        /// Its value, metadata included.
        value: TypedExpr,
        /// Whether the user named it.
        aliased: bool,
    },
    /// Columns and rows made by a generator.
    Generator {
        /// The generator.
        generator: Generator,
        /// Names given to its columns; empty: its own.
        names: Vec<String>,
    },
}

impl Expressions<'_> {
    /// The items that an expression of a select list stands for.
    pub(crate) fn items(&self, expression: &Expression) -> Result<Vec<SelectItem>> {
        match &expression.expr_type {
            Some(ExprType::UnresolvedStar(star)) => Ok(columns(self.star(star)?)),
            Some(ExprType::UnresolvedRegex(regex)) => Ok(columns(self.regex(regex)?)),
            Some(ExprType::ExpressionString(text)) => {
                let parsed = self.planner().parse_expression(&text.expression)?;
                self.items(&parsed)
            }
            Some(ExprType::Alias(alias)) => self.alias(alias),
            Some(ExprType::UnresolvedFunction(function)) => {
                let place = query_context(expression.common.as_ref());
                match self.function(function, place.as_ref())? {
                    Resolution::Value(mut value) => {
                        if let Some(place) = place {
                            value.context.get_or_insert(place);
                        }
                        Ok(vec![unnamed(value)])
                    }
                    Resolution::Generator(generator) => Ok(vec![SelectItem::Generator {
                        generator,
                        names: vec![],
                    }]),
                    Resolution::Window(call) => Err(SparkError::analysis(
                        "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                        &[("funcName", &crate::error::quoted(&call.name))],
                    )),
                }
            }
            Some(ExprType::Cast(cast)) => {
                let mut value = self.value(expression)?;
                // A cast goes by the name of what it casts, if that has one.
                if let Some(child) = cast.expr.as_deref()
                    && self.is_named(child)?
                {
                    value.output_name = self.name_of(child)?;
                }
                Ok(vec![unnamed(value)])
            }
            _ => Ok(vec![unnamed(self.value(expression)?)]),
        }
    }

    /// The name of the column that a named expression would be.
    fn name_of(&self, expression: &Expression) -> Result<Option<String>> {
        Ok(self
            .items(expression)?
            .into_iter()
            .find_map(|item| match item {
                SelectItem::Column { name, .. } => Some(name),
                SelectItem::Generator { .. } => None,
            }))
    }

    /// The items of a whole select list; an item may use the aliases to its left.
    pub(crate) fn select_list<'e>(
        &self,
        expressions: impl IntoIterator<Item = &'e Expression>,
    ) -> Result<Vec<SelectItem>> {
        let mut all = vec![];
        for expression in expressions {
            let items = self.items(expression)?;
            for item in &items {
                if let SelectItem::Column {
                    name,
                    value,
                    aliased: true,
                } = item
                {
                    self.aliases
                        .borrow_mut()
                        .push((name.clone(), value.clone()));
                }
            }
            all.extend(items);
        }
        self.aliases.borrow_mut().clear();
        Ok(all)
    }

    pub(crate) fn alias(&self, alias: &Alias) -> Result<Vec<SelectItem>> {
        let inner = alias
            .expr
            .as_deref()
            .ok_or_else(|| super::not_set("Alias", "expr"))?;
        let mut items = self.items(inner)?;
        let star = matches!(inner.expr_type, Some(ExprType::UnresolvedStar(_)));
        if items.len() > 1 || star {
            return Err(SparkError::analysis(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                &[("elem", "'*'"), ("prettyName", "expression `alias`")],
            ));
        }
        let Some(item) = items.pop() else {
            return Ok(vec![]);
        };
        match item {
            SelectItem::Generator { generator, .. } => {
                if alias.name.len() != generator.columns.len() {
                    let names: Vec<&str> = alias.name.iter().map(String::as_str).collect();
                    return Err(SparkError::analysis(
                        "UDTF_ALIAS_NUMBER_MISMATCH",
                        &[
                            ("aliasesSize", &generator.columns.len().to_string()),
                            ("aliasesNames", &names.join(",")),
                        ],
                    ));
                }
                Ok(vec![SelectItem::Generator {
                    generator,
                    names: alias.name.clone(),
                }])
            }
            SelectItem::Column { mut value, .. } => {
                let [name] = alias.name.as_slice() else {
                    return Err(SparkError::analysis(
                        "MULTI_ALIAS_WITHOUT_GENERATOR",
                        &[("expr", &value.sql()), ("names", &alias.name.join(", "))],
                    ));
                };
                if let Some(text) = &alias.metadata {
                    let event_time = value.metadata.get(WATERMARK_DELAY_KEY).cloned();
                    value.metadata = crate::types::metadata_from_json(text);
                    if let Some(delay) = event_time {
                        value.metadata.insert(WATERMARK_DELAY_KEY.into(), delay);
                    }
                }
                Ok(vec![SelectItem::Column {
                    name: name.clone(),
                    value,
                    aliased: true,
                }])
            }
        }
    }

    /// The columns of `*`, `alias.*` or `struct.*`.
    pub(crate) fn star(&self, star: &UnresolvedStar) -> Result<Vec<(String, TypedExpr)>> {
        if let Some(plan_id) = star.plan_id {
            return self.plan_star(plan_id);
        }
        let Some(target) = &star.unparsed_target else {
            let all = self.inputs.iter().flat_map(|r| r.output.iter());
            return Ok(all.map(|a| (a.name.clone(), a.reference())).collect());
        };
        let path = target.strip_suffix(".*").ok_or_else(|| {
            SparkError::analysis(
                "CONNECT_INVALID_PLAN.UNRESOLVED_STAR_TARGET_INVALID",
                &[("target", target)],
            )
        })?;
        let parts = parse_attribute_name(path)?;
        let visible = || self.inputs.iter().flat_map(|r| r.output.iter());
        let names = self.names();
        let of_table: Vec<&Attribute> = visible()
            .filter(|a| {
                parts.len() <= a.qualifier.len()
                    && a.qualifier
                        .iter()
                        .rev()
                        .zip(parts.iter().rev())
                        .all(|(x, y)| names.same(x, y))
            })
            .collect();
        if !of_table.is_empty() {
            return Ok(of_table
                .into_iter()
                .map(|a| (a.name.clone(), a.reference()))
                .collect());
        }
        let hidden: Vec<&Attribute> = self
            .inputs
            .iter()
            .flat_map(|r| r.hidden.iter())
            .filter(|a| {
                parts.len() <= a.qualifier.len()
                    && a.qualifier
                        .iter()
                        .rev()
                        .zip(parts.iter().rev())
                        .all(|(x, y)| names.same(x, y))
            })
            .collect();
        if !hidden.is_empty() {
            return Ok(hidden
                .into_iter()
                .map(|a| (a.name.clone(), a.reference()))
                .collect());
        }
        match resolve_name(&parts, visible(), names)? {
            Some(value) => fields_of(value, path),
            None => {
                let mut columns: Vec<String> = visible()
                    .map(|a| crate::error::quoted_id(&a.name))
                    .collect();
                columns.sort();
                columns.dedup();
                Err(SparkError::analysis(
                    "CANNOT_RESOLVE_STAR_EXPAND",
                    &[
                        ("targetString", &quoted_name(&parts)),
                        ("columns", &columns.join(", ")),
                    ],
                ))
            }
        }
    }

    fn plan_star(&self, plan_id: i64) -> Result<Vec<(String, TypedExpr)>> {
        for input in &self.inputs {
            if let Some(node) = super::reference::find_node(&input.lineage, plan_id) {
                let here = input.column_set();
                return Ok(node
                    .output
                    .iter()
                    .filter(|a| here.contains(&a.column))
                    .map(|a| (a.name.clone(), a.reference()))
                    .collect());
            }
        }
        Err(SparkError::analysis(
            "CANNOT_RESOLVE_DATAFRAME_COLUMN",
            &[("name", "`*`")],
        ))
    }

    /// The columns whose name matches a regular expression as a whole.
    pub(crate) fn regex(&self, regex: &UnresolvedRegex) -> Result<Vec<(String, TypedExpr)>> {
        let text = regex.col_name.trim_matches('`');
        let pattern = RegexBuilder::new(&format!("^(?:{text})$"))
            .case_insensitive(!self.names().case_sensitive)
            .build();
        let Ok(pattern) = pattern else {
            return Err(SparkError::analysis(
                "INVALID_PARAMETER_VALUE.PATTERN",
                &[
                    ("functionName", "`colRegex`"),
                    ("parameter", "`colName`"),
                    ("value", &format!("'{text}'")),
                ],
            ));
        };
        let all = self.inputs.iter().flat_map(|r| r.output.iter());
        Ok(all
            .filter(|a| pattern.is_match(&a.name))
            .map(|a| (a.name.clone(), a.reference()))
            .collect())
    }
}

fn columns(all: Vec<(String, TypedExpr)>) -> Vec<SelectItem> {
    all.into_iter()
        .map(|(name, value)| SelectItem::Column {
            name,
            value,
            aliased: false,
        })
        .collect()
}

fn unnamed(value: TypedExpr) -> SelectItem {
    let name = value.column_name().to_string();
    SelectItem::Column {
        name,
        value,
        aliased: false,
    }
}

fn fields_of(value: TypedExpr, path: &str) -> Result<Vec<(String, TypedExpr)>> {
    let arrow::datatypes::DataType::Struct(fields) = &value.data_type else {
        return Err(SparkError::analysis(
            "_LEGACY_ERROR_TEMP_1050",
            &[("attributes", &format!("List({path})"))],
        ));
    };
    (0..fields.len())
        .map(|index| {
            let field = extract::struct_field(value.clone(), index)?;
            let name = fields
                .get(index)
                .map(|f| f.name().clone())
                .unwrap_or_default();
            Ok((name, field))
        })
        .collect()
}
