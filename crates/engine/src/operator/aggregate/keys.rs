//! Grouping expressions as the key columns of state.
//!
//! A time window is two columns while grouping, start and end, and one struct for everybody else: grouping by a struct would
//! go row by row, grouping by two timestamps is vectorised, and the state store needs a plain column to evict by.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{Column, DFSchema, Result},
    logical_expr::{Aggregate, Expr, ExprSchemable, utils::grouping_set_to_exprlist},
};

use super::window_key::{join_window, window_part};
use crate::time::event_time::{SESSION_WINDOW_KEY, TIME_WINDOW_KEY, delay_ms, is_window};

/// The keys that stand for one grouping expression.
#[derive(Debug, Clone)]
pub(in crate::operator) struct Key {
    /// An expression over the input, and the column it becomes.
    pub parts: Vec<(Expr, Field)>,
    /// Which part evicts.
    pub event_time: Option<usize>,
    /// The window that the parts are put together to; otherwise there is one part.
    window: Option<FieldRef>,
}

/// Name of a key among a node's columns, and its label in state files: the name that users know comes first.
fn key_name(group: &Field, index: usize) -> String {
    let name = group.name();
    let label = name
        .split_once('#')
        .map_or(name.as_str(), |(label, _)| label);
    format!("{label}#key{index}")
}

impl Key {
    /// The keys of an aggregation, in its own order.
    pub fn all_of(aggregate: &Aggregate) -> Result<Vec<Self>> {
        grouping_set_to_exprlist(&aggregate.group_expr)?
            .into_iter()
            .enumerate()
            .map(|(index, group)| {
                let (_, field) = aggregate.schema.qualified_field(index);
                Self::of(group, field, index, aggregate.input.schema())
            })
            .collect()
    }

    fn of(group: &Expr, field: &Field, index: usize, input: &DFSchema) -> Result<Self> {
        let tagged = delay_ms(field).is_some();
        let (_, typed) = group.to_field(input)?;
        let DataType::Struct(bounds) = field.data_type() else {
            return Ok(Self::column(group, &typed, key_name(field, index), tagged));
        };
        // A struct that only looks like a window may be NULL, or have a NULL start.
        let marked = |key| field.metadata().contains_key(key);
        if !is_window(field) || !(marked(TIME_WINDOW_KEY) || marked(SESSION_WINDOW_KEY)) {
            return Ok(Self::column(group, &typed, key_name(field, index), false));
        }
        let part = |bound: &FieldRef| {
            let name = format!("{}.{}", key_name(field, index), bound.name());
            let part = Field::new(name, bound.data_type().clone(), true);
            (window_part(group.clone(), bound.name()), part)
        };
        Ok(Self {
            parts: bounds.iter().map(part).collect(),
            // A window stands for its end.
            event_time: tagged.then_some(1),
            window: Some(Arc::new(field.clone())),
        })
    }

    fn column(group: &Expr, typed: &Field, name: String, tagged: bool) -> Self {
        let field = typed.clone().with_name(name);
        Self {
            parts: vec![(group.clone(), field)],
            event_time: tagged.then_some(0),
            window: None,
        }
    }

    /// The grouping expression's value under the name it has in the aggregation, from the columns of its parts.
    pub fn output(&self, aggregate: &Aggregate, index: usize) -> Expr {
        let (qualifier, field) = aggregate.schema.qualified_field(index);
        self.whole().alias_qualified_with_metadata(
            qualifier.cloned(),
            field.name().clone(),
            Some(field.metadata().clone().into()),
        )
    }

    fn whole(&self) -> Expr {
        let part = |index: usize| {
            let name = self.parts.get(index).map(|(_, field)| field.name().clone());
            Expr::Column(Column::new_unqualified(name.unwrap_or_default()))
        };
        match &self.window {
            Some(window) => join_window(part(0), part(1), Arc::clone(window)),
            None => part(0),
        }
    }
}
