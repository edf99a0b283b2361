//! Compiled patterns and what Spark says of those it refuses.
use millstream_connectors::datetime::{JavaPattern, PatternError, Zone};

use crate::{
    error::{Exception, Result, SparkError, quoted_id},
    functions::EvalContext,
};

/// The last pattern that was used: a column of patterns mostly repeats one.
pub(super) struct Patterns {
    compile: fn(&str) -> Result<JavaPattern, PatternError>,
    last: Option<JavaPattern>,
}

impl Patterns {
    /// Patterns to read with.
    pub(super) fn for_parsing() -> Self {
        Self {
            compile: JavaPattern::for_parsing,
            last: None,
        }
    }

    /// Patterns to print with.
    pub(super) fn for_formatting() -> Self {
        Self {
            compile: JavaPattern::for_formatting,
            last: None,
        }
    }

    /// The compiled pattern, or Spark's error for it.
    pub(super) fn get(&mut self, source: &str) -> Result<&JavaPattern> {
        if self.last.as_ref().is_none_or(|p| p.source() != source) {
            self.last = Some((self.compile)(source).map_err(pattern_error)?);
        }
        self.last
            .as_ref()
            .ok_or_else(|| SparkError::internal("no compiled pattern"))
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
