//! `window(time, duration[, slide[, start]])` and `session_window(time, gap)`.
//!
//! A window is not a value of its row alone: rows without a time are dropped, and with a slide shorter than the duration a
//! row belongs to several windows. The call resolves to a column `window`; the [`TimeWindow`] that is left behind tells
//! [`crate::relation`] to compute that column below the node.
use arrow::datatypes::DataType;
use spark_connect_proto::{
    Expression,
    expression::{ExprType, literal::LiteralType},
};

use super::Expressions;
use crate::{
    cast::{CastMode, cast, coerce},
    error::{Exception, Result, SparkError, quoted, quoted_id},
    functions::wrong_num_args,
    interval::CalendarInterval,
    scope::Attribute,
    typed::TypedExpr,
    types::{self, Metadata, SESSION_WINDOW_KEY, TIME_WINDOW_KEY, sql_name, structure},
};

/// A window to be computed below a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeWindow {
    /// What is computed.
    pub kind: TimeWindowKind,
    /// The time.
    pub time: TypedExpr,
    /// The column.
    pub attribute: Attribute,
}

/// Kinds of windows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimeWindowKind {
    /// Windows of fixed length, in microseconds.
    Fixed {
        /// Length.
        duration: i64,
        /// Distance from one window's start to the next one's.
        slide: i64,
        /// Offset of the grid of starts.
        start: i64,
    },
    /// Windows that last until there was no row for the gap.
    Session {
        /// The gap, as an interval of each row.
        gap: Box<TypedExpr>,
    },
}

impl Expressions<'_> {
    /// The window of a call, if it is one.
    pub(super) fn time_window(
        &self,
        name: &str,
        arguments: &[Expression],
    ) -> Result<Option<TypedExpr>> {
        match name {
            "window" => self.fixed_window(arguments).map(Some),
            "session_window" => self.session_window(arguments).map(Some),
            _ => Ok(None),
        }
    }

    fn fixed_window(&self, arguments: &[Expression]) -> Result<TypedExpr> {
        if !(2..=4).contains(&arguments.len()) {
            return Err(wrong_num_args("window", "[2, 3, 4]", arguments.len()));
        }
        let mut arguments = arguments.iter();
        let time = match arguments.next() {
            Some(time) => self.value(time)?,
            None => return Err(wrong_num_args("window", "[2, 3, 4]", 0)),
        };
        let lengths = arguments
            .map(|a| self.duration_us(a))
            .collect::<Result<Vec<i64>>>()?;
        let duration = lengths.first().copied().unwrap_or(0);
        let slide = lengths.get(1).copied().unwrap_or(duration);
        let start = lengths.get(2).copied().unwrap_or(0);
        let name = format!("window({}, {duration}, {slide}, {start})", time.name);
        let time = self.window_time(time, &name)?;
        check_lengths(&name, duration, slide, start)?;
        let kind = TimeWindowKind::Fixed {
            duration,
            slide,
            start,
        };
        // A sliding window's column comes out of an expansion, and Spark makes it nullable.
        let nullable = slide != duration;
        Ok(self.window_column("window", TIME_WINDOW_KEY, kind, time, nullable))
    }

    fn session_window(&self, arguments: &[Expression]) -> Result<TypedExpr> {
        let values = arguments
            .iter()
            .map(|argument| self.value(argument))
            .collect::<Result<Vec<_>>>()?;
        let Ok([time, gap]) = <[TypedExpr; 2]>::try_from(values) else {
            return Err(wrong_num_args("session_window", "2", arguments.len()));
        };
        let name = format!("sessionwindow({}, {})", time.name, gap.name);
        let time = self.window_time(time, &name)?;
        let gap = match &gap.data_type {
            t if *t == types::CALENDAR => gap,
            // Text that is no interval is NULL, and a row without a gap has no session.
            DataType::Utf8 | DataType::Null => {
                let mode = CastMode::tolerant(&self.planner().context.eval);
                cast(gap, &types::CALENDAR, mode)?
            }
            _ => {
                return Err(SparkError::analysis(
                    "_LEGACY_ERROR_TEMP_1040",
                    &[("dt", &catalyst_name(&gap))],
                ));
            }
        };
        let kind = TimeWindowKind::Session { gap: Box::new(gap) };
        Ok(self.window_column("session_window", SESSION_WINDOW_KEY, kind, time, false))
    }

    /// The time of a window: a timestamp, text that is cast to one, or a window (its end minus a microsecond).
    fn window_time(&self, time: TypedExpr, call: &str) -> Result<TypedExpr> {
        match &time.data_type {
            DataType::Timestamp(_, _) => Ok(time),
            DataType::Utf8 | DataType::Date32 | DataType::Null => {
                coerce(time, &types::timestamp(), &self.planner().context.eval)
            }
            DataType::Struct(_)
                if time.metadata.contains_key(TIME_WINDOW_KEY)
                    || time.metadata.contains_key(SESSION_WINDOW_KEY) =>
            {
                crate::functions::window_time(time, &self.planner().context)
            }
            _ => Err(SparkError::analysis(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                &[
                    ("sqlExpr", &quoted(call)),
                    ("paramIndex", "first"),
                    (
                        "requiredType",
                        "(\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: TIMESTAMP, end: TIMESTAMP>\" \
                         or \"STRUCT<start: TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\")",
                    ),
                    ("inputSql", &time.sql()),
                    ("inputType", &quoted(sql_name(&time.data_type))),
                ],
            )),
        }
    }

    /// A length given as text such as `10 minutes`, an interval or a number of microseconds.
    fn duration_us(&self, argument: &Expression) -> Result<i64> {
        if let Some(ExprType::Literal(literal)) = &argument.expr_type {
            match &literal.literal_type {
                Some(LiteralType::String(text)) => return text_us(text),
                Some(LiteralType::Long(v)) => return Ok(*v),
                Some(LiteralType::Integer(v)) => return Ok(i64::from(*v)),
                Some(LiteralType::DayTimeInterval(v)) => return Ok(*v),
                _ => {}
            }
        }
        use datafusion::common::ScalarValue;
        let value = self.value(argument)?;
        let constant = if value.is_foldable() {
            Some(crate::fold::fold(&value.expr)?)
        } else {
            None
        };
        match constant {
            Some(ScalarValue::Utf8(Some(text))) => text_us(&text),
            Some(ScalarValue::Int64(Some(v))) => Ok(v),
            Some(ScalarValue::Int32(Some(v))) => Ok(i64::from(v)),
            Some(ScalarValue::DurationMicrosecond(Some(v))) => Ok(v),
            Some(ScalarValue::IntervalMonthDayNano(Some(v))) if v.months == 0 => {
                Ok(i64::from(v.days) * 86_400_000_000 + v.nanoseconds / 1000)
            }
            _ => Err(SparkError::analysis(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                &[
                    ("sqlExpr", &quoted("window()")),
                    ("paramIndex", "second"),
                    ("requiredType", "\"STRING\""),
                    ("inputSql", &value.sql()),
                    ("inputType", &value.type_sql()),
                ],
            )),
        }
    }

    /// The column of a window; two equal windows of one node are one column.
    fn window_column(
        &self,
        name: &str,
        key: &str,
        kind: TimeWindowKind,
        time: TypedExpr,
        nullable: bool,
    ) -> TypedExpr {
        let known = self
            .windows
            .borrow()
            .iter()
            .find(|w| w.kind == kind && w.time.expr == time.expr)
            .map(|w| w.attribute.reference());
        if let Some(known) = known {
            return known;
        }
        let bound = time.data_type.clone();
        let mut metadata = Metadata::new();
        metadata.insert(key.to_string(), "true".to_string());
        if let Some(delay) = time.metadata.get(types::WATERMARK_DELAY_KEY) {
            metadata.insert(types::WATERMARK_DELAY_KEY.to_string(), delay.clone());
        }
        let attribute = Attribute {
            name: name.to_string(),
            column: self.planner().ids.column(name),
            data_type: structure([("start", bound.clone(), true), ("end", bound, true)]),
            nullable,
            metadata,
            qualifier: vec![],
        };
        let reference = attribute.reference();
        self.windows.borrow_mut().push(TimeWindow {
            kind,
            time,
            attribute,
        });
        reference
    }
}

fn text_us(text: &str) -> Result<i64> {
    let interval = CalendarInterval::parse(text).ok_or_else(|| cannot_parse(text))?;
    interval.fixed_micros().ok_or_else(|| {
        SparkError::new(
            Exception::IllegalArgument,
            "_LEGACY_ERROR_TEMP_3231",
            &[("interval", text)],
        )
    })
}

fn cannot_parse(text: &str) -> SparkError {
    SparkError::analysis(
        "CANNOT_PARSE_INTERVAL",
        &[("intervalString", &format!("'{text}'"))],
    )
}

/// Name of the type as Spark's own classes are called, which one message shows.
fn catalyst_name(value: &TypedExpr) -> String {
    let fields = value
        .metadata
        .get(types::INTERVAL_FIELDS)
        .map(String::as_str);
    let interval = |name: &str| {
        let (first, last) = types::fields_of(&value.data_type, fields).unwrap_or_default();
        format!("{name}IntervalType({first},{last})")
    };
    match &value.data_type {
        t if *t == types::DAY_TIME => interval("DayTime"),
        t if *t == types::YEAR_MONTH => interval("YearMonth"),
        DataType::Boolean => "BooleanType".to_string(),
        DataType::Int8 => "ByteType".to_string(),
        DataType::Int16 => "ShortType".to_string(),
        DataType::Int32 => "IntegerType".to_string(),
        DataType::Int64 => "LongType".to_string(),
        DataType::Float32 => "FloatType".to_string(),
        DataType::Float64 => "DoubleType".to_string(),
        DataType::Decimal128(precision, scale) => format!("DecimalType({precision},{scale})"),
        DataType::Binary => "BinaryType".to_string(),
        DataType::Date32 => "DateType".to_string(),
        DataType::Timestamp(_, Some(_)) => "TimestampType".to_string(),
        DataType::Timestamp(_, None) => "TimestampNTZType".to_string(),
        other => sql_name(other),
    }
}

fn check_lengths(call: &str, duration: i64, slide: i64, start: i64) -> Result<()> {
    let sql = quoted(call);
    for (name, value) in [("window_duration", duration), ("slide_duration", slide)] {
        if value <= 0 {
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
                &[
                    ("sqlExpr", &sql),
                    ("exprName", &quoted_id(name)),
                    ("valueRange", "(0, 9223372036854775807]"),
                    ("currentValue", &format!("{value}L")),
                ],
            ));
        }
    }
    let violation = |left: (&str, i64), constraint: &str, right: (&str, i64)| {
        Err(SparkError::analysis(
            "DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION",
            &[
                ("sqlExpr", &sql),
                ("leftExprName", &quoted_id(left.0)),
                ("leftExprValue", &format!("{}L", left.1)),
                ("constraint", constraint),
                ("rightExprName", &quoted_id(right.0)),
                ("rightExprValue", &format!("{}L", right.1)),
            ],
        ))
    };
    if slide > duration {
        return violation(
            ("slide_duration", slide),
            "<=",
            ("window_duration", duration),
        );
    }
    if start.checked_abs().is_none_or(|s| s >= slide) {
        let shown = start.checked_abs().unwrap_or(i64::MAX);
        return violation(("abs(start_time)", shown), "<", ("slide_duration", slide));
    }
    Ok(())
}
