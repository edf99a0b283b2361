//! Steps and distances in named units: `timestampadd`, `timestampdiff`.
//!
//! Units of a day and longer step on the wall clock of the session time zone, shorter ones along the time line.
//! Distances are all measured on the wall clock, and cut off towards zero.
use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Int64Type, TimestampMicrosecondType},
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{
    MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil_from_days, timestamp_ntz_to_string,
};

use super::{instant_near, plus_months, wall_clock};
use crate::{
    error::{Exception, Result, SparkError, quoted_id},
    functions::{Accepts, Batch, Function, Kernel, Registry, Returns, rows::Rows},
    types::{is_timestamp, timestamp},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = [Accepts::STRING, Accepts::LONG, Accepts::AnyTimestamp];
    registry.add(Function::rewrite("timestampadd", parameters, |call| {
        let data_type = call.arg(2)?.data_type.clone();
        let (kernel, nullable) = (Kernel::Plain(timestampadd), call.any_nullable());
        Ok(call.kernel_with(
            "timestampadd",
            kernel,
            data_type,
            nullable,
            Volatility::Immutable,
        ))
    }));
    let parameters = [Accepts::STRING, Accepts::timestamp(), Accepts::timestamp()];
    let long = Returns::Type(DataType::Int64);
    registry.add(Function::scalar(
        "timestampdiff",
        parameters,
        long,
        timestampdiff,
    ));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Microseconds.
    Time(i64),
    Days(i64),
    Months(i64),
}

impl Unit {
    fn parse(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "MICROSECOND" => Self::Time(1),
            "MILLISECOND" => Self::Time(1000),
            "SECOND" => Self::Time(MICROS_PER_SECOND),
            "MINUTE" => Self::Time(60 * MICROS_PER_SECOND),
            "HOUR" => Self::Time(3600 * MICROS_PER_SECOND),
            "DAY" | "DAYOFYEAR" => Self::Days(1),
            "WEEK" => Self::Days(7),
            "MONTH" => Self::Months(1),
            "QUARTER" => Self::Months(3),
            "YEAR" => Self::Months(12),
            _ => {
                return Err(SparkError::illegal_argument(
                    "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
                    &[
                        ("functionName", &quoted_id("TIMESTAMPADD")),
                        ("parameter", &quoted_id("unit")),
                        ("invalidValue", &format!("'{name}'")),
                    ],
                ));
            }
        })
    }

    /// `None` if the result is out of range.
    fn step(self, micros: i64, count: i64, zone: &Zone) -> Option<i64> {
        let (days, of_day) = match self {
            Self::Time(unit) => return micros.checked_add(count.checked_mul(unit)?),
            Self::Days(_) | Self::Months(_) => wall_clock(micros, zone),
        };
        // Days and months are counted in INTs, and what does not fit one is out of range.
        let count = |unit: i64| i32::try_from(count.checked_mul(unit)?).ok().map(i64::from);
        let days = match self {
            Self::Months(unit) => plus_months(days, count(unit)?)?,
            Self::Days(unit) => days.checked_add(count(unit)?)?,
            Self::Time(_) => days,
        };
        instant_near(micros, days, of_day, zone)
    }

    /// Whole units from one wall-clock time to another.
    fn between(self, start: i64, end: i64) -> Option<i64> {
        if let Self::Time(unit) = self {
            return Some(end.checked_sub(start)? / unit);
        }
        let parts = |micros: i64| {
            (
                micros.div_euclid(MICROS_PER_DAY),
                micros.rem_euclid(MICROS_PER_DAY),
            )
        };
        let ((start_day, start_time), (mut end_day, end_time)) = (parts(start), parts(end));
        // The last day counts only when its time of day is reached.
        if end_day > start_day && end_time < start_time {
            end_day -= 1;
        } else if end_day < start_day && end_time > start_time {
            end_day += 1;
        }
        Some(match self {
            Self::Months(unit) => {
                let packed = |days| {
                    let (year, month, day) = civil_from_days(days);
                    (year * 12 + i64::from(month)) * 32 + i64::from(day)
                };
                (packed(end_day) - packed(start_day)) / 32 / unit
            }
            Self::Days(unit) | Self::Time(unit) => (end_day - start_day) / unit,
        })
    }
}

fn zone_of(batch: &Batch<'_>, data_type: &DataType) -> Result<Zone> {
    match is_timestamp(data_type) {
        true => batch.context().zone(),
        false => Ok(Zone::UTC),
    }
}

fn timestampadd(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (units, counts) = (rows.strings(0)?, rows.longs(1)?);
    let times = rows.primitive::<TimestampMicrosecondType>(2)?;
    let zone = zone_of(batch, times.data_type())?;
    rows.numbers::<TimestampMicrosecondType>(|row| {
        let (name, count, micros) = (units.value(row), counts.value(row), times.value(row));
        let moved = Unit::parse(name)?.step(micros, count, &zone);
        moved.map(Some).ok_or_else(|| {
            let mut shown = String::new();
            timestamp_ntz_to_string(zone.to_local_micros(micros), &mut shown);
            let kind = if *times.data_type() == timestamp() {
                "TIMESTAMP"
            } else {
                "TIMESTAMP_NTZ"
            };
            let operation = format!("add {count}L {name} to {kind} '{shown}'");
            SparkError::new(
                Exception::Arithmetic,
                "DATETIME_OVERFLOW",
                &[("operation", &operation)],
            )
        })
    })
}

fn timestampdiff(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let units = rows.strings(0)?;
    let (starts, ends) = (
        rows.primitive::<TimestampMicrosecondType>(1)?,
        rows.primitive::<TimestampMicrosecondType>(2)?,
    );
    let zone = zone_of(batch, starts.data_type())?;
    rows.numbers::<Int64Type>(|row| {
        let unit = Unit::parse(units.value(row))?;
        let (start, end) = (
            zone.to_local_micros(starts.value(row)),
            zone.to_local_micros(ends.value(row)),
        );
        Ok(unit.between(start, end))
    })
}
