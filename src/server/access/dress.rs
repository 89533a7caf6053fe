//! The headers that every answer has. An answer may be opened in a browser, whatever it is: it runs nothing, is in no frame, tells no
//! other site where it was, is taken for nothing but what it says, and is kept by nobody on the way.

use http::HeaderName;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

use crate::server::reply::Reply;

/// What an answer says of itself. A page that needs more than this brings a policy of its own.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// The answer with these headers, where it has none of its own.
pub fn dress(mut reply: Reply) -> Reply {
    for (name, value) in ALWAYS {
        reply.headers_mut().entry(name).or_insert(value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_have_a_policy_of_its_own_and_keeps_the_rest() {
        let page = Reply::new(http::StatusCode::OK, "text/html", Vec::new());
        let own = "default-src 'self'; frame-ancestors 'none'";
        let headers = dress(page.header(CONTENT_SECURITY_POLICY, own)).into_response().headers().clone();
        assert_eq!(headers[CONTENT_SECURITY_POLICY], own);
        assert_eq!(
            (&headers[X_CONTENT_TYPE_OPTIONS], &headers[CACHE_CONTROL]),
            (&"nosniff".parse().unwrap(), &"no-store".parse().unwrap())
        );
    }
}
