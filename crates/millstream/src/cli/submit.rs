//! `millstream submit`: the engine, and a program on it.
//!
//! The server listens on a free port of the loopback interface and lives as long as the program. When the program
//! ends, its queries are stopped, as Spark's local mode does, and its exit code becomes ours. When the server breaks,
//! the program is killed: its client would go on trying for minutes.
use std::{collections::BTreeMap, path::Path};

use millstream_connect::{Server, ServerOptions};
use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::SubmitArguments,
    child::{self, Program},
    engine::Engine,
    shim::Shim,
    signals::EndSignals,
};

/// Runs the program; its exit code.
pub fn run(arguments: SubmitArguments) -> Result<u8, CliError> {
    let app = arguments.app()?;
    child::check(app)?;
    if arguments
        .deploy_mode
        .as_deref()
        .is_some_and(|mode| mode != "client")
    {
        return Err(CliError::Usage(
            "--deploy-mode: only client is possible, the program runs here".to_string(),
        ));
    }
    for (option, reason) in &arguments.without_effect.0 {
        tracing::warn!("--{option} has no effect: {reason}");
    }
    let engine = Engine::start(&arguments.engine, |conf| adjust(conf, &arguments, app))?;
    let never = std::future::pending();
    let ran = engine
        .front()
        .block_on(serve_program(&engine, &arguments, never));
    engine.abandon();
    ran
}

/// What the options say wins over the configuration; the file's name is the application's if nothing else names it.
fn adjust(conf: &mut BTreeMap<String, String>, arguments: &SubmitArguments, app: &Path) {
    const NAME: &str = "spark.app.name";
    if let Some(name) = &arguments.name {
        conf.insert(NAME.to_string(), name.clone());
    } else if let Some(file) = app.file_name() {
        conf.entry(NAME.to_string())
            .or_insert_with(|| file.to_string_lossy().into_owned());
    }
    if !arguments.packages.is_empty() {
        let packages = arguments.packages.join(",");
        conf.insert("spark.jars.packages".to_string(), packages);
    }
}

/// Runs the program until it ends by itself; if there is `enough` of it before, it is killed.
pub(super) async fn serve_program(
    engine: &Engine,
    arguments: &SubmitArguments,
    enough: impl Future<Output = ()>,
) -> Result<u8, CliError> {
    let mut signals = EndSignals::catch()?;
    let options = ServerOptions {
        host: "127.0.0.1".to_string(),
        port: 0,
    };
    let server = Server::bind(&options, engine.environment(), engine.plans()).await?;
    let remote = format!("sc://{}", server.address());
    let stop = CancellationToken::new();
    let mut serving = tokio::spawn(server.serve(stop.clone()));

    let shim = Shim::new(&arguments.py_files)?;
    let python = child::python(|key| engine.conf(key), |name| std::env::var(name).ok());
    let program = Program::start(arguments, &python, &remote, &shim)?;
    let ended = tokio::select! {
        ended = program.wait(&mut signals) => ended?,
        () = enough => return Ok(0),
        broken = &mut serving => {
            // Dropping the program kills it.
            let reason = match broken {
                Ok(Ok(())) => "it stopped".to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(CliError::Serve(reason));
        }
    };
    stop.cancel();
    tokio::select! {
        stopped = &mut serving => {
            if let Ok(Err(error)) = stopped {
                tracing::warn!(%error, "the server did not end cleanly");
            }
        }
        // A signal while the queries stop: do not wait for them.
        _ = signals.next() => {}
    }
    Ok(ended.exit_code())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn name(options: &[&str], configured: Option<&str>) -> String {
        let words = ["millstream", "submit"].iter().chain(options);
        let cli = Cli::try_parse_from(words.chain(&["dir/app.py"])).unwrap();
        let Command::Submit(arguments) = cli.command else {
            panic!("not submit");
        };
        let mut conf: BTreeMap<_, _> = configured
            .map(|name| ("spark.app.name".to_string(), name.to_string()))
            .into_iter()
            .collect();
        adjust(&mut conf, &arguments, arguments.app().unwrap());
        conf["spark.app.name"].clone()
    }

    #[test]
    fn an_application_is_named_by_its_option_then_by_the_configuration_then_by_its_file() {
        assert_eq!(name(&["--name", "a"], Some("b")), "a");
        assert_eq!(name(&[], Some("b")), "b");
        assert_eq!(name(&[], None), "app.py");
    }
}
