//! Java `DateTimeFormatter` patterns with Spark's restrictions.

/// A pattern that Spark refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a pattern at all, or uses a letter Spark never accepts.
    #[error("unrecognized datetime pattern: {pattern}: {reason}")]
    Invalid {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A pattern Spark 2 knew and Spark 3 does not.
    #[error("fail to recognize '{pattern}' pattern in the DateTimeFormatter: {reason}")]
    CrossVersion {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
}

impl PatternError {
    /// Spark's error class.
    pub fn error_class(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_DATETIME_PATTERN",
            Self::CrossVersion { .. } => {
                "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"
            }
        }
    }

    /// Parameters of the class's message.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        let (Self::Invalid { pattern, .. } | Self::CrossVersion { pattern, .. }) = self;
        vec![("pattern", format!("'{pattern}'"))]
    }
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct JavaPattern {}
