//! The proleptic Gregorian calendar as arithmetic on days since 1970-01-01.

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days since 1970-01-01 of a date. The month must be 1 to 12; a day past the month's end counts on.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // The year starts in March here, so that the leap day is its last day.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a count of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

pub(super) fn leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month, 1 to 12; 0 for any other month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap_year(year) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Days since the epoch, if the date exists.
pub(super) fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let month = u32::try_from(month).ok()?;
    let day = u32::try_from(day).ok()?;
    (day >= 1 && day <= days_in_month(year, month)).then(|| days_from_civil(year, month, day))
}

/// Day of the week, 0 for Monday.
pub(super) fn weekday(days: i64) -> usize {
    (days + 3).rem_euclid(7) as usize
}

/// Microseconds of a local date and time, if they fit.
pub(super) fn micros_of(days: i64, second_of_day: i64, micros: i64) -> Option<i64> {
    days.checked_mul(86_400)?
        .checked_add(second_of_day)?
        .checked_mul(MICROS_PER_SECOND)
        .and_then(|m| m.checked_add(micros))
        .or_else(|| {
            // The lowest representable second is only reachable from above.
            let seconds = days
                .checked_mul(86_400)?
                .checked_add(second_of_day)?
                .checked_add(1)?;
            seconds
                .checked_mul(MICROS_PER_SECOND)?
                .checked_add(micros - MICROS_PER_SECOND)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_a_round_trip_over_many_centuries() {
        for days in (-1_000_000_000..1_000_000_000).step_by(9973) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(
                checked_days(year, i64::from(month), i64::from(day)),
                Some(days)
            );
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(days_from_civil(2000, 2, 29), 11_016);
        assert_eq!(checked_days(1900, 2, 29), None);
    }
}
