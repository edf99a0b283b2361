//! The listening server: from the socket to the last answer.
//!
//! Binding and serving are two steps, so that whoever starts the server learns its address, or why it cannot have it,
//! before anything else begins. When asked to stop, the server first closes all sessions, which interrupts operations
//! and stops queries, then gives connections [`GOODBYE`] to take their last answers with them.
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use millstream_engine::time::{ClockRef, SystemClock};
use millstream_spark::session::Environment;
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::sync::CancellationToken;
use tonic::transport::{self, server::TcpIncoming};

use crate::{
    rpc::spark_connect_service_server::SparkConnectServiceServer,
    service::ConnectService,
    sessions::{MAINTENANCE_INTERVAL, Sessions},
};

/// Largest message either way, in bytes; the clients' limit.
const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// What a client may send on one stream before the server has read it, in bytes.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// How long queries may take to stop; what a batch has not committed by then is done again by the next run.
const STOPPING: Duration = Duration::from_secs(10);

/// How long connections may take to end after the sessions were closed.
const GOODBYE: Duration = Duration::from_millis(500);

/// A silent client is asked for a sign of life at this interval, so that operations learn of clients that vanished.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where the server listens.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Host name or address.
    pub host: String,
    /// Port; 0 picks a free one.
    pub port: u16,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_string(),
            port: 15002,
        }
    }
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else does.
    #[error(
        "cannot listen on {host}:{port}: the port is in use; stop the other server or choose another port (0 picks a free one)"
    )]
    InUse {
        /// Host as given.
        host: String,
        /// Port as given.
        port: u16,
    },
    /// Anything else.
    #[error("cannot listen on {host}:{port}: {source}")]
    Failed {
        /// Host as given.
        host: String,
        /// Port as given.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// A server that listens, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    sessions: Arc<Sessions>,
    plans: Handle,
}

impl Server {
    /// Listens. Plans will run on `plans`, whose threads need [`THREAD_STACK_BYTES`](crate::codec::THREAD_STACK_BYTES)
    /// of stack, as do the threads of the runtime that calls this.
    ///
    /// # Errors
    /// The address is in use, unknown or not permitted.
    pub async fn bind(
        options: &ServerOptions,
        environment: Arc<Environment>,
        plans: Handle,
    ) -> Result<Self, BindError> {
        Self::bind_with_clock(options, environment, plans, Arc::new(SystemClock)).await
    }

    /// Like [`bind`](Self::bind), with a clock for timeouts.
    pub async fn bind_with_clock(
        options: &ServerOptions,
        environment: Arc<Environment>,
        plans: Handle,
        clock: ClockRef,
    ) -> Result<Self, BindError> {
        let (host, port) = (options.host.clone(), options.port);
        let bound = async {
            let listener = TcpListener::bind((host.as_str(), port)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bound
            .await
            .map_err(|source: io::Error| match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse {
                    host: host.clone(),
                    port,
                },
                _ => BindError::Failed {
                    host: host.clone(),
                    port,
                    source,
                },
            })?;
        Ok(Self {
            listener,
            address,
            sessions: Arc::new(Sessions::new(environment, clock)),
            plans,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled; then everything of the server has ended.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), transport::Error> {
        let service = ConnectService::new(Arc::clone(&self.sessions), self.plans);
        let service = SparkConnectServiceServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let closed = CancellationToken::new();
        let serving = transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(4 * STREAM_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_service(service)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.listener).with_nodelay(Some(true)),
                closed.clone().cancelled_owned(),
            );
        let maintenance = maintain(Arc::clone(&self.sessions), stop.clone());
        let end = async {
            stop.cancelled().await;
            if tokio::time::timeout(STOPPING, self.sessions.close_all())
                .await
                .is_err()
            {
                tracing::warn!("queries did not stop within {STOPPING:?} and are abandoned");
            }
            closed.cancel();
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            served = serving => served,
            ((), ()) = async { tokio::join!(end, maintenance) } => Ok(()),
        }
    }
}

async fn maintain(sessions: Arc<Sessions>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sessions.maintain().await;
    }
}
