//! `millstream server`.
use millstream_connect::{Server, ServerOptions};
use tokio_util::sync::CancellationToken;

use super::{CliError, args::ServerArguments, engine::Engine, signals::EndSignals};

/// Serves until a signal ends it; the queries are stopped before this returns.
pub fn run(arguments: ServerArguments) -> Result<u8, CliError> {
    let engine = Engine::start(&arguments.engine, |_| {})?;
    let options = ServerOptions {
        host: arguments.host,
        port: arguments.port,
    };
    let served = engine.front().block_on(serve(&engine, &options));
    engine.abandon();
    served.map(|()| 0)
}

async fn serve(engine: &Engine, options: &ServerOptions) -> Result<(), CliError> {
    let mut signals = EndSignals::catch()?;
    let server = Server::bind(options, engine.environment(), engine.plans()).await?;
    println!("listening on sc://{}", server.address());
    let stop = CancellationToken::new();
    let serving = server.serve(stop.clone());
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        signal = signals.next() => {
            tracing::info!(?signal, "stopping");
            stop.cancel();
            tokio::select! {
                served = &mut serving => served,
                // A second signal does not wait for queries to stop.
                _ = signals.next() => Ok(()),
            }
        }
    };
    served.map_err(|error| CliError::Serve(error.to_string()))
}
