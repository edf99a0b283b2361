//! Bad and huge input: errors, never panics or overflows.

use proptest::prelude::*;

use super::*;
use crate::sql::parser::DEPTH_MAX;

/// Pieces that a random text is made of: every kind of token, and openers without closers.
const PIECES: &[&str] = &[
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "having",
    "with",
    "as",
    "a",
    "t",
    "`b c`",
    "(",
    ")",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "=",
    "<",
    ">",
    "<=>",
    "!",
    "::",
    ":",
    "?",
    "[",
    "]",
    "->",
    "=>",
    "||",
    "|>",
    "1",
    "1.5",
    "1L",
    "'x'",
    "\"y\"",
    "'",
    "`",
    "null",
    "not",
    "in",
    "between",
    "and",
    "or",
    "is",
    "like",
    "escape",
    "case",
    "when",
    "then",
    "else",
    "end",
    "cast",
    "int",
    "array<int>",
    "struct<a:int>",
    "interval",
    "day",
    "to",
    "second",
    "over",
    "partition by",
    "rows",
    "unbounded",
    "preceding",
    "window",
    "filter",
    "lateral",
    "view",
    "explode",
    "join",
    "left",
    "on",
    "using",
    "natural",
    "union",
    "all",
    "except",
    "values",
    "table",
    "stream",
    "watermark",
    "delay of",
    "tablesample",
    "percent",
    "limit",
    "offset",
    "exists",
    "extract",
    "trim",
    "both",
    "substring",
    "position",
    "overlay",
    "placing",
    "timestampadd",
    "date",
    "timestamp",
    "create",
    "temp",
    "insert",
    "into",
    "overwrite",
    "drop",
    "show",
    "describe",
    "set",
    "explain",
    "cache",
    "options",
    "partition",
    "cube",
    "rollup",
    "grouping sets",
    "/*+",
    "*/",
    "--",
    "\n",
    ";",
    "é",
    "\u{1f600}",
    "\\",
    "@",
    "99999999999999999999",
    "1e999",
    "x'zz'",
    "identifier",
    "distinct",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases * 4))]

    #[test]
    fn token_soup_never_panics(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        blank in prop::sample::select(&["", " ", "\n"][..]),
    ) {
        let text = pieces.join(blank);
        for error in [
            parse_query(&text).err(),
            parse_expression(&text).err(),
            parse_ddl(&text).err(),
        ].into_iter().flatten() {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,60}") {
        let _ = parse_query(&text);
        let _ = parse_expression(&text);
        let _ = parse_ddl(&text);
    }

    #[test]
    fn quoted_parts_read_back(parts in prop::collection::vec("\\PC{0,8}", 1..4)) {
        prop_assert_eq!(parse_multipart_identifier(&quote_parts(&parts)), Ok(parts));
    }
}

/// Texts that nest as deep as asked.
fn nested(depth: usize) -> Vec<String> {
    let wrap = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    vec![
        wrap("(", "1", ")"),
        wrap("f(", "1", ")"),
        wrap("a[", "1", "]"),
        wrap("- ", "a", ""),
        wrap("not ", "a", ""),
        wrap("case when a then ", "1", " end"),
        wrap("cast(", "1", " as int)"),
        wrap("(select ", "1", ")"),
        wrap("x -> ", "x", ""),
        wrap("trim(", "a", ")"),
    ]
}

#[test]
fn nesting_below_the_limit_is_accepted() {
    for text in nested(DEPTH_MAX / 3) {
        let parsed = ParseOptions::default().parse_expression(&text);
        assert!(parsed.is_ok(), "{text}: {}", parsed.unwrap_err());
    }
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let mut texts = nested(20_000);
    texts.push("select * from ".to_owned() + &"(select * from ".repeat(20_000));
    texts.push("select * from ".to_owned() + &"(".repeat(20_000));
    texts.push("explain ".repeat(20_000) + "select 1");
    for text in texts {
        let start: String = text.chars().take(30).collect();
        let statement = text.starts_with("select") || text.starts_with("explain");
        let error = if statement {
            parse_query(&text).err()
        } else {
            ParseOptions::default().parse_expression(&text).err()
        };
        assert_eq!(
            error.map(|e| e.class()).as_deref(),
            Some("FAILED_TO_PARSE_TOO_COMPLEX"),
            "{start}"
        );
    }
    let types = "array<".repeat(20_000);
    assert_eq!(
        parse_data_type(&types).unwrap_err().class(),
        "FAILED_TO_PARSE_TOO_COMPLEX"
    );
}

#[test]
fn long_conditions_stay_shallow_and_long_sums_are_refused() {
    let condition = vec!["a = 1"; 20_000].join(" or ");
    let rendered = expression(&condition);
    assert!(rendered.starts_with("or(or(or("));
    assert_eq!(
        expression(&vec!["a"; 20_000].join(" + ")),
        "FAILED_TO_PARSE_TOO_COMPLEX"
    );
    assert!(parse_expression(&vec!["a"; 1_000].join(" + ")).is_ok());
}

#[test]
fn common_tables_cannot_multiply_without_end() {
    let mut text = "with t0 as (select 1 as a)".to_owned();
    for level in 1..40 {
        let below = level - 1;
        text += &format!(", t{level} as (select * from t{below} union all select * from t{below})");
    }
    text += " select * from t39";
    assert_eq!(query(&text), "FAILED_TO_PARSE_TOO_COMPLEX");
}
