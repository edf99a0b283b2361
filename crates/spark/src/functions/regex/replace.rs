//! `regexp_replace`.
use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{common::ScalarValue, logical_expr::Volatility};
use fancy_regex::Captures;

use super::pattern::{Patterns, next_start};
use crate::{
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Function, Kernel, Parameters, Registry,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let three = [Accepts::STRING, Accepts::STRING, Accepts::STRING];
    let parameters = Parameters::fixed(three).optional([Accepts::INT]);
    registry.add(Function::rewrite("regexp_replace", parameters, |call| {
        let call = with_defaults(call, 4, [TypedExpr::int(1)]);
        if let ScalarValue::Int32(Some(position)) = call.constant(3, "position")?
            && position <= 0
        {
            return Err(call.mismatch(
                "VALUE_OUT_OF_RANGE",
                &[
                    ("exprName", "position"),
                    ("valueRange", &format!("(0, {}]", i32::MAX)),
                    ("currentValue", &position.to_string()),
                ],
            ));
        }
        let (kernel, nullable) = (Kernel::Plain(regexp_replace), call.any_nullable());
        let name = "regexp_replace";
        Ok(call.kernel_with(
            name,
            kernel,
            DataType::Utf8,
            nullable,
            Volatility::Immutable,
        ))
    }));
}

fn regexp_replace(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns, replacements) = (rows.strings(0)?, rows.strings(1)?, rows.strings(2)?);
    let positions = rows.ints(3)?;
    let mut compiled = Patterns::new("regexp_replace");
    let mut last: Option<(&str, Vec<Part>)> = None;
    rows.text(|row| {
        let (text, replacement) = (texts.value(row), replacements.value(row));
        let pattern = compiled.get(patterns.value(row))?;
        let skip = usize::try_from(positions.value(row) - 1).unwrap_or(0);
        let Some((start, _)) = text
            .char_indices()
            .nth(skip)
            .or((skip == 0).then_some((0, ' ')))
        else {
            return Ok(Some(text.to_string()));
        };
        let invalid = || {
            SparkError::runtime(
                "INVALID_REGEXP_REPLACE",
                &[
                    ("source", text),
                    ("pattern", patterns.value(row)),
                    ("replacement", replacement),
                    ("position", &positions.value(row).to_string()),
                ],
            )
        };
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut from) = (0, Some(start));
        while let Some(at) = from {
            let Some(groups) = pattern.groups_at(text, at)? else {
                break;
            };
            if last.as_ref().is_none_or(|(of, _)| *of != replacement) {
                let parts = parse(replacement, pattern.groups).ok_or_else(invalid)?;
                last = Some((replacement, parts));
            }
            let parts = last.as_ref().map(|(_, p)| p.as_slice()).unwrap_or_default();
            let (begin, end) = groups.get(0).map_or((at, at), |m| (m.start(), m.end()));
            out.push_str(text.get(copied..begin).unwrap_or_default());
            expand(parts, &groups, &mut out).ok_or_else(invalid)?;
            copied = end;
            from = next_start(text, (begin, end));
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Ok(Some(out))
    })
}

#[derive(Debug)]
enum Part {
    Text(String),
    Group(usize),
    Named(String),
}

/// Java's replacement syntax: `$1`, `${name}`, and a backslash before what is meant literally.
fn parse(replacement: &str, groups: usize) -> Option<Vec<Part>> {
    let mut parts = vec![];
    let mut text = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            '$' => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                if chars.next_if_eq(&'{').is_some() {
                    let mut name = String::new();
                    while let Some(c) = chars.next_if(char::is_ascii_alphanumeric) {
                        name.push(c);
                    }
                    (chars.next()? == '}').then_some(())?;
                    parts.push(Part::Named(name));
                    continue;
                }
                let mut group = chars.next()?.to_digit(10)? as usize;
                if group > groups {
                    return None;
                }
                // As many digits as there are groups for.
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer > groups {
                        break;
                    }
                    group = longer;
                    chars.next();
                }
                parts.push(Part::Group(group));
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Some(parts)
}

/// `None` if a name is not one of the pattern's.
fn expand(parts: &[Part], groups: &Captures<'_, str>, out: &mut String) -> Option<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Group(index) => out.push_str(groups.get(*index).map_or("", |m| m.as_str())),
            Part::Named(name) => out.push_str(groups.name(name).map_or("", |m| m.as_str())),
        }
    }
    Some(())
}
