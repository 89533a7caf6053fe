//! TLS: who speaks it, who does not, and certificates that change while the server runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use savor::{ServerConfig, TlsConfig};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::Client;
use crate::server::Running;

/// Writes a new certificate and its key, and gives the certificate.
fn certificate(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // The certificate first: for a moment the two do not fit.
    std::fs::write(dir.join("certificate.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    CertificateDer::from_pem_slice(cert.pem().as_bytes()).unwrap()
}

fn configured(dir: &Path, check_every: &str) -> impl FnOnce(&mut ServerConfig) {
    let tls = TlsConfig {
        certificate: Some(dir.join("certificate.pem")),
        key: Some(dir.join("key.pem")),
        check_every: check_every.parse().unwrap(),
    };
    move |config| config.tls = tls
}

/// A connection to a server that has this very certificate.
fn connect(address: SocketAddr, trusted: &CertificateDer<'static>) -> Result<Client, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = TcpStream::connect(address)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(Client::over(StreamOwned::new(session, stream)))
}

#[test]
fn answers_are_encrypted_and_who_does_not_speak_tls_gets_none() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let mut server = Running::start_with(configured(dir.path(), "1h"));
    let mut client = connect(server.address, &trusted).unwrap();
    client.json("POST", "/v1/events", r#"{"user":"u","item":"i","type":"view"}"#).expect(200);
    assert_eq!(client.get("/v1/stats").expect(200)["events"], 1);
    let holder = savor::Engine::holder(server.directory().join("data")).unwrap();
    assert_eq!(holder.address, Some(format!("https://{}", server.address)));
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /v1/stats HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|window| window == b"HTTP"), "{answer:?}");
    server.stop().unwrap();
}

#[test]
fn a_client_that_does_not_shake_hands_is_cut_off_and_holds_up_no_stop() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let silent = Running::start_with(|config| {
        configured(dir.path(), "1h")(config);
        config.read_timeout = "50ms".parse().unwrap();
    });
    let mut stream = TcpStream::connect(silent.address).unwrap();
    // The server ends the connection: otherwise this would wait for ever.
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    connect(silent.address, &trusted).unwrap().get("/healthz").expect(200);

    let mut patient = Running::start_with(|config| {
        configured(dir.path(), "1h")(config);
        (config.read_timeout, config.shutdown_timeout) = ("10m".parse().unwrap(), "10m".parse().unwrap());
    });
    let _waiting = TcpStream::connect(patient.address).unwrap();
    connect(patient.address, &trusted).unwrap().get("/healthz").expect(200);
    patient.stop().unwrap();
}

#[test]
fn a_new_certificate_counts_for_new_connections_and_old_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = certificate(dir.path());
    let server = Running::start_with(configured(dir.path(), "10ms"));
    let mut old = connect(server.address, &first).unwrap();
    old.get("/healthz").expect(200);
    let second = certificate(dir.path());
    let mut new = loop {
        if let Ok(client) = connect(server.address, &second) {
            break client;
        }
    };
    new.get("/healthz").expect(200);
    old.get("/healthz").expect(200);
    assert!(connect(server.address, &first).is_err(), "the first certificate is still served");
    // One that does not do is not taken; the second serves on.
    std::fs::write(dir.path().join("certificate.pem"), "nonsense").unwrap();
    for _ in 0..20 {
        connect(server.address, &second).unwrap().get("/healthz").expect(200);
    }
}

#[test]
fn a_server_does_not_start_with_a_certificate_that_does_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = savor::Engine::open(dir.path().join("data"), savor::Config::default()).unwrap();
    let mut config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), ..ServerConfig::default() };
    configured(dir.path(), "1h")(&mut config);
    let refused = || {
        let bound = runtime.block_on(savor::server::Server::bind(engine.clone(), &config));
        bound.map(drop).unwrap_err().to_string()
    };
    assert!(refused().contains("certificate.pem"));
    certificate(dir.path());
    std::fs::write(dir.path().join("key.pem"), "no key").unwrap();
    let told = refused();
    assert!(told.starts_with("server.tls.key: ") && told.contains("key.pem"), "{told}");
    for half in ["[server.tls]\nkey = \"k.pem\"\n", "[server.tls]\ncertificate = \"c.pem\"\n"] {
        assert!(savor::Config::from_toml(half).unwrap_err().to_string().contains("go together"));
    }
}
