//! Options of the socket source: `host` and `port` (required), `includeTimestamp` (false) and
//! `numPartitions` (the engine's threads).
use crate::{error::ConnectorError, options::Options};

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Server to connect to.
    pub host: String,
    /// Port as given; whether it is one is found out when connecting, as in Spark.
    pub port: i32,
    /// Whether rows have a `timestamp` column.
    pub include_timestamp: bool,
    /// Partitions of a batch, if the user says so.
    pub num_partitions: Option<usize>,
}

impl SocketOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// If host or port are missing, or an option has a value that is not of its type.
    pub fn parse(options: &Options) -> Result<Self, ConnectorError> {
        let host = options
            .get("host")
            .ok_or(ConnectorError::SocketHost)?
            .to_owned();
        if !options.contains("port") {
            return Err(ConnectorError::SocketPort);
        }
        let include_timestamp = options
            .boolean("includeTimestamp", false)
            .map_err(|_| ConnectorError::SocketIncludeTimestamp)?;
        Ok(Self {
            host,
            port: options.int("port", -1)?,
            include_timestamp,
            num_partitions: options.partitions("numPartitions")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_are_refused_in_sparks_words() {
        for (options, text) in [
            (
                vec![("port", "1")],
                "Set a host to read from with option(\"host\", ...).",
            ),
            (
                vec![("host", "h")],
                "Set a port to read from with option(\"port\", ...).",
            ),
            (
                vec![("host", "h"), ("port", "x")],
                "For input string: \"x\"",
            ),
            (
                vec![("host", "h"), ("port", "1"), ("includeTimestamp", "x")],
                "IncludeTimestamp must be set to either \"true\" or \"false\".",
            ),
        ] {
            let options: Options = options.into_iter().collect();
            assert_eq!(
                SocketOptions::parse(&options).unwrap_err().to_string(),
                text
            );
        }
    }
}
