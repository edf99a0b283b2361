//! `split`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::DataType,
};
use datafusion::logical_expr::Volatility;

use super::pattern::{Pattern, next_start};
use crate::{
    error::{Exception, Result, SparkError},
    functions::{
        Accepts, Batch, Function, Kernel, Parameters, Registry,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
    types,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::INT]);
    registry.add(Function::rewrite("split", parameters, |call| {
        let call = with_defaults(call, 3, [TypedExpr::int(-1)]);
        let (parts, nullable) = (types::list(DataType::Utf8, false), call.any_nullable());
        Ok(call.kernel_with(
            "split",
            Kernel::Plain(split),
            parts,
            nullable,
            Volatility::Immutable,
        ))
    }));
}

fn split(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns, limits) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    let item = types::list_item(DataType::Utf8, false);
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(item);
    let mut last: Option<(&str, Splitter)> = None;
    for row in 0..batch.len() {
        if !rows.counts(row) {
            out.append_null();
            continue;
        }
        let pattern = patterns.value(row);
        if last.as_ref().is_none_or(|(of, _)| *of != pattern) {
            last = Some((pattern, Splitter::new(pattern)?));
        }
        let limit = usize::try_from(limits.value(row)).ok().filter(|n| *n > 0);
        if let Some((_, splitter)) = &last {
            splitter.split(texts.value(row), limit, |part| {
                out.values().append_value(part)
            })?;
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// How to split. Most patterns are plain text, which needs no regular expression.
enum Splitter {
    Characters,
    Literal(String),
    Pattern(Arc<Pattern>),
}

impl Splitter {
    fn new(pattern: &str) -> Result<Self> {
        const SPECIAL: &[char] = &[
            '\\', '[', ']', '(', ')', '{', '}', '^', '$', '.', '|', '*', '+', '?',
        ];
        Ok(if pattern.is_empty() {
            Self::Characters
        } else if !pattern.contains(SPECIAL) {
            Self::Literal(pattern.to_string())
        } else {
            let bad =
                |e: super::java::BadPattern| SparkError::plain(Exception::IllegalArgument, e.0);
            Self::Pattern(Pattern::of(pattern).map_err(bad)?)
        })
    }

    fn split<'t>(
        &self,
        text: &'t str,
        limit: Option<usize>,
        mut push: impl FnMut(&'t str),
    ) -> Result<()> {
        let limit = limit.unwrap_or(usize::MAX);
        match self {
            Self::Literal(delimiter) => text.splitn(limit, delimiter.as_str()).for_each(push),
            Self::Characters if text.is_empty() => push(text),
            Self::Characters => {
                let mut rest = text;
                let mut count = 1;
                while let Some(c) = rest.chars().next().filter(|_| count < limit) {
                    let (one, tail) = rest.split_at(c.len_utf8());
                    push(one);
                    (rest, count) = (tail, count + 1);
                }
                if !rest.is_empty() {
                    push(rest);
                }
            }
            Self::Pattern(pattern) => {
                let (mut start, mut from, mut count) = (0, Some(0), 1);
                while let Some(at) = from.filter(|_| count < limit) {
                    let Some((begin, end)) = pattern.find_at(text, at)? else {
                        break;
                    };
                    from = next_start(text, (begin, end));
                    // Java: an empty match at the beginning splits off nothing.
                    if end == 0 {
                        continue;
                    }
                    push(text.get(start..begin).unwrap_or_default());
                    (start, count) = (end, count + 1);
                }
                push(text.get(start..).unwrap_or_default());
            }
        }
        Ok(())
    }
}
