//! Hadoop's path patterns: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, `{one,two}` and `\` before a
//! literal.
//!
//! A pattern is matched one path component at a time; `*` never crosses a `/`. Alternatives that
//! contain a `/` make several patterns first.
use regex::Regex;

use crate::error::ConnectorError;

/// Whether a path is a pattern.
pub fn is_glob(path: &str) -> bool {
    path.contains(['{', '}', '[', ']', '*', '?', '\\'])
}

/// A pattern for one path component.
#[derive(Debug, Clone)]
pub struct Glob(Regex);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ConnectorError::BadGlob`] when a bracket or brace is not closed.
    pub fn new(pattern: &str) -> Result<Self, ConnectorError> {
        let bad = |reason: &str| ConnectorError::BadGlob {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
        };
        let mut regex = String::from("(?s)^");
        let mut chars = pattern.chars().peekable();
        let (mut braces, mut in_class) = (0, false);
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    let literal = chars
                        .next()
                        .ok_or_else(|| bad("nothing follows the backslash"))?;
                    regex.push_str(&regex::escape(&literal.to_string()));
                }
                ']' if in_class => {
                    in_class = false;
                    regex.push(']');
                }
                '-' if in_class => regex.push('-'),
                c if in_class => regex.push_str(&regex::escape(&c.to_string())),
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '[' => {
                    in_class = true;
                    regex.push('[');
                    if chars.next_if(|c| matches!(c, '^' | '!')).is_some() {
                        regex.push('^');
                    }
                }
                '{' => {
                    braces += 1;
                    regex.push_str("(?:");
                }
                '}' if braces > 0 => {
                    braces -= 1;
                    regex.push(')');
                }
                ',' if braces > 0 => regex.push('|'),
                c => regex.push_str(&regex::escape(&c.to_string())),
            }
        }
        if in_class || braces > 0 {
            return Err(bad("a bracket or brace is not closed"));
        }
        regex.push('$');
        Regex::new(&regex)
            .map(Self)
            .map_err(|e| bad(&e.to_string()))
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// The patterns that a pattern with alternatives across `/` stands for; otherwise the pattern
/// itself.
pub fn expand_alternatives(pattern: &str) -> Vec<String> {
    let Some((before, alternatives, after)) = alternatives_with_slash(pattern) else {
        return vec![pattern.to_owned()];
    };
    alternatives
        .iter()
        .flat_map(|alternative| expand_alternatives(&format!("{before}{alternative}{after}")))
        .collect()
}

/// The first outermost `{…}` that has a `/` inside.
fn alternatives_with_slash(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let mut depth = 0;
    let mut open = 0;
    let mut starts = Vec::new();
    let mut escaped = false;
    for (i, c) in pattern.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '{' => {
                depth += 1;
                if depth == 1 {
                    open = i;
                    starts = vec![i + 1];
                }
            }
            ',' if depth == 1 => starts.push(i + 1),
            '}' if depth > 0 => {
                depth -= 1;
                let inside = pattern.get(open + 1..i)?;
                if depth == 0 && inside.contains('/') {
                    let ends = starts.iter().skip(1).map(|start| start - 1).chain([i]);
                    let parts = starts.iter().zip(ends);
                    let parts = parts.map(|(start, end)| pattern.get(*start..end));
                    let after = pattern.get(i + 1..)?;
                    return Some((pattern.get(..open)?, parts.collect::<Option<_>>()?, after));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_hadoops() {
        for (pattern, yes, no) in [
            ("*.json", vec!["a.json", ".json"], vec!["a.jsonl", "json"]),
            ("part-?", vec!["part-1", "part-é"], vec!["part-", "part-12"]),
            ("[a-c]x", vec!["ax", "cx"], vec!["dx", "x"]),
            ("[^a]", vec!["b"], vec!["a"]),
            ("[!a]", vec!["b"], vec!["a"]),
            ("{a,b}*.json", vec!["a1.json", "b.json"], vec!["c.json"]),
            ("{a,b{c,d}}", vec!["a", "bc", "bd"], vec!["b"]),
            ("a\\*b", vec!["a*b"], vec!["axb"]),
            ("a.b+c", vec!["a.b+c"], vec!["axb+c", "a.bbc"]),
            ("[a&&b]", vec!["&"], vec!["x"]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            for name in yes {
                assert!(glob.matches(name), "{pattern} should match {name}");
            }
            for name in no {
                assert!(!glob.matches(name), "{pattern} should not match {name}");
            }
        }
    }

    #[test]
    fn unclosed_patterns_are_refused_by_name() {
        for pattern in ["[a", "{a,b", "a\\"] {
            let error = Glob::new(pattern).unwrap_err().to_string();
            assert!(error.contains(pattern), "{error}");
        }
    }

    #[test]
    fn alternatives_across_directories_are_several_patterns() {
        assert_eq!(
            expand_alternatives("/in/{a/b,c}/{x,y}.json"),
            ["/in/a/b/{x,y}.json", "/in/c/{x,y}.json"]
        );
        assert_eq!(expand_alternatives("/in/{a,b}"), ["/in/{a,b}"]);
        assert_eq!(
            expand_alternatives("{a/{b,c/d},e}"),
            ["a/{b,c/d}", "e"]
                .map(str::to_owned)
                .iter()
                .flat_map(|p| expand_alternatives(p))
                .collect::<Vec<_>>()
        );
    }
}
