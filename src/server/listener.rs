//! Binding, accepting, stopping. Connections are capped, encrypted where there is a certificate, and each is served by hyper with
//! warp's service inside; hyper enforces the header deadline, [`Impatient`] the deadline for reading answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::may_listen;
use super::app::App;
use super::context::Context;
use super::route::Route;
use super::stall::Impatient;
use super::steward::Steward;
use super::tls::Certificates;
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
    certificates: Option<Certificates>,
}

impl Server {
    /// Binds the configured address (port 0 takes a free one) and announces it in the data directory's lock file, where
    /// the command line finds it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the address when it cannot be bound; [`Error::Invalid`] for an address beyond loopback while there are
    /// neither API keys nor [`ServerConfig::open_to_everybody`], and for a certificate that does not do.
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
        may_listen(tenants.home(), config)?;
        let certificates = Certificates::load(&config.tls)?;
        let place = format!("listening on {}", config.listen);
        let listener = TcpListener::bind(config.listen).await.map_err(Error::io(&place))?;
        let address = listener.local_addr().map_err(Error::io(&place))?;
        tenants.open_all();
        tenants.serve_at(&url(address, certificates.is_some()))?;
        let app = App::new(Context::new(tenants), routes, config);
        Ok(Self { listener, address, app, config: config.clone(), certificates })
    }

    /// Where clients reach it: `http://` or, with a certificate, `https://`, and the address.
    pub fn url(&self) -> String {
        url(self.address, self.certificates.is_some())
    }

    /// Its certificate, to be read again when somebody says so. Changed files are found without that, too, if a little later.
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
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
        let (stop, stopping) = watch::channel(());
        let mut connections = JoinSet::new();
        if let Some(certificates) = self.certificates.clone() {
            connections.spawn(follow(certificates, wait(self.config.tls.check_every), stopping.clone()));
        }
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, from, slot)) => {
                    connections.spawn(self.connection(stream, from, slot, graceful.watcher(), stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.app.context.stop();
        drop((self.listener, stop));
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
        from: SocketAddr,
        slot: OwnedSemaphorePermit,
        watcher: Watcher,
        mut stopping: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let patience = wait(self.config.read_timeout);
        // Answers are small and written whole: waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let held = self.app.context.metrics.connection();
        let (app, acceptor) = (Arc::clone(&self.app), self.certificates.as_ref().map(Certificates::acceptor));
        async move {
            match acceptor {
                None => speak(stream, from, &app, patience, watcher).await,
                Some(acceptor) => {
                    let encrypted = tokio::select! {
                        biased;
                        encrypted = handshake(&acceptor, stream, patience) => encrypted,
                        _ = stopping.changed() => None,
                    };
                    if let Some(encrypted) = encrypted {
                        speak(encrypted, from, &app, patience, watcher).await;
                    }
                }
            }
            drop((slot, held));
        }
    }
}

/// Answers the requests of one connection until it ends.
async fn speak<S>(stream: S, from: SocketAddr, app: &Arc<App>, patience: Duration, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(warp::service(app.filter(from.ip())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .serve_connection(Impatient::new(TokioIo::new(stream), patience), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The encrypted connection; `None` for a client that is too slow, speaks something else or does not take the certificate.
async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(encrypted)) => Some(encrypted),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

/// Looks at the files of the certificate now and then, until the server stops.
async fn follow(certificates: Certificates, every: Duration, mut stopping: watch::Receiver<()>) {
    loop {
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(every) => {}
        }
        let certificates = certificates.clone();
        if tokio::task::spawn_blocking(move || certificates.refresh()).await.is_err() {
            tracing::error!("reading the certificate panicked; the one before serves on");
        }
    }
}

fn url(address: SocketAddr, is_encrypted: bool) -> String {
    format!("{}://{address}", if is_encrypted { "https" } else { "http" })
}

/// The next connection, when there is a place for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, slot))
}
