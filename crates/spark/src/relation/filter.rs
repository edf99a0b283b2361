//! `WHERE`, `HAVING`, limits and hints.
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use spark_connect_proto::{
    Expression, Filter, Hint, Limit, Offset, SubqueryAlias, Tail, expression::ExprType,
};

use super::{
    aggregate::has_grouping_call,
    input,
    project::{compute_windows, has_aggregate, reads_window},
};
use crate::{
    error::{Result, SparkError, quoted},
    expression::Expressions,
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

impl Planner<'_> {
    pub(super) fn filter(&self, node: &Filter) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Filter")?)?;
        let condition = node
            .condition
            .as_ref()
            .ok_or_else(|| crate::expression::not_set("Filter", "condition"))?;
        if let Some(condition) = qualified_by(condition) {
            return self.qualify(rows, condition);
        }
        let (value, windows) = {
            let below = rows.below.clone();
            let scope = Expressions::new(self, vec![&rows])
                .with_below(below.as_ref().map(|b| &b.input))
                .of_predicate();
            (
                scope
                    .condition(condition)
                    .map_err(|error| outside_select(error, &rows))?,
                scope.take_windows(),
            )
        };
        let rows = self.with_windows(rows, windows)?;
        self.filtered(rows, value)
    }

    /// The rows for which a condition on window functions is true. The windows are over the rows that HAVING left.
    fn qualify(&self, rows: Resolved, condition: &Expression) -> Result<Resolved> {
        let value = {
            let below = rows.below.clone();
            let scope =
                Expressions::new(self, vec![&rows]).with_below(below.as_ref().map(|b| &b.input));
            scope.condition(condition)?
        };
        // The select list's own window functions are columns of the plan below it by now.
        let mut selected = rows.below.iter().flat_map(|below| &below.projection);
        if !value.has_window() && !selected.any(reads_window) {
            return Err(SparkError::analysis(
                "QUALIFY_REQUIRES_WINDOW_FUNCTION",
                &[],
            ));
        }
        let (output, kept) = (rows.output.clone(), rows.columns());
        let (rows, values) = self.reach_below(rows, vec![value])?;
        let columns = values.into_iter().map(|value| (String::new(), value, true));
        let (plan, values) = compute_windows(rows.plan.clone(), columns.collect())?;
        let mut plan = LogicalPlanBuilder::from(plan);
        for (_, value, _) in values {
            plan = plan.filter(value.expr)?;
        }
        let mut qualified = rows.derive(
            plan.project(kept.into_iter().map(Expr::Column))?.build()?,
            output,
        );
        qualified.below = None;
        Ok(qualified)
    }

    /// The rows for which `value` is true.
    pub(crate) fn filtered(&self, rows: Resolved, value: TypedExpr) -> Result<Resolved> {
        let over_aggregate = rows.below.as_ref().is_some_and(|b| b.aggregate.is_some());
        if has_grouping_call(&value.expr) && !over_aggregate {
            return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
        }
        if (has_aggregate(&value.expr) && !over_aggregate) || value.has_window() {
            let inner = with_qualifiers(&invalid_parts(&value), &rows);
            return Err(SparkError::analysis(
                "INVALID_WHERE_CONDITION",
                &[
                    ("condition", &quoted(&value.name)),
                    ("expressionList", &inner),
                ],
            ));
        }
        let (rows, mut values) = self.reach_below(rows, vec![value])?;
        let Some(value) = values.pop() else {
            return Ok(rows);
        };
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .filter(value.expr.clone())?
            .build()?;
        let mut filtered = rows.with_plan(plan);
        if let Some(below) = &rows.below {
            let mut below = below.as_ref().clone();
            below.filters.push(value.expr);
            filtered.below = Some(Arc::new(below));
        }
        Ok(filtered)
    }

    pub(super) fn limit(&self, node: &Limit) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Limit")?)?;
        let count = limit_count(node.limit, "limit")?;
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .limit(0, Some(count))?
            .build()?;
        Ok(rows.with_plan(plan))
    }

    pub(super) fn offset(&self, node: &Offset) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Offset")?)?;
        let count = limit_count(node.offset, "offset")?;
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .limit(count, None)?
            .build()?;
        Ok(rows.with_plan(plan))
    }

    /// The last rows: all rows are kept in memory while they are counted.
    pub(super) fn tail(&self, node: &Tail) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Tail")?)?;
        let wanted = limit_count(node.limit, "tail")?;
        if rows.is_streaming {
            return Err(streaming_action());
        }
        let batches = self.catalog.collect(&rows)?;
        let total: usize = batches.iter().map(|b| b.num_rows()).sum();
        let mut skip = total.saturating_sub(wanted);
        let mut kept = vec![];
        for batch in batches {
            let here = skip.min(batch.num_rows());
            skip -= here;
            if here < batch.num_rows() {
                kept.push(batch.slice(here, batch.num_rows() - here));
            }
        }
        // The batches have the columns users see; the plan may have more.
        self.rows(&Schema::new(rows.fields()), kept)
    }

    pub(super) fn hint(&self, node: &Hint) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Hint")?)?;
        tracing::debug!(hint = %node.name, "plan hints have no effect: join strategies are chosen by size");
        Ok(rows)
    }

    pub(super) fn subquery_alias(&self, node: &SubqueryAlias) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "SubqueryAlias")?)?;
        Ok(self.qualified(rows, &node.alias))
    }

    /// The relation under an alias: its columns may be written `alias.column`.
    pub(crate) fn qualified(&self, rows: Resolved, alias: &str) -> Resolved {
        let mut output = rows.output.clone();
        for attribute in &mut output {
            attribute.qualifier = vec![alias.to_string()];
        }
        rows.derive(rows.plan.clone(), output)
    }
}

pub(crate) fn limit_count(value: i32, name: &str) -> Result<usize> {
    usize::try_from(value).map_err(|_| {
        SparkError::analysis(
            "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE",
            &[
                ("name", name),
                ("v", &value.to_string()),
                ("expr", &quoted(value)),
            ],
        )
    })
}

/// An action on a streaming DataFrame.
pub(crate) fn streaming_action() -> SparkError {
    SparkError::streaming_unsupported(
        "Queries with streaming sources must be executed with writeStream.start(), or from a streaming table or flow \
         definition within a Spark Declarative Pipeline.",
    )
}

/// An expression's text with the columns written as `table.column`, as some messages show them.
pub(super) fn with_qualifiers(text: &str, rows: &Resolved) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_name) {
        let (before, tail) = rest.split_at(at);
        let end = tail.find(|c| !is_name(c)).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        shown.push_str(before);
        let column = rows
            .output
            .iter()
            .find(|a| a.name == word && !a.qualifier.is_empty());
        if let Some(column) = column.filter(|_| !after.starts_with('(') && !shown.ends_with('.')) {
            shown.push_str(&column.qualifier.join("."));
            shown.push('.');
        }
        shown.push_str(word);
        rest = after;
    }
    shown + rest
}

/// The condition of `QUALIFY`, if the filter is one.
fn qualified_by(condition: &Expression) -> Option<&Expression> {
    match &condition.expr_type {
        Some(ExprType::UnresolvedFunction(f))
            if f.is_internal == Some(true)
                && f.function_name == crate::sql::internal_function::QUALIFY =>
        {
            f.arguments.first()
        }
        _ => None,
    }
}

/// The aggregate and window functions of a condition, as messages list them.
fn invalid_parts(value: &TypedExpr) -> String {
    match value.name.split_once('(') {
        Some(_) => {
            // The text between the outermost comparison's parentheses names the offending call well enough.
            let inner = value.name.trim_start_matches('(').trim_end_matches(')');
            let call_end = matching_end(inner).unwrap_or(inner.len());
            inner.get(..call_end).unwrap_or(inner).to_string()
        }
        None => value.name.clone(),
    }
}

fn matching_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A generator may only stand in a select list. Its columns are shown with their ids.
fn outside_select(error: SparkError, rows: &Resolved) -> SparkError {
    if !error.is("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS") {
        return error;
    }
    let expression = error
        .message_parameters
        .get("expression")
        .map_or("", |e| e.trim_matches('"'));
    let mut shown = String::new();
    let mut word = String::new();
    for c in expression.chars().chain(std::iter::once('\0')) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let column = (c != '(').then(|| rows.output.iter().find(|a| a.name == word));
        shown.push_str(column.flatten().map_or(word.as_str(), |a| a.column.name()));
        word.clear();
        shown.push(c);
    }
    let plan = format!("'Filter {}", shown.trim_end_matches('\0'));
    SparkError::analysis("UNSUPPORTED_GENERATOR.OUTSIDE_SELECT", &[("plan", &plan)])
}
