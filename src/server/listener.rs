//! Binding, accepting, stopping. Connections are capped ([`Connections`]), encrypted where there is a certificate, and each is
//! served by hyper with warp's service inside; hyper closes idle ones, a sweep those that send heads slowly, [`Impatient`] those
//! that do not read answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::may_listen;
use super::app::App;
use super::connections::{Connections, Full, Peer};
use super::context::Context;
use super::descriptors;
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
/// Where requests go whose target has no path: there is no such route.
const NO_PATH: &str = "/no-path";
/// Slow heads are looked for so often, or four times within the time that they have.
const SWEEP: Duration = Duration::from_secs(1);
/// The most that hyper buffers of what a connection sends or is sent. A request's head must fit.
pub const BUFFER: usize = 32 << 10;

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
    connections: Arc<Connections>,
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
        let app = App::new(Context::new(tenants, config), routes, config);
        let most = descriptors::fitting(config.max_connections);
        let connections = Arc::new(Connections::new(most, config.max_connections_per_address));
        Ok(Self { listener, address, app, connections, config: config.clone(), certificates })
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

    /// Serves until `shutdown` is ready. Then it is not ready any more but goes on for `drain_delay`; then it accepts no more
    /// and begins no more work, tells background jobs and the open connections to end, and gives requests in flight
    /// `shutdown_timeout` to finish; what is left is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        tracing::info!(address = %self.address, "serving");
        for engine in self.engines() {
            if let Err(error) = engine.resume_jobs() {
                tracing::error!(%error, "a training that was interrupted cannot be begun again");
            }
        }
        let steward = Steward::start(Arc::clone(&self.app))?;
        let graceful = GracefulShutdown::new();
        let (stop, stopping) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep(Arc::clone(&self.app), Arc::clone(&self.connections), wait(self.config.read_timeout)));
        if let Some(certificates) = self.certificates.clone() {
            tasks.spawn(follow(certificates, wait(self.config.tls.check_every)));
        }
        self.accept_until(shutdown, &graceful, &stopping, &mut tasks).await;
        self.app.context.stop();
        if self.config.drain_delay.millis() > 0 {
            tracing::info!(delay = %self.config.drain_delay, "not ready any more; answering on for a while");
            self.accept_until(tokio::time::sleep(wait(self.config.drain_delay)), &graceful, &stopping, &mut tasks)
                .await;
        }
        self.app.context.close();
        let engines = self.engines();
        engines.iter().for_each(Engine::interrupt_jobs);
        drop((self.listener, stop));
        tracing::info!("stopping");
        if tokio::time::timeout(wait(self.config.shutdown_timeout), graceful.shutdown()).await.is_err() {
            tracing::warn!("requests in flight were cut: they did not finish within the shutdown timeout");
        }
        tasks.shutdown().await;
        // Whatever it has just begun is interrupted with the rest.
        drop(steward);
        engines.iter().for_each(Engine::interrupt_jobs);
        // The server has opened them; the data directory's own engine is the caller's.
        self.app.context.tenants.engines().iter().for_each(|(_, engine)| engine.shutdown());
        tracing::info!("stopped");
        Ok(())
    }

    /// The data directory's own engine, and those of its tenants.
    fn engines(&self) -> Vec<Engine> {
        let context = &self.app.context;
        let tenants = context.tenants.engines().into_iter().map(|(_, engine)| engine);
        std::iter::once(context.engine.clone()).chain(tenants).collect()
    }

    async fn accept_until(
        &self,
        end: impl Future<Output = ()>,
        graceful: &GracefulShutdown,
        stopping: &watch::Receiver<()>,
        tasks: &mut JoinSet<()>,
    ) {
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
                    tasks.spawn(self.connection(stream, peer, graceful, stopping.clone()));
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

    /// Serves one connection.
    fn connection(
        &self,
        stream: TcpStream,
        peer: Arc<Peer>,
        graceful: &GracefulShutdown,
        mut stopping: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let held = self.app.context.metrics.connection();
        let (app, watcher) = (Arc::clone(&self.app), graceful.watcher());
        let (patience, idle) = (wait(self.config.read_timeout), wait(self.config.idle_timeout));
        let acceptor = self.certificates.as_ref().map(Certificates::acceptor);
        let ended = Ended { connections: Arc::clone(&self.connections), peer: Arc::clone(&peer) };
        async move {
            let served = async {
                match acceptor {
                    None => speak(stream, &peer, &app, (patience, idle), watcher).await,
                    Some(acceptor) => {
                        let encrypted = tokio::select! {
                            biased;
                            encrypted = handshake(&acceptor, stream, patience) => encrypted,
                            _ = stopping.changed() => None,
                        };
                        if let Some(encrypted) = encrypted {
                            speak(encrypted, &peer, &app, (patience, idle), watcher).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = served => {}
                () = ended.peer.closing() => tracing::debug!("a connection was closed for another, or was too slow"),
            }
            drop((ended, held));
        }
    }
}

/// Answers the requests of one connection, TCP or what is wrapped around it, until it ends. A client has so much patience shown, and may be
/// idle for so long.
async fn speak<S>(stream: S, peer: &Arc<Peer>, app: &Arc<App>, (patience, idle): (Duration, Duration), watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = TowerToHyperService::new(warp::service(app.filter(peer)));
    let service = service_fn(move |mut request: Request<Incoming>| {
        // Of `CONNECT a:1` and `GET mailto:x` there is no path, and warp takes one for granted.
        if request.uri().path_and_query().is_none() {
            *request.uri_mut() = Uri::from_static(NO_PATH);
        }
        answer.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(BUFFER)
        .serve_connection(Impatient::new(TokioIo::new(stream), patience, Arc::clone(peer)), service);
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

/// Looks at the files of the certificate now and then, for ever.
async fn follow(certificates: Certificates, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let certificates = certificates.clone();
        if tokio::task::spawn_blocking(move || certificates.refresh()).await.is_err() {
            tracing::error!("reading the certificate panicked; the one before serves on");
        }
    }
}

fn url(address: SocketAddr, is_encrypted: bool) -> String {
    format!("{}://{address}", if is_encrypted { "https" } else { "http" })
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
