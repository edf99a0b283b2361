//! What can be typed.
use std::path::{Path, PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, parser::ValueSource,
};

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
    /// Only `client` is possible
    #[arg(long, value_name = "MODE")]
    pub deploy_mode: Option<String>,
    /// Options that change nothing here.
    #[command(flatten)]
    pub without_effect: WithoutEffect,
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
}

const NO_CLUSTER: &str = "there is no cluster, the program runs here";
const NO_EXECUTORS: &str = "there are no executors, plans run in this process";
const NO_FETCHING: &str = "no packages are fetched";
const NO_JVM: &str = "there is no JVM";
const NO_LOGIN: &str = "nothing here logs in to Kerberos";
const NOT_SENT: &str =
    "there are no executors to send files to, the program reads them where they are";

/// Options of spark-submit that change nothing here: the name, what the value is called if there is one, and the reason.
const WITHOUT_EFFECT: [(&str, Option<&str>, &str); 20] = [
    ("jars", Some("JARS"), "there is no JVM to load jars"),
    ("repositories", Some("URLS"), NO_FETCHING),
    ("exclude-packages", Some("COORDINATES"), NO_FETCHING),
    ("files", Some("FILES"), NOT_SENT),
    ("archives", Some("ARCHIVES"), NOT_SENT),
    ("class", Some("CLASS"), "a Python program has no main class"),
    (
        "driver-memory",
        Some("MEMORY"),
        "there is no JVM heap to size",
    ),
    ("driver-cores", Some("CORES"), NO_CLUSTER),
    ("driver-java-options", Some("OPTIONS"), NO_JVM),
    ("driver-class-path", Some("PATHS"), NO_JVM),
    ("driver-library-path", Some("PATHS"), NO_JVM),
    ("executor-memory", Some("MEMORY"), NO_EXECUTORS),
    ("executor-cores", Some("CORES"), NO_EXECUTORS),
    ("total-executor-cores", Some("CORES"), NO_EXECUTORS),
    ("num-executors", Some("NUMBER"), NO_EXECUTORS),
    ("queue", Some("QUEUE"), NO_CLUSTER),
    ("supervise", None, NO_CLUSTER),
    ("principal", Some("PRINCIPAL"), NO_LOGIN),
    ("keytab", Some("FILE"), NO_LOGIN),
    (
        "proxy-user",
        Some("USER"),
        "the program runs as the user who starts it",
    ),
];

/// The options that were given of those that change nothing: name and reason.
#[derive(Debug)]
pub struct WithoutEffect(pub Vec<(&'static str, &'static str)>);

impl Args for WithoutEffect {
    fn augment_args(command: clap::Command) -> clap::Command {
        let option = |(name, value, reason): (&'static str, Option<&'static str>, &str)| {
            let arg = Arg::new(name)
                .long(name)
                .help(format!("Accepted for spark-submit's sake; {reason}"));
            match value {
                // What follows is the value, even if it begins with a dash, as options for Java do.
                Some(value) => arg
                    .value_name(value)
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true),
                None => arg.action(ArgAction::Count),
            }
        };
        command.args(WITHOUT_EFFECT.map(option))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for WithoutEffect {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = WITHOUT_EFFECT
            .iter()
            .filter(|(name, ..)| matches.value_source(name) == Some(ValueSource::CommandLine));
        Ok(Self(
            given.map(|(name, _, reason)| (*name, *reason)).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
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
        let refusal = submit(&["--no-such", "app.py"])
            .app()
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("unknown option --no-such"), "{refusal}");
    }

    #[test]
    fn options_for_a_cluster_are_told_to_have_no_effect() {
        let told = |words: &[&str]| -> Vec<_> {
            let arguments = submit(words);
            assert_eq!(arguments.app().unwrap(), Path::new("app.py"));
            let WithoutEffect(given) = arguments.without_effect;
            given.into_iter().map(|(option, _)| option).collect()
        };
        assert_eq!(
            told(&["--executor-memory", "2g", "--jars", "a.jar,b.jar", "app.py"]),
            ["jars", "executor-memory"]
        );
        assert_eq!(
            told(&[
                "--supervise",
                "--driver-java-options",
                "-Dx=y -Xss4m",
                "--files=a",
                "--files",
                "b",
                "app.py",
                "--queue",
                "q",
            ]),
            ["files", "driver-java-options", "supervise"]
        );
        assert!(told(&["app.py"]).is_empty());
        for (option, value, _) in WITHOUT_EFFECT {
            let option_text = format!("--{option}");
            let words = [option_text.as_str(), value.unwrap_or("app.py"), "app.py"];
            assert_eq!(told(&words), [option]);
        }
    }
}
