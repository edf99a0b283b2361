//! Functions that make rows of a row: `explode`, `posexplode`, `inline`, `stack`.
//!
//! A generator is not an expression: the projection it stands in turns it into an unnest. It is therefore only allowed at
//! the top of a select item, or in LATERAL VIEW.
use arrow::datatypes::DataType;

use super::Call;
use crate::{
    error::{Result, SparkError},
    typed::TypedExpr,
    types::map_fields,
};

/// How elements become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneratorKind {
    /// Elements of an array become one column.
    Array,
    /// Entries of a map become key and value.
    Map,
    /// Structs of an array become a column per field.
    Inline,
}

/// A generator over a list-like value.
#[derive(Debug, Clone)]
pub struct Generator {
    /// How elements become columns.
    pub kind: GeneratorKind,
    /// The array or map.
    pub input: TypedExpr,
    /// Whether the position comes first.
    pub position: bool,
    /// Whether a row without elements still gives one row of NULLs.
    pub outer: bool,
    /// Columns: name, type, nullable.
    pub columns: Vec<(String, DataType, bool)>,
    /// Text of the call.
    pub name: String,
}

impl Generator {
    /// `explode(array or map)`; with `position`, `posexplode`. `outer` by the call's name.
    pub fn explode(call: &Call<'_>, position: bool) -> Result<Self> {
        let input = call.arg(0)?.clone();
        let outer = call.called.ends_with("_outer");
        let (kind, mut columns) = match &input.data_type {
            DataType::List(item) => (
                GeneratorKind::Array,
                vec![(
                    "col".to_string(),
                    item.data_type().clone(),
                    item.is_nullable() || outer,
                )],
            ),
            data_type => match map_fields(data_type) {
                Some((k, v)) => (
                    GeneratorKind::Map,
                    vec![
                        ("key".to_string(), k.data_type().clone(), outer),
                        (
                            "value".to_string(),
                            v.data_type().clone(),
                            v.is_nullable() || outer,
                        ),
                    ],
                ),
                None => return Err(call.unexpected_type(0, "(\"ARRAY\" or \"MAP\")")),
            },
        };
        if position {
            columns.insert(0, ("pos".to_string(), DataType::Int32, outer));
        }
        Ok(Self {
            kind,
            input,
            position,
            outer,
            columns,
            name: call.name(),
        })
    }

    /// `inline(array of structs)`.
    pub fn inline(call: &Call<'_>) -> Result<Self> {
        let input = call.arg(0)?.clone();
        let outer = call.called.ends_with("_outer");
        let DataType::List(item) = &input.data_type else {
            return Err(call.unexpected_type(0, "\"ARRAY<STRUCT>\""));
        };
        let DataType::Struct(fields) = item.data_type() else {
            return Err(call.unexpected_type(0, "\"ARRAY<STRUCT>\""));
        };
        let columns = fields
            .iter()
            .map(|f| {
                let nullable = f.is_nullable() || item.is_nullable() || outer;
                (f.name().clone(), f.data_type().clone(), nullable)
            })
            .collect();
        let kind = GeneratorKind::Inline;
        Ok(Self {
            kind,
            input,
            position: false,
            outer,
            columns,
            name: call.name(),
        })
    }

    /// The error for a generator inside another expression.
    pub fn nested_in(&self, expression: &str) -> SparkError {
        SparkError::analysis(
            "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
            &[("expression", &crate::error::quoted(expression))],
        )
    }
}
