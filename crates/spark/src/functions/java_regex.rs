//! Java regular expressions.
//!
//! Patterns without look-around and back references run on the linear-time `regex` crate; others on `fancy-regex`. Both are
//! written much like Java's. Compiled patterns are kept per thread, since a pattern is usually a constant.
use std::{cell::RefCell, rc::Rc};

use crate::error::{Exception, Result, SparkError};

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum JavaRegex {
    Linear(regex::Regex),
    Backtracking(fancy_regex::Regex),
}

/// Patterns kept per thread.
const KEPT: usize = 32;

thread_local! {
    static COMPILED: RefCell<Vec<(String, Rc<JavaRegex>)>> = const { RefCell::new(vec![]) };
}

impl JavaRegex {
    /// Compiles `pattern`; `function` is the name in the error.
    pub(crate) fn compile(pattern: &str, function: &str) -> Result<Rc<Self>> {
        let found = COMPILED.with_borrow(|all| {
            all.iter().find(|(p, _)| p == pattern).map(|(_, compiled)| Rc::clone(compiled))
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let compiled = match regex::Regex::new(pattern) {
            Ok(regex) => Self::Linear(regex),
            Err(_) => Self::Backtracking(fancy_regex::Regex::new(pattern).map_err(|_| bad(pattern, function))?),
        };
        let compiled = Rc::new(compiled);
        COMPILED.with_borrow_mut(|all| {
            if all.len() >= KEPT {
                all.remove(0);
            }
            all.push((pattern.to_string(), Rc::clone(&compiled)));
        });
        Ok(compiled)
    }

    /// Whether the pattern occurs in `text`.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool> {
        match self {
            Self::Linear(regex) => Ok(regex.is_match(text)),
            Self::Backtracking(regex) => regex.is_match(text).map_err(too_hard),
        }
    }

    /// Start and end of the first occurrence at or after byte `at`.
    pub(crate) fn find_at(&self, text: &str, at: usize) -> Result<Option<(usize, usize)>> {
        match self {
            Self::Linear(regex) => Ok(regex.find_at(text, at).map(|m| (m.start(), m.end()))),
            Self::Backtracking(regex) => {
                Ok(regex.find_from_pos(text, at).map_err(too_hard)?.map(|m| (m.start(), m.end())))
            }
        }
    }
}

fn bad(pattern: &str, function: &str) -> SparkError {
    SparkError::new(
        Exception::Runtime,
        "INVALID_PARAMETER_VALUE.PATTERN",
        &[
            ("parameter", "`regexp`"),
            ("functionName", &crate::error::quoted_id(function)),
            ("value", &format!("'{pattern}'")),
        ],
    )
}

fn too_hard(error: fancy_regex::Error) -> SparkError {
    SparkError::internal(format!("a regular expression took too many steps: {error}"))
}
