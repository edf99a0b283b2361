//! Options of the console sink: `numRows` (20) and `truncate` (true).
use crate::{error::ConnectorError, options::Options};

/// How much of a batch the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleOptions {
    /// Rows of every batch.
    pub num_rows: usize,
    /// Whether cells are cut to 20 characters.
    pub truncate: bool,
}

impl ConsoleOptions {
    /// Cells longer than this are cut.
    pub const CELL_LENGTH_MAX: usize = 20;

    /// Reads the options.
    ///
    /// # Errors
    /// If one has a value that is not of its type.
    pub fn parse(options: &Options) -> Result<Self, ConnectorError> {
        Ok(Self {
            // A negative number shows no rows.
            num_rows: usize::try_from(options.int("numRows", 20)?).unwrap_or_default(),
            truncate: options.boolean("truncate", true)?,
        })
    }
}
