//! `savor serve`: answers over HTTP until Ctrl-C or SIGTERM, then lets requests in flight finish and closes the engine. A second
//! signal does not wait for them. SIGHUP reads the certificate again.

use std::io::Write;
use std::pin::pin;
use std::thread::available_parallelism;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::ServeArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::signals::Signals;
use crate::config::ServerConfig;
use crate::engine::Tenants;
use crate::server::Server;

pub fn run(context: &Context, args: ServeArgs) -> Result<(), Failure> {
    if context.tenant().is_some() {
        return Err(Failure::Usage("--tenant: a server answers for all tenants; leave it out".into()));
    }
    let tenants = Tenants::around(context.open_or_create()?)?;
    let mut config = tenants.home().config().server.clone();
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    config.open_to_everybody |= args.open_to_everybody;
    // One worker more than processors: while the others answer, it looks after connections and turns away what is too much.
    let workers = available_parallelism().map_or(1, usize::from) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let served = runtime.block_on(serve(tenants.clone(), &config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    tenants.shutdown();
    served
}

async fn serve(tenants: Tenants, config: &ServerConfig) -> Result<(), Failure> {
    // Before the address is told: who reads it may send the signal at once.
    let mut signals = Signals::new()?;
    let server = Server::bind_tenants(tenants, config).await?;
    let mut out = std::io::stdout().lock();
    // Nobody has to read this; the server serves all the same.
    let _ = writeln!(out, "listening on {}", server.url()).and_then(|()| out.flush());
    drop(out);
    if let Some(certificates) = server.certificates() {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                certificates.refresh();
            }
        });
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut served = pin!(server.run(async {
        // Nobody can tell any more: that is an end, too.
        let _ = stopped.await;
    }));
    tokio::select! {
        served = &mut served => return Ok(served?),
        () = signals.next() => tell("stopping: requests in flight may finish; once more does not wait for them"),
    }
    drop(stop);
    tokio::select! {
        served = &mut served => Ok(served?),
        () = signals.next() => {
            tell("not waiting any longer");
            Ok(())
        }
    }
}
