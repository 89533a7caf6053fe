//! Reading request bodies without trusting them: the media type is checked first, the size is limited whether it is
//! declared or not, a slow sender is cut off, and all bodies together, and those of one party, may take only so much memory
//! ([`super::budget`]).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use warp::Buf;

use super::budget::{Budget, Share};
use super::problem::Problem;
use super::records::Format;

const KIB: usize = 1024;
/// So many bodies of the largest size may be in memory at once.
pub const LARGEST_AT_ONCE: usize = 16;
/// A body takes its share of the budget in parts of this size, as it arrives: who announces much and sends little takes little.
const PART_KIB: usize = 64;
/// A body that is too large is read and thrown away up to so many times the limit, so that the client reads the answer
/// before it finds the connection closed.
const DRAINED: usize = 4;

/// Reads bodies within limits.
pub struct Bodies {
    max_bytes: usize,
    timeout: Duration,
    budget: Arc<Budget>,
}

/// A body in memory; its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    _share: Share,
}

impl Bodies {
    /// Bodies of at most `max_bytes`, sent within `timeout`.
    pub fn new(max_bytes: usize, timeout: Duration) -> Self {
        let budget = (max_bytes / KIB + 1) * LARGEST_AT_ONCE;
        Self { max_bytes, timeout, budget: Budget::new(budget) }
    }

    /// Reads a whole body that a party sends.
    pub async fn read<B: Buf, E>(
        &self,
        who: &Arc<str>,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Body, Problem> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let expected = declared.unwrap_or(self.max_bytes);
        let waits = headers.contains_key(EXPECT);
        if expected > self.max_bytes && waits {
            return Err(self.too_large());
        }
        match tokio::time::timeout(self.timeout, self.collect(who, expected, body)).await {
            Ok(body) => body,
            Err(_) => {
                let detail = format!("the body did not arrive within {} ms", self.timeout.as_millis());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail))
            }
        }
    }

    async fn collect<B: Buf, E>(
        &self,
        who: &Arc<str>,
        expected: usize,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Body, Problem> {
        let mut body = pin!(body);
        let part = PART_KIB.min(self.max_bytes / KIB + 1);
        let mut share = self.budget.share(who);
        take(&mut share, part)?;
        let mut bytes = Vec::with_capacity(expected.min(PART_KIB * KIB));
        let mut length = 0usize;
        while let Some(chunk) = body.next().await {
            let Ok(mut chunk) = chunk else {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_body", "the body ended before its end"));
            };
            length = length.saturating_add(chunk.remaining());
            if length > self.max_bytes {
                bytes = Vec::new();
            }
            if length > self.max_bytes.saturating_mul(DRAINED) {
                break;
            }
            while length <= self.max_bytes && chunk.has_remaining() {
                while bytes.len() + chunk.chunk().len() > share.kib() * KIB {
                    take(&mut share, part)?;
                }
                let part = chunk.chunk();
                bytes.extend_from_slice(part);
                let taken = part.len();
                chunk.advance(taken);
            }
        }
        if length > self.max_bytes { Err(self.too_large()) } else { Ok(Body { bytes, _share: share }) }
    }

    fn too_large(&self) -> Problem {
        let detail = format!("the body has more than {} bytes, the limit of this server", self.max_bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }
}

/// A part of the budget.
fn take(share: &mut Share, kib: usize) -> Result<(), Problem> {
    if share.grow(kib) {
        return Ok(());
    }
    let detail = "too many large bodies are being received, of you or of all";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1))
}

/// How the body is written, by its headers. A body must say that it is JSON: browsers send other types across sites
/// without asking first.
pub fn format(headers: &HeaderMap, many: bool) -> Result<Format, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let expected = if many { "application/json or application/x-ndjson" } else { "application/json" };
    let refuse = |what: String| Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", what));
    let plain =
        |encoding: &http::HeaderValue| encoding.is_empty() || encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if let Some(encoding) = headers.get_all(CONTENT_ENCODING).iter().find(|encoding| !plain(encoding)) {
        return refuse(format!("the content encoding is {encoding:?}, expected none"));
    }
    if headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        return refuse(format!("there are two content types, expected {expected}"));
    }
    let content_type = text(CONTENT_TYPE);
    let (essence, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| !matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii")) {
        return refuse("the character set must be UTF-8".to_owned());
    }
    match essence.trim() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" if many => Ok(Format::Ndjson),
        essence if essence == "application/json" || essence.ends_with("+json") => Ok(Format::Json),
        "" => refuse(format!("there is no content type, expected {expected}")),
        other => refuse(format!("the content type is \"{other}\", expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Result<std::io::Cursor<Vec<u8>>, ()>> {
        stream::iter(sizes.iter().map(|size| Ok(std::io::Cursor::new(vec![7; *size]))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_body_is_limited_whether_its_size_is_declared_or_not() {
        let bodies = Bodies::new(1000, Duration::from_secs(60));
        let read = |declared: &'static str, sizes: &'static [usize]| {
            let headers = if declared.is_empty() { HeaderMap::new() } else { headers(&[(CONTENT_LENGTH, declared)]) };
            let bodies = &bodies;
            async move {
                bodies.read(&"a".into(), &headers, chunks(sizes)).await.map(|body| body.bytes.len()).map_err(|p| p.code)
            }
        };
        assert_eq!(read("1000", &[400, 600]).await, Ok(1000));
        assert_eq!(read("", &[400, 601]).await, Err("too_large"));
        assert_eq!(read("", &[400, 600_000, 1]).await, Err("too_large"));
        assert_eq!(read("99999999999999999999999999", &[10]).await, Ok(10));
    }

    #[tokio::test]
    async fn a_sender_that_stops_is_cut_off() {
        let bodies = Bodies::new(1000, Duration::from_millis(1));
        let problem =
            bodies.read(&"a".into(), &HeaderMap::new(), stream::pending::<Result<&[u8], ()>>()).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn bodies_have_a_budget_of_what_has_arrived_which_one_party_cannot_take() {
        let bodies = Bodies::new(1 << 20, Duration::from_secs(60));
        let announced = headers(&[(CONTENT_LENGTH, "1048576")]);
        let [a, b]: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let mut small = Vec::new();
        for _ in 0..LARGEST_AT_ONCE {
            small.push(bodies.read(&a, &announced, chunks(&[1])).await.unwrap());
        }
        let large = |who| bodies.read(who, &announced, chunks(&[500_000, 500_000]));
        let mut held = Vec::new();
        let refused = loop {
            match large(&a).await {
                Ok(body) => held.push(body),
                Err(problem) => break problem,
            }
        };
        assert_eq!(held.len(), 11, "sixteen that announce much and send a byte take no more than one that is sent");
        assert_eq!((refused.status(), refused.code), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
        assert!(large(&b).await.is_ok());
        drop((held, small));
        assert!(large(&a).await.is_ok());
    }

    #[test]
    fn a_body_must_say_that_it_is_json() {
        let of = |value: &str, many| format(&headers(&[(CONTENT_TYPE, value)]), many).map_err(|p| p.status().as_u16());
        assert_eq!(of("application/json; charset=UTF-8", false), Ok(Format::Json));
        assert_eq!(of("application/merge-patch+json", false), Ok(Format::Json));
        assert_eq!(of("application/x-ndjson", true), Ok(Format::Ndjson));
        assert_eq!(of("application/x-ndjson", false), Err(415));
        assert_eq!(of("text/plain", true), Err(415));
        assert_eq!(of("application/json; charset=latin1", true), Err(415));
        assert!(format(&HeaderMap::new(), true).is_err());
        assert!(format(&headers(&[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")]), true).is_err());
    }
}
