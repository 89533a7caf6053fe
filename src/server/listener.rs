//! Binding, accepting, stopping. Connections are capped and each is served by hyper with warp's service inside; hyper
//! enforces the header deadline, [`Impatient`] the deadline for reading answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::app::App;
use super::context::Context;
use super::route::Route;
use super::stall::Impatient;
use super::steward::Steward;
use super::{routes, wait};
use crate::config::ServerConfig;
use crate::engine::{Engine, Tenants};
use crate::error::{Error, Result};

/// After a failed accept (out of file descriptors, mostly) the server waits so long before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves an engine, and the tenants in its directory, until `shutdown` is ready, then lets the requests in flight finish; see [`Server`] where the bound
/// address is wanted.
pub async fn serve(engine: Engine, config: &ServerConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    Server::bind(engine, config).await?.run(shutdown).await
}

/// A server that is bound and not yet running.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
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

    /// The same with tenants that are open already, so that the caller can do with them what it likes.
    pub async fn bind_tenants(tenants: Tenants, config: &ServerConfig) -> Result<Self> {
        Self::bind_all(tenants, config, routes::all()).await
    }

    pub(super) async fn bind_routes(engine: Engine, config: &ServerConfig, routes: Vec<Route>) -> Result<Self> {
        Self::bind_all(Tenants::around(engine)?, config, routes).await
    }

    async fn bind_all(tenants: Tenants, config: &ServerConfig, routes: Vec<Route>) -> Result<Self> {
        let place = format!("listening on {}", config.listen);
        let listener = TcpListener::bind(config.listen).await.map_err(Error::io(&place))?;
        let address = listener.local_addr().map_err(Error::io(&place))?;
        tenants.open_all();
        tenants.serve_at(&format!("http://{address}"))?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "listening beyond loopback: anyone who reaches this address can read and write");
        }
        let app = App::new(Context::new(tenants), routes, config);
        Ok(Self { listener, address, app, config: config.clone() })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready. Then it accepts no more, tells the open connections to end, and gives requests in
    /// flight `shutdown_timeout` to finish; what is left is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        tracing::info!(address = %self.address, "serving");
        let _steward = Steward::start(Arc::clone(&self.app))?;
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, slot)) => {
                    connections.spawn(self.connection(stream, slot, &graceful));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.app.context.stop();
        drop(self.listener);
        tracing::info!("stopping");
        if tokio::time::timeout(wait(self.config.shutdown_timeout), graceful.shutdown()).await.is_err() {
            tracing::warn!("requests in flight were cut: they did not finish within the shutdown timeout");
        }
        connections.shutdown().await;
        // The server has opened them; the data directory's own engine is the caller's.
        self.app.context.tenants.engines().iter().for_each(|(_, engine)| engine.shutdown());
        tracing::info!("stopped");
        Ok(())
    }

    fn connection(
        &self,
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + use<> {
        let patience = wait(self.config.read_timeout);
        // Answers are small and written whole: waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let held = self.app.context.metrics.connection();
        let service = TowerToHyperService::new(warp::service(self.app.filter()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .serve_connection(Impatient::new(TokioIo::new(stream), patience), service);
        let connection = graceful.watch(connection);
        async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop((slot, held));
        }
    }
}

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}
