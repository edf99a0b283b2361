//! `get_json_object`: Hive's JSON paths.
//!
//! A path is `$` followed by `.name`, `['name']`, `[3]`, `[*]` and `.*`. What several matches become is Hive's and odd: one
//! match of a wildcard stands alone, several are an array, and `[*][*]` flattens.
use arrow::{array::ArrayRef, datatypes::DataType};

use datafusion::logical_expr::Volatility;

use super::{
    cursor::{Cursor, Kind, Leniency, Malformed},
    only_strings,
};
use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Kernel, Registry, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "get_json_object",
        [Accepts::Any, Accepts::Any],
        |call| {
            let kernel = Kernel::Plain(get_json_object);
            let call = only_strings(call)?;
            Ok(call.kernel_with(
                "get_json_object",
                kernel,
                DataType::Utf8,
                true,
                Volatility::Immutable,
            ))
        },
    ));
}

fn get_json_object(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, paths) = (rows.strings(0)?, rows.strings(1)?);
    let mut last: Option<(&str, Option<Vec<Step>>)> = None;
    rows.text(|row| {
        let path = paths.value(row);
        if last.as_ref().is_none_or(|(of, _)| *of != path) {
            last = Some((path, parse(path)));
        }
        let Some((_, Some(steps))) = &last else {
            return Ok(None);
        };
        Ok(object_at(texts.value(row), steps))
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Into an object.
    Key,
    /// Into an array.
    Subscript,
    Named(String),
    Index(u64),
    Wildcard,
}

/// `None` if it is no path.
fn parse(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(tail) = rest
            .strip_prefix(".*")
            .or_else(|| rest.strip_prefix("['*']"))
        {
            steps.push(Step::Wildcard);
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.extend([Step::Key, Step::Named(name.to_string())]);
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("['") {
            let (name, tail) = tail.split_once("']")?;
            if name.is_empty() || name.contains(['\'', '?']) {
                return None;
            }
            steps.extend([Step::Key, Step::Named(name.to_string())]);
            rest = tail;
        } else {
            let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
            let step = match inside {
                "*" => Step::Wildcard,
                digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                    Step::Index(digits.parse().ok()?)
                }
                _ => return None,
            };
            steps.extend([Step::Subscript, step]);
            rest = tail;
        }
    }
    Some(steps)
}

fn object_at(text: &str, steps: &[Step]) -> Option<String> {
    let mut cursor = Cursor::new(text, Leniency::default());
    let mut out = Output::default();
    let found = evaluate(&mut cursor, steps, Style::Raw, &mut out).ok()?;
    found.then_some(out.text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A string is written without quotes.
    Raw,
    Quoted,
    /// Arrays are written into the one around them.
    Flatten,
}

/// Written values; inside an array they are separated.
#[derive(Debug, Default)]
struct Output {
    text: String,
    in_array: bool,
    written: usize,
}

impl Output {
    fn array() -> Self {
        Self {
            in_array: true,
            ..Self::default()
        }
    }

    fn separate(&mut self) {
        if self.in_array && self.written > 0 {
            self.text.push(',');
        }
        self.written += 1;
    }

    fn raw(&mut self, value: &str) {
        self.separate();
        self.text.push_str(value);
    }
}

/// Writes what matches; whether anything did. The value is consumed either way.
fn evaluate(
    cursor: &mut Cursor<'_>,
    steps: &[Step],
    style: Style,
    out: &mut Output,
) -> std::result::Result<bool, Malformed> {
    let kind = cursor.kind()?;
    match (kind, steps) {
        (Kind::String, []) if style == Style::Raw => {
            out.separate();
            cursor.string(&mut out.text)?;
            Ok(true)
        }
        (Kind::Array, []) if style == Style::Flatten => {
            let mut any = false;
            cursor.elements(|c| {
                any |= evaluate(c, &[], style, out)?;
                Ok(())
            })?;
            Ok(any)
        }
        (_, []) => {
            out.separate();
            cursor.copy(&mut out.text)?;
            Ok(true)
        }
        (Kind::Object, [Step::Key, Step::Named(wanted), rest @ ..]) => {
            let mut any = false;
            cursor.fields(|c, name| {
                let look = !any && name == wanted && c.kind()? != Kind::Null;
                if look {
                    any = evaluate(c, rest, style, out)?;
                    return Ok(());
                }
                c.skip()
            })?;
            Ok(any)
        }
        (Kind::Array, [Step::Subscript, Step::Index(index), rest @ ..]) => {
            element(cursor, *index, rest, style, out)
        }
        (Kind::Array, [Step::Subscript, Step::Wildcard, rest @ ..]) => {
            elements(cursor, rest, style, out)
        }
        _ => {
            cursor.skip()?;
            Ok(false)
        }
    }
}

/// `[3]`
fn element(
    cursor: &mut Cursor<'_>,
    index: u64,
    rest: &[Step],
    style: Style,
    out: &mut Output,
) -> std::result::Result<bool, Malformed> {
    let several = matches!(rest, [Step::Subscript, Step::Wildcard, ..]);
    let style = if several { Style::Quoted } else { style };
    let (mut at, mut any) = (0, false);
    cursor.elements(|c| {
        at += 1;
        if at - 1 == index {
            any = evaluate(c, rest, style, out)?;
            return Ok(());
        }
        c.skip()
    })?;
    Ok(any)
}

/// `[*]`, and `[*][*]`, which flattens.
fn elements(
    cursor: &mut Cursor<'_>,
    rest: &[Step],
    style: Style,
    out: &mut Output,
) -> std::result::Result<bool, Malformed> {
    if let [Step::Subscript, Step::Wildcard, rest @ ..] = rest {
        let (inner, count) = all(cursor, rest, Style::Flatten)?;
        out.raw(&format!("[{}]", inner.text));
        return Ok(count > 0);
    }
    let inner_style = match style {
        Style::Flatten => Style::Flatten,
        _ => Style::Quoted,
    };
    let (inner, count) = all(cursor, rest, inner_style)?;
    match (style, count) {
        (Style::Quoted, _) | (_, 2..) => out.raw(&format!("[{}]", inner.text)),
        (_, 1) => out.raw(&inner.text),
        _ => {}
    }
    Ok(count > 0)
}

/// What matches in each element, and in how many.
fn all(
    cursor: &mut Cursor<'_>,
    steps: &[Step],
    style: Style,
) -> std::result::Result<(Output, usize), Malformed> {
    let (mut inner, mut count) = (Output::array(), 0);
    cursor.elements(|c| {
        count += usize::from(evaluate(c, steps, style, &mut inner)?);
        Ok(())
    })?;
    Ok((inner, count))
}
