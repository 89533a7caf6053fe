//! TLS by rustls, with certificates that change while connections stay: what is read anew counts for the connections that come
//! after it. A pair of files that does not fit leaves the old one serving.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsConfig;
use crate::error::{Error, Result};

/// The certificate and key of a server, as they are now. Cheap to clone.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// What was read last, good or not.
    seen: Mutex<Files>,
}

#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads the files that the configuration names; `None` where it names none.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read, [`Error::Invalid`] for one that holds no certificate or key, or for two that do
    /// not belong together.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>> {
        let Some((certificate, key)) = config.files() else { return Ok(None) };
        let files = Files::read(certificate, key)?;
        let current = ArcSwap::from_pointee(files.config(certificate, key)?);
        let (certificate, key) = (certificate.clone(), key.clone());
        Ok(Some(Self(Arc::new(Inner { certificate, key, current, seen: Mutex::new(files) }))))
    }

    /// Takes connections with the certificate of now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.load_full())
    }

    /// Reads the files again and takes them from now on; tells whether they are others than before. On an error the old ones stay,
    /// and what was read counts as seen: the error is told once.
    pub fn reload(&self) -> Result<bool> {
        let Inner { certificate, key, current, seen } = &*self.0;
        let files = Files::read(certificate, key)?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == files {
            return Ok(false);
        }
        let config = files.config(certificate, key);
        *seen = files;
        current.store(Arc::new(config?));
        Ok(true)
    }

    /// Reads the files again and says in the log what came of it.
    pub fn refresh(&self) {
        let certificate = self.0.certificate.display();
        match self.reload() {
            Ok(true) => tracing::info!(%certificate, "new connections have the certificate as it is now"),
            Ok(false) => tracing::debug!(%certificate, "the certificate is as it was"),
            Err(error) => tracing::warn!(%error, "the new certificate is not taken; the one before serves on"),
        }
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).map_err(Error::io(path));
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn config(&self, certificate: &Path, key: &Path) -> Result<ServerConfig> {
        let wrong = |field: &str, path: &Path, what: String| {
            Error::invalid(format!("server.tls.{field}"), format!("{}: {what}", path.display()))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| wrong("certificate", certificate, format!("is not PEM: {error}")))?;
        if chain.is_empty() {
            let what = "holds no certificate, expected PEM that begins with -----BEGIN CERTIFICATE-----";
            return Err(wrong("certificate", certificate, what.into()));
        }
        // The error is not told: it may quote the file.
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            wrong(
                "key",
                key,
                "holds no private key, expected PEM of PKCS #8, PKCS #1 or SEC1, without a passphrase".into(),
            )
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("certificate", certificate, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| {
                wrong("certificate", certificate, format!("does not do with the key {}: {error}", key.display()))
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn written(dir: &Path, certificate: &str, key: &str) -> TlsConfig {
        let config = TlsConfig {
            certificate: Some(dir.join("certificate.pem")),
            key: Some(dir.join("key.pem")),
            ..TlsConfig::default()
        };
        std::fs::write(dir.join("certificate.pem"), certificate).unwrap();
        std::fs::write(dir.join("key.pem"), key).unwrap();
        config
    }

    #[test]
    fn files_that_do_not_do_are_named_and_the_key_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        let error = |certificate: &str, key: &str| {
            Certificates::load(&written(dir.path(), certificate, key)).map(drop).unwrap_err().to_string()
        };
        assert!(error("", &key).starts_with("server.tls.certificate: ") && error("", &key).contains("certificate.pem"));
        assert!(error(&key, &key).contains("holds no certificate"));
        let broken = key.replace("-----END", "");
        for no_key in ["", "secret words", &certificate, &broken] {
            let told = error(&certificate, no_key);
            assert!(told.starts_with("server.tls.key: ") && told.contains("key.pem"), "{told}");
            assert!(no_key.is_empty() || !told.contains(no_key), "{told}");
        }
        assert!(error(&certificate, &other_key).contains("does not do with the key"));
        let absent =
            TlsConfig { certificate: Some("/no/such".into()), key: Some("/no/such".into()), ..TlsConfig::default() };
        assert_eq!(Certificates::load(&absent).map(drop).unwrap_err().code(), "io");
        assert!(Certificates::load(&TlsConfig::default()).unwrap().is_none());
    }

    #[test]
    fn what_does_not_do_leaves_the_old_certificate_and_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let ((certificate, key), (next, next_key)) = (pair(), pair());
        let certificates = Certificates::load(&written(dir.path(), &certificate, &key)).unwrap().unwrap();
        let first = certificates.0.current.load_full();
        assert!(!certificates.reload().unwrap());
        // Halfway: the certificate is new, the key is not.
        written(dir.path(), &next, &key);
        assert!(certificates.reload().is_err());
        assert!(!certificates.reload().unwrap());
        assert!(Arc::ptr_eq(&first, &certificates.0.current.load_full()));
        written(dir.path(), &next, &next_key);
        assert!(certificates.reload().unwrap());
        assert!(!Arc::ptr_eq(&first, &certificates.0.current.load_full()));
    }
}
