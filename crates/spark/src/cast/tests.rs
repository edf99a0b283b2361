use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, StringArray},
    datatypes::DataType,
};

use super::*;
use crate::types::timestamp;

fn check(array: ArrayRef, to: &DataType, mode: EvalMode, expected: &[Option<&str>]) {
    let context = EvalContext::default();
    let result = cast_array(&array, to, mode, &context).unwrap();
    assert_eq!(result.data_type(), to);
    let text = cast_array(&result, &DataType::Utf8, EvalMode::Ansi, &context).unwrap();
    let text: Vec<Option<&str>> = text.as_string::<i32>().iter().collect();
    assert_eq!(text, expected);
}

fn refused(array: ArrayRef, to: &DataType) -> String {
    cast_array(&array, to, EvalMode::Ansi, &EvalContext::default())
        .unwrap_err()
        .class
        .clone()
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn malformed_text_is_refused_or_null() {
    for (text, to) in [
        ("abc", DataType::Int32),
        ("1.5", DataType::Int32),
        ("2020-13-01", DataType::Date32),
        ("nope", timestamp()),
        ("maybe", DataType::Boolean),
        ("abc", DataType::Decimal128(10, 2)),
        ("1,5", DataType::Float64),
    ] {
        assert_eq!(
            refused(strings(&[text]), &to),
            "CAST_INVALID_INPUT",
            "{text} {to}"
        );
        check(strings(&[text]), &to, EvalMode::Try, &[None]);
    }
    check(
        strings(&["1.9"]),
        &DataType::Int32,
        EvalMode::Legacy,
        &[Some("1")],
    );
}

#[test]
fn text_is_parsed_as_spark_parses_it() {
    check(
        strings(&[" 12 ", "-3", "+4"]),
        &DataType::Int32,
        EvalMode::Ansi,
        &[Some("12"), Some("-3"), Some("4")],
    );
    check(
        strings(&["t", "NO", "1"]),
        &DataType::Boolean,
        EvalMode::Ansi,
        &[Some("true"), Some("false"), Some("true")],
    );
    check(
        strings(&["1.005", "-1.005", "1e2"]),
        &DataType::Decimal128(10, 2),
        EvalMode::Ansi,
        &[Some("1.01"), Some("-1.01"), Some("100.00")],
    );
    check(
        strings(&["1.5d", "Infinity", "NaN"]),
        &DataType::Float64,
        EvalMode::Ansi,
        &[Some("1.5"), Some("Infinity"), Some("NaN")],
    );
    check(
        strings(&["2020-01-02 03:04:05.6"]),
        &timestamp(),
        EvalMode::Ansi,
        &[Some("2020-01-02 03:04:05.6")],
    );
}

#[test]
fn numbers_out_of_range_are_refused_wrapped_or_null() {
    let wide: ArrayRef = Arc::new(Int32Array::from(vec![300]));
    assert_eq!(refused(Arc::clone(&wide), &DataType::Int8), "CAST_OVERFLOW");
    check(
        Arc::clone(&wide),
        &DataType::Int8,
        EvalMode::Legacy,
        &[Some("44")],
    );
    check(wide, &DataType::Int8, EvalMode::Try, &[None]);
    let big: ArrayRef = Arc::new(Float64Array::from(vec![1e20]));
    assert_eq!(refused(Arc::clone(&big), &DataType::Int64), "CAST_OVERFLOW");
    check(
        big,
        &DataType::Int64,
        EvalMode::Legacy,
        &[Some("9223372036854775807")],
    );
    assert_eq!(
        refused(strings(&["999"]), &DataType::Decimal128(2, 1)),
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION"
    );
}
