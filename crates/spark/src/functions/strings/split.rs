//! `split(text, regex[, limit])`.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListBuilder, StringBuilder},
    datatypes::Int32Type,
};

use crate::{
    error::Result,
    functions::{Batch, java_regex::JavaRegex},
    types::relabel,
};

/// What separates the parts.
enum Separator {
    /// A pattern that is plain text.
    Text(String),
    /// The empty pattern: every character is a part.
    Characters,
    Regex(std::rc::Rc<JavaRegex>),
}

impl Separator {
    fn of(pattern: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Ok(Self::Characters);
        }
        Ok(match plain(pattern) {
            Some(text) => Self::Text(text),
            None => Self::Regex(JavaRegex::compile(pattern, "split")?),
        })
    }

    /// Hands the parts to `part`, at most `limit` of them if it is positive; the last one is the rest.
    fn split<'t>(&self, text: &'t str, limit: i32, mut part: impl FnMut(&'t str)) -> Result<()> {
        let most = usize::try_from(limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
        match self {
            Self::Text(separator) => {
                text.splitn(most, separator.as_str()).for_each(part);
            }
            Self::Characters => {
                // Without a limit every character is a part; with one, the rest stays together.
                let mut rest = text;
                let mut count = 1;
                if text.is_empty() {
                    part("");
                    return Ok(());
                }
                while let Some(c) = rest.chars().next() {
                    let (head, tail) = rest.split_at(c.len_utf8());
                    if count >= most || tail.is_empty() {
                        part(rest);
                        return Ok(());
                    }
                    part(head);
                    rest = tail;
                    count += 1;
                }
            }
            Self::Regex(regex) => {
                let (mut start, mut at, mut count) = (0, 0, 1);
                while count < most {
                    let Some((from, to)) = (if at <= text.len() { regex.find_at(text, at)? } else { None }) else {
                        break;
                    };
                    // An empty match at the beginning separates nothing; Java goes on behind it.
                    if to == from && (from == 0 || from == text.len()) {
                        at = next_boundary(text, to);
                        continue;
                    }
                    part(text.get(start..from).unwrap_or_default());
                    count += 1;
                    start = to;
                    at = if to == from { next_boundary(text, to) } else { to };
                }
                part(text.get(start..).unwrap_or_default());
            }
        }
        Ok(())
    }
}

fn next_boundary(text: &str, at: usize) -> usize {
    match text.get(at..).and_then(|t| t.chars().next()) {
        Some(c) => at + c.len_utf8(),
        None => text.len() + 1,
    }
}

/// The text a pattern matches, if it matches only one: no operators but backslashes before punctuation.
fn plain(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' | '$' | '|' | '(' | ')' | '[' | '{' | '^' | '?' | '*' | '+' => return None,
            '\\' => match chars.next()? {
                escaped if escaped.is_ascii_punctuation() => out.push(escaped),
                _ => return None,
            },
            c => out.push(c),
        }
    }
    Some(out)
}

pub(super) fn split(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (text, patterns) = (batch.strings(0)?, batch.strings(1)?);
    let limits = batch.primitive::<Int32Type>(2)?;
    let constant = batch.constant_str(1).map(Separator::of).transpose()?;
    let values = StringBuilder::with_capacity(text.len() * 4, text.value_data().len());
    let mut parts = ListBuilder::with_capacity(values, text.len());
    for row in 0..batch.len() {
        if text.is_null(row) || patterns.is_null(row) || limits.is_null(row) {
            parts.append_null();
            continue;
        }
        let own;
        let separator = match &constant {
            Some(separator) => separator,
            None => {
                own = Separator::of(patterns.value(row))?;
                &own
            }
        };
        let builder = parts.values();
        separator.split(text.value(row), limits.value(row), |part| builder.append_value(part))?;
        parts.append(true);
    }
    let parts: ArrayRef = Arc::new(parts.finish());
    relabel(&parts, batch.return_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, pattern: &str, limit: i32) -> Vec<String> {
        let mut found = vec![];
        Separator::of(pattern).unwrap().split(text, limit, |p| found.push(p.to_string())).unwrap();
        found
    }

    #[test]
    fn parts_are_javas() {
        for (text, pattern, limit, expected) in [
            ("a b c", " ", -1, vec!["a", "b", "c"]),
            ("a b c", " ", 2, vec!["a", "b c"]),
            ("a,b,", ",", -1, vec!["a", "b", ""]),
            ("oneAtwoBthreeC", "[ABC]", -1, vec!["one", "two", "three", ""]),
            ("oneAtwoBthreeC", "[ABC]", 2, vec!["one", "twoBthreeC"]),
            ("abc", "", -1, vec!["a", "b", "c"]),
            ("abc", "", 2, vec!["a", "bc"]),
            ("", ",", -1, vec![""]),
            ("a.b", "\\.", -1, vec!["a", "b"]),
            ("a1b22c", "\\d+", -1, vec!["a", "b", "c"]),
            ("abc", "(?=b)", -1, vec!["a", "bc"]),
        ] {
            assert_eq!(parts(text, pattern, limit), expected, "{text} {pattern} {limit}");
        }
    }
}
