//! One record of a log: a version line, then the record's own lines.
//!
//! ```text
//! v1
//! <record, one or more lines of text, UTF-8>
//! ```
//!
//! The last line has no line end. A version above the highest one that a release knows stops it
//! from reading on: guessing at a newer format could re-run or skip a batch.
use std::fmt;

use crate::{CheckpointError, LogKind};

/// What a log holds.
pub trait LogEntry: Clone + fmt::Debug + Send + Sync + 'static {
    /// The log it belongs to, for messages and fault points.
    const KIND: LogKind;

    /// The text of the record, version line included.
    ///
    /// # Errors
    /// When the value cannot be written so that it is read back as it is.
    fn encode(&self) -> Result<String, EntryError>;

    /// Reads what [`LogEntry::encode`] or Spark wrote.
    ///
    /// # Errors
    /// When the text is of a later version or not a record.
    fn decode(text: &str) -> Result<Self, EntryError>;
}

/// Why a record cannot be read or written; the log adds the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryError {
    /// Written by a later release.
    UnsupportedVersion {
        /// Version of the record.
        version: u32,
        /// Highest version understood.
        max_supported: u32,
    },
    /// The first line is not a version.
    MalformedVersion {
        /// The line.
        text: String,
    },
    /// The rest is not a record.
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl EntryError {
    pub(crate) fn malformed(reason: impl fmt::Display) -> Self {
        Self::Malformed {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn in_file(self, log: LogKind, path: String) -> CheckpointError {
        match self {
            Self::UnsupportedVersion {
                version,
                max_supported,
            } => CheckpointError::UnsupportedVersion {
                path,
                version,
                max_supported,
            },
            Self::MalformedVersion { text } => {
                CheckpointError::MalformedVersion { log, path, text }
            }
            Self::Malformed { reason } => CheckpointError::Malformed { log, path, reason },
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion {
                version,
                max_supported,
            } => {
                write!(f, "log version v{version} is above v{max_supported}")
            }
            Self::MalformedVersion { text } => write!(f, "{text:?} is not a log version"),
            Self::Malformed { reason } => f.write_str(reason),
        }
    }
}

/// Takes the version line off `text`; the lines after it are returned without their line ends.
pub(crate) fn split_version(
    text: &str,
    max_supported: u32,
) -> Result<(u32, std::str::Lines<'_>), EntryError> {
    let mut lines = text.lines();
    let Some(first) = lines.next() else {
        return Err(EntryError::malformed("the file is empty"));
    };
    let version = first
        .strip_prefix('v')
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|version| *version > 0)
        .ok_or_else(|| EntryError::MalformedVersion {
            text: shortened(first),
        })?;
    if version > max_supported {
        return Err(EntryError::UnsupportedVersion {
            version,
            max_supported,
        });
    }
    Ok((version, lines))
}

/// Bytes of a file as the text every log is made of.
pub(crate) fn as_text(bytes: &[u8]) -> Result<&str, EntryError> {
    std::str::from_utf8(bytes)
        .map_err(|e| EntryError::malformed(format!("it is not UTF-8 text ({e})")))
}

/// A garbage file may hold megabytes in its first line; a message shall not.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_line_decides_what_is_read() {
        let check =
            |text: &str| split_version(text, 2).map(|(version, rest)| (version, rest.count()));
        assert_eq!(check("v1\na\nb"), Ok((1, 2)));
        assert_eq!(check("v2"), Ok((2, 0)));
        assert_eq!(check("v1\r\na\r\n"), Ok((1, 1)));
        assert_eq!(
            check("v9\n{}"),
            Err(EntryError::UnsupportedVersion {
                version: 9,
                max_supported: 2
            })
        );
        for text in ["xyz", "v", "v-1", "v0", "v1x", "{}", " v1", "\nv1"] {
            assert!(
                matches!(check(text), Err(EntryError::MalformedVersion { .. })),
                "{text:?}"
            );
        }
        assert!(matches!(check(""), Err(EntryError::Malformed { .. })));
    }
}
