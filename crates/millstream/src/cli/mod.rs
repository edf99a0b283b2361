//! The command line: the only place that reads argv and the environment.
mod args;
mod checkpoint;
mod child;
mod defaults;
mod engine;
mod logging;
mod master;
mod runtimes;
mod server;
mod shim;
mod signals;
mod submit;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};

/// Why a command could not do its work; the text is for whoever typed it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An argument that does not go.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server cannot listen.
    #[error(transparent)]
    Bind(#[from] millstream_connect::BindError),
    /// The server broke.
    #[error("the server failed: {0}")]
    Serve(String),
    /// The program could not be started.
    #[error(
        "cannot start {python}: {source}; set MILLSTREAM_PYTHON to the Python that has pyspark-client"
    )]
    Python {
        /// The interpreter.
        python: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system refuses something that is always needed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Runs the command that argv names; the exit code of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbose = matches!(&cli.command, Command::Submit(arguments) if arguments.verbose);
    logging::start(cli.log_level.as_deref().or(verbose.then_some("info")));
    let done = match cli.command {
        Command::Server(arguments) => server::run(arguments),
        Command::Submit(arguments) => submit::run(arguments),
        Command::Checkpoint(command) => checkpoint::run(command),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("millstream: {error}");
            ExitCode::FAILURE
        }
    }
}
