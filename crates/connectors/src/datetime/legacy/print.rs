//! Printing an instant.
use std::fmt::Write;

use super::{LegacyPattern, pattern::Item};
use crate::datetime::{
    Zone,
    calendar::{MICROS_PER_SECOND, weekday},
    civil_from_days, days_from_civil,
    fields::Word,
    zone_names,
};

impl LegacyPattern {
    /// Appends an instant (microseconds since the epoch) as local time in a zone. Java knows milliseconds only.
    pub fn format_timestamp(&self, micros: i64, zone: &Zone, out: &mut String) {
        let printed = Printed::new(micros, zone);
        for item in &self.items {
            match item {
                Item::Literal(c) => out.push(*c),
                Item::Field(letter, count) => printed.field(*letter, *count, out),
            }
        }
    }
}

/// Days since the epoch of a day by its fields, in the calendar that Java counts weeks in: Julian before 15 October 1582.
fn hybrid_days(year: i64, month: u32, day: u32) -> i64 {
    if (year, month, day) >= (1582, 10, 15) {
        return days_from_civil(year, month, day);
    }
    // Years that start in March have their leap day at the end.
    let (month, day) = (i64::from(month), i64::from(day));
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    365 * year + year.div_euclid(4) + (153 * month + 2) / 5 + day - 719_471
}

struct Printed<'a> {
    zone: &'a Zone,
    utc_seconds: i64,
    days: i64,
    year: i64,
    month: u32,
    day: u32,
    of_day: i64,
}

/// The day of a week that starts on Sunday, from 0.
fn from_sunday(days: i64) -> i64 {
    (i64::try_from(weekday(days)).unwrap_or(0) + 1) % 7
}

/// The week of a day counted from `first`, the first day of its year or month: weeks start on Sunday, and the first may
/// have a single day.
fn week(days: i64, first: i64) -> i64 {
    (days - first + from_sunday(first)) / 7 + 1
}

impl<'a> Printed<'a> {
    fn new(micros: i64, zone: &'a Zone) -> Self {
        let (days, of_day) = zone.local_parts(micros);
        let (year, month, day) = civil_from_days(days);
        let days = hybrid_days(year, month, day);
        Self {
            zone,
            utc_seconds: micros.div_euclid(MICROS_PER_SECOND),
            days,
            year,
            month,
            day,
            of_day,
        }
    }

    fn field(&self, letter: char, count: usize, out: &mut String) {
        let of_era = |year: i64| if year > 0 { year } else { 1 - year };
        let name = |word: Word, index: i64, full: bool| {
            let index = usize::try_from(index).unwrap_or(0);
            let name = word.names(full).get(index).copied().unwrap_or_default();
            word.written(name, full)
        };
        let hour = self.of_day / (3600 * MICROS_PER_SECOND);
        let seconds = self.of_day / MICROS_PER_SECOND;
        let from_monday = i64::try_from(weekday(self.days)).unwrap_or(0);
        let number = match letter {
            'G' => return out.push_str(name(Word::Era, i64::from(self.year > 0), false)),
            'y' => return push_year(of_era(self.year), count, out),
            'Y' => return push_year(self.week_year(), count, out),
            'M' | 'L' if count > 2 => {
                return out.push_str(name(Word::Month, i64::from(self.month) - 1, count > 3));
            }
            'E' => return out.push_str(name(Word::Weekday, from_monday, count > 3)),
            'a' => return out.push_str(name(Word::AmPm, hour / 12, false)),
            'z' => return self.push_zone_name(count > 3, out),
            'Z' | 'X' => return self.push_offset(letter, count, out),
            'M' | 'L' => i64::from(self.month),
            'w' => self.week_of_year(),
            'W' => week(self.days, hybrid_days(self.year, self.month, 1)),
            'D' => self.days - hybrid_days(self.year, 1, 1) + 1,
            'd' => i64::from(self.day),
            'F' => i64::from((self.day - 1) / 7 + 1),
            'u' => from_monday + 1,
            'H' => hour,
            'k' if hour == 0 => 24,
            'k' => hour,
            'K' => hour % 12,
            'h' if hour % 12 == 0 => 12,
            'h' => hour % 12,
            'm' => seconds / 60 % 60,
            's' => seconds % 60,
            _ => self.of_day % MICROS_PER_SECOND / 1000,
        };
        let _ = write!(out, "{number:0count$}");
    }

    /// The year that the day's week belongs to: the week of 1 January is the first of its year.
    fn week_year(&self) -> i64 {
        let next = hybrid_days(self.year + 1, 1, 1);
        match self.days >= next - from_sunday(next) {
            true => self.year + 1,
            false => self.year,
        }
    }

    fn week_of_year(&self) -> i64 {
        match self.week_year() == self.year {
            true => week(self.days, hybrid_days(self.year, 1, 1)),
            false => 1,
        }
    }

    fn push_zone_name(&self, full: bool, out: &mut String) {
        let daylight = self.zone.daylight_saving_at(self.utc_seconds);
        match zone_names::name_of(self.zone, full, daylight) {
            Some(name) => out.push_str(name),
            None => drop(write!(out, "{}", self.zone)),
        }
    }

    fn push_offset(&self, letter: char, count: usize, out: &mut String) {
        // Before 1900 Java's older class knows the zone's own offset only, not its local mean time.
        const IN_1900: i64 = -2_208_988_800;
        const IN_2000: i64 = 946_684_800;
        let at = match self.utc_seconds < IN_1900 {
            true => [0, 182].map(|day| self.zone.offset_at(IN_2000 + day * 86_400)),
            false => [self.zone.offset_at(self.utc_seconds); 2],
        };
        let [january, july] = at;
        let offset = january.min(july) / 60;
        if letter == 'X' && offset == 0 {
            return out.push('Z');
        }
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        let _ = write!(out, "{}{hours:02}", if offset < 0 { '-' } else { '+' });
        match (letter, count) {
            ('X', 1) => {}
            ('X', 3) => drop(write!(out, ":{minutes:02}")),
            _ => drop(write!(out, "{minutes:02}")),
        }
    }
}

fn push_year(year: i64, count: usize, out: &mut String) {
    let _ = match count {
        2 => write!(out, "{:02}", year % 100),
        _ => write!(out, "{year:0count$}"),
    };
}
