//! What a handler gives back: a status, a body that is already bytes, and a few headers. Warp sends it.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use super::problem::Problem;

/// An answer, ready to be sent.
#[derive(Debug)]
pub struct Reply(Response<Vec<u8>>);

impl Reply {
    /// An answer with this body.
    pub fn new(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self(response)
    }

    /// 200 with a JSON body.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Self::json_with(StatusCode::OK, value)
    }

    /// A JSON body with another status.
    pub fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Result<Self, Problem> {
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, value).map_err(|error| Problem::internal(&error))?;
        Ok(Self::new(status, "application/json", body))
    }

    /// 204, without a body.
    pub fn nothing() -> Self {
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Self(response)
    }

    /// The same answer with a header. A value that no header can carry is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// The same answer with the place of what was made.
    pub fn at(self, location: &str) -> Self {
        self.header(LOCATION, location)
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The HTTP response.
    pub fn into_response(self) -> Response<Vec<u8>> {
        self.0
    }
}
