//! Reading a text: Java's `SimpleDateFormat.parse` and what its calendar makes of the fields.
//!
//! Fields may contradict each other. Of those that tell the day, the one that was read last counts, and then all the
//! others must agree with it.
use super::{LegacyPattern, pattern::Item};
use crate::datetime::{
    Zone,
    calendar::{checked_days, civil_from_days, days_from_civil, leap_year, micros_of, weekday},
    fields::Word,
    zone_names,
};

/// Two digits of a year stand for the hundred years that started eighty years ago; so Java says, and asks the clock.
fn century_start() -> i64 {
    let today = chrono::Utc::now().date_naive();
    i64::from(chrono::Datelike::year(&today)) - 80
}

impl LegacyPattern {
    /// The instant at the start of a text, microseconds since the epoch; `zone` is used when the text has none.
    pub fn parse_timestamp(&self, text: &str, zone: &Zone) -> Option<i64> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (index, item) in self.items.iter().enumerate() {
            rest = match item {
                Item::Literal(c) => rest.strip_prefix(*c)?,
                Item::Field(letter, count) => {
                    let width = self
                        .items
                        .get(index + 1)
                        .and_then(is_number)
                        .map(|()| *count);
                    fields.read(*letter, *count, width, rest)?
                }
            };
        }
        // A text of which nothing was read has no date, even if nothing was asked for.
        if rest.len() == text.len() {
            return None;
        }
        fields.instant(zone)
    }
}

/// Whether an item behind a number leaves that number just its own count of digits.
fn is_number(item: &Item) -> Option<()> {
    match item {
        Item::Field('M' | 'L', count) => (*count <= 2).then_some(()),
        Item::Field('G' | 'E' | 'a' | 'z' | 'Z' | 'X', _) | Item::Literal(_) => None,
        Item::Field(..) => Some(()),
    }
}

/// Fields in the order of their last setting, as values of Java's calendar but for months and weekdays: those count from 1
/// and from Monday = 1.
#[derive(Debug, Default)]
struct Fields {
    era: Option<i64>,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    weekday: Option<i64>,
    hour_of_day: Option<i64>,
    hour: Option<i64>,
    am_pm: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    milli: Option<i64>,
    offset: Option<Offset>,
    /// Whether the day of the year was read after the day of the month.
    day_of_year_last: bool,
    /// Whether the hour of the half day was read after the hour of the day.
    hour_last: bool,
    /// Two digits of a year were read that may belong to either end of the century.
    ambiguous: bool,
}

#[derive(Debug, Clone, Copy)]
enum Offset {
    Seconds(i64),
    /// A name of a zone: its standard or its daylight time.
    Named(Zone, bool),
}

impl Fields {
    /// Reads a field; `width` is its count of letters if another number follows.
    fn read<'a>(
        &mut self,
        letter: char,
        count: usize,
        width: Option<usize>,
        text: &'a str,
    ) -> Option<&'a str> {
        let trimmed = text.trim_start_matches([' ', '\t']);
        if trimmed.is_empty() {
            return None;
        }
        let blanks = text.len() - trimmed.len();
        match letter {
            'G' => {
                let (index, rest) = word(trimmed, &[Word::Era], &[false])?;
                self.era = Some(index);
                return Some(rest);
            }
            'M' | 'L' if count > 2 => {
                let (index, rest) = word(trimmed, &[Word::Month], &[true, false])?;
                self.month = Some(index + 1);
                return Some(rest);
            }
            'E' => {
                let (index, rest) = word(trimmed, &[Word::Weekday], &[true, false])?;
                self.weekday = Some(index + 1);
                return Some(rest);
            }
            'a' => {
                let (index, rest) = word(trimmed, &[Word::AmPm], &[false])?;
                self.am_pm = Some(index);
                return Some(rest);
            }
            'z' | 'Z' => return self.zone(trimmed),
            'X' => return self.iso_offset(count, trimmed),
            _ => {}
        }
        // Blanks count among the letters of a field of fixed width.
        let digits = match width {
            None => trimmed,
            Some(width) => trimmed.get(..width.checked_sub(blanks)?)?,
        };
        let (value, length) = number(digits)?;
        match letter {
            'y' => {
                let two_digits =
                    count <= 2 && length == 2 && value >= 0 && !digits.starts_with('-');
                self.year = Some(if two_digits {
                    self.in_century(value)
                } else {
                    value
                });
            }
            'M' | 'L' => self.month = Some(value),
            'd' => {
                self.day = Some(value);
                self.day_of_year_last = false;
            }
            'D' => {
                self.day_of_year = Some(value);
                self.day_of_year_last = true;
            }
            'u' => self.weekday = Some(value),
            'H' | 'k' => {
                if letter == 'k' && !(1..=24).contains(&value) {
                    return None;
                }
                self.hour_of_day = Some(if letter == 'k' { value % 24 } else { value });
                self.hour_last = false;
            }
            'K' | 'h' => {
                if letter == 'h' && !(1..=12).contains(&value) {
                    return None;
                }
                self.hour = Some(if letter == 'h' { value % 12 } else { value });
                self.hour_last = true;
            }
            'm' => self.minute = Some(value),
            's' => self.second = Some(value),
            'S' => self.milli = Some(value),
            _ => return None,
        }
        trimmed.get(length..)
    }

    fn in_century(&mut self, value: i64) -> i64 {
        let start = century_start();
        self.ambiguous = value == start.rem_euclid(100);
        let century = start.div_euclid(100) * 100;
        value
            + century
            + if value < start.rem_euclid(100) {
                100
            } else {
                0
            }
    }

    /// `GMT`, `GMT+1:30`, `+0130` or a name.
    fn zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        if text.starts_with(['+', '-']) {
            let (seconds, rest) = offset(text, 0, false)?;
            self.offset = Some(Offset::Seconds(seconds));
            return Some(rest);
        }
        if let Some(rest) = strip_ignoring_case(text, "GMT") {
            let found = match rest.starts_with(['+', '-']) {
                true => offset(rest, 0, true)?,
                false => (0, rest),
            };
            self.offset = Some(Offset::Seconds(found.0));
            return Some(found.1);
        }
        for length in (1..=text.len().min(64)).rev() {
            let Some((name, rest)) = text.split_at_checked(length) else {
                continue;
            };
            for full in [true, false] {
                // The table knows the ids of regions, too, which are no names to Java.
                let zone = zone_names::zone_named(name, full).filter(|_| !name.contains('/'));
                if let Some(zone) = zone {
                    let daylight = zone_names::name_of(&zone, full, true)
                        .is_some_and(|known| known.eq_ignore_ascii_case(name))
                        && zone_names::name_of(&zone, full, false)
                            .is_none_or(|known| !known.eq_ignore_ascii_case(name));
                    self.offset = Some(Offset::Named(zone, daylight));
                    return Some(rest);
                }
            }
        }
        None
    }

    fn iso_offset<'a>(&mut self, count: usize, text: &'a str) -> Option<&'a str> {
        let (seconds, rest) = match text.strip_prefix('Z') {
            Some(rest) => (0, rest),
            None => offset(text, count, count == 3)?,
        };
        self.offset = Some(Offset::Seconds(seconds));
        Some(rest)
    }

    /// The instant, if all fields are possible and agree.
    fn instant(&self, zone: &Zone) -> Option<i64> {
        let days = self.days()?;
        let second = self.second_of_day()?;
        let milli = within(self.milli, 0, 999)?.unwrap_or(0);
        let local = days.checked_mul(86_400)?.checked_add(second)?;
        let utc = match self.offset {
            Some(Offset::Seconds(seconds)) => local.checked_sub(seconds)?,
            Some(Offset::Named(zone, daylight)) => {
                local.checked_sub(offset_of_half_year(&zone, local, daylight))?
            }
            None => wall_clock(zone, local)?,
        };
        micros_of(utc.div_euclid(86_400), utc.rem_euclid(86_400), milli * 1000)
    }

    fn days(&self) -> Option<i64> {
        within(self.year, 1, 292_278_994)?;
        let mut year = match (self.year, self.era) {
            (Some(year), Some(0)) => 1 - year,
            (Some(year), _) => year,
            (None, _) => 1970,
        };
        let days = self.days_of(year)?;
        if self.ambiguous {
            // The hundred years begin on this very day of the year.
            let now = chrono::Utc::now().date_naive();
            let today = i64::from(chrono::Datelike::ordinal(&now));
            if days - days_from_civil(year, 1, 1) + 1 < today {
                year += 100;
                return self.days_of(year);
            }
        }
        Some(days)
    }

    fn days_of(&self, year: i64) -> Option<i64> {
        let month = within(self.month, 1, 12)?;
        let day = within(self.day, 1, 31)?;
        let day_of_year = within(self.day_of_year, 1, 366)?;
        let weekday_wanted = within(self.weekday, 1, 7)?;
        if julian_leap_day(year, month, day) {
            // Carried over to a calendar that has no such day, it is the next.
            return checked_days(year, 3, 1);
        }
        let first = checked_days(year, month.unwrap_or(1), 1)?;
        let days = match (day, day_of_year, weekday_wanted) {
            (_, Some(of_year), _) if self.day_of_year_last || day.is_none() => {
                days_from_civil(year, 1, 1) + of_year - 1
            }
            (Some(day), ..) => checked_days(year, month.unwrap_or(1), day)?,
            (None, _, Some(wanted)) => {
                let first_is = i64::try_from(weekday(first)).ok()? + 1;
                first + (wanted - first_is).rem_euclid(7)
            }
            (None, _, None) => first,
        };
        let (of, month_is, day_is) = civil_from_days(days);
        let agrees = |wanted: Option<i64>, is: i64| wanted.is_none_or(|wanted| wanted == is);
        let agree = of == year
            && agrees(month, i64::from(month_is))
            && agrees(day, i64::from(day_is))
            && agrees(day_of_year, days - days_from_civil(year, 1, 1) + 1)
            && agrees(weekday_wanted, i64::try_from(weekday(days)).ok()? + 1);
        agree.then_some(days)
    }

    fn second_of_day(&self) -> Option<i64> {
        let of_day = within(self.hour_of_day, 0, 23)?;
        let hour = within(self.hour, 0, 11)?;
        let half = self.am_pm;
        let twelve = hour.map(|hour| hour + 12 * half.unwrap_or(0));
        let chosen = match (of_day, twelve) {
            // Hour and half of the day count together if both were read, and later.
            (Some(of_day), Some(twelve)) if half.is_some() && self.hour_last => {
                (of_day == twelve).then_some(twelve)?
            }
            (Some(of_day), _) => of_day,
            (None, Some(twelve)) => twelve,
            (None, None) => 12 * half.unwrap_or(0),
        };
        let agree = hour.is_none_or(|hour| hour == chosen % 12)
            && half.is_none_or(|half| half == chosen / 12);
        if !agree {
            return None;
        }
        let minute = within(self.minute, 0, 59)?.unwrap_or(0);
        let second = within(self.second, 0, 59)?.unwrap_or(0);
        Some(chosen * 3600 + minute * 60 + second)
    }
}

/// 29 February of a year that is a leap year in the Julian calendar alone.
fn julian_leap_day(year: i64, month: Option<i64>, day: Option<i64>) -> bool {
    year < 1582 && year % 4 == 0 && !leap_year(year) && (month, day) == (Some(2), Some(29))
}

/// The value, or `None` if it is out of bounds.
#[allow(clippy::option_option)]
fn within(value: Option<i64>, low: i64, high: i64) -> Option<Option<i64>> {
    match value {
        Some(value) if !(low..=high).contains(&value) => None,
        value => Some(value),
    }
}

/// An instant whose wall clock shows this: the later of two, none where the clock leaps.
fn wall_clock(zone: &Zone, local: i64) -> Option<i64> {
    const DAY: i64 = 86_400;
    let offsets = [local.checked_sub(DAY)?, local.checked_add(DAY)?].map(|at| zone.offset_at(at));
    let instants = offsets.iter().filter_map(|offset| {
        let utc = local.checked_sub(i64::from(*offset))?;
        (zone.offset_at(utc) == *offset).then_some(utc)
    });
    instants.max()
}

/// The offset of a zone's standard or daylight time in the year of a local time.
fn offset_of_half_year(zone: &Zone, local: i64, daylight: bool) -> i64 {
    let (year, ..) = civil_from_days(local.div_euclid(86_400));
    let at = |month| i64::from(zone.offset_at(days_from_civil(year, month, 1) * 86_400));
    match daylight {
        true => at(1).max(at(7)),
        false => at(1).min(at(7)),
    }
}

/// The digits in front of a text, with a minus or without: their value and their length. Java cuts large ones to 32 bits.
fn number(text: &str) -> Option<(i64, usize)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let run = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let value: i64 = unsigned.get(..run)?.parse().ok()?;
    let negative = unsigned.len() < text.len();
    let value = if negative { -value } else { value };
    Some((value, run + usize::from(negative)))
}

/// The name in front of a text: its index and the rest. Of several the longest counts.
fn word<'a>(text: &'a str, words: &[Word], styles: &[bool]) -> Option<(i64, &'a str)> {
    let mut best: Option<(i64, &'a str)> = None;
    for word in words {
        for full in styles {
            for (index, name) in word.names(*full).iter().enumerate() {
                let found = strip_ignoring_case(text, word.written(name, *full));
                let longer = |rest: &&str| best.is_none_or(|(_, known)| rest.len() < known.len());
                if let Some(rest) = found.filter(longer) {
                    best = Some((i64::try_from(index).ok()?, rest));
                }
            }
        }
    }
    best
}

/// `+hh[mm]`: seconds and the rest. `count` is that of the letter `X`, of which one reads hours alone; zero stands for `Z`.
fn offset(text: &str, count: usize, colon: bool) -> Option<(i64, &str)> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.strip_prefix(['+', '-'])?;
    let digit = |rest: &str| {
        rest.bytes()
            .next()
            .filter(u8::is_ascii_digit)
            .map(|b| i64::from(b - b'0'))
    };
    let mut hours = digit(rest)?;
    let mut rest = rest.get(1..)?;
    match digit(rest) {
        Some(second) => {
            hours = hours * 10 + second;
            rest = rest.get(1..)?;
        }
        // Behind `GMT` one digit will do.
        None if count > 0 || !colon => return None,
        None => {}
    }
    if hours > 23 {
        return None;
    }
    let mut minutes = 0;
    if count != 1 {
        if colon {
            rest = rest.strip_prefix(':')?;
        }
        let (tens, ones) = (digit(rest)?, digit(rest.get(1..)?)?);
        minutes = tens * 10 + ones;
        rest = rest.get(2..)?;
        if minutes > 59 {
            return None;
        }
    }
    Some((sign * (hours * 3600 + minutes * 60), rest))
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
