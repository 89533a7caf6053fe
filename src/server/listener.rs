//! Binding, accepting, stopping. Connections are capped ([`Connections`]) and each is served by hyper with warp's service inside;
//! hyper closes idle ones, a sweep those that send heads slowly, [`Impatient`] those that do not read answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::app::App;
use super::connections::{Connections, Full, Peer};
use super::context::Context;
use super::descriptors;
use super::route::Route;
use super::stall::Impatient;
use super::steward::Steward;
use super::{routes, wait};
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// After a failed accept (out of file descriptors, mostly) the server waits so long before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Slow heads are looked for so often, or four times within the time that they have.
const SWEEP: Duration = Duration::from_secs(1);
/// The most that hyper buffers of what a connection sends or is sent. A request's head must fit.
pub const BUFFER: usize = 32 << 10;

/// Serves an engine until `shutdown` is ready, then lets the requests in flight finish; see [`Server`] where the bound
/// address is wanted.
pub async fn serve(engine: Engine, config: &ServerConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    Server::bind(engine, config).await?.run(shutdown).await
}

/// A server that is bound and not yet running.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    connections: Arc<Connections>,
    config: ServerConfig,
}

impl Server {
    /// Binds the configured address (port 0 takes a free one) and announces it in the data directory's lock file, where
    /// the command line finds it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the address when it cannot be bound.
    pub async fn bind(engine: Engine, config: &ServerConfig) -> Result<Self> {
        Self::bind_routes(engine, config, routes::all()).await
    }

    pub(super) async fn bind_routes(engine: Engine, config: &ServerConfig, routes: Vec<Route>) -> Result<Self> {
        let place = format!("listening on {}", config.listen);
        let listener = TcpListener::bind(config.listen).await.map_err(Error::io(&place))?;
        let address = listener.local_addr().map_err(Error::io(&place))?;
        engine.announce(&format!("http://{address}"))?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "listening beyond loopback: anyone who reaches this address can read and write");
        }
        if engine.config().exposures.enabled {
            engine.keep_exposures()?;
        }
        let app = App::new(Context::new(engine, config), routes, config);
        let most = descriptors::fitting(config.max_connections);
        let connections = Arc::new(Connections::new(most, config.max_connections_per_address));
        Ok(Self { listener, address, app, connections, config: config.clone() })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready. Then it is not ready any more but goes on for `drain_delay`; then it accepts no more
    /// and begins no more work, tells background jobs and the open connections to end, and gives requests in flight
    /// `shutdown_timeout` to finish; what is left is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        tracing::info!(address = %self.address, "serving");
        if let Err(error) = self.app.context.engine.resume_jobs() {
            tracing::error!(%error, "a training that was interrupted cannot be begun again");
        }
        let _steward = Steward::start(Arc::clone(&self.app))?;
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep(Arc::clone(&self.app), Arc::clone(&self.connections), wait(self.config.read_timeout)));
        self.accept_until(shutdown, &graceful, &mut tasks).await;
        self.app.context.stop();
        if self.config.drain_delay.millis() > 0 {
            tracing::info!(delay = %self.config.drain_delay, "not ready any more; answering on for a while");
            self.accept_until(tokio::time::sleep(wait(self.config.drain_delay)), &graceful, &mut tasks).await;
        }
        self.app.context.close();
        self.app.context.engine.interrupt_jobs();
        drop(self.listener);
        tracing::info!("stopping");
        if tokio::time::timeout(wait(self.config.shutdown_timeout), graceful.shutdown()).await.is_err() {
            tracing::warn!("requests in flight were cut: they did not finish within the shutdown timeout");
        }
        tasks.shutdown().await;
        tracing::info!("stopped");
        Ok(())
    }

    async fn accept_until(&self, end: impl Future<Output = ()>, graceful: &GracefulShutdown, tasks: &mut JoinSet<()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = self.accept() => accepted,
            };
            while tasks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    // Answers are small and written whole: waiting for more to send would only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "no TCP_NODELAY");
                    }
                    tasks.spawn(self.connection(stream, peer, graceful));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection, when there is a place for it or another could be closed.
    async fn accept(&self) -> std::io::Result<(TcpStream, Arc<Peer>)> {
        loop {
            let (stream, address) = self.listener.accept().await?;
            loop {
                match self.connections.open(address.ip()) {
                    Ok((peer, has_evicted)) => {
                        if has_evicted {
                            self.app.context.metrics.load.closes("idlest");
                        }
                        return Ok((stream, peer));
                    }
                    Err(Full::Everywhere) => self.connections.freed().await,
                    Err(Full::Address) => {
                        self.app.context.metrics.load.closes("address");
                        break;
                    }
                }
            }
        }
    }

    /// Serves one connection: TCP, or whatever is wrapped around it.
    fn connection<S>(
        &self,
        stream: S,
        peer: Arc<Peer>,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let held = self.app.context.metrics.connection();
        let service = TowerToHyperService::new(warp::service(self.app.filter(&peer)));
        let patience = wait(self.config.read_timeout);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(wait(self.config.idle_timeout))
            .max_buf_size(BUFFER)
            .serve_connection(Impatient::new(TokioIo::new(stream), patience, Arc::clone(&peer)), service);
        let connection = graceful.watch(connection);
        let ended = Ended { connections: Arc::clone(&self.connections), peer };
        async move {
            tokio::select! {
                served = connection => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection ended early");
                    }
                }
                () = ended.peer.closing() => tracing::debug!("a connection was closed for another, or was too slow"),
            }
            drop((ended, held));
        }
    }
}

/// Tells that a connection has ended, however it did.
struct Ended {
    connections: Arc<Connections>,
    peer: Arc<Peer>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.connections.ended(&self.peer);
    }
}

/// Closes connections that send a request's head too slowly, for ever.
async fn sweep(app: Arc<App>, connections: Arc<Connections>, patience: Duration) {
    loop {
        tokio::time::sleep(SWEEP.min(patience / 4)).await;
        for _ in 0..connections.close_slow(patience) {
            app.context.metrics.load.closes("slow_head");
        }
    }
}
