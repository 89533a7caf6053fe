//! A server on a free port for the time of a test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use savor::server::Server;
use savor::{Config, Engine, Event, Item, ServerConfig, Tenants, Timestamp};
use tokio::sync::oneshot;

use crate::client::Client;

pub struct Running {
    pub engine: Engine,
    pub tenants: Tenants,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<savor::Result<()>>>,
    directory: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_configured(|config| change(&mut config.server))
    }

    pub fn start_configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change)
    }

    /// On a data directory in which something is already.
    pub fn start_on(fill: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fill(&directory.path().join("data"));
        Self::start_in(directory, |_| {})
    }

    fn start_in(directory: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.train.dimension = 4;
        config.train.epochs = 3;
        config.evaluate.bootstrap = 10;
        change(&mut config);
        let engine = Engine::open(directory.path().join("data"), config.clone()).unwrap();
        let tenants = Tenants::around(engine.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = channel();
        let served = tenants.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind_tenants(served, &config.server).await?;
                bound.send(server.address()).unwrap();
                server.run(async { stopped.await.unwrap_or_default() }).await
            })
        });
        let address = address.recv().unwrap();
        Self { engine, tenants, address, stop: Some(stop), thread: Some(thread), directory }
    }

    /// Two groups of users who like two groups of items, enough to learn from.
    pub fn with_taste() -> Self {
        let server = Self::start();
        let items: Vec<Item> = (0..20)
            .map(|number| {
                let mut item = Item::new(format!("i{number}"));
                item.categories = vec![if number % 2 == 0 { "even".into() } else { "odd".into() }];
                item
            })
            .collect();
        server.engine.put_items(&items).unwrap();
        let events: Vec<Event> = (0..400i64)
            .map(|n| {
                let (user, step) = (n % 40, n / 40);
                let item = (step * 2 + user % 2 + 4 * (user / 2 % 5)) % 20;
                let time = Timestamp::from_millis(1_700_000_000_000 + n * 60_000).unwrap();
                Event::new(format!("u{user}"), format!("i{item}"), "view").at(time)
            })
            .collect();
        server.engine.append_events(&events).unwrap();
        server
    }

    /// A trained and active snapshot beside the taste.
    pub fn trained() -> Self {
        let server = Self::with_taste();
        let snapshot = server.engine.train(&savor::TrainOptions::default()).unwrap();
        server.engine.activate(snapshot).unwrap();
        server
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_path_buf()
    }

    /// Stops the server and waits for it.
    pub fn stop(&mut self) -> savor::Result<()> {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap()
    }
}

/// A server or a job that outlives its test would close the database while the process ends.
impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server ended by a panic");
        }
        self.tenants.shutdown();
    }
}
