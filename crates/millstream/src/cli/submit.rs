//! `millstream submit`: the engine, and a program on it.
//!
//! The server listens on a free port of the loopback interface and lives as long as the program. When the program
//! ends, its queries are stopped, as Spark's local mode does, and its exit code becomes ours. When the server breaks,
//! the program is killed: its client would go on trying for minutes.
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
    for (option, reason) in arguments.without_effect() {
        tracing::warn!("{option} has no effect: {reason}");
    }
    let name = arguments
        .name
        .clone()
        .or_else(|| Some(app.file_name()?.to_str()?.to_string()));
    let mut extra: Vec<_> = name
        .map(|name| ("spark.app.name", name))
        .into_iter()
        .collect();
    if !arguments.packages.is_empty() {
        extra.push(("spark.jars.packages", arguments.packages.join(",")));
    }
    let engine = Engine::start(&arguments.engine, &extra)?;
    let ran = engine.front().block_on(serve_program(&engine, &arguments));
    engine.abandon();
    ran
}

pub(super) async fn serve_program(
    engine: &Engine,
    arguments: &SubmitArguments,
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
