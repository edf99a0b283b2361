//! Logs go to stderr, from WARN on unless asked otherwise.
use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. `level` wins over `RUST_LOG`; what neither can be read as is told, and WARN it is.
pub fn start(level: Option<&str>) {
    let asked = level
        .map(str::to_string)
        .or_else(|| std::env::var("RUST_LOG").ok());
    let (filter, refused) = match asked.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("warn"), Some(error)),
        None => (EnvFilter::new("warn"), None),
    };
    fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if let Some(error) = refused {
        tracing::warn!(level = asked, %error, "the log level is not understood; WARN is used");
    }
}
