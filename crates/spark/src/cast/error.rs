//! What casts say when they fail.
use arrow::datatypes::DataType;

use super::{EvalMode, can_cast};
use crate::{
    error::{Exception, SparkError, quoted},
    types::{self, sql_name},
};

const ANSI: &str = "\"spark.sql.ansi.enabled\"";

/// There is no cast between these types.
pub(super) fn no_such_cast(
    sql: &str,
    from: &DataType,
    to: &DataType,
    mode: EvalMode,
) -> SparkError {
    let (sql, src, target) = (quoted(sql), quoted(sql_name(from)), quoted(sql_name(to)));
    let base = [
        ("sqlExpr", sql.as_str()),
        ("srcType", src.as_str()),
        ("targetType", target.as_str()),
    ];
    if mode != EvalMode::Legacy {
        if let Some(functions) = instead(from, to) {
            let mut all = base.to_vec();
            all.push(("functionNames", functions));
            return SparkError::analysis("DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION", &all);
        }
        if mode == EvalMode::Ansi && can_cast(from, to, EvalMode::Legacy) {
            let mut all = base.to_vec();
            all.extend([("config", ANSI), ("configVal", "'false'")]);
            return SparkError::analysis("DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION", &all);
        }
    }
    SparkError::analysis("DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION", &base)
}

fn instead(from: &DataType, to: &DataType) -> Option<&'static str> {
    match (from, to) {
        (f, DataType::Date32) if types::is_numeric(f) => Some("`DATE_FROM_UNIX_DATE`"),
        (DataType::Date32, t) if types::is_numeric(t) => Some("`UNIX_DATE`"),
        _ => None,
    }
}

/// A value of text that is not one of the type.
pub(super) fn invalid_input(text: &str, from: &DataType, to: &DataType) -> SparkError {
    let exception = match to {
        DataType::Date32 | DataType::Timestamp(_, _) => Exception::DateTime,
        t if *t == types::TIME => Exception::DateTime,
        t if types::is_numeric(t) => Exception::NumberFormat,
        _ => Exception::Runtime,
    };
    let value = match from {
        DataType::Utf8 => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => text.to_string(),
    };
    SparkError::new(
        exception,
        "CAST_INVALID_INPUT",
        &[
            ("expression", &value),
            ("sourceType", &quoted(sql_name(from))),
            ("targetType", &quoted(sql_name(to))),
            ("ansiConfig", ANSI),
        ],
    )
}

/// A number beyond the type. `value` is a literal as Spark writes it (`300`, `300L`, `1.0E10D`).
pub(super) fn overflow(value: &str, from: &DataType, to: &DataType) -> SparkError {
    SparkError::arithmetic(
        "CAST_OVERFLOW",
        &[
            ("value", value),
            ("sourceType", &quoted(sql_name(from))),
            ("targetType", &quoted(sql_name(to))),
            ("ansiConfig", ANSI),
        ],
    )
}

/// A number with more digits than the decimal type.
pub(crate) fn decimal_out_of_range(value: &str, precision: u8, scale: i8) -> SparkError {
    SparkError::arithmetic(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        &[
            ("value", value),
            ("precision", &precision.to_string()),
            ("scale", &scale.to_string()),
            ("config", ANSI),
        ],
    )
}

/// Text that is no interval. Spark's own parser of intervals raises this, in any mode but TRY_CAST.
pub(super) fn invalid_interval(text: &str, to: &DataType) -> SparkError {
    let (kind, format, name) = if *to == types::YEAR_MONTH {
        (
            "year-month",
            "`[+|-]y-m`, `INTERVAL [+|-]'[+|-]y-m' YEAR TO MONTH`",
            "interval year to month",
        )
    } else {
        (
            "day-time",
            "`[+|-]d h:m:s.n`, `INTERVAL [+|-]'[+|-]d h:m:s.n' DAY TO SECOND`",
            "interval day to second",
        )
    };
    SparkError::illegal_argument(
        "INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING_WITH_NOTICE",
        &[
            ("input", text),
            ("intervalStr", kind),
            ("supportedFormat", format),
            ("typeName", name),
        ],
    )
}
