//! Agreement with Spark about which texts are valid, and about the words of errors.
//!
//! `spark-4.3.0-verdicts.tsv` was recorded from Spark 4.3.0's own parser: the kind of text
//! (`e` expression, `p` statement, `t` data type, `s` table schema), the verdict (`ok`, or the
//! error class), and the text. Millstream must give the same verdict, except that it may refuse as
//! unsupported what Spark accepts, may report at once what Spark reports when it resolves, and
//! differs knowingly in [`DIFFERENT`].
//!
//! `spark-4.3.0-messages.json` has whole messages: `[kind, text, message]`.

use super::*;

const VERDICTS: &str = include_str!("spark-4.3.0-verdicts.tsv");

/// Errors that Spark raises after parsing.
const EARLIER: &[&str] = &[
    "UNSUPPORTED_FEATURE.SQL",
    "UNBOUND_SQL_PARAMETER",
    "MISSING_WINDOW_SPECIFICATION",
    "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE",
    "INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE",
    "INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE",
    "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE",
];

/// Texts on which we differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("??", "Spark calls it an internal error"),
    (
        "with recursive x as (select 1) select a from b where c in ()",
        "recursion is refused before the rest is read",
    ),
    ("timestamp(3)", "a type that Spark has behind a flag"),
    ("timestamp(9)", "a type that Spark has behind a flag"),
    (
        "values (1,2),(3,'a')",
        "types are for the resolver to compare",
    ),
];

fn error(kind: &str, text: &str) -> Option<ParseError> {
    match kind {
        "e" => ParseOptions::default().parse_expression(text).err(),
        "p" => parse_query(text).err(),
        "t" => parse_data_type(text).err(),
        "s" => parse_table_schema(text).err(),
        other => panic!("unknown kind {other}"),
    }
}

fn verdict(kind: &str, text: &str) -> String {
    error(kind, text).map_or("ok".to_owned(), |error| match error.class() {
        // Which of the numbered legacy errors it is was not recorded.
        class if class.starts_with("_LEGACY_ERROR") => "_LEGACY_ERROR".to_owned(),
        class => class,
    })
}

#[test]
fn verdicts_agree_with_spark() {
    let mut differing = Vec::new();
    for line in VERDICTS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.splitn(3, '\t');
        let (kind, expected) = (columns.next().unwrap(), columns.next().unwrap());
        let text = columns.next().unwrap().replace("\\n", "\n");
        let actual = verdict(kind, &text);
        let earlier = expected == "ok" && EARLIER.contains(&actual.as_str());
        let known = DIFFERENT.iter().any(|(different, _)| *different == text);
        if actual != expected && !earlier && !known {
            differing.push(format!(
                "{kind} {text}\n  Spark {expected}, Millstream {actual}"
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn messages_agree_with_spark() {
    let recorded: Vec<[String; 3]> =
        serde_json::from_str(include_str!("spark-4.3.0-messages.json")).unwrap();
    let mut differing = Vec::new();
    for [kind, text, expected] in &recorded {
        let actual = error(kind, text).map_or_else(String::new, |error| error.to_string());
        if actual != *expected {
            differing.push(format!(
                "{kind} {text}\nSpark: {expected}\nMillstream: {actual}"
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
}
