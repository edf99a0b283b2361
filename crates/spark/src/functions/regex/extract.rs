//! Matches of a pattern: the text, its groups, their number and place.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::{DataType, Int32Type},
};
use datafusion::logical_expr::Volatility;

use super::pattern::{Pattern, Patterns, next_start};
use crate::{
    error::{Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
    types,
};

pub(super) fn register(registry: &mut Registry) {
    let two = || [Accepts::STRING, Accepts::STRING];
    let grouped = || Parameters::fixed(two()).optional([Accepts::INT]);
    let mut with_group = |name: &'static str,
                          group: i32,
                          data_type: DataType,
                          kernel: fn(&Batch<'_>) -> Result<ArrayRef>| {
        registry.add(Function::rewrite(name, grouped(), move |call| {
            let call = with_defaults(call, 3, [TypedExpr::int(group)]);
            let nullable = call.any_nullable();
            let kernel = Kernel::Plain(kernel);
            Ok(call.kernel_with(
                name,
                kernel,
                data_type.clone(),
                nullable,
                Volatility::Immutable,
            ))
        }));
    };
    with_group("regexp_extract", 1, DataType::Utf8, regexp_extract);
    let texts = types::list(DataType::Utf8, true);
    with_group("regexp_extract_all", 1, texts, regexp_extract_all);
    with_group("regexp_instr", 0, DataType::Int32, regexp_instr);
    let count = Returns::Type(DataType::Int32);
    registry.add(Function::scalar("regexp_count", two(), count, regexp_count));
    let text = Returns::Nullable(DataType::Utf8);
    registry.add(Function::scalar(
        "regexp_substr",
        two(),
        text,
        regexp_substr,
    ));
}

fn group_of(function: &str, pattern: &Pattern, index: i32) -> Result<usize> {
    let inside = usize::try_from(index).ok().filter(|i| *i <= pattern.groups);
    inside.ok_or_else(|| {
        SparkError::runtime(
            "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
            &[
                ("parameter", &quoted_id("idx")),
                ("functionName", &quoted_id(function)),
                ("groupCount", &pattern.groups.to_string()),
                ("groupIndex", &index.to_string()),
            ],
        )
    })
}

/// The group of the first match; empty where there is no match or the group took no part in it.
fn regexp_extract(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns, indexes) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    let mut compiled = Patterns::new("regexp_extract");
    rows.text(|row| {
        let text = texts.value(row);
        let pattern = compiled.get(patterns.value(row))?;
        let Some(groups) = pattern.groups_at(text, 0)? else {
            return Ok(Some(""));
        };
        let group = group_of("regexp_extract", &pattern, indexes.value(row))?;
        Ok(Some(groups.get(group).map_or("", |m| m.as_str())))
    })
}

fn regexp_extract_all(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns, indexes) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    let mut compiled = Patterns::new("regexp_extract_all");
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..batch.len() {
        if !rows.counts(row) {
            out.append_null();
            continue;
        }
        let text = texts.value(row);
        let pattern = compiled.get(patterns.value(row))?;
        let mut from = Some(0);
        while let Some(at) = from {
            let Some(groups) = pattern.groups_at(text, at)? else {
                break;
            };
            let group = group_of("regexp_extract_all", &pattern, indexes.value(row))?;
            out.values()
                .append_value(groups.get(group).map_or("", |m| m.as_str()));
            let whole = groups.get(0).map_or((at, at), |m| (m.start(), m.end()));
            from = next_start(text, whole);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn regexp_count(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
    let mut compiled = Patterns::new("regexp_count");
    rows.numbers::<Int32Type>(|row| {
        let text = texts.value(row);
        let pattern = compiled.get(patterns.value(row))?;
        let (mut count, mut from) = (0, Some(0));
        while let Some(at) = from {
            let Some(found) = pattern.find_at(text, at)? else {
                break;
            };
            count += 1;
            from = next_start(text, found);
        }
        Ok(Some(count))
    })
}

/// 1-based character position of the first match; the group index is looked at by nobody but for NULL.
fn regexp_instr(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
    let mut compiled = Patterns::new("regexp_instr");
    rows.numbers::<Int32Type>(|row| {
        let text = texts.value(row);
        let found = compiled.get(patterns.value(row))?.find_at(text, 0)?;
        Ok(Some(found.map_or(0, |(start, _)| {
            let before = text.get(..start).map_or(0, |t| t.chars().count());
            i32::try_from(before + 1).unwrap_or(i32::MAX)
        })))
    })
}

fn regexp_substr(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
    let mut compiled = Patterns::new("regexp_substr");
    rows.text(|row| {
        let text = texts.value(row);
        let found = compiled.get(patterns.value(row))?.find_at(text, 0)?;
        Ok(found.and_then(|(start, end)| text.get(start..end)))
    })
}
