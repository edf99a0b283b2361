//! What can be typed.
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::{CliError, checkpoint::CheckpointCommand};

/// Structured Streaming without the JVM.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about)]
pub struct Cli {
    /// What is logged to stderr: error, warn (default), info, debug, trace, or filters as in RUST_LOG
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a Spark Connect server until it is interrupted
    Server(ServerArguments),
    /// Run a PySpark program on an engine of its own, like spark-submit
    Submit(SubmitArguments),
    /// Look into a checkpoint, or go back to a batch of it
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
}

/// Arguments that say how the engine runs.
#[derive(Debug, Args)]
pub struct EngineArguments {
    /// Threads that run plans: local, local[N] or local[*] (default)
    #[arg(long, value_name = "MASTER")]
    pub master: Option<String>,
    /// A Spark configuration key; may be repeated
    #[arg(short = 'c', long = "conf", value_name = "KEY=VALUE")]
    pub conf: Vec<String>,
    /// A file with configuration, read instead of conf/spark-defaults.conf
    #[arg(long, value_name = "FILE")]
    pub properties_file: Option<PathBuf>,
    /// Read spark-defaults.conf as well as the properties file
    #[arg(long)]
    pub load_spark_defaults: bool,
}

/// Arguments of `millstream server`.
#[derive(Debug, Args)]
pub struct ServerArguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 15002)]
    pub port: u16,
    /// How the engine runs.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// Arguments of `millstream submit`: those of spark-submit that have a meaning without a cluster.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// How the engine runs.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Name of the application
    #[arg(long)]
    pub name: Option<String>,
    /// Python files and archives for the program to import, comma-separated
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    pub py_files: Vec<PathBuf>,
    /// Maven coordinates of connectors; what is built in needs no package
    #[arg(long, value_name = "COORDINATES", value_delimiter = ',')]
    pub packages: Vec<String>,
    /// Jars; there is no JVM to load them
    #[arg(long, value_name = "JARS", value_delimiter = ',')]
    pub jars: Vec<String>,
    /// Only `client` is possible
    #[arg(long, value_name = "MODE")]
    pub deploy_mode: Option<String>,
    /// Accepted for spark-submit's sake; the engine shares this machine's memory
    #[arg(long, value_name = "MEMORY")]
    pub driver_memory: Option<String>,
    /// Accepted for spark-submit's sake; there are no executors
    #[arg(long, value_name = "MEMORY")]
    pub executor_memory: Option<String>,
    /// Accepted for spark-submit's sake; there are no executors
    #[arg(long, value_name = "CORES")]
    pub executor_cores: Option<u32>,
    /// Accepted for spark-submit's sake; there are no executors
    #[arg(long, value_name = "NUMBER")]
    pub num_executors: Option<u32>,
    /// Log at level INFO
    #[arg(short, long)]
    pub verbose: bool,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["APP", "ARGS"]
    )]
    program: Vec<String>,
}

impl SubmitArguments {
    /// The program. Options that are not known stand in its place.
    pub fn app(&self) -> Result<&Path, CliError> {
        match self.program.first() {
            Some(option) if option.starts_with('-') => Err(CliError::Usage(format!(
                "unknown option {option}, see millstream submit --help"
            ))),
            Some(app) => Ok(Path::new(app)),
            None => Err(CliError::Usage("no program is given".to_string())),
        }
    }

    /// What the program is called with.
    pub fn arguments(&self) -> &[String] {
        self.program.get(1..).unwrap_or_default()
    }

    /// The options that were given and change nothing, with the reason.
    pub fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        const NO_EXECUTORS: &str = "there are no executors, plans run in this process";
        const NO_JVM: &str = "there is no JVM to load jars";
        let given = [
            ("--jars", !self.jars.is_empty(), NO_JVM),
            (
                "--driver-memory",
                self.driver_memory.is_some(),
                "there is no JVM heap to size",
            ),
            (
                "--executor-memory",
                self.executor_memory.is_some(),
                NO_EXECUTORS,
            ),
            (
                "--executor-cores",
                self.executor_cores.is_some(),
                NO_EXECUTORS,
            ),
            (
                "--num-executors",
                self.num_executors.is_some(),
                NO_EXECUTORS,
            ),
        ];
        given
            .into_iter()
            .filter(|(_, given, _)| *given)
            .map(|(option, _, reason)| (option, reason))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(words: &[&str]) -> SubmitArguments {
        let words = ["millstream", "submit"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Submit(arguments) => arguments,
            _ => panic!("not submit"),
        }
    }

    #[test]
    fn everything_after_the_program_belongs_to_it() {
        let arguments = submit(&[
            "--conf", "a=1", "-c", "b=2", "app.py", "--conf", "c=3", "-x", "--", "y",
        ]);
        assert_eq!(arguments.engine.conf, ["a=1", "b=2"]);
        assert_eq!(arguments.app().unwrap(), Path::new("app.py"));
        assert_eq!(arguments.arguments(), ["--conf", "c=3", "-x", "--", "y"]);
    }

    #[test]
    fn an_unknown_option_is_not_taken_for_the_program() {
        let refusal = submit(&["--supervise", "app.py"])
            .app()
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("unknown option --supervise"), "{refusal}");
    }

    #[test]
    fn options_for_a_cluster_are_told_to_have_no_effect() {
        let arguments = submit(&["--executor-memory", "2g", "--jars", "a.jar,b.jar", "app.py"]);
        let told: Vec<_> = arguments
            .without_effect()
            .into_iter()
            .map(|(option, _)| option)
            .collect();
        assert_eq!(told, ["--jars", "--executor-memory"]);
    }
}
