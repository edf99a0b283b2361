//! The engine as a command starts it: configuration, runtimes, environment.
use std::{collections::BTreeMap, sync::Arc};

use millstream_checkpoint::Faults;
use millstream_connectors::console::ConsoleOutput;
use millstream_engine::time::SystemClock;
use millstream_spark::{
    session::Environment,
    streaming::{Rehearsal, StreamingEnvironment},
};
use tokio::runtime::{Handle, Runtime};

use super::{CliError, args::EngineArguments, defaults, master, runtimes::Runtimes};

/// Names of connectors as they appear in Maven coordinates, and whether they are built in.
const CONNECTORS: [(&str, &str); 3] = [
    ("spark-sql-kafka", "kafka"),
    ("spark-avro", "avro"),
    ("spark-cassandra-connector", "cassandra"),
];

/// A started engine.
#[derive(Debug)]
pub struct Engine {
    runtimes: Runtimes,
    environment: Arc<Environment>,
    conf: Arc<BTreeMap<String, String>>,
}

impl Engine {
    /// Starts the engine. `adjust` adds what arguments of the command say to the configuration from files and `--conf`.
    pub fn start(
        arguments: &EngineArguments,
        adjust: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<Self, CliError> {
        Self::with(arguments, adjust, None)
    }

    /// An engine that runs no query, but compares them with a checkpoint.
    pub fn rehearsing(arguments: &EngineArguments, rehearsal: Rehearsal) -> Result<Self, CliError> {
        Self::with(arguments, |_| {}, Some(rehearsal))
    }

    fn with(
        arguments: &EngineArguments,
        adjust: impl FnOnce(&mut BTreeMap<String, String>),
        rehearsal: Option<Rehearsal>,
    ) -> Result<Self, CliError> {
        let mut conf = defaults::load(arguments, |name| std::env::var(name).ok())?;
        adjust(&mut conf);
        let threads = master::threads(conf.get("spark.master").map_or("local[*]", String::as_str))?;
        if let Some(packages) = conf.get("spark.jars.packages") {
            tell_packages(packages);
        }
        let faults = faults()?;
        let runtimes = Runtimes::start(threads)?;
        let conf = Arc::new(conf);
        let streaming = StreamingEnvironment {
            parallelism: threads,
            clock: Arc::new(SystemClock),
            faults,
            console: ConsoleOutput::default(),
            temporary: std::env::temp_dir(),
            rehearsal,
        };
        let plans = runtimes.plans.handle().clone();
        let environment = Environment::new(Arc::clone(&conf), plans, streaming);
        Ok(Self {
            runtimes,
            environment: Arc::new(environment),
            conf,
        })
    }

    /// The runtime that answers clients.
    pub fn front(&self) -> &Runtime {
        &self.runtimes.front
    }

    /// Where plans run.
    pub fn plans(&self) -> Handle {
        self.runtimes.plans.handle().clone()
    }

    /// What sessions are made of.
    pub fn environment(&self) -> Arc<Environment> {
        Arc::clone(&self.environment)
    }

    /// A key of the configuration.
    pub fn conf(&self, key: &str) -> Option<String> {
        self.conf.get(key).cloned()
    }

    /// Ends the engine without waiting for what still runs.
    pub fn abandon(self) {
        self.runtimes.abandon();
    }
}

/// Fault points that the crash tests arm from outside. A release build has none: it refuses to run as if it had.
fn faults() -> Result<Faults, CliError> {
    match std::env::var("MILLSTREAM_FAULT") {
        Ok(spec) if spec.is_empty() => Ok(Faults::none()),
        Ok(spec) if cfg!(debug_assertions) => Faults::from_spec(&spec)
            .map_err(|error| CliError::Usage(format!("MILLSTREAM_FAULT={spec:?}: {error}"))),
        Ok(spec) => Err(CliError::Usage(format!(
            "MILLSTREAM_FAULT={spec:?}: only debug builds can be made to fail"
        ))),
        Err(_) => Ok(Faults::none()),
    }
}

fn tell_packages(packages: &str) {
    for package in packages
        .split(',')
        .map(str::trim)
        .filter(|package| !package.is_empty())
    {
        match CONNECTORS
            .iter()
            .find(|(artifact, _)| package.contains(artifact))
        {
            Some((_, connector)) => tracing::warn!(
                package,
                "package not loaded: the {connector} connector is not built in yet"
            ),
            None => tracing::warn!(package, "package not loaded: there is no JVM to load it"),
        }
    }
}
