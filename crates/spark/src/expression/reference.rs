//! Names and references through a DataFrame.
//!
//! A name is tried in Spark's order: lambda variables, columns of the inputs, columns below the input (for nodes that may
//! reach through a projection or aggregation: filters, sorts), aliases to the left in the same select list, columns of an
//! outer query, and functions that need no parentheses. A reference through a DataFrame (`df.a`) is looked for only in what
//! that DataFrame stands for.
use spark_connect_proto::expression::UnresolvedAttribute;

use super::{Expressions, extract};
use crate::{
    error::{Result, SparkError, quoted},
    functions::{Call, Registry, Resolution},
    scope::{Attribute, parse_attribute_name, resolve_in_plan, resolve_name, unresolved_column},
    typed::TypedExpr,
};

/// Functions that may be called without parentheses.
const LITERAL_FUNCTIONS: [&str; 7] = [
    "current_date",
    "current_timestamp",
    "current_time",
    "localtimestamp",
    "current_user",
    "user",
    "session_user",
];

impl Expressions<'_> {
    pub(super) fn attribute(&self, attribute: &UnresolvedAttribute) -> Result<TypedExpr> {
        let parts = parse_attribute_name(&attribute.unparsed_identifier)?;
        if let Some(plan_id) = attribute.plan_id {
            return self.plan_attribute(&parts, plan_id);
        }
        if let Some(found) = self.find(&parts)? {
            return Ok(found);
        }
        Err(unresolved_column(
            &parts,
            self.inputs.iter().flat_map(|r| r.output.iter()),
        ))
    }

    /// The value that a name stands for here, if any.
    pub(crate) fn find(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        if let Some(found) = self.find_lambda_variable(parts)? {
            return Ok(Some(found));
        }
        let below = self.below;
        if self.in_aggregate.get()
            && let Some(below) = below
            && let Some(found) = resolve_name(parts, below.output.iter(), self.names())?
        {
            return Ok(Some(found));
        }
        let visible = self.inputs.iter().flat_map(|r| r.output.iter());
        if let Some(found) = resolve_name(parts, visible, self.names())? {
            return Ok(Some(found));
        }
        let hidden = self.inputs.iter().flat_map(|r| r.hidden.iter());
        if let Some(found) = resolve_name(parts, hidden, self.names())? {
            return Ok(Some(found));
        }
        if let Some(below) = below
            && let Some(found) = resolve_name(parts, below.all_attributes(), self.names())?
        {
            return Ok(Some(found));
        }
        let windows: Vec<Attribute> = self
            .windows
            .borrow()
            .iter()
            .map(|w| w.attribute.clone())
            .collect();
        if let Some(found) = resolve_name(parts, windows.iter(), self.names())? {
            return Ok(Some(found));
        }
        if let Some(found) = self.find_alias(parts)? {
            return Ok(Some(found));
        }
        if let Some(outer) = &self.planner.outer
            && let Some(found) = outer.find(parts)?
        {
            return Ok(Some(found));
        }
        if let [name] = parts
            && let Some(function) = LITERAL_FUNCTIONS
                .iter()
                .find(|f| f.eq_ignore_ascii_case(name))
        {
            let call = Call::new(function, vec![], &self.planner.context);
            if let Ok(Resolution::Value(value)) = Registry::builtin().call(call) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// An alias to the left in the same select list.
    fn find_alias(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        let Some((name, fields)) = parts.split_first() else {
            return Ok(None);
        };
        let aliases = self.aliases.borrow();
        let mut found = aliases
            .iter()
            .filter(|(alias, _)| self.names().same(alias, name));
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(SparkError::analysis(
                "AMBIGUOUS_LATERAL_COLUMN_ALIAS",
                &[("name", &crate::error::quoted_name(parts)), ("n", "2")],
            ));
        }
        let mut value = value.clone();
        value.name.clone_from(name);
        value.output_name = None;
        for field in fields {
            value = extract::by_name(value, field, self.names())?;
        }
        Ok(Some(value))
    }

    pub(super) fn plan_attribute(&self, parts: &[String], plan_id: i64) -> Result<TypedExpr> {
        if let Some(found) = resolve_in_plan(parts, plan_id, &self.inputs, self.names())? {
            return Ok(found);
        }
        if let Some(below) = self.below
            && let Some(found) = resolve_in_plan(parts, plan_id, &[below], self.names())?
        {
            return Ok(found);
        }
        if let Some(outer) = &self.planner.outer
            && let Some(found) = outer.find_in_plan(parts, plan_id)?
        {
            return Ok(found);
        }
        let name: Vec<String> = parts
            .iter()
            .map(|p| crate::types::quote_if_needed(p))
            .collect();
        Err(SparkError::analysis(
            "CANNOT_RESOLVE_DATAFRAME_COLUMN",
            &[("name", &quoted(name.join(".")))],
        ))
    }
}

pub(super) fn find_node(
    lineage: &crate::scope::Lineage,
    plan_id: i64,
) -> Option<&crate::scope::Lineage> {
    if lineage.plan_id == Some(plan_id) {
        return Some(lineage);
    }
    lineage
        .inputs
        .iter()
        .find_map(|input| find_node(input, plan_id))
}
