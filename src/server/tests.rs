//! What a server does at its limits: routes are added that wait until the test lets them go, so nothing depends on how
//! fast the machine is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use tokio::sync::oneshot;

use super::listener::Server;
use super::reply::Reply;
use super::route::{OPEN, OPERATE, Route};
use super::routes;
use crate::config::{Config, ServerConfig};
use crate::engine::Engine;
use crate::error::Result;

/// A server with the routes `/test/wait`, which is an operation as `POST`, and `/test/panic` beside its own.
struct Running {
    address: SocketAddr,
    started: Receiver<()>,
    release: Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        change(&mut config.server);
        let engine = Engine::open(directory.path().join("data"), config.clone()).unwrap();
        let (announce, started) = channel();
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let mut routes = routes::all();
        for (method, name, needs) in [(Method::GET, "wait", OPEN), (Method::POST, "operate", OPERATE)] {
            let (announce, released) = (announce.clone(), Arc::clone(&released));
            routes.push(Route::new(method, "/test/wait", name, needs, move |_, _| {
                announce.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                Ok(Reply::nothing())
            }));
        }
        routes.push(Route::new(Method::GET, "/test/panic", "panic", OPEN, |_, _| panic!("as asked")));
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let result = runtime.block_on(async {
                let server = Server::bind_routes(engine, &config.server, routes).await?;
                bound.send(server.address()).unwrap();
                server.run(async { stopped.await.unwrap_or_default() }).await
            });
            runtime.shutdown_background();
            result
        });
        let address = address.recv().unwrap();
        Self { address, started, release, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// Sends a `GET` on a new connection.
    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream
    }

    /// The same for a tenant.
    fn ask_as(&self, tenant: &str, path: &str) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nsavor-tenant: {tenant}\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream
    }

    fn put(&self, path: &str, body: &str) -> String {
        let mut stream = self.connect();
        let length = body.len();
        let head = "content-type: application/json\r\nconnection: close";
        write!(stream, "PUT {path} HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        rest(stream)
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    fn join(&mut self) -> Result<()> {
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Everything until the server closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

/// A question that takes a place.
const QUESTION: &str = "/v1/lists/popular";

#[test]
fn a_full_server_turns_away_with_503_and_is_still_alive_for_its_operator() {
    let server = Running::start(|config| {
        config.max_concurrent_requests = 1;
        config.overload.queue = 0;
    });
    let waiting = server.ask("/test/wait");
    server.started.recv().unwrap();
    let refused = rest(server.ask(QUESTION));
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: ") && refused.contains("\"overloaded\""), "{refused}");
    for path in ["/healthz", "/readyz", "/metrics", "/v1/jobs", "/v1/stats"] {
        assert!(rest(server.ask(path)).starts_with("HTTP/1.1 200 "), "{path}");
    }
    let metrics = rest(server.ask("/metrics"));
    for line in [
        "savor_admission_refused_total{class=\"read\",reason=\"queue_full\"} 1",
        "savor_admission_in_work{class=\"read\"} 1",
        "savor_admission_places{class=\"read\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
    assert!(rest(server.ask(QUESTION)).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_tenant_that_has_as_much_in_work_as_it_may_waits_alone() {
    let server = Running::start(|_| {});
    for (name, most) in [("a", 1), ("b", 8)] {
        let made =
            server.put(&format!("/v1/tenants/{name}"), &format!(r#"{{"quotas":{{"concurrent_requests":{most}}}}}"#));
        assert!(made.starts_with("HTTP/1.1 201 "), "{made}");
    }
    let waiting = server.ask_as("a", "/test/wait");
    server.started.recv().unwrap();
    let refused = rest(server.ask_as("a", "/v1/stats"));
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\"tenant_overloaded\""), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    for answer in [server.ask_as("b", "/v1/stats"), server.ask("/v1/stats"), server.ask("/healthz")] {
        assert!(rest(answer).starts_with("HTTP/1.1 200 "));
    }
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
    assert!(rest(server.ask_as("a", "/v1/stats")).starts_with("HTTP/1.1 200 "));
    // A quota that is raised holds for the next request.
    let waiting = server.ask_as("a", "/test/wait");
    server.started.recv().unwrap();
    server.put("/v1/tenants/a", r#"{"quotas":{"concurrent_requests":2}}"#);
    assert!(rest(server.ask_as("a", "/v1/stats")).starts_with("HTTP/1.1 200 "));
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
}

#[test]
fn who_sends_many_bodies_leaves_memory_for_those_of_others() {
    let server = Running::start(|config| config.max_body_bytes = 1024);
    for name in ["a", "b"] {
        assert!(server.put(&format!("/v1/tenants/{name}"), "{}").starts_with("HTTP/1.1 201 "));
    }
    // Told to go on a client has its first part of memory, and sends nothing.
    let begin = |tenant: &str| {
        let mut stream = server.connect();
        let head = "content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue";
        write!(stream, "POST /v1/events HTTP/1.1\r\nhost: x\r\n{head}{tenant}\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8(status.to_vec()).unwrap())
    };
    let mut held = Vec::new();
    let refused = loop {
        match begin("\r\nsavor-tenant: a") {
            (stream, status) if status == "HTTP/1.1 100" => held.push(stream),
            (_, status) => break status,
        }
    };
    assert_eq!((refused.as_str(), held.len()), ("HTTP/1.1 503", 12));
    for other in ["\r\nsavor-tenant: b", ""] {
        assert_eq!(begin(other).1, "HTTP/1.1 100");
    }
}

#[test]
fn work_that_takes_too_long_is_503_and_keeps_its_place_until_it_ends() {
    let server = Running::start(|config| {
        config.max_concurrent_requests = 1;
        config.overload.queue = 0;
        config.request_timeout = "50ms".parse().unwrap();
    });
    let late = rest(server.ask("/test/wait"));
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("retry-after: "), "{late}");
    assert!(late.contains("\"timeout\""), "{late}");
    assert!(rest(server.ask(QUESTION)).starts_with("HTTP/1.1 503 "));
    server.release.send(()).unwrap();
    while rest(server.ask(QUESTION)).starts_with("HTTP/1.1 503 ") {}
}

#[test]
fn a_client_says_how_long_it_waits() {
    let server = Running::start(|config| {
        config.max_concurrent_requests = 1;
        config.overload.queue_time = "1m".parse().unwrap();
    });
    let within = |millis: &str| {
        let mut stream = server.connect();
        let head = format!("GET {QUESTION} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-timeout-ms: {millis}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        rest(stream)
    };
    assert!(within("60000").starts_with("HTTP/1.1 200 "));
    for bad in ["0", "-1", "soon", "1.5"] {
        let refused = within(bad);
        assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("x-timeout-ms"), "{refused}");
    }
    let waiting = server.ask("/test/wait");
    server.started.recv().unwrap();
    let late = within("20");
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("longer than 20 ms"), "{late}");
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
}

/// Asks until a line is among the metrics.
fn until(server: &Running, line: &str) {
    while !rest(server.ask("/metrics")).lines().any(|found| found == line) {}
}

#[test]
fn work_whose_client_has_left_is_not_begun() {
    let server = Running::start(|config| {
        config.max_concurrent_requests = 1;
        config.overload.queue_time = "1m".parse().unwrap();
    });
    let waiting = server.ask("/test/wait");
    server.started.recv().unwrap();
    let left = server.ask("/test/wait");
    until(&server, "savor_admission_waiting{class=\"read\"} 1");
    drop(left);
    until(&server, "savor_admission_waiting{class=\"read\"} 0");
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
    assert!(rest(server.ask(QUESTION)).starts_with("HTTP/1.1 200 "));
    assert!(server.started.try_recv().is_err(), "the second was begun");
}

#[test]
fn an_operation_whose_client_has_left_is_in_the_audit_log() {
    let server = Running::start(|_| {});
    let mut left = server.connect();
    left.write_all(b"POST /test/wait HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
    server.started.recv().unwrap();
    assert!(!rest(server.ask("/v1/audit")).contains("\"operate\""), "it has not ended yet");
    drop(left);
    let told = loop {
        let told = rest(server.ask("/v1/audit"));
        if told.contains("\"operate\"") {
            break told;
        }
    };
    assert!(told.contains("\"outcome\":499") && told.contains("\"target\":\"/test/wait\""), "{told}");
    server.release.send(()).unwrap();
}

#[test]
fn a_handler_that_panics_fails_alone() {
    let server = Running::start(|_| {});
    let failed = rest(server.ask("/test/panic"));
    assert!(failed.starts_with("HTTP/1.1 500 ") && failed.contains("application/problem+json"), "{failed}");
    assert!(rest(server.ask("/healthz")).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_client_that_sends_slowly_is_cut_off() {
    let server = Running::start(|config| config.read_timeout = "50ms".parse().unwrap());
    let mut headers = server.connect();
    headers.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").unwrap();
    assert!(!rest(headers).contains(" 200 "));
    let mut body = server.connect();
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    body.write_all(head.as_bytes()).unwrap();
    let answer = rest(body);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
}

#[test]
fn a_full_server_lets_the_idlest_connection_go_for_a_new_one() {
    let server = Running::start(|config| config.max_connections = 2);
    let idle = || {
        let mut stream = server.connect();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        stream
    };
    let busy = server.ask("/test/wait");
    server.started.recv().unwrap();
    let first = idle();
    let second = idle();
    assert!(rest(first).contains("\"ok\""), "its answer is whole, then it is closed");
    assert!(rest(server.ask("/healthz")).starts_with("HTTP/1.1 200 "));
    drop(second);
    server.release.send(()).unwrap();
    assert!(rest(busy).starts_with("HTTP/1.1 204 "), "one at work is not closed");
}

#[test]
fn where_all_connections_are_at_work_a_new_one_waits() {
    let server = Running::start(|config| config.max_connections = 1);
    let busy = server.ask("/test/wait");
    server.started.recv().unwrap();
    let mut second = server.ask("/healthz");
    second.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert!(second.read(&mut [0; 12]).is_err(), "answered beside the first");
    second.set_read_timeout(None).unwrap();
    server.release.send(()).unwrap();
    assert!(rest(busy).starts_with("HTTP/1.1 204 "));
    assert!(rest(second).starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_idle_connection_is_closed_after_a_while() {
    let server = Running::start(|config| config.idle_timeout = "50ms".parse().unwrap());
    let mut idle = server.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(rest(idle).contains("\"ok\""));
}

#[test]
fn a_server_that_is_told_to_stop_is_not_ready_but_answers_for_its_delay() {
    let mut server = Running::start(|config| config.drain_delay = "1h".parse().unwrap());
    server.stop();
    while rest(server.ask("/readyz")).starts_with("HTTP/1.1 200 ") {}
    let answer = rest(server.ask(QUESTION));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_stop_refuses_work_that_has_not_begun() {
    let mut server = Running::start(|_| {});
    let mut writer = server.connect();
    let event = br#"{"user":"u","item":"i","type":"view"}"#;
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 37\r\n\r\n";
    writer.write_all(head.as_bytes()).unwrap();
    writer.write_all(&event[..20]).unwrap();
    until(&server, "savor_requests_in_flight 2");
    server.stop();
    while TcpStream::connect(server.address).is_ok() {}
    writer.write_all(&event[20..]).unwrap();
    let refused = rest(writer);
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\"stopping\""), "{refused}");
    assert!(refused.contains("connection: close"), "{refused}");
    server.join().unwrap();
}

#[test]
fn a_stop_lets_a_request_in_flight_finish() {
    let mut server = Running::start(|_| {});
    let waiting = server.ask("/test/wait");
    server.started.recv().unwrap();
    server.stop();
    // The listener closes first: from then on nobody new is let in.
    while TcpStream::connect(server.address).is_ok() {}
    server.release.send(()).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204 "));
    server.join().unwrap();
}

#[test]
fn a_stop_does_not_wait_forever() {
    let mut server = Running::start(|config| config.shutdown_timeout = "10ms".parse().unwrap());
    let waiting = server.ask("/test/wait");
    server.started.recv().unwrap();
    server.stop();
    server.join().unwrap();
    assert_eq!(rest(waiting), "");
    server.release.send(()).unwrap();
}

#[test]
fn an_idle_connection_does_not_hold_up_a_stop() {
    let mut server = Running::start(|_| {});
    let mut idle = server.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    server.stop();
    server.join().unwrap();
}
