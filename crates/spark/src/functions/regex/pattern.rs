//! Compiled Java patterns.
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use fancy_regex::{Captures, Regex};

use super::java::{BadPattern, Lines, translate};
use crate::error::{Exception, Result, SparkError, quoted_id};

/// Patterns kept compiled. A program that makes patterns of its data would otherwise fill the memory.
const KEPT_MAX: usize = 512;

static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Pattern>>>> = LazyLock::new(Mutex::default);

/// A Java pattern, ready to search.
#[derive(Debug)]
pub(super) struct Pattern {
    /// For texts without line terminators.
    single: Regex,
    /// For all others, where that makes a difference.
    several: Option<Regex>,
    /// Number of capturing groups.
    pub groups: usize,
}

impl Pattern {
    /// The compiled pattern, from the shared cache if it is there.
    pub(super) fn of(text: &str) -> std::result::Result<Arc<Self>, BadPattern> {
        let known = COMPILED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(text)
            .cloned();
        if let Some(pattern) = known {
            return Ok(pattern);
        }
        let pattern = Arc::new(Self::compile(text)?);
        let mut kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(text.to_string(), Arc::clone(&pattern));
        Ok(pattern)
    }

    fn compile(text: &str) -> std::result::Result<Self, BadPattern> {
        let regex = |text: &str| Regex::new(text).map_err(|e| BadPattern(e.to_string()));
        let translated = translate(text, Lines::Single)?;
        let single = regex(&translated.text)?;
        let several = match translated.line_sensitive {
            true => Some(regex(&translate(text, Lines::Several)?.text)?),
            false => None,
        };
        let groups = single.captures_len().saturating_sub(1);
        Ok(Self {
            single,
            several,
            groups,
        })
    }

    fn regex_for(&self, text: &str) -> &Regex {
        let Some(several) = &self.several else {
            return &self.single;
        };
        let bytes = text.as_bytes();
        let terminated = memchr::memchr2(b'\n', b'\r', bytes).is_some()
            || (!text.is_ascii() && text.contains(['\u{85}', '\u{2028}', '\u{2029}']));
        if terminated { several } else { &self.single }
    }

    /// Whether the pattern is found anywhere in `text`.
    pub(super) fn is_found(&self, text: &str) -> Result<bool> {
        self.regex_for(text).is_match(text).map_err(gave_up)
    }

    /// The first match at or after byte `from`: its start and end.
    pub(super) fn find_at(&self, text: &str, from: usize) -> Result<Option<(usize, usize)>> {
        let found = self
            .regex_for(text)
            .find_from_pos(text, from)
            .map_err(gave_up)?;
        Ok(found.map(|m| (m.start(), m.end())))
    }

    /// The groups of the first match at or after byte `from`.
    pub(super) fn groups_at<'t>(
        &self,
        text: &'t str,
        from: usize,
    ) -> Result<Option<Captures<'t, str>>> {
        self.regex_for(text)
            .captures_from_pos(text, from)
            .map_err(gave_up)
    }
}

/// Where the search goes on after a match `start..end`; `None` at the end of the text. As in Java, an empty match is
/// followed by a step of one character.
pub(super) fn next_start(text: &str, (start, end): (usize, usize)) -> Option<usize> {
    if end > start {
        return Some(end);
    }
    let step = text.get(end..)?.chars().next()?.len_utf8();
    Some(end + step)
}

/// The engine stops a search that would take exponential time.
fn gave_up(error: fancy_regex::Error) -> SparkError {
    SparkError::plain(
        Exception::Spark,
        format!("regular expression search gave up: {error}"),
    )
}

/// `INVALID_PARAMETER_VALUE.PATTERN`.
pub(super) fn invalid_pattern(function: &str, pattern: &str) -> SparkError {
    SparkError::runtime(
        "INVALID_PARAMETER_VALUE.PATTERN",
        &[
            ("parameter", &quoted_id("regexp")),
            ("functionName", &quoted_id(function)),
            ("value", &format!("'{pattern}'")),
        ],
    )
}

/// The pattern of the last row, which is nearly always that of the next.
pub(super) struct Patterns<'f> {
    function: &'f str,
    last: Option<(String, Arc<Pattern>)>,
}

impl<'f> Patterns<'f> {
    /// For messages of `function`.
    pub(super) fn new(function: &'f str) -> Self {
        Self {
            function,
            last: None,
        }
    }

    pub(super) fn get(&mut self, text: &str) -> Result<Arc<Pattern>> {
        if let Some((of, pattern)) = &self.last
            && of == text
        {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Pattern::of(text).map_err(|_| invalid_pattern(self.function, text))?;
        self.last = Some((text.to_string(), Arc::clone(&pattern)));
        Ok(pattern)
    }
}
