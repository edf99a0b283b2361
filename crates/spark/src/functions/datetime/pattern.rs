//! Compiled patterns and what Spark says of those it refuses.
use millstream_connectors::{
    datetime::{JavaPattern, LegacyPattern, LegacyPatternError, PatternError, Reason, Zone},
    format::TimeParserPolicy,
};

use crate::{
    error::{Exception, Result, SparkError, quoted_id},
    functions::EvalContext,
};

/// The last pattern that was used: a column of patterns mostly repeats one.
pub(super) struct Patterns {
    policy: TimeParserPolicy,
    parsing: bool,
    last: Option<Pattern>,
}

/// A pattern under a time parser policy.
pub(super) enum Pattern {
    /// CORRECTED.
    Now(JavaPattern),
    /// LEGACY: Spark 2's.
    Then(LegacyPattern),
    /// EXCEPTION: both, as far as Spark 2 knew it.
    Both(JavaPattern, Option<LegacyPattern>),
}

impl Patterns {
    /// Patterns to read with.
    pub(super) fn for_parsing(policy: TimeParserPolicy) -> Self {
        Self {
            policy,
            parsing: true,
            last: None,
        }
    }

    /// Patterns to print with.
    pub(super) fn for_formatting(policy: TimeParserPolicy) -> Self {
        Self {
            policy,
            parsing: false,
            last: None,
        }
    }

    /// The compiled pattern, or Spark's error for it.
    pub(super) fn get(&mut self, source: &str) -> Result<&Pattern> {
        if self.last.as_ref().is_none_or(|p| p.source() != source) {
            self.last = Some(self.compile(source)?);
        }
        self.last
            .as_ref()
            .ok_or_else(|| SparkError::internal("no compiled pattern"))
    }

    fn compile(&self, source: &str) -> Result<Pattern> {
        let now = || match self.parsing {
            true => JavaPattern::for_parsing(source).map_err(pattern_error),
            false => JavaPattern::for_formatting(source).map_err(pattern_error),
        };
        let then = || match self.parsing {
            true => LegacyPattern::for_parsing(source),
            false => LegacyPattern::for_formatting(source),
        };
        Ok(match self.policy {
            TimeParserPolicy::Corrected => Pattern::Now(now()?),
            TimeParserPolicy::Legacy => {
                Pattern::Then(then().map_err(|error| legacy_error(source, error))?)
            }
            TimeParserPolicy::Exception => Pattern::Both(now()?, then().ok()),
        })
    }
}

impl Pattern {
    fn source(&self) -> &str {
        match self {
            Self::Now(pattern) | Self::Both(pattern, _) => pattern.source(),
            Self::Then(pattern) => pattern.source(),
        }
    }

    /// The instant of a text; `None` if it is none.
    pub(super) fn timestamp(&self, text: &str, zone: &Zone) -> Result<Option<i64>> {
        match self {
            Self::Now(pattern) => Ok(pattern.parse_timestamp(text, zone)),
            Self::Then(pattern) => Ok(pattern.parse_timestamp(text, zone)),
            Self::Both(now, then) => match (now.parse_timestamp(text, zone), then) {
                (None, Some(then)) if then.parse_timestamp(text, zone).is_some() => {
                    Err(read_before(text))
                }
                (instant, _) => Ok(instant),
            },
        }
    }

    /// The local time of a text; `None` if it is none. Spark 2 had no such type.
    pub(super) fn timestamp_ntz(&self, text: &str) -> Result<Option<i64>> {
        match self {
            Self::Now(pattern) => Ok(pattern.parse_timestamp_ntz(text, true)),
            Self::Both(now, then) => match (now.parse_timestamp_ntz(text, true), then) {
                (None, Some(then)) if then.parse_timestamp(text, &utc()).is_some() => {
                    Err(read_before(text))
                }
                (time, _) => Ok(time),
            },
            Self::Then(pattern) => {
                let pattern = JavaPattern::for_parsing(pattern.source()).map_err(pattern_error)?;
                Ok(pattern.parse_timestamp_ntz(text, true))
            }
        }
    }

    /// Why a text is no local time.
    pub(super) fn explain_ntz(&self, text: &str) -> String {
        match self {
            Self::Then(pattern) => JavaPattern::for_parsing(pattern.source())
                .map(|pattern| pattern.explain(text))
                .unwrap_or_default(),
            other => other.explain(text),
        }
    }

    /// Why a text is no instant, in Java's words.
    pub(super) fn explain(&self, text: &str) -> String {
        match self {
            Self::Now(pattern) | Self::Both(pattern, _) => pattern.explain(text),
            Self::Then(_) => format!("Unparseable date: \"{text}\""),
        }
    }

    /// Appends an instant.
    pub(super) fn print(&self, micros: i64, zone: &Zone, out: &mut String) -> Result<()> {
        match self {
            Self::Now(pattern) | Self::Both(pattern, _) => pattern
                .format_timestamp(micros, zone, out)
                .map_err(pattern_error),
            Self::Then(pattern) => {
                pattern.format_timestamp(micros, zone, out);
                Ok(())
            }
        }
    }
}

fn utc() -> Zone {
    Zone::Fixed {
        seconds: 0,
        prefix: "",
    }
}

/// EXCEPTION: a text that Spark 2 could read.
fn read_before(text: &str) -> SparkError {
    SparkError::new(
        Exception::Upgrade,
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.PARSE_DATETIME_BY_NEW_PARSER",
        &[
            ("datetime", &format!("'{text}'")),
            ("config", "\"spark.sql.legacy.timeParserPolicy\""),
        ],
    )
}

/// A pattern that Java's `SimpleDateFormat` refuses.
fn legacy_error(source: &str, error: LegacyPatternError) -> SparkError {
    match error {
        LegacyPatternError::Week(_) => SparkError::unsupported(error),
        error => pattern_error(PatternError::Invalid {
            pattern: source.to_owned(),
            reason: Reason::Syntax(error.to_string()),
        }),
    }
}

/// Spark's error for a pattern.
pub(super) fn pattern_error(error: PatternError) -> SparkError {
    let exception = match &error {
        PatternError::CrossVersion { .. } => Exception::Upgrade,
        PatternError::Invalid { .. } if error.error_class().ends_with("WITH_SUGGESTION") => {
            Exception::Runtime
        }
        PatternError::Invalid { .. } => Exception::IllegalArgument,
        PatternError::Field { .. } => Exception::DateTime,
    };
    let parameters = error.message_parameters();
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        // The message adds the page to the root of the documentation by itself.
        .map(|(k, v)| {
            (
                *k,
                v.strip_suffix("/sql-ref-datetime-pattern.html")
                    .unwrap_or(v),
            )
        })
        .collect();
    SparkError::new(exception, error.error_class(), &parameters)
}

/// `CANNOT_PARSE_TIMESTAMP`, with Java's message. `function` is the one that tolerates such a text.
pub(super) fn cannot_parse(message: &str, function: &str) -> SparkError {
    SparkError::new(
        Exception::DateTime,
        "CANNOT_PARSE_TIMESTAMP",
        &[("message", message), ("func", &quoted_id(function))],
    )
}

/// The last zone that was used.
pub(super) struct Zones {
    last: Option<(String, Zone)>,
}

impl Zones {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    /// The zone of an id, or `INVALID_TIMEZONE`.
    pub(super) fn get(&mut self, id: &str) -> Result<Zone> {
        if let Some((last, zone)) = &self.last
            && last == id
        {
            return Ok(*zone);
        }
        let zone = Zone::parse(id).ok_or_else(|| {
            SparkError::new(Exception::DateTime, "INVALID_TIMEZONE", &[("timeZone", id)])
        })?;
        self.last = Some((id.to_string(), zone));
        Ok(zone)
    }
}

/// Whether a value that does not fit is an error, rather than NULL.
pub(super) fn fails(context: &EvalContext, tolerant: bool) -> bool {
    context.ansi && !tolerant
}
