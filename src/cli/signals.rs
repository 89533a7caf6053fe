//! Being told to stop. Long work is asked to end and clean up at the first Ctrl-C (or SIGTERM) and is killed at the
//! second; short commands keep the system's way, which ends them at once. The server waits for the same signals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::tell;

/// What a shell reports for a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Becomes true when the user wants long work to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first signal sets the flag and the second ends the process.
    pub fn on_signal() -> io::Result<Self> {
        let stop = Self::default();
        let flag = stop.clone();
        let runtime = runtime()?;
        let mut signals = runtime.block_on(async { Signals::new() })?;
        let watch = move || {
            runtime.block_on(signals.next());
            flag.0.store(true, Ordering::Relaxed);
            tell("stopping cleanly; once more stops at once");
            runtime.block_on(signals.next());
            std::process::exit(INTERRUPTED);
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(stop)
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ctrl-C and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on; inside a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().build()
}
