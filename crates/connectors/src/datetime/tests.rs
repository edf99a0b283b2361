//! Every answer recorded from Spark 4.3.0 in `tests/fixtures/spark-4.3.0/datetime.jsonl`; the session zone
//! there is America/Los_Angeles unless a line names another.
use serde_json::Value;

use super::*;

fn recorded(kind: &str) -> Vec<Value> {
    let text = include_str!("../../tests/fixtures/spark-4.3.0/datetime.jsonl");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["kind"] == kind)
        .collect();
    assert!(!lines.is_empty(), "no {kind} in the fixture");
    lines
}

fn session() -> Zone {
    Zone::parse("America/Los_Angeles").unwrap()
}

fn shown(print: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    print(&mut out);
    out
}

/// Collects differences so that one run shows them all.
fn compare(failures: &mut Vec<String>, what: &str, actual: impl Into<Value>, expected: &Value) {
    let actual = actual.into();
    if actual != *expected {
        failures.push(format!("{what}: got {actual}, Spark says {expected}"));
    }
}

#[test]
fn casts_agree_with_spark() {
    let mut failures = vec![];
    for case in recorded("cast") {
        let text = case["text"].as_str().unwrap();
        if case["date"].is_null() && !case["micros"].is_null() {
            continue; // a time of day is placed on the day of the recording
        }
        let date = string_to_date(text.as_bytes());
        let micros = string_to_timestamp(text.as_bytes(), &session());
        let ntz = string_to_timestamp_ntz(text.as_bytes(), true);
        compare(
            &mut failures,
            &format!("{text:?} date"),
            date,
            &case["date"],
        );
        compare(
            &mut failures,
            &format!("{text:?} timestamp"),
            micros,
            &case["micros"],
        );
        let ntz = ntz.map(|m| shown(|out| timestamp_ntz_to_string(m, out)));
        compare(&mut failures, &format!("{text:?} ntz"), ntz, &case["ntz"]);
        let string = micros.map(|m| shown(|out| timestamp_to_string(m, &session(), out)));
        compare(
            &mut failures,
            &format!("{text:?} printed"),
            string,
            &case["ts_string"],
        );
        let string = date.map(|d| shown(|out| date_to_string(d, out)));
        compare(
            &mut failures,
            &format!("{text:?} date printed"),
            string,
            &case["date_string"],
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn formatting_agrees_with_spark() {
    let mut failures = vec![];
    for case in recorded("format").iter().chain(&recorded("zone")) {
        let Some(pattern) = case["pattern"].as_str() else {
            continue;
        };
        if pattern == "v" {
            continue; // generic zone names (`PT`) are refused here
        }
        let zone = case["zone"]
            .as_str()
            .map_or(session(), |name| Zone::parse(name).unwrap());
        match JavaPattern::for_formatting(pattern) {
            Err(e) => compare(&mut failures, pattern, e.error_class(), &case["error"]),
            Ok(compiled) => {
                for (micros, expected) in case["micros"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .zip(case["text"].as_array().into_iter().flatten())
                {
                    let micros = micros.as_i64().unwrap();
                    let mut out = String::new();
                    let result = compiled.format_timestamp(micros, &zone, &mut out);
                    let actual = result.map_or_else(|e| e.to_string(), |()| out);
                    compare(
                        &mut failures,
                        &format!("{zone} {pattern} {micros}"),
                        actual,
                        expected,
                    );
                }
                if !case["error"].is_null() {
                    compare(&mut failures, pattern, "ok", &case["error"]);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn parsing_agrees_with_spark() {
    let mut failures = vec![];
    for case in recorded("parse") {
        let pattern = case["pattern"].as_str().unwrap();
        let compiled = JavaPattern::for_parsing(pattern);
        let texts = case["text"].as_array().unwrap();
        for (index, text) in texts.iter().enumerate() {
            let text = text.as_str().unwrap();
            let what = |column| format!("{pattern} {text:?} {column}");
            match &compiled {
                Err(e) => compare(
                    &mut failures,
                    &what("error"),
                    e.error_class(),
                    &case["micros"],
                ),
                Ok(p) => {
                    let micros = p.parse_timestamp(text, &session());
                    compare(
                        &mut failures,
                        &what("micros"),
                        micros,
                        &case["micros"][index],
                    );
                    let ntz = p.parse_timestamp_ntz(text, true);
                    let ntz = ntz.map(|m| shown(|out| timestamp_ntz_to_string(m, out)));
                    compare(&mut failures, &what("ntz"), ntz, &case["ntz"][index]);
                    compare(
                        &mut failures,
                        &what("date"),
                        p.parse_date(text),
                        &case["date"][index],
                    );
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn patterns_that_spark_refuses_to_parse_with_are_refused_alike() {
    let mut failures = vec![];
    for case in recorded("parse_pattern") {
        let pattern = case["pattern"].as_str().unwrap();
        let answer = JavaPattern::for_parsing(pattern).map_or_else(|e| e.error_class(), |_| "ok");
        compare(&mut failures, pattern, answer, &case["error"]);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_and_no_pattern_panics(text in ".{0,40}", pattern in "[yMdDHhkKmsSzZXxVOQqGEaF\\[\\]'. :/-]{0,12}") {
        let _ = string_to_date(text.as_bytes());
        let _ = string_to_timestamp(text.as_bytes(), &session());
        for compiled in [JavaPattern::for_parsing(&pattern), JavaPattern::for_formatting(&pattern)].into_iter().flatten() {
            let _ = compiled.parse_timestamp(&text, &session());
            let mut out = String::new();
            let _ = compiled.format_timestamp(i64::MIN, &session(), &mut out);
            let _ = compiled.format_date(i32::MAX, &mut out);
        }
    }

    #[test]
    fn a_printed_timestamp_reads_back(micros in -62_135_596_800_000_000_i64..253_402_300_799_999_999) {
        let zone = Zone::parse("Europe/Paris").unwrap();
        let text = shown(|out| timestamp_ntz_to_string(micros, out));
        proptest::prop_assert_eq!(string_to_timestamp_ntz(text.as_bytes(), false), Some(micros));
        let pattern = "yyyy-MM-dd HH:mm:ss.SSSSSSXXXXX";
        let mut printed = String::new();
        JavaPattern::for_formatting(pattern).unwrap().format_timestamp(micros, &zone, &mut printed).unwrap();
        proptest::prop_assert_eq!(JavaPattern::for_parsing(pattern).unwrap().parse_timestamp(&printed, &zone), Some(micros));
    }
}
