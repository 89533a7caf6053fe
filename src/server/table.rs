//! Finds the route of a request. Paths are compared segment by segment before they are decoded, so `%2F` in an id stays
//! inside its segment. The most specific template wins: words before parameters, so `/v1/snapshots/7:activate` is not the
//! snapshot called `7:activate`.

use http::Method;
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use super::route::Route;

/// All routes, grouped by path.
pub struct Table(Vec<Place>);

/// One path and what can be done there.
struct Place {
    segments: Vec<Segment>,
    routes: Vec<Route>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Word(&'static str),
    Parameter { name: &'static str, suffix: &'static str },
}

/// Path parameters, decoded, in the order of the template.
pub type PathParameters = Vec<(&'static str, String)>;

/// What the table knows about a request.
pub enum Found<'a> {
    /// Do this.
    Route(&'a Route, Result<PathParameters, Problem>),
    /// `OPTIONS`: these methods are allowed.
    Options(String),
    /// The path is known, the method is not; these are allowed.
    WrongMethod(String),
    /// The path is unknown.
    Nothing,
}

impl Table {
    /// Groups the routes by path and sorts the paths by specificity.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for route in routes {
            let segments = segments(route.path);
            match places.iter_mut().find(|place| place.segments == segments) {
                Some(place) => place.routes.push(route),
                None => places.push(Place { segments, routes: vec![route] }),
            }
        }
        places.sort_by_key(|place| place.segments.iter().map(Segment::rank).collect::<Vec<_>>());
        Self(places)
    }

    /// Finds what a request asks for. `path` is the raw path of the request line, percent-encoded.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let Some(place) = self.0.iter().find(|place| place.matches(&parts)) else {
            return Found::Nothing;
        };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        match place.routes.iter().find(|route| route.method == wanted) {
            Some(route) => Found::Route(route, place.parameters(&parts)),
            None if method == Method::OPTIONS => Found::Options(place.allow()),
            None => Found::WrongMethod(place.allow()),
        }
    }
}

impl Place {
    fn matches(&self, parts: &[&str]) -> bool {
        self.segments.len() == parts.len()
            && self.segments.iter().zip(parts).all(|(segment, part)| segment.matches(part))
    }

    fn parameters(&self, parts: &[&str]) -> Result<PathParameters, Problem> {
        let mut parameters = Vec::new();
        for (segment, part) in self.segments.iter().zip(parts) {
            if let Segment::Parameter { name, suffix } = segment {
                let raw = part.strip_suffix(suffix).unwrap_or(part);
                parameters.push((*name, decode(name, raw)?));
            }
        }
        Ok(parameters)
    }

    fn allow(&self) -> String {
        let mut methods = vec!["OPTIONS"];
        for route in &self.routes {
            methods.push(route.method.as_str());
            if route.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.sort_unstable();
        methods.join(", ")
    }
}

impl Segment {
    fn matches(&self, part: &str) -> bool {
        match self {
            Self::Word(word) => *word == part,
            Self::Parameter { suffix, .. } => part.len() > suffix.len() && part.ends_with(suffix),
        }
    }

    /// Words first, then parameters with a suffix, then bare ones.
    fn rank(&self) -> u8 {
        match self {
            Self::Word(_) => 0,
            Self::Parameter { suffix, .. } => 1 + u8::from(suffix.is_empty()),
        }
    }
}

fn segments(path: &'static str) -> Vec<Segment> {
    let parts = path.strip_prefix('/').unwrap_or(path).split('/');
    parts
        .map(|part| match part.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, suffix)) => Segment::Parameter { name, suffix },
            None => Segment::Word(part),
        })
        .collect()
}

/// Undoes percent-encoding; `field` is named in the error.
pub fn decode(field: &str, raw: &str) -> Result<String, Problem> {
    let mut rest = raw;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().get(..2);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Problem::invalid(field, "has a % that is not followed by two hexadecimal digits"));
        }
        rest = after;
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::invalid(field, "is not UTF-8 after percent-decoding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::reply::Reply;
    use crate::server::route::OPEN;

    fn table() -> Table {
        let route = |method, path| Route::new(method, path, path, OPEN, |_, _| Ok(Reply::nothing()));
        Table::new(vec![
            route(Method::GET, "/"),
            route(Method::GET, "/v1/snapshots/{id}"),
            route(Method::POST, "/v1/snapshots/{id}:activate"),
            route(Method::POST, "/v1/snapshots:rollback"),
            route(Method::PUT, "/v1/users/{id}/merge/{from}"),
        ])
    }

    fn found(method: Method, path: &str) -> (&'static str, Vec<String>) {
        match table().find(&method, path) {
            Found::Route(route, Ok(parameters)) => {
                (route.path, parameters.into_iter().map(|(_, value)| value).collect())
            }
            Found::Route(_, Err(problem)) => ("problem", vec![problem.detail.clone()]),
            Found::Options(allow) => ("options", vec![allow]),
            Found::WrongMethod(allow) => ("method", vec![allow]),
            Found::Nothing => ("nothing", Vec::new()),
        }
    }

    #[test]
    fn a_slash_inside_an_id_is_not_a_separator() {
        let (path, ids) = found(Method::PUT, "/v1/users/a%2Fb/merge/%C3%A9%20%25");
        assert_eq!((path, ids), ("/v1/users/{id}/merge/{from}", vec!["a/b".to_owned(), "é %".to_owned()]));
    }

    #[test]
    fn the_most_specific_path_wins() {
        assert_eq!(found(Method::POST, "/v1/snapshots/7:activate"), ("/v1/snapshots/{id}:activate", vec!["7".into()]));
        assert_eq!(found(Method::GET, "/v1/snapshots/7"), ("/v1/snapshots/{id}", vec!["7".into()]));
        assert_eq!(found(Method::POST, "/v1/snapshots:rollback").0, "/v1/snapshots:rollback");
        assert_eq!(found(Method::GET, "/").0, "/");
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        assert_eq!(found(Method::DELETE, "/v1/snapshots/7"), ("method", vec!["GET, HEAD, OPTIONS".into()]));
        assert_eq!(found(Method::OPTIONS, "/v1/snapshots:rollback"), ("options", vec!["OPTIONS, POST".into()]));
        assert_eq!(found(Method::HEAD, "/v1/snapshots/7").0, "/v1/snapshots/{id}");
    }

    #[test]
    fn an_unknown_path_an_empty_id_and_a_trailing_slash_are_nothing() {
        for path in ["/v2", "/v1/snapshots/", "/v1/snapshots/7/", "//", "*", "", "/v1/snapshots/:activate/"] {
            assert!(matches!(found(Method::GET, path).0, "nothing" | "/"), "{path}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        for path in ["/v1/snapshots/%FF", "/v1/snapshots/%2", "/v1/snapshots/%zz"] {
            assert_eq!(found(Method::GET, path).0, "problem", "{path}");
        }
    }
}
