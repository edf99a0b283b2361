//! Values as text.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, StringArray},
    datatypes::Field,
};
use millstream_connectors::text::{Style, render};

use crate::{
    error::{Result, SparkError},
    functions::EvalContext,
};

/// Whose text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToStringStyle {
    /// `CAST(x AS STRING)`.
    Cast,
    /// A cell of `show()`.
    Table,
}

/// Every value as text; NULLs stay NULL.
pub fn display_strings(
    array: &ArrayRef,
    style: ToStringStyle,
    context: &EvalContext,
) -> Result<StringArray> {
    let zone = context.zone()?;
    let style = match style {
        ToStringStyle::Cast => Style::cast(zone),
        ToStringStyle::Table => Style::table(zone),
    };
    let field = Field::new("value", array.data_type().clone(), true);
    render(array, &field, &style).map_err(SparkError::internal)
}

pub(super) fn cast_to_string(array: &ArrayRef, context: &EvalContext) -> Result<ArrayRef> {
    Ok(Arc::new(display_strings(
        array,
        ToStringStyle::Cast,
        context,
    )?))
}

/// Intervals as text, with these fields.
pub(super) fn interval_to_string(
    array: &ArrayRef,
    fields: &str,
    context: &EvalContext,
) -> Result<ArrayRef> {
    let metadata = [(
        crate::types::INTERVAL_FIELDS.to_string(),
        fields.to_string(),
    )]
    .into();
    let field = Field::new("value", array.data_type().clone(), true).with_metadata(metadata);
    let style = Style::cast(context.zone()?);
    Ok(Arc::new(
        render(array, &field, &style).map_err(SparkError::internal)?,
    ))
}
