//! The parser as a whole: text in, rendered protobuf out.

mod catalyst;
mod expressions;
mod oracle;
mod render;
mod robustness;
mod statements;
mod types;

use super::*;

/// The rendering of an expression, or the error's class.
fn expression(text: &str) -> String {
    match ParseOptions::default().parse_expression(text) {
        Ok(parsed) => {
            let mut rendered = render::expression(&parsed.expression);
            for reference in &parsed.references {
                rendered += &format!(" where {}", render::relation(reference));
            }
            rendered
        }
        Err(error) => error.class(),
    }
}

/// The rendering of a statement, or the error's class.
fn query(text: &str) -> String {
    parse_query(text).map_or_else(
        |error| error.class(),
        |statement| render::statement(&statement),
    )
}

/// The rendering of a schema or a type, or the error's class.
fn ddl(text: &str) -> String {
    parse_ddl(text).map_or_else(
        |error| error.class(),
        |data_type| render::data_type(&data_type),
    )
}

/// Checks a table of texts and what they become, and reports all that differ at once.
fn check(become_: impl Fn(&str) -> String, cases: &[(&str, &str)]) {
    let differing = cases.iter().filter_map(|(text, expected)| {
        let actual = become_(text);
        (actual != *expected).then(|| format!("{text}\n  expected {expected}\n  actual   {actual}"))
    });
    let differing: Vec<String> = differing.collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}
