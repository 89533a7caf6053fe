//! The same commands, carried out by a server: a small client of the REST API. Ids go percent-encoded into paths, a problem
//! that the server reports becomes this command's failure, and a server that is overloaded is asked again when it says so.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::failure::Failure;
use crate::error::Error;
use crate::record::{TenantName, Token};

/// So often is a server asked that has too much to do.
const ATTEMPTS: u32 = 6;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(120);
const LARGEST_ANSWER: u64 = 256 << 20;
/// Unreserved characters (RFC 3986, section 2.3) stay as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server.
pub struct Remote {
    agent: Agent,
    base: String,
    tenant: Option<TenantName>,
    /// The key, as it is sent.
    authorization: Option<HeaderValue>,
}

impl Remote {
    /// The server at this address, `http://host:port` or `https://…`, asked about this tenant, with a key, if there is one. `authorities` are the file and
    /// its PEM that vouch for the server's certificate in place of the public ones.
    pub fn new(
        url: &str,
        tenant: Option<TenantName>,
        key: Option<Token>,
        authorities: Option<(&Path, Vec<u8>)>,
    ) -> Result<Self, Failure> {
        let refuse = |reason: &str| Failure::Usage(format!("--url {url}: {reason}, expected http(s)://HOST:PORT"));
        let is_encrypted = match url.split_once("://") {
            // What stands before the host would be a password in the list of processes.
            Some((_, rest)) if rest.contains('@') => {
                return Err(refuse("has an @; a key comes by SAVOR_API_KEY or --key-file"));
            }
            Some(("http", rest)) if !rest.is_empty() => false,
            Some(("https", rest)) if !rest.is_empty() => true,
            _ => return Err(refuse("is not such an address")),
        };
        let is_here = ["://127.", "://localhost", "://[::1]"].iter().any(|here| url.contains(here));
        if key.is_some() && !is_encrypted && !is_here {
            tracing::warn!("the API key goes unencrypted to another machine; https:// would hide it");
        }
        let bearer = |key: Token| {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
            let mut value = value.map_err(|_| Failure::Usage("the API key is no key".into()))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        };
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots(authorities)?).build())
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            .build();
        let authorization = key.map(bearer).transpose()?;
        Ok(Self { agent: config.into(), base: url.trim_end_matches('/').to_owned(), tenant, authorization })
    }

    /// `GET`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, JSON, Vec::new())
    }

    /// `DELETE`, where an answer without a body is a good one.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        self.send(Method::DELETE, path, JSON, Vec::new()).map(drop)
    }

    /// `POST` of a JSON body.
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.json(Method::POST, path, JSON, encode(body)?)
    }

    /// `POST` without a body.
    pub fn post_nothing<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::POST, path, JSON, Vec::new())
    }

    /// `PUT` of a JSON body.
    pub fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.json(Method::PUT, path, JSON, encode(body)?)
    }

    /// `PUT` without a body.
    pub fn put_nothing<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::PUT, path, JSON, Vec::new())
    }

    /// `POST` of many records, one JSON object a line.
    pub fn post_lines<T: DeserializeOwned>(&self, path: &str, lines: Vec<u8>) -> Result<T, Failure> {
        self.json(Method::POST, path, NDJSON, lines)
    }

    fn json<T: DeserializeOwned>(&self, method: Method, path: &str, media: &str, body: Vec<u8>) -> Result<T, Failure> {
        let bytes = self.send(method, path, media, body)?;
        serde_json::from_slice(&bytes).map_err(|error| self.unexpected(path, &error.to_string()))
    }

    fn send(&self, method: Method, path: &str, media: &str, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let mut attempt = 1;
        loop {
            let mut response = self.once(&method, path, media, &body)?;
            let status = response.status();
            if status == StatusCode::TOO_MANY_REQUESTS && attempt < ATTEMPTS {
                std::thread::sleep(pause(&response));
                attempt += 1;
                continue;
            }
            let bytes = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
            let bytes = bytes.map_err(|error| self.unreachable(&error))?;
            return if status.is_success() { Ok(bytes) } else { Err(self.refused(path, status, &bytes)) };
        }
    }

    fn once(&self, method: &Method, path: &str, media: &str, body: &[u8]) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(tenant) = &self.tenant {
            request = request.header("savor-tenant", tenant.as_str());
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let run = |error: ureq::Error| self.unreachable(&error);
        if body.is_empty() {
            let request = request.body(()).map_err(|error| self.unexpected(path, &error.to_string()))?;
            self.agent.run(request).map_err(run)
        } else {
            let request = request.header("content-type", media).body(body);
            self.agent.run(request.map_err(|error| self.unexpected(path, &error.to_string()))?).map_err(run)
        }
    }

    fn refused(&self, path: &str, status: StatusCode, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Problem {
            code: String,
            detail: String,
        }
        match serde_json::from_slice::<Problem>(body) {
            Ok(Problem { code, .. }) if code == "no_key" => {
                let detail =
                    "the server needs an API key: put it into SAVOR_API_KEY, or name its file by --key-file".into();
                Failure::Server { code, detail }
            }
            Ok(Problem { code, detail }) => Failure::Server { code, detail },
            Err(_) => self.unexpected(path, &format!("status {status}")),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Unreachable { url: self.base.clone(), reason: error.to_string() }
    }

    fn unexpected(&self, path: &str, what: &str) -> Failure {
        let detail = format!("{}{path} does not answer as a Savor server of this version does: {what}", self.base);
        Failure::Server { code: "unexpected".into(), detail }
    }
}

/// Who may vouch for a server.
fn roots(authorities: Option<(&Path, Vec<u8>)>) -> Result<RootCerts, Failure> {
    let Some((file, pem)) = authorities else { return Ok(RootCerts::WebPki) };
    let wrong = |reason: String| Error::invalid("--ca-file", format!("{}: {reason}", file.display()));
    let certificates = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(wrong(error.to_string()))),
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate".into()).into());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// An id as one segment of a path.
pub fn segment(id: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(id, SEGMENT)
}

fn encode<B: Serialize>(body: &B) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|error| Failure::Output(error.into()))
}

fn pause(response: &Response<Body>) -> Duration {
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(header.unwrap_or(1)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_characters_is_one_segment() {
        assert_eq!(segment("a/b c%é?#").to_string(), "a%2Fb%20c%25%C3%A9%3F%23");
        assert_eq!(segment("film-1.5_x~").to_string(), "film-1.5_x~");
    }

    #[test]
    fn an_address_that_cannot_work_is_bad_usage() {
        for url in ["localhost:8380", "https://", "http://", "ftp://x", "http://sk_a:b@127.0.0.1"] {
            assert!(matches!(Remote::new(url, None, None, None), Err(Failure::Usage(_))), "{url}");
        }
        assert!(Remote::new("http://127.0.0.1:8380/", None, None, None).is_ok());
        assert!(Remote::new("https://example.org", None, Some(Token::new("sk_a_b")), None).is_ok());
    }
}
