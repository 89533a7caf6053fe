//! Web pages of other origins: those that are listed may ask, exactly as they are written; no other, and by default none. Cookies play
//! no part, a page sends a key like everybody.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::config::CorsConfig;
use crate::server::reply::Reply;

/// What a page may send beside what browsers send by themselves.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// What a page may read beside what browsers show by themselves.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("location, retry-after, www-authenticate");

/// The pages that may ask.
pub struct Cors {
    origins: Vec<String>,
    max_age: HeaderValue,
}

impl Cors {
    /// By the configuration.
    pub fn new(config: &CorsConfig) -> Self {
        Self { origins: config.origins.clone(), max_age: (config.max_age.millis().max(0).unsigned_abs() / 1000).into() }
    }

    /// The answer as a browser needs it.
    pub fn dress(&self, method: &Method, headers: &HeaderMap, mut reply: Reply) -> Reply {
        if self.origins.is_empty() {
            return reply;
        }
        // Also without an origin: a cache must not give that answer to a page.
        reply.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = headers.get(ORIGIN).filter(|origin| self.has(origin.to_str().ok())) else {
            return reply;
        };
        let is_preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let to = reply.headers_mut();
        to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if is_preflight {
            if let Some(allow) = to.get(ALLOW).cloned() {
                to.insert(ACCESS_CONTROL_ALLOW_METHODS, allow);
            }
            to.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            to.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        } else {
            to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
        reply
    }

    /// Whether a request without a key comes from a page of another site. Browsers send some such requests without asking first, and
    /// to the addresses of their own machine, too; only where there are no keys would they do anything. A server that is open to
    /// this machine alone knows such a page without an origin by the name that it gave to this machine (DNS rebinding).
    pub fn is_foreign(&self, origin: Option<&str>, headers: &HeaderMap, is_open: bool) -> bool {
        let is_domain = || headers.get(HOST).is_some_and(|host| host.to_str().is_ok_and(is_domain));
        let Some(origin) = origin else { return !is_open && is_domain() };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // A name that somebody else gave to this machine's address is no sign of being at home.
        let own = origin.split_once("://").is_some_and(|(_, of)| of == host && is_loopback(host));
        !own && !self.has(Some(origin))
    }

    fn has(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.origins.iter().any(|known| known == origin))
    }
}

/// Whether it is a name that somebody can have given to any address: neither an address nor a name of the own network.
fn is_domain(host: &str) -> bool {
    let name = name(host);
    name.trim_end_matches('.').contains('.') && name.parse::<std::net::IpAddr>().is_err()
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = name(host);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_server_itself_is_at_home_and_no_other() {
        let cors = Cors::new(&CorsConfig { origins: vec!["https://shop.example".into()], ..CorsConfig::default() });
        let foreign = |origin: Option<&str>, host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            cors.is_foreign(origin, &headers, false)
        };
        assert!(foreign(None, "evil.example:8380"), "its name leads to this machine");
        let rebound = HeaderMap::from_iter([(HOST, "shop.example".parse().unwrap())]);
        assert!(!cors.is_foreign(None, &rebound, true), "open to everybody, by whatever name");
        assert!(!cors.is_foreign(None, &HeaderMap::new(), false));
        assert!(!foreign(None, "localhost") && !foreign(None, "192.168.1.7:80") && !foreign(None, "savor:8380"));
        assert!(!foreign(None, "127.0.0.1:8380"));
        assert!(!foreign(Some("http://127.0.0.1:8380"), "127.0.0.1:8380"));
        assert!(!foreign(Some("http://localhost:8380"), "localhost:8380"));
        assert!(!foreign(Some("http://[::1]:8380"), "[::1]:8380"));
        assert!(!foreign(Some("https://shop.example"), "127.0.0.1:8380"));
        assert!(foreign(Some("https://evil.example"), "127.0.0.1:8380"));
        assert!(foreign(Some("https://shop.example.evil"), "127.0.0.1:8380"));
        assert!(foreign(Some("null"), "127.0.0.1:8380"));
        assert!(foreign(Some("http://evil.example:8380"), "evil.example:8380"), "a name for this machine's address");
        assert!(foreign(Some("http://127.0.0.1:3000"), "127.0.0.1:8380"), "another program of this machine");
    }
}
