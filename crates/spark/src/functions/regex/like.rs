//! LIKE, ILIKE and RLIKE.
use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{common::ScalarValue, logical_expr::Volatility};
use std::sync::Arc;

use super::pattern::Patterns;
use crate::{
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, PreparedKernel, Registry,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters =
        || Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::STRING]);
    registry.add(Function::rewrite("like", parameters(), |call| {
        like_call(call, false)
    }));
    registry.add(Function::rewrite("ilike", parameters(), |call| {
        like_call(call, true)
    }));
    for name in ["rlike", "regexp", "regexp_like"] {
        registry.add(Function::rewrite(
            name,
            [Accepts::STRING, Accepts::STRING],
            move |call| {
                let nullable = call.any_nullable();
                let kernel = Kernel::Plain(rlike);
                let typed = call.kernel_with(
                    "rlike",
                    kernel,
                    DataType::Boolean,
                    nullable,
                    Volatility::Immutable,
                );
                let shown = typed.name.replacen(name, &name.to_uppercase(), 1);
                Ok(typed.named(shown))
            },
        ));
    }
}

fn rlike(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
    let mut compiled = Patterns::new("rlike");
    rows.flags(|row| {
        compiled
            .get(patterns.value(row))?
            .is_found(texts.value(row))
            .map(Some)
    })
}

fn like_call(call: &Call<'_>, ignore_case: bool) -> Result<TypedExpr> {
    let escape = match call.args.get(2) {
        None => '\\',
        Some(arg) => escape_character(call, arg)?,
    };
    let (text, pattern) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let name = match (ignore_case, escape) {
        (true, _) => format!("ilike({}, {})", text.name, pattern.name),
        (_, '\\') => format!("{} LIKE {}", text.name, pattern.name),
        _ => format!("{} LIKE {} ESCAPE '{escape}'", text.name, pattern.name),
    };
    let nullable = text.nullable || pattern.nullable;
    let kernel = Arc::new(Like {
        escape,
        ignore_case,
    });
    let typed = with_args(call, vec![text, pattern]).kernel(kernel, DataType::Boolean, nullable);
    Ok(typed.named(name))
}

fn escape_character(call: &Call<'_>, arg: &TypedExpr) -> Result<char> {
    let text = match call.constant(2, "escape")? {
        ScalarValue::Utf8(Some(text)) => text,
        _ => String::new(),
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(SparkError::analysis(
            "INVALID_ESCAPE_CHAR",
            &[("sqlExpr", &arg.sql())],
        )),
    }
}

#[derive(Debug)]
struct Like {
    escape: char,
    ignore_case: bool,
}

impl PreparedKernel for Like {
    fn fingerprint(&self) -> String {
        format!("{} {}", self.escape, self.ignore_case)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
        let mut last: Option<(&str, Matcher)> = None;
        rows.flags(|row| {
            let pattern = patterns.value(row);
            if last.as_ref().is_none_or(|(of, _)| *of != pattern) {
                let matcher = match self.ignore_case {
                    true => Matcher::new(&pattern.to_lowercase(), self.escape)?,
                    false => Matcher::new(pattern, self.escape)?,
                };
                last = Some((pattern, matcher));
            }
            let text = texts.value(row);
            Ok(last.as_ref().map(|(_, matcher)| match self.ignore_case {
                true => matcher.matches(&text.to_lowercase()),
                false => matcher.matches(text),
            }))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Literal(char),
    One,
    Many,
}

/// A LIKE pattern; the common shapes need no stepping through characters.
#[derive(Debug)]
enum Matcher {
    Equal(String),
    Prefix(String),
    Suffix(String),
    Part(Box<memchr::memmem::Finder<'static>>),
    Steps(Vec<Step>),
}

impl Matcher {
    fn new(pattern: &str, escape: char) -> Result<Self> {
        let steps = parse(pattern, escape)?;
        let many = |at: Option<usize>| at.and_then(|i| steps.get(i)) == Some(&Step::Many);
        let front = many(Some(0));
        let back = steps.len() > 1 && many(steps.len().checked_sub(1));
        let inner = steps
            .get(usize::from(front)..steps.len() - usize::from(back))
            .unwrap_or_default();
        let literal: Option<String> = inner
            .iter()
            .map(|s| {
                if let Step::Literal(c) = s {
                    Some(*c)
                } else {
                    None
                }
            })
            .collect();
        Ok(match (literal, front, back) {
            (Some(text), false, false) => Self::Equal(text),
            (Some(text), false, true) => Self::Prefix(text),
            (Some(text), true, false) => Self::Suffix(text),
            (Some(text), true, true) => Self::Part(Box::new(
                memchr::memmem::Finder::new(text.as_bytes()).into_owned(),
            )),
            (None, _, _) => Self::Steps(steps),
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equal(whole) => text == whole,
            Self::Prefix(start) => text.starts_with(start),
            Self::Suffix(end) => text.ends_with(end),
            Self::Part(part) => part.find(text.as_bytes()).is_some(),
            Self::Steps(steps) => walk(steps, text),
        }
    }
}

fn parse(pattern: &str, escape: char) -> Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    let quoted = || format!("'{}'", pattern.replace('\\', "\\\\").replace('\'', "\\'"));
    while let Some(c) = chars.next() {
        steps.push(match c {
            c if c == escape => match chars.next() {
                Some(next) if next == escape || matches!(next, '_' | '%') => Step::Literal(next),
                Some(next) => {
                    let next = format!("'{next}'");
                    let parameters = [("format", quoted()), ("char", next)];
                    let parameters = parameters.each_ref().map(|(k, v)| (*k, v.as_str()));
                    return Err(SparkError::analysis(
                        "INVALID_FORMAT.ESC_IN_THE_MIDDLE",
                        &parameters,
                    ));
                }
                None => {
                    let class = "INVALID_FORMAT.ESC_AT_THE_END";
                    return Err(SparkError::analysis(class, &[("format", &quoted())]));
                }
            },
            '_' => Step::One,
            '%' if steps.last() == Some(&Step::Many) => continue,
            '%' => Step::Many,
            c => Step::Literal(c),
        });
    }
    Ok(steps)
}

/// Goes back to the last `%` where a step does not fit.
fn walk(steps: &[Step], text: &str) -> bool {
    let (mut step, mut rest) = (0, text.chars());
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        let next = ahead.next();
        let fits = match (steps.get(step), next) {
            (Some(Step::Many), _) => {
                step += 1;
                retry = Some((step, rest.clone()));
                continue;
            }
            (None, None) => return true,
            (Some(Step::One), Some(_)) => true,
            (Some(Step::Literal(a)), Some(b)) => *a == b,
            _ => false,
        };
        if fits {
            (step, rest) = (step + 1, ahead);
            continue;
        }
        let Some((at, mut from)) = retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (step, rest) = (at, from.clone());
        retry = Some((at, from));
    }
}
