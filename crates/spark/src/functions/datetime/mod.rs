//! Functions of dates, timestamps and intervals.
//!
//! A TIMESTAMP is an instant; every field of it, and every step of months or days, is that of the wall clock in the
//! session time zone. A wall-clock time in a gap moves forward by the gap's length; of the two instants in an overlap
//! the earlier is meant, unless the value that was changed already had the later offset. A TIMESTAMP_NTZ is a
//! wall-clock time, which functions of TIMESTAMP take as one of the session time zone.
//!
//! | module | functions |
//! |---|---|
//! | `read` | `to_timestamp`, `to_date`, `unix_timestamp`, … |
//! | `print` | `date_format`, `from_unixtime`, `dayname`, `monthname` |
//! | `epoch` | `timestamp_seconds`, `unix_millis`, `unix_date`, … |
//! | `field` | `year` … `second`, `extract`, `date_part` |
//! | `shift` | `date_add`, `datediff`, `add_months`, `months_between`, `last_day`, `next_day` |
//! | `truncate` | `trunc`, `date_trunc` |
//! | `make` | `make_date`, `make_timestamp`, `make_interval`, … |
//! | `unit` | `timestampadd`, `timestampdiff` |
//! | `zone` | `from_utc_timestamp`, `to_utc_timestamp`, `convert_timezone` |
//!
//! The clock (`current_timestamp`, `localtimestamp`, …) is a fact of the session and belongs to `session_facts`, and `date(x)`,
//! `timestamp(x)` to `casts`.
mod epoch;
mod field;
mod make;
mod pattern;
mod print;
mod read;
mod shift;
mod truncate;
mod unit;
mod zone;

use arrow::datatypes::DataType;
use millstream_connectors::datetime::{
    MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil_from_days, days_from_civil, days_in_month,
};

use super::{Accepts, Call, Registry, Resolution};
use crate::{
    error::{Result, SparkError},
    typed::TypedExpr,
};

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    read::register(registry);
    print::register(registry);
    epoch::register(registry);
    field::register(registry);
    shift::register(registry);
    truncate::register(registry);
    make::register(registry);
    unit::register(registry);
    zone::register(registry);
}

/// Another function's expression. `called` is looked up among Spark's functions.
fn other_function(call: &Call<'_>, called: &'static str) -> Result<TypedExpr> {
    match Registry::builtin().call(Call::new(called, vec![], call.context))? {
        Resolution::Value(typed) => Ok(typed),
        _ => Err(SparkError::internal(format!("{called} is not a value"))),
    }
}

/// Argument `index` of a function that casts nothing but an untyped NULL: it must be `accepts` as it stands.
/// `required` is how the message words that.
fn uncast(call: &Call<'_>, index: usize, accepts: &Accepts, required: &str) -> Result<TypedExpr> {
    let arg = call.arg(index)?;
    if arg.data_type == DataType::Null
        && let Some(default) = accepts.implicit_cast(&DataType::Null, true)
    {
        return Ok(call.cast(index, &default)?.named(arg.name.clone()));
    }
    match accepts.accepts(&arg.data_type) {
        true => Ok(arg.clone()),
        false => Err(call.unexpected_type(index, required)),
    }
}

/// Wall-clock days and microseconds of the day.
fn wall_clock(micros: i64, zone: &Zone) -> (i64, i64) {
    let local = zone.to_local_micros(micros);
    (
        local.div_euclid(MICROS_PER_DAY),
        local.rem_euclid(MICROS_PER_DAY),
    )
}

/// The instant of a wall-clock time; `None` if out of range.
fn instant(days: i64, micros_of_day: i64, zone: &Zone) -> Option<i64> {
    zone.instant_of(
        days,
        micros_of_day / MICROS_PER_SECOND,
        micros_of_day % MICROS_PER_SECOND,
    )
}

/// The instant of a wall-clock time that came from changing `from`: in an overlap it keeps the offset of `from`.
fn instant_near(from: i64, days: i64, micros_of_day: i64, zone: &Zone) -> Option<i64> {
    let offset = zone.offset_at(from.div_euclid(MICROS_PER_SECOND));
    let local = days
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(micros_of_day)?;
    let kept = local.checked_sub(i64::from(offset) * MICROS_PER_SECOND)?;
    if zone.offset_at(kept.div_euclid(MICROS_PER_SECOND)) == offset {
        return Some(kept);
    }
    instant(days, micros_of_day, zone)
}

/// A date some months later, on the last day of the month if there is no such day.
fn plus_months(days: i64, months: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(days);
    let total = (year * 12 + i64::from(month) - 1).checked_add(months)?;
    let year = total.div_euclid(12);
    if !(-999_999_999..=999_999_999).contains(&year) {
        return None;
    }
    let month = u32::try_from(total.rem_euclid(12) + 1).ok()?;
    Some(days_from_civil(
        year,
        month,
        day.min(days_in_month(year, month)),
    ))
}

/// Day of the week, 0 for Monday.
fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests;
