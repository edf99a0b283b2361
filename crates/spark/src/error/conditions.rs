//! The table of conditions and how a message is made of a template.
//!
//! `conditions.json` maps every condition (sub-conditions flattened, `PARENT.CHILD`) to its SQLSTATE and template;
//! `<name>` marks a parameter. It is only parsed when the first error is raised.
use std::{collections::HashMap, sync::LazyLock};

use indexmap::IndexMap;
use serde::Deserialize;

/// One row of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    pub sql_state: Option<String>,
    pub message: String,
}

static CONDITIONS: LazyLock<HashMap<String, Condition>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("conditions.json")).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of error conditions does not parse");
        HashMap::new()
    })
});

/// Prefix of conditions that Spark prints without their name.
const LEGACY: &str = "_LEGACY_ERROR_";

pub(super) fn find(class: &str) -> Option<&'static Condition> {
    CONDITIONS.get(class)
}

/// The message as Spark prints it, without query context.
pub(super) fn message(
    class: &str,
    condition: Option<&Condition>,
    parameters: &IndexMap<String, String>,
) -> String {
    let Some(condition) = condition else {
        let facts: Vec<String> = parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
        return format!("[{class}] {}", facts.join(", "));
    };
    let text = fill(&condition.message, parameters);
    let prefix = if class.starts_with(LEGACY) {
        String::new()
    } else {
        format!("[{class}] ")
    };
    let state = condition
        .sql_state
        .as_ref()
        .map(|s| format!(" SQLSTATE: {s}"))
        .unwrap_or_default();
    format!("{prefix}{text}{state}")
}

fn fill(template: &str, parameters: &IndexMap<String, String>) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('<') {
        let (before, after) = rest.split_at(open);
        out.push_str(before);
        let known = after
            .find('>')
            .and_then(|close| after.get(1..close).zip(after.get(close + 1..)))
            .and_then(|(name, tail)| parameters.get(name).map(|value| (value, tail)));
        match known {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('<');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// The lines that point at a fragment of a statement.
pub(super) fn sql_context(text: &str, start: usize, stop: usize) -> String {
    const AROUND: usize = 32;
    let start = start.min(text.len());
    let stop = stop.clamp(start, text.len());
    let (Some(before), Some(fragment)) = (text.get(..start), text.get(start..stop)) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |p| p + 1);
    let position = before.get(line_start..).map_or(0, |s| s.chars().count()) + 1;
    let shown: Vec<char> = before.chars().collect();
    let cut_left = shown.len() > AROUND;
    let lead: String = shown
        .iter()
        .skip(shown.len().saturating_sub(AROUND))
        .collect();
    let tail_all: Vec<char> = text.get(stop..).unwrap_or_default().chars().collect();
    let tail: String = tail_all.iter().take(AROUND).collect();
    let left = if cut_left { "..." } else { "" };
    let right = if tail_all.len() > AROUND { "..." } else { "" };
    let indent = left.chars().count() + lead.rsplit('\n').next().map_or(0, |s| s.chars().count());
    let mut out = format!("== SQL (line {line}, position {position}) ==\n");
    let shown = format!("{left}{lead}{fragment}{tail}{right}");
    let marks = format!(
        "{}{}",
        " ".repeat(indent),
        "^".repeat(fragment.chars().count().max(1))
    );
    out.push_str(&shown);
    out.push('\n');
    out.push_str(&marks);
    out.push('\n');
    out
}
