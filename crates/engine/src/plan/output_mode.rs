//! What a batch's output rows mean to the sink.
use std::{fmt, str::FromStr};

/// Output mode of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OutputMode {
    /// Rows that will never change.
    #[default]
    Append,
    /// Rows that are new or changed since the last batch.
    Update,
    /// The whole result, every time.
    Complete,
}

/// An output mode that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown output mode {text}; accepted output modes are append, complete and update")]
pub struct UnknownOutputMode {
    /// The text as given.
    pub text: String,
}

impl FromStr for OutputMode {
    type Err = UnknownOutputMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "append" => Ok(Self::Append),
            "update" => Ok(Self::Update),
            "complete" => Ok(Self::Complete),
            _ => Err(UnknownOutputMode {
                text: text.to_string(),
            }),
        }
    }
}

impl fmt::Display for OutputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Update => "update",
            Self::Complete => "complete",
        })
    }
}
