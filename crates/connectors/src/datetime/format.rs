//! Printing a date or timestamp with a compiled pattern.
use std::fmt::Write;

use super::{
    calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, civil_from_days, days_from_civil, weekday},
    fields::{Field, Item, Number, OffsetShape, Sign, Word},
    pattern::{JavaPattern, PatternError},
    zone::Zone,
    zone_names,
};

impl JavaPattern {
    /// Appends an instant (microseconds since the epoch) as local time in a zone.
    ///
    /// # Errors
    /// If a value does not fit its field.
    pub fn format_timestamp(
        &self,
        micros: i64,
        zone: &Zone,
        out: &mut String,
    ) -> Result<(), PatternError> {
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let (days, of_day) = zone.local_parts(micros);
        self.format(&Value::new(days, Some(of_day), Some((*zone, seconds))), out)
    }

    /// Appends a local time in microseconds.
    ///
    /// # Errors
    /// If the pattern asks for a zone.
    pub fn format_timestamp_ntz(&self, micros: i64, out: &mut String) -> Result<(), PatternError> {
        let (days, of_day) = (
            micros.div_euclid(MICROS_PER_DAY),
            micros.rem_euclid(MICROS_PER_DAY),
        );
        self.format(&Value::new(days, Some(of_day), None), out)
    }

    /// Appends a date (days since the epoch).
    ///
    /// # Errors
    /// If the pattern asks for a time or a zone.
    pub fn format_date(&self, days: i32, out: &mut String) -> Result<(), PatternError> {
        self.format(&Value::new(i64::from(days), None, None), out)
    }

    fn format(&self, value: &Value, out: &mut String) -> Result<(), PatternError> {
        value
            .items(&self.items, out)
            .map_err(|field| PatternError::Field {
                pattern: self.source.clone(),
                field,
            })
    }
}

/// The value being printed, taken apart.
struct Value {
    days: i64,
    year: i64,
    month: u32,
    day: u32,
    /// Microseconds of the day; `None` for a date.
    of_day: Option<i64>,
    /// The zone and the instant in seconds; `None` for a date or a local time.
    zone: Option<(Zone, i64)>,
}

/// Name of the field a value lacks.
type Missing = &'static str;

impl Value {
    fn new(days: i64, of_day: Option<i64>, zone: Option<(Zone, i64)>) -> Self {
        let (year, month, day) = civil_from_days(days);
        Self {
            days,
            year,
            month,
            day,
            of_day,
            zone,
        }
    }

    fn items(&self, items: &[Item], out: &mut String) -> Result<(), Missing> {
        for item in items {
            self.item(item, out)?;
        }
        Ok(())
    }

    fn item(&self, item: &Item, out: &mut String) -> Result<(), Missing> {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Number(number) => push_number(number, self.field(number.field)?, out)?,
            Item::Word { word, full } => {
                let index = match word {
                    Word::Month => i64::from(self.month) - 1,
                    Word::Quarter => i64::from(self.month - 1) / 3,
                    Word::Weekday => i64::try_from(weekday(self.days)).unwrap_or(0),
                    Word::Era => i64::from(self.year > 0),
                    Word::AmPm => self.hour()? / 12,
                };
                let name = usize::try_from(index)
                    .ok()
                    .and_then(|i| word.names(*full).get(i))
                    .ok_or("name")?;
                out.push_str(word.written(name, *full));
            }
            Item::Fraction { max, .. } => {
                let nanos = self.field(Field::Nano)?;
                let digits = format!("{nanos:09}");
                out.push_str(digits.get(..*max).unwrap_or(&digits));
            }
            Item::Offset(shape) => push_offset(shape, self.offset()?, out),
            Item::LocalizedOffset { full } => push_localized_offset(*full, self.offset()?, out),
            Item::ZoneId => {
                let (zone, _) = self.zone.ok_or("zone")?;
                let _ = write!(out, "{zone}");
            }
            Item::ZoneName { full } => {
                let (zone, at) = self.zone.ok_or("zone")?;
                match zone_names::name_of(&zone, *full, zone.daylight_saving_at(at)) {
                    Some(name) => out.push_str(name),
                    None => drop(write!(out, "{zone}")),
                }
            }
            Item::Optional(section) => {
                let length = out.len();
                if self.items(section, out).is_err() {
                    out.truncate(length);
                }
            }
        }
        Ok(())
    }

    fn hour(&self) -> Result<i64, Missing> {
        Ok(self.of_day.ok_or("hour")? / (3600 * MICROS_PER_SECOND))
    }

    fn offset(&self) -> Result<i32, Missing> {
        let (zone, at) = self.zone.ok_or("offset")?;
        Ok(zone.offset_at(at))
    }

    fn field(&self, field: Field) -> Result<i64, Missing> {
        let seconds = |name| self.of_day.map(|d| d / MICROS_PER_SECOND).ok_or(name);
        Ok(match field {
            Field::Year => self.year,
            Field::YearOfEra => {
                if self.year > 0 {
                    self.year
                } else {
                    1 - self.year
                }
            }
            Field::Era => i64::from(self.year > 0),
            Field::Month => i64::from(self.month),
            Field::Day => i64::from(self.day),
            Field::DayOfYear => self.days - days_from_civil(self.year, 1, 1) + 1,
            Field::Quarter => i64::from((self.month - 1) / 3 + 1),
            Field::AlignedWeekday => i64::from((self.day - 1) % 7 + 1),
            Field::ModifiedJulianDay => self.days + 40_587,
            Field::HourOfDay => self.hour()?,
            Field::ClockHourOfDay => one_based(self.hour()?, 24),
            Field::HourOfAmPm => self.hour()? % 12,
            Field::ClockHourOfAmPm => one_based(self.hour()? % 12, 12),
            Field::AmPm => self.hour()? / 12,
            Field::Minute => seconds("minute")? / 60 % 60,
            Field::Second => seconds("second")? % 60,
            Field::Nano => self.of_day.ok_or("fraction")? % MICROS_PER_SECOND * 1000,
        })
    }
}

fn one_based(hour: i64, zero: i64) -> i64 {
    if hour == 0 { zero } else { hour }
}

fn push_number(number: &Number, value: i64, out: &mut String) -> Result<(), Missing> {
    let value = if number.reduced {
        value.abs() % 100
    } else {
        value
    };
    let digits = value.unsigned_abs().to_string();
    if digits.len() > number.max {
        return Err("room for so large a value");
    }
    match number.sign {
        Sign::NotNegative if value < 0 => return Err("non-negative value"),
        Sign::ExceedsPad if value >= 0 && digits.len() > number.min => out.push('+'),
        _ if value < 0 => out.push('-'),
        _ => {}
    }
    for _ in digits.len()..number.min {
        out.push('0');
    }
    out.push_str(&digits);
    Ok(())
}

fn push_offset(shape: &OffsetShape, offset: i32, out: &mut String) {
    let abs = offset.abs();
    let (hours, minutes, seconds) = (abs / 3600, abs / 60 % 60, abs % 60);
    if offset == 0 || (hours == 0 && minutes == 0 && (!shape.seconds || seconds == 0)) {
        out.push_str(shape.zero);
        return;
    }
    let colon = if shape.colon { ":" } else { "" };
    let _ = write!(out, "{}{hours:02}", if offset < 0 { '-' } else { '+' });
    if !shape.minutes_optional || minutes > 0 {
        let _ = write!(out, "{colon}{minutes:02}");
    }
    if shape.seconds && seconds > 0 {
        let _ = write!(out, "{colon}{seconds:02}");
    }
}

fn push_localized_offset(full: bool, offset: i32, out: &mut String) {
    out.push_str("GMT");
    if offset == 0 {
        return;
    }
    let abs = offset.abs();
    let (hours, minutes, seconds) = (abs / 3600, abs / 60 % 60, abs % 60);
    out.push(if offset < 0 { '-' } else { '+' });
    let _ = if full {
        write!(out, "{hours:02}:{minutes:02}")
    } else {
        write!(out, "{hours}")
    };
    if !full && (minutes != 0 || seconds != 0) {
        let _ = write!(out, ":{minutes:02}");
    }
    if seconds != 0 {
        let _ = write!(out, ":{seconds:02}");
    }
}
