//! Reading a text with a compiled pattern: Java's strict parsing, then Spark's defaults for what is missing.
use super::{
    calendar::{checked_days, days_from_civil, leap_year, micros_of},
    fields::{FIELDS, Field, Item, Number, OffsetShape, Sign, Word},
    pattern::JavaPattern,
    zone::Zone,
    zone_names,
};

impl JavaPattern {
    /// The instant of a text, microseconds since the epoch; `zone` is used when the text has none.
    /// A date that is missing is 1970-01-01, a time midnight.
    pub fn parse_timestamp(&self, text: &str, zone: &Zone) -> Option<i64> {
        let (parsed, days, second) = self.parse_fields(text).ok()?;
        let nano = parsed.nano();
        parsed
            .zone
            .unwrap_or(*zone)
            .instant_of(days, second, nano / 1000)
    }

    /// The local time of a text in microseconds. A zone in the text is ignored, or makes the text
    /// unreadable when `allow_zone` is false.
    pub fn parse_timestamp_ntz(&self, text: &str, allow_zone: bool) -> Option<i64> {
        let (parsed, days, second) = self.parse_fields(text).ok()?;
        if parsed.zone.is_some() && !allow_zone {
            return None;
        }
        micros_of(days, second, parsed.nano() / 1000)
    }

    /// The date of a text, days since the epoch.
    pub fn parse_date(&self, text: &str) -> Option<i32> {
        // An impossible time of day spoils the date too.
        let (_, days, _) = self.parse_fields(text).ok()?;
        i32::try_from(days).ok()
    }

    /// Why a text cannot be read, in Java's words; empty if it can.
    pub fn explain(&self, text: &str) -> String {
        let Err(failure) = self.parse_fields(text) else {
            return String::new();
        };
        let units: Vec<u16> = text.encode_utf16().collect();
        let shown = match units.get(..64) {
            Some(start) if units.len() > 64 => format!("{}...", String::from_utf16_lossy(start)),
            _ => text.to_owned(),
        };
        // Java counts UTF-16 units.
        let index = |rest: usize| {
            let read = text.get(..text.len().saturating_sub(rest)).unwrap_or(text);
            read.encode_utf16().count()
        };
        let why = match failure {
            Failure::Item { rest } => format!(" at index {}", index(rest)),
            Failure::Unparsed { rest } => {
                format!(", unparsed text found at index {}", index(rest))
            }
            Failure::Value(value) => format!(": {value}"),
        };
        format!("Text '{shown}' could not be parsed{why}")
    }

    /// The fields of a text, its date in days since the epoch and its second of the day.
    fn parse_fields(&self, text: &str) -> Result<(Parsed, i64, i64), Failure> {
        let mut parsed = Parsed::default();
        let rest = parsed.items(&self.items, text);
        match rest {
            Some("") => {}
            Some(rest) => return Err(Failure::Unparsed { rest: rest.len() }),
            None => {
                return Err(Failure::Item {
                    rest: parsed.failed_before,
                });
            }
        }
        let days = parsed.days().map_err(Failure::Value)?;
        let second = parsed.second_of_day().map_err(Failure::Value)?;
        Ok((parsed, days, second))
    }
}

/// Why a text cannot be read; `rest` is how many of its bytes were left.
enum Failure {
    Item { rest: usize },
    Unparsed { rest: usize },
    Value(WrongValue),
}

/// Fields that were read but make no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum WrongValue {
    #[error("Invalid value for {field} (valid values {valid}): {value}")]
    Range {
        field: &'static str,
        valid: &'static str,
        value: i64,
    },
    #[error("Invalid date '{month} {day}'")]
    Date { month: &'static str, day: i64 },
    #[error("Invalid date 'February 29' as '{year}' is not a leap year")]
    LeapDay { year: i64 },
    #[error("Invalid date 'DayOfYear 366' as '{year}' is not a leap year")]
    LastDayOfYear { year: i64 },
    #[error(
        "Conflict found: Field AmPmOfDay {} differs from AmPmOfDay {half} derived from {of_day:02}:{minute:02}",
        of_day / 12
    )]
    OtherHalf { half: i64, of_day: i64, minute: i64 },
    #[error("Conflict found: fields of the time of day disagree")]
    Conflict,
}

/// Values read so far.
#[derive(Debug, Clone, Default)]
struct Parsed {
    values: [Option<i64>; FIELDS],
    zone: Option<Zone>,
    /// How many bytes were left when an item did not match.
    failed_before: usize,
}

impl Parsed {
    fn items<'a>(&mut self, items: &[Item], mut text: &'a str) -> Option<&'a str> {
        for item in items {
            text = match self.item(item, text) {
                Some(rest) => rest,
                None => {
                    self.failed_before = text.len() - matching_start(item, text);
                    return None;
                }
            };
        }
        Some(text)
    }

    fn item<'a>(&mut self, item: &Item, text: &'a str) -> Option<&'a str> {
        match item {
            Item::Literal(literal) => strip_ignoring_case(text, literal),
            Item::Number(number) => self.number(number, text),
            Item::Word { word, full } => self.word(*word, *full, text),
            Item::Fraction { min, max } => self.fraction(*min, *max, text),
            Item::Offset(shape) => self.offset(shape, text),
            Item::LocalizedOffset { full } => self.localized_offset(*full, text),
            Item::ZoneId => self.zone_id(text, |name| {
                let lower = name.to_ascii_lowercase();
                super::zone::regions()
                    .get(&lower)
                    .map(|tz| Zone::Region(*tz))
            }),
            Item::ZoneName { full } => {
                self.zone_id(text, |name| zone_names::zone_named(name, *full))
            }
            Item::Optional(section) => {
                let saved = self.clone();
                self.items(section, text).or_else(|| {
                    *self = saved;
                    Some(text)
                })
            }
        }
    }

    fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let slot = self.values.get_mut(field as usize)?;
        match slot {
            Some(old) if *old != value => None,
            _ => {
                *slot = Some(value);
                Some(())
            }
        }
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.values.get(field as usize).copied().flatten()
    }

    fn set_zone(&mut self, zone: Zone) -> Option<()> {
        match self.zone {
            Some(old) if old != zone => None,
            _ => {
                self.zone = Some(zone);
                Some(())
            }
        }
    }

    fn number<'a>(&mut self, number: &Number, text: &'a str) -> Option<&'a str> {
        let (negative, plus, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, false, text.get(1..)?),
            Some(b'+') => (false, true, text.get(1..)?),
            _ => (false, false, text),
        };
        let signs_allowed = match number.sign {
            Sign::Normal => !plus,
            Sign::ExceedsPad => true,
            Sign::NotNegative => !negative && !plus,
        };
        if !signs_allowed {
            return None;
        }
        let max = number.max + number.subsequent;
        let run = digits
            .bytes()
            .take(max)
            .take_while(u8::is_ascii_digit)
            .count();
        // A first number leaves to those right behind it the digits they need.
        let length = if number.subsequent > 0 {
            number.min.max(run.saturating_sub(number.subsequent))
        } else {
            run
        };
        let length = if number.has_fixed_width() && number.fixed {
            length.min(number.max)
        } else {
            length
        };
        if run < number.min || length > 18 {
            return None;
        }
        let value: i64 = digits.get(..length)?.parse().ok()?;
        if negative && value == 0 {
            return None;
        }
        if number.sign == Sign::ExceedsPad && !negative {
            let wide = length > number.min;
            if plus != wide && number.subsequent == 0 {
                return None;
            }
        }
        let value = if number.reduced { value + 2000 } else { value };
        self.set(number.field, if negative { -value } else { value })?;
        digits.get(length..)
    }

    fn word<'a>(&mut self, word: Word, full: bool, text: &'a str) -> Option<&'a str> {
        let (field, first) = word.field()?;
        for (index, name) in word.names(full).iter().enumerate() {
            if let Some(rest) = strip_ignoring_case(text, word.written(name, full)) {
                self.set(field, first + i64::try_from(index).ok()?)?;
                return Some(rest);
            }
        }
        None
    }

    fn fraction<'a>(&mut self, min: usize, max: usize, text: &'a str) -> Option<&'a str> {
        let run = text
            .bytes()
            .take(max)
            .take_while(u8::is_ascii_digit)
            .count();
        if run < min {
            return None;
        }
        let value: i64 = text.get(..run)?.parse().ok()?;
        let scale = u32::try_from(9_usize.checked_sub(run)?).ok()?;
        self.set(Field::Nano, value * 10_i64.pow(scale))?;
        text.get(run..)
    }

    fn offset<'a>(&mut self, shape: &OffsetShape, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = strip_ignoring_case(text, shape.zero) {
            self.set_zone(Zone::Fixed {
                seconds: 0,
                prefix: "",
            })?;
            return Some(rest);
        }
        let (sign, rest) = sign(text)?;
        let (hours, rest) = two_digits(rest)?;
        let more = |rest: &'a str| {
            let rest = if shape.colon {
                rest.strip_prefix(':')?
            } else {
                rest
            };
            two_digits(rest)
        };
        let (minutes, rest) = match more(rest) {
            Some(found) => found,
            None if shape.minutes_optional => (0, rest),
            None => return None,
        };
        let (seconds, rest) = match more(rest) {
            Some(found) if shape.seconds => found,
            _ => (0, rest),
        };
        self.set_offset(sign, hours, minutes, seconds)?;
        Some(rest)
    }

    fn set_offset(&mut self, sign: i32, hours: i32, minutes: i32, seconds: i32) -> Option<()> {
        let total = hours * 3600 + minutes * 60 + seconds;
        let valid = minutes < 60 && seconds < 60 && total <= 18 * 3600;
        valid.then(|| {
            self.set_zone(Zone::Fixed {
                seconds: sign * total,
                prefix: "",
            })
        })?
    }

    fn localized_offset<'a>(&mut self, full: bool, text: &'a str) -> Option<&'a str> {
        let rest = strip_ignoring_case(text, "GMT")?;
        let Some((sign, rest)) = sign(rest) else {
            self.set_offset(1, 0, 0, 0)?;
            return Some(rest);
        };
        let one_digit = |rest: &'a str| {
            let digit = rest.bytes().next().filter(u8::is_ascii_digit)?;
            Some((i32::from(digit - b'0'), rest.get(1..)?))
        };
        let (hours, rest) = match two_digits(rest) {
            Some(found) => found,
            None if !full => one_digit(rest)?,
            None => return None,
        };
        let more = |rest: &'a str| two_digits(rest.strip_prefix(':')?);
        let (minutes, rest) = match more(rest) {
            Some(found) => found,
            None if !full => (0, rest),
            None => return None,
        };
        let (seconds, rest) = more(rest).unwrap_or((0, rest));
        self.set_offset(sign, hours, minutes, seconds)?;
        Some(rest)
    }

    /// An offset, `UTC`/`GMT`/`UT` with or without one, or the longest name that is known.
    fn zone_id<'a>(
        &mut self,
        text: &'a str,
        named: impl Fn(&str) -> Option<Zone>,
    ) -> Option<&'a str> {
        let id_shape = OffsetShape {
            colon: true,
            minutes_optional: true,
            seconds: true,
            zero: "Z",
        };
        if text.starts_with(['+', '-']) {
            return self.offset(&id_shape, text);
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(rest) = strip_ignoring_case(text, prefix)
                && rest.starts_with(['+', '-'])
            {
                let mut inner = Self::default();
                let (zone, rest) = match inner.offset(
                    &OffsetShape {
                        zero: "0",
                        ..id_shape
                    },
                    rest,
                ) {
                    Some(after) => match inner.zone? {
                        Zone::Fixed { seconds, .. } => (Zone::Fixed { seconds, prefix }, after),
                        region => (region, after),
                    },
                    None => (Zone::parse(prefix)?, rest),
                };
                self.set_zone(zone)?;
                return Some(rest);
            }
        }
        let longest = text.len().min(64);
        for length in (1..=longest).rev() {
            let Some((name, rest)) = text.split_at_checked(length) else {
                continue;
            };
            if let Some(zone) = named(name) {
                self.set_zone(zone)?;
                return Some(rest);
            }
        }
        let rest = strip_ignoring_case(text, "Z")?;
        self.set_zone(Zone::Fixed {
            seconds: 0,
            prefix: "",
        })?;
        Some(rest)
    }

    /// The value of a field that must lie within these.
    fn checked(
        &self,
        field: Field,
        (low, high): (i64, i64),
        (name, valid): (&'static str, &'static str),
    ) -> Result<Option<i64>, WrongValue> {
        match self.get(field) {
            Some(value) if !(low..=high).contains(&value) => Err(WrongValue::Range {
                field: name,
                valid,
                value,
            }),
            value => Ok(value),
        }
    }

    /// Days since the epoch; fields that are missing are those of 1970-01-01.
    fn days(&self) -> Result<i64, WrongValue> {
        const YEARS: i64 = 999_999_999;
        const YEAR_OF_ERA: (&str, &str) = ("YearOfEra", "1 - 999999999/1000000000");
        let of_era = self.checked(Field::YearOfEra, (1, YEARS + 1), YEAR_OF_ERA)?;
        let year = match (of_era, self.get(Field::Era)) {
            (Some(year), Some(0)) => Some(1 - year),
            (Some(year), _) => Some(year),
            (None, _) => {
                let valid = ("Year", "-999999999 - 999999999");
                self.checked(Field::Year, (-YEARS, YEARS), valid)?
            }
        };
        let month = self.checked(Field::Month, (1, 12), ("MonthOfYear", "1 - 12"))?;
        let day = self.checked(Field::Day, (1, 31), ("DayOfMonth", "1 - 28/31"))?;
        let of_year = self.checked(Field::DayOfYear, (1, 366), ("DayOfYear", "1 - 365/366"))?;
        if let Some(mjd) = self.get(Field::ModifiedJulianDay) {
            return mjd.checked_sub(40_587).ok_or(WrongValue::Conflict);
        }
        match (year, month, day, of_year) {
            (Some(year), None, _, Some(day)) | (Some(year), _, None, Some(day)) => {
                if day == 366 && !leap_year(year) {
                    return Err(WrongValue::LastDayOfYear { year });
                }
                Ok(days_from_civil(year, 1, 1) + day - 1)
            }
            _ => {
                let (year, month, day) =
                    (year.unwrap_or(1970), month.unwrap_or(1), day.unwrap_or(1));
                checked_days(year, month, day).ok_or_else(|| no_such_day(year, month, day))
            }
        }
    }

    fn second_of_day(&self) -> Result<i64, WrongValue> {
        let mut hour = self.checked(Field::HourOfDay, (0, 23), ("HourOfDay", "0 - 23"))?;
        let of_clock = ("ClockHourOfDay", "1 - 24");
        if let Some(clock) = self.checked(Field::ClockHourOfDay, (1, 24), of_clock)? {
            hour = agree(hour, clock % 24)?;
        }
        let mut half_hour = self.checked(Field::HourOfAmPm, (0, 11), ("HourOfAmPm", "0 - 11"))?;
        let of_clock = ("ClockHourOfAmPm", "1 - 12");
        if let Some(clock) = self.checked(Field::ClockHourOfAmPm, (1, 12), of_clock)? {
            half_hour = agree(half_hour, clock % 12)?;
        }
        match (half_hour, self.get(Field::AmPm)) {
            (Some(h), Some(half)) => hour = agree(hour, half * 12 + h)?,
            (Some(h), None) => hour = hour.or(Some(h)),
            (None, Some(half)) => match hour {
                Some(of_day) if of_day / 12 != half => {
                    return Err(WrongValue::OtherHalf {
                        half,
                        of_day,
                        minute: self.get(Field::Minute).unwrap_or(0),
                    });
                }
                Some(_) => {}
                None => hour = Some(12 * half),
            },
            (None, None) => {}
        }
        let minute = self.checked(Field::Minute, (0, 59), ("MinuteOfHour", "0 - 59"))?;
        let second = self.checked(Field::Second, (0, 59), ("SecondOfMinute", "0 - 59"))?;
        Ok(hour.unwrap_or(0) * 3600 + minute.unwrap_or(0) * 60 + second.unwrap_or(0))
    }

    fn nano(&self) -> i64 {
        self.get(Field::Nano).unwrap_or(0)
    }
}

/// Two ways of saying the hour must say the same.
fn agree(known: Option<i64>, value: i64) -> Result<Option<i64>, WrongValue> {
    match known {
        Some(known) if known != value => Err(WrongValue::Conflict),
        _ => Ok(Some(value)),
    }
}

/// How many bytes of a literal match: Java fails at the first character that does not, and elsewhere where the item
/// begins.
fn matching_start(item: &Item, text: &str) -> usize {
    let Item::Literal(literal) = item else {
        return 0;
    };
    let same = |(a, b): &(char, char)| a.to_lowercase().eq(b.to_lowercase());
    let matching = text.chars().zip(literal.chars()).take_while(same);
    matching.map(|(a, _)| a.len_utf8()).sum()
}

fn no_such_day(year: i64, month: i64, day: i64) -> WrongValue {
    const MONTHS: [&str; 12] = [
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    if (month, day) == (2, 29) {
        return WrongValue::LeapDay { year };
    }
    let index = usize::try_from(month - 1).unwrap_or(0);
    let month = MONTHS.get(index).copied().unwrap_or_default();
    WrongValue::Date { month, day }
}

fn sign(text: &str) -> Option<(i32, &str)> {
    match text.as_bytes().first()? {
        b'+' => Some((1, text.get(1..)?)),
        b'-' => Some((-1, text.get(1..)?)),
        _ => None,
    }
}

fn two_digits(text: &str) -> Option<(i32, &str)> {
    match text.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', ..] => Some((
            i32::from(a - b'0') * 10 + i32::from(b - b'0'),
            text.get(2..)?,
        )),
        _ => None,
    }
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    if let Some((head, rest)) = text.split_at_checked(prefix.len())
        && head.eq_ignore_ascii_case(prefix)
    {
        return Some(rest);
    }
    if prefix.is_ascii() {
        return None;
    }
    let mut rest = text.chars();
    for expected in prefix.chars() {
        let actual = rest.next()?;
        if actual != expected && !actual.to_lowercase().eq(expected.to_lowercase()) {
            return None;
        }
    }
    Some(rest.as_str())
}
