//! `savor serve`: answers over HTTP until Ctrl-C or SIGTERM, then lets requests in flight finish and closes the engine. A second
//! signal does not wait for them.

use std::io::Write;
use std::pin::pin;
use std::thread::available_parallelism;

use crate::cli::args::ServeArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::signals::Signals;
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::server::Server;

pub fn run(context: &Context, args: ServeArgs) -> Result<(), Failure> {
    let engine = context.open_or_create()?;
    let mut config = engine.config().server.clone();
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    // One worker more than processors: while the others answer, it looks after connections and turns away what is too much.
    let workers = available_parallelism().map_or(1, usize::from) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let served = runtime.block_on(serve(engine.clone(), &config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    engine.shutdown();
    served
}

async fn serve(engine: Engine, config: &ServerConfig) -> Result<(), Failure> {
    // Before the address is told: who reads it may send the signal at once.
    let mut signals = Signals::new()?;
    let server = Server::bind(engine, config).await?;
    let mut out = std::io::stdout().lock();
    // Nobody has to read this; the server serves all the same.
    let _ = writeln!(out, "listening on http://{}", server.address()).and_then(|()| out.flush());
    drop(out);
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
