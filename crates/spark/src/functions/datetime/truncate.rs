//! Dates and timestamps cut off to a unit.
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Date32Type, TimestampMicrosecondType},
};
use millstream_connectors::datetime::{
    MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil_from_days, days_from_civil,
};

use super::{instant, instant_near, wall_clock, weekday};
use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Registry, Returns, rows::Rows},
    types::timestamp,
};

pub(super) fn register(registry: &mut Registry) {
    let date = Returns::Nullable(DataType::Date32);
    registry.add(Function::scalar(
        "trunc",
        [Accepts::DATE, Accepts::STRING],
        date,
        trunc,
    ));
    let instant = Returns::Nullable(timestamp());
    let parameters = [Accepts::STRING, Accepts::timestamp()];
    registry.add(Function::scalar(
        "date_trunc",
        parameters,
        instant,
        date_trunc,
    ));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    /// A part of the wall clock's day, in microseconds.
    Clock(i64),
    /// A part of a second, in microseconds.
    Fraction(i64),
}

impl Unit {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "YEAR" | "YYYY" | "YY" => Self::Year,
            "QUARTER" => Self::Quarter,
            "MONTH" | "MON" | "MM" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" | "DD" => Self::Clock(MICROS_PER_DAY),
            "HOUR" => Self::Clock(3600 * MICROS_PER_SECOND),
            "MINUTE" => Self::Clock(60 * MICROS_PER_SECOND),
            "SECOND" => Self::Fraction(MICROS_PER_SECOND),
            "MILLISECOND" => Self::Fraction(1000),
            "MICROSECOND" => Self::Fraction(1),
            _ => return None,
        })
    }

    /// First day of the unit that `days` is in; `None` for parts of a day.
    fn first_day(self, days: i64) -> Option<i64> {
        let (year, month, _) = civil_from_days(days);
        Some(match self {
            Self::Year => days_from_civil(year, 1, 1),
            Self::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
            Self::Month => days_from_civil(year, month, 1),
            Self::Week => days - weekday(days),
            Self::Clock(_) | Self::Fraction(_) => return None,
        })
    }

    fn truncate(self, micros: i64, zone: &Zone) -> Option<i64> {
        match self {
            Self::Fraction(unit) => micros.checked_sub(micros.rem_euclid(unit)),
            Self::Clock(unit) => {
                let (days, of_day) = wall_clock(micros, zone);
                instant_near(micros, days, of_day - of_day % unit, zone)
            }
            date => instant(date.first_day(wall_clock(micros, zone).0)?, 0, zone),
        }
    }
}

/// The unit named last: a column of names mostly repeats one.
#[derive(Default)]
struct Units {
    last: Option<(String, Option<Unit>)>,
}

impl Units {
    fn get(&mut self, name: &str) -> Option<Unit> {
        if let Some((last, unit)) = &self.last
            && last == name
        {
            return *unit;
        }
        let unit = Unit::parse(name);
        self.last = Some((name.to_string(), unit));
        unit
    }
}

/// NULL for units below a week, and for unknown ones.
fn trunc(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (dates, names) = (rows.primitive::<Date32Type>(0)?, rows.strings(1)?);
    let mut units = Units::default();
    rows.numbers::<Date32Type>(|row| {
        let unit = units.get(names.value(row));
        let first = unit.and_then(|u| u.first_day(i64::from(dates.value(row))));
        Ok(first.and_then(|days| i32::try_from(days).ok()))
    })
}

fn date_trunc(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (names, instants) = (
        rows.strings(0)?,
        rows.primitive::<TimestampMicrosecondType>(1)?,
    );
    let zone = batch.context().zone()?;
    let mut units = Units::default();
    rows.numbers::<TimestampMicrosecondType>(|row| {
        Ok(units
            .get(names.value(row))
            .and_then(|u| u.truncate(instants.value(row), &zone)))
    })
}
