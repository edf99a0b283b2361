//! The pieces a compiled pattern is made of.

/// A date or time field with a numeric value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Year,
    YearOfEra,
    Era,
    Month,
    Day,
    DayOfYear,
    Quarter,
    AlignedWeekday,
    ModifiedJulianDay,
    HourOfDay,
    ClockHourOfDay,
    HourOfAmPm,
    ClockHourOfAmPm,
    AmPm,
    Minute,
    Second,
    Nano,
}

/// How many fields there are.
pub(super) const FIELDS: usize = Field::Nano as usize + 1;

/// Java's `SignStyle`, as far as patterns use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// A minus sign for negative values.
    Normal,
    /// No sign.
    NotNegative,
    /// A plus sign when the value is wider than the pad width.
    ExceedsPad,
}

/// A number and how wide it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    pub field: Field,
    pub min: usize,
    pub max: usize,
    pub sign: Sign,
    /// Two digits of a year, read as 2000 to 2099.
    pub reduced: bool,
    /// Digits that the numbers right behind need, when they are of fixed width.
    pub subsequent: usize,
    /// Right behind another number, so that it has exactly `min` digits.
    pub fixed: bool,
}

impl Number {
    pub(super) fn has_fixed_width(&self) -> bool {
        let plain = self.min == self.max && self.sign == Sign::NotNegative;
        self.fixed || (self.subsequent > 0 && plain)
    }
}

/// A field shown as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Month,
    Weekday,
    AmPm,
    Era,
    Quarter,
}

/// Java's offset patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetShape {
    pub colon: bool,
    /// Whether minutes may be missing when zero (`X`, `x`).
    pub minutes_optional: bool,
    /// Whether seconds follow when they are not zero.
    pub seconds: bool,
    /// What zero is written as.
    pub zero: &'static str,
}

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(String),
    Number(Number),
    Word {
        word: Word,
        full: bool,
    },
    /// Digits of the fraction of a second, without a point.
    Fraction {
        min: usize,
        max: usize,
    },
    Offset(OffsetShape),
    LocalizedOffset {
        full: bool,
    },
    ZoneId,
    ZoneName {
        full: bool,
    },
    Optional(Vec<Item>),
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
const SHORT_QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];
const ERAS: [&str; 2] = ["Before Christ", "Anno Domini"];
const SHORT_ERAS: [&str; 2] = ["BC", "AD"];

impl Word {
    /// Field the word is a value of, and the value of the first name.
    pub(super) fn field(self) -> Option<(Field, i64)> {
        match self {
            Self::Month => Some((Field::Month, 1)),
            Self::AmPm => Some((Field::AmPm, 0)),
            Self::Era => Some((Field::Era, 0)),
            Self::Quarter => Some((Field::Quarter, 1)),
            Self::Weekday => None,
        }
    }

    /// English names in field order.
    pub(super) fn names(self, full: bool) -> &'static [&'static str] {
        match (self, full) {
            (Self::Month, _) => &MONTHS,
            (Self::Weekday, _) => &WEEKDAYS,
            (Self::AmPm, _) => &["AM", "PM"],
            (Self::Era, true) => &ERAS,
            (Self::Era, false) => &SHORT_ERAS,
            (Self::Quarter, true) => &QUARTERS,
            (Self::Quarter, false) => &SHORT_QUARTERS,
        }
    }

    /// The name as written: short months and weekdays are the first three letters.
    pub(super) fn written(self, name: &'static str, full: bool) -> &'static str {
        match self {
            Self::Month | Self::Weekday if !full => name.get(..3).unwrap_or(name),
            _ => name,
        }
    }
}
