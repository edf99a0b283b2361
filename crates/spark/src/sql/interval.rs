//! Interval literals in all their forms.
//!
//! | form | example |
//! |---|---|
//! | units | `INTERVAL 1 hour 30 minutes`, `INTERVAL '15' minute` |
//! | text | `INTERVAL '1 day -2 hours'` |
//! | from unit to unit | `INTERVAL '1 02:03:04' DAY TO SECOND` |
//!
//! Spark has no interval of months *and* days outside its legacy type: a literal is a year-month
//! interval (a number of months) or a day-time interval (a number of microseconds), and its type
//! records from which to which unit it was written.

use std::ops::RangeInclusive;

use spark_connect_proto::Expression;
use spark_connect_proto::data_type::{DayTimeInterval, Kind, YearMonthInterval};
use spark_connect_proto::expression::ExprType;
use spark_connect_proto::expression::literal::LiteralType;

use super::construct::{data_type, typed_literal};
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{NumberKind, Symbol, Token};
use super::parser::{Parsed, Parser};
use crate::interval::{CalendarInterval, day_time_sql, year_month_sql};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A unit of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    fn parse(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        Some(match lower.strip_suffix('s').unwrap_or(&lower) {
            "year" => Self::Year,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            "microsecond" => Self::Microsecond,
            "nanosecond" => Self::Nanosecond,
            _ => return None,
        })
    }

    /// Where the unit stands in an interval type: YEAR and DAY are 0.
    fn field(self) -> Field {
        match self {
            Self::Year => Field::YearMonth(0),
            Self::Month => Field::YearMonth(1),
            Self::Week | Self::Day => Field::DayTime(0),
            Self::Hour => Field::DayTime(1),
            Self::Minute => Field::DayTime(2),
            Self::Second | Self::Millisecond | Self::Microsecond | Self::Nanosecond => {
                Field::DayTime(3)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    YearMonth(i32),
    DayTime(i32),
}

impl Parser<'_> {
    /// Whether `INTERVAL` here begins a literal and is not a column.
    pub fn begins_interval(&self) -> bool {
        match self.token(1) {
            Token::Number(_) => true,
            Token::Symbol(Symbol::Minus | Symbol::Plus) => {
                matches!(self.token(2), Token::Number(_) | Token::String(_)) && self.is_unit(3)
            }
            _ => false,
        }
    }

    fn is_unit(&self, ahead: usize) -> bool {
        matches!(self.token(ahead), Token::Word(word) if Unit::parse(word).is_some())
    }

    /// An interval literal; the cursor stands at `INTERVAL`.
    pub fn interval_literal(&mut self) -> Parsed<Expression> {
        let start = self.offset();
        self.advance();
        if matches!(self.token(0), Token::String(_)) && !self.is_unit(1) {
            let value = self.expect_string()?;
            let Some(interval) = CalendarInterval::parse(&value) else {
                let literal_type = "INTERVAL".to_owned();
                let kind = ParseErrorKind::InvalidTypedLiteral {
                    literal_type,
                    value,
                };
                return Err(self.error_since(start, kind));
            };
            let units: Vec<Unit> = value.split_whitespace().filter_map(Unit::parse).collect();
            return self.of_units(&interval, &units, start);
        }
        let value_start = self.offset();
        let (negative, ahead) = self.sign();
        if self.is_unit(ahead + 1) && self.is_word(ahead + 2, "TO") && self.is_unit(ahead + 3) {
            self.skip(ahead);
            return self.unit_to_unit(negative, value_start);
        }
        let (interval, units) = self.unit_list()?;
        self.of_units(&interval, &units, start)
    }

    /// The interval of a watermark's delay: units or from unit to unit, but no text.
    pub fn delay_interval(&mut self) -> Parsed<CalendarInterval> {
        if !self.is_word(0, "INTERVAL") {
            return Err(self.syntax_error_with_hint(": missing 'INTERVAL'".to_owned()));
        }
        if matches!(self.token(1), Token::String(_)) && !self.is_unit(2) {
            self.skip(2);
            return Err(self.syntax_error());
        }
        let literal = self.interval_literal()?;
        let mut interval = CalendarInterval::default();
        let mut text = String::new();
        if let Some(ExprType::Literal(literal)) = literal.expr_type {
            let kind = literal.data_type.and_then(|data_type| data_type.kind);
            match (literal.literal_type, kind) {
                (
                    Some(LiteralType::YearMonthInterval(months)),
                    Some(Kind::YearMonthInterval(of)),
                ) => {
                    interval.months = months;
                    text = year_month_sql(months, of.start_field(), of.end_field());
                }
                (Some(LiteralType::DayTimeInterval(micros)), Some(Kind::DayTimeInterval(of))) => {
                    interval.micros = micros;
                    text = day_time_sql(micros, of.start_field(), of.end_field());
                }
                _ => {}
            }
        }
        if interval.is_negative() {
            let kind = ParseErrorKind::NegativeDelay { interval: text };
            return Err(ParseError::without_text(kind, self.text));
        }
        Ok(interval)
    }

    fn sign(&self) -> (bool, usize) {
        match self.token(0) {
            Token::Symbol(Symbol::Minus) => (true, 1),
            Token::Symbol(Symbol::Plus) => (false, 1),
            _ => (false, 0),
        }
    }

    /// One or more of `[±]amount unit`.
    fn unit_list(&mut self) -> Parsed<(CalendarInterval, Vec<Unit>)> {
        let mut interval = CalendarInterval::default();
        let mut units = Vec::new();
        let start = self.offset();
        loop {
            let (negative, ahead) = self.sign();
            let amount_follows = matches!(
                self.token(ahead),
                Token::String(_) | Token::Number(NumberKind::Integer | NumberKind::Decimal)
            );
            let goes_on = amount_follows && self.is_unit(ahead + 1);
            if !units.is_empty() && !goes_on {
                return Ok((interval, units));
            }
            self.skip(ahead);
            let (pair, unit) = self.amount_and_unit(negative)?;
            combine(&mut interval, &pair).ok_or_else(|| {
                let input = format!(" {}", self.source_since(start));
                let reason = format!("Uncaught arithmetic exception while parsing '{input}'.");
                self.interval_format("ARITHMETIC_EXCEPTION", &input, None, reason)
            })?;
            units.push(unit);
        }
    }

    /// `amount unit`; the cursor has passed the sign.
    fn amount_and_unit(&mut self, negative: bool) -> Parsed<(CalendarInterval, Unit)> {
        let start = self.offset();
        let text = match self.token(0) {
            Token::String(text) => text.trim().to_owned(),
            Token::Number(NumberKind::Integer | NumberKind::Decimal) => self.source(0).to_owned(),
            _ => return Err(self.syntax_error()),
        };
        self.advance();
        let unit = match self.token(0) {
            Token::Word(word) => Unit::parse(word),
            _ => None,
        };
        let unit = unit.ok_or_else(|| self.syntax_error())?;
        let unit_word = self.source(0);
        self.advance();
        let (minus, unsigned) = signed(&text);
        if !unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            let message = format!(
                "Can only use numbers in the interval value part for multiple unit value pairs \
                 interval form, but got invalid value: {text}."
            );
            return Err(self.error_since(start, ParseErrorKind::Legacy { message }));
        }
        let sign = if negative != minus { "-" } else { "" };
        let pair = format!("{sign}{unsigned} {unit_word}");
        let parsed = CalendarInterval::parse(&pair).ok_or_else(|| {
            let input = format!(" {text} {unit_word}");
            let word = || unit_word.to_owned();
            let (subclass, detail, reason) = if unsigned.is_empty() {
                (
                    "UNRECOGNIZED_NUMBER",
                    Some(("number", word())),
                    format!("Unrecognized number {unit_word}."),
                )
            } else if unit == Unit::Nanosecond {
                (
                    "INVALID_UNIT",
                    Some(("unit", word())),
                    format!("Invalid unit {unit_word}."),
                )
            } else if unsigned.contains('.') && unit != Unit::Second {
                (
                    "INVALID_FRACTION",
                    Some(("unit", word())),
                    format!("{unit_word} cannot have fractional part."),
                )
            } else if unsigned.split_once('.').is_some_and(|(_, f)| f.len() > 9) {
                let reason = format!(
                    "Interval can only support nanosecond precision, {unsigned} is out of range."
                );
                let value = unsigned.to_owned();
                ("INVALID_PRECISION", Some(("value", value)), reason)
            } else {
                let reason = format!("Uncaught arithmetic exception while parsing '{input}'.");
                ("ARITHMETIC_EXCEPTION", None, reason)
            };
            self.interval_format(subclass, &input, detail, reason)
        })?;
        Ok((parsed, unit))
    }

    fn interval_format(
        &self,
        subclass: &'static str,
        input: &str,
        detail: Option<(&'static str, String)>,
        reason: String,
    ) -> ParseError {
        let kind = ParseErrorKind::IntervalFormat {
            subclass,
            input: input.to_owned(),
            detail,
            reason,
        };
        ParseError::without_text(kind, self.text)
    }

    /// The literal of an interval written in these units.
    fn of_units(
        &self,
        interval: &CalendarInterval,
        units: &[Unit],
        start: usize,
    ) -> Parsed<Expression> {
        let fields: Vec<Field> = units.iter().map(|unit| unit.field()).collect();
        let months: Vec<i32> = fields.iter().filter_map(year_month).collect();
        let times: Vec<i32> = fields.iter().filter_map(day_time).collect();
        match (span(&months), span(&times)) {
            (Some(range), None) => Ok(year_month_literal(interval.months, range)),
            (None, Some(range)) => interval
                .fixed_micros()
                .map(|micros| day_time_literal(micros, range))
                .ok_or_else(|| {
                    ParseError::without_text(ParseErrorKind::IntervalOverflow, self.text)
                }),
            _ => {
                let literal = self.source_since(start).to_owned();
                Err(self.error_since(start, ParseErrorKind::MixedIntervalFields { literal }))
            }
        }
    }

    /// `'text' UNIT TO UNIT`; the cursor stands at the text.
    fn unit_to_unit(&mut self, negative: bool, start: usize) -> Parsed<Expression> {
        let (from, to) = (
            self.source(1).to_ascii_uppercase(),
            self.source(3).to_ascii_uppercase(),
        );
        let Token::String(text) = self.token(0).clone() else {
            self.skip(4);
            let message = "The value of from-to unit must be a string.".to_owned();
            return Err(self.error_since(start, ParseErrorKind::Legacy { message }));
        };
        let fields = |unit: &str| Unit::parse(unit).map(Unit::field);
        let range = match (fields(&from), fields(&to)) {
            (Some(Field::YearMonth(0)), Some(Field::YearMonth(1))) => None,
            (Some(Field::DayTime(from)), Some(Field::DayTime(to))) if from < to => Some(from..=to),
            _ => {
                let end = start.min(self.offset());
                self.skip(4);
                let written = self.source_since(end);
                let reason = format!("Cannot support (interval {written}) expression.");
                return Err(self.error_since(
                    start,
                    ParseErrorKind::IntervalFormat {
                        subclass: "UNSUPPORTED_FROM_TO_EXPRESSION",
                        input: text,
                        detail: None,
                        reason,
                    },
                ));
            }
        };
        self.skip(4);
        let (minus, unsigned) = signed(&text);
        let sign = if negative == minus { 1 } else { -1 };
        let parsed = match &range {
            None => year_to_month(unsigned).map(|m| year_month_literal(sign as i32 * m, 0..=1)),
            Some(range) => day_time_fields(unsigned, range)
                .map(|micros| day_time_literal(sign * micros, range.clone())),
        };
        parsed.map_err(|mismatch| {
            let kind = mismatch.explained(text, &from, &to, range);
            self.error_since(start, kind)
        })
    }
}

/// Why a text is not of the form that its units ask for.
#[derive(Debug, PartialEq)]
enum Mismatch {
    Form,
    Months,
    /// A field beyond the unit before it.
    Range {
        unit: &'static str,
        value: i64,
        max: i64,
    },
}

impl Mismatch {
    fn explained(
        self,
        input: String,
        from: &str,
        to: &str,
        range: Option<RangeInclusive<i32>>,
    ) -> ParseErrorKind {
        let form = match range.map(RangeInclusive::into_inner) {
            None => "y-m",
            Some((0, 1)) => "d h",
            Some((0, 2)) => "d h:m",
            Some((0, _)) => "d h:m:s.n",
            Some((1, 2)) => "h:m",
            Some((1, _)) => "h:m:s.n",
            Some(_) => "m:s.n",
        };
        let year_month = form == "y-m";
        match self {
            Self::Range { unit, value, max } => ParseErrorKind::Legacy {
                message: format!("requirement failed: {unit} {value} outside range [0, {max}]."),
            },
            Self::Months => ParseErrorKind::IntervalFormat {
                subclass: "INTERVAL_PARSING",
                input,
                detail: None,
                reason: "Error parsing interval year-month string.".to_owned(),
            },
            Self::Form => {
                let (name, subclass, notice) = if year_month {
                    ("year-month", "UNMATCHED_FORMAT_STRING", "")
                } else {
                    let notice = " Set \"spark.sql.legacy.fromDayTimeString.enabled\" to \"true\" to \
                                  restore the behavior before Spark 3.0.";
                    ("day-time", "UNMATCHED_FORMAT_STRING_WITH_NOTICE", notice)
                };
                let (lower_from, lower_to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                let reason = format!(
                    "Interval string does not match {name} format of `[+|-]{form}`, `INTERVAL \
                     [+|-]'[+|-]{form}' {from} TO {to}` when cast to interval {lower_from} to \
                     {lower_to}: {input}.{notice}"
                );
                ParseErrorKind::IntervalFormat {
                    subclass,
                    input,
                    detail: None,
                    reason,
                }
            }
        }
    }
}

/// The text without its sign, and whether that was a minus.
fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn combine(total: &mut CalendarInterval, part: &CalendarInterval) -> Option<()> {
    total.months = total.months.checked_add(part.months)?;
    total.days = total.days.checked_add(part.days)?;
    total.micros = total.micros.checked_add(part.micros)?;
    Some(())
}

fn year_month(field: &Field) -> Option<i32> {
    if let Field::YearMonth(position) = field {
        Some(*position)
    } else {
        None
    }
}

fn day_time(field: &Field) -> Option<i32> {
    if let Field::DayTime(position) = field {
        Some(*position)
    } else {
        None
    }
}

fn span(positions: &[i32]) -> Option<RangeInclusive<i32>> {
    Some(*positions.iter().min()?..=*positions.iter().max()?)
}

fn year_month_literal(months: i32, fields: RangeInclusive<i32>) -> Expression {
    let kind = Kind::YearMonthInterval(YearMonthInterval {
        start_field: Some(*fields.start()),
        end_field: Some(*fields.end()),
        type_variation_reference: 0,
    });
    typed_literal(
        LiteralType::YearMonthInterval(months),
        Some(data_type(kind)),
    )
}

fn day_time_literal(micros: i64, fields: RangeInclusive<i32>) -> Expression {
    let kind = Kind::DayTimeInterval(DayTimeInterval {
        start_field: Some(*fields.start()),
        end_field: Some(*fields.end()),
        type_variation_reference: 0,
    });
    typed_literal(LiteralType::DayTimeInterval(micros), Some(data_type(kind)))
}

/// The text form of an interval, in the largest units that fit.
pub(super) fn interval_text(interval: &CalendarInterval) -> String {
    let mut parts = Vec::new();
    let mut part = |amount: i64, unit: &str| {
        if amount != 0 {
            parts.push(format!("{amount} {unit}"));
        }
    };
    part(interval.months.into(), "months");
    part(interval.days.into(), "days");
    let micros = interval.micros;
    part(micros / MICROS_PER_HOUR, "hours");
    part(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    part(micros % MICROS_PER_MINUTE / MICROS_PER_SECOND, "seconds");
    part(micros % MICROS_PER_SECOND, "microseconds");
    if parts.is_empty() {
        "0 seconds".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Months of `y-m`.
fn year_to_month(text: &str) -> Result<i32, Mismatch> {
    let (years, months) = text.split_once('-').ok_or(Mismatch::Form)?;
    let (years, months) = (number(years)?, number(months)?);
    let total = years
        .checked_mul(12)
        .and_then(|total| total.checked_add(months));
    let total = total.filter(|_| months <= 11).ok_or(Mismatch::Months)?;
    i32::try_from(total).map_err(|_| Mismatch::Months)
}

/// Microseconds of `d h:m:s.n` cut down to the fields from `DAY` = 0 to `SECOND` = 3; the first
/// field is free, those after it stay below a unit of the one before.
fn day_time_fields(text: &str, fields: &RangeInclusive<i32>) -> Result<i64, Mismatch> {
    const UNITS: [(&str, i64, i64); 4] = [
        ("day", MICROS_PER_DAY, i64::MAX),
        ("hour", MICROS_PER_HOUR, 23),
        ("minute", MICROS_PER_MINUTE, 59),
        ("second", MICROS_PER_SECOND, 59),
    ];
    let mut rest = text.trim();
    let mut total = 0i64;
    for ((name, unit, max), field) in UNITS
        .into_iter()
        .zip(0..)
        .filter(|(_, f)| fields.contains(f))
    {
        let separator = if field == 0 { ' ' } else { ':' };
        let part = if field == *fields.end() {
            std::mem::take(&mut rest)
        } else {
            let (part, after) = rest.split_once(separator).ok_or(Mismatch::Form)?;
            rest = after.trim_start();
            part
        };
        let (whole, fraction) = match part.split_once('.') {
            Some((whole, fraction)) if field == 3 => (whole, fraction),
            Some(_) => return Err(Mismatch::Form),
            None => (part, ""),
        };
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Mismatch::Form);
        }
        let value = number(whole)?;
        if field != *fields.start() && value > max {
            return Err(Mismatch::Range {
                unit: name,
                value,
                max,
            });
        }
        let micros = value.checked_mul(unit).ok_or(Mismatch::Form)?;
        total = total
            .checked_add(micros)
            .and_then(|total| total.checked_add(micros_of_fraction(fraction)))
            .ok_or(Mismatch::Form)?;
    }
    Ok(total)
}

fn micros_of_fraction(digits: &str) -> i64 {
    let micros = digits.get(..digits.len().min(6)).unwrap_or("");
    format!("{micros:0<6}").parse().unwrap_or(0)
}

fn number(text: &str) -> Result<i64, Mismatch> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(Mismatch::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_unit_to_unit_bounds_all_fields_but_the_first() {
        assert_eq!(day_time_fields("1 2:03:04.5", &(0..=3)), Ok(93_784_500_000));
        assert_eq!(day_time_fields("25:00", &(1..=2)), Ok(90_000_000_000));
        let range = Mismatch::Range {
            unit: "hour",
            value: 25,
            max: 23,
        };
        assert_eq!(day_time_fields("1 25", &(0..=1)), Err(range));
        assert_eq!(day_time_fields("1", &(0..=1)), Err(Mismatch::Form));
        assert_eq!(year_to_month("1-11"), Ok(23));
        assert_eq!(year_to_month("1-12"), Err(Mismatch::Months));
        assert_eq!(year_to_month("1"), Err(Mismatch::Form));
    }

    #[test]
    fn an_interval_reads_back_from_its_text() {
        let written = "14 months 3 days 25 hours 61 minutes -1.5 seconds";
        let interval = CalendarInterval::parse(written).unwrap();
        assert_eq!(
            CalendarInterval::parse(&interval_text(&interval)),
            Some(interval)
        );
    }
}
