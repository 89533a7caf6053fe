//! One request as a handler sees it: decoded path and query parameters and a body that becomes records. Whatever does not
//! fit is a [`Problem`] that names the field, or the line and column of text that is not JSON.

use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::access::Caller;
use super::body::Body;
use super::problem::Problem;
use super::records::{self, Fault, Format};
use super::route::{Parameter, ParameterKind};
use super::table::{PathParameters, decode};
use crate::record::Effort;

/// A request, ready for its handler.
pub struct Call {
    path: PathParameters,
    query: Vec<(&'static str, String)>,
    body: Option<Body>,
    format: Format,
    caller: Caller,
    effort: Effort,
}

impl Call {
    /// A request without a body.
    pub fn new(path: PathParameters, query: Vec<(&'static str, String)>) -> Self {
        Self { path, query, body: None, format: Format::Json, caller: Caller::anybody(), effort: Effort::Full }
    }

    /// The same request from somebody.
    pub fn by(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same request with a body.
    pub fn with_body(mut self, body: Body, format: Format) -> Self {
        self.body = Some(body);
        self.format = format;
        self
    }

    /// The same request, to be answered at a step of the ladder.
    pub fn at(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// How much the answer may cost.
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// The size of the body.
    pub fn body_bytes(&self) -> usize {
        self.bytes().len()
    }

    /// A path parameter, decoded.
    pub fn path(&self, name: &str) -> Result<&str, Problem> {
        let found = self.path.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| Problem::internal(&format!("no path parameter {name}")))
    }

    /// A path parameter that is a number.
    pub fn path_number(&self, name: &str) -> Result<u64, Problem> {
        let text = self.path(name)?;
        text.parse().map_err(|_| Problem::invalid(name, format!("is \"{text}\", expected a whole number")))
    }

    /// A query parameter as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A query parameter as a number, `true` or `false`, or a word: whatever [`parse_query`] has found it to be.
    pub fn value<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    fn bytes(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| &body.bytes)
    }

    /// The body as one JSON object.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        records::one(self.bytes()).map_err(Fault::into_problem)
    }

    /// The body as one JSON object, or the default where there is none.
    pub fn body_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.bytes().is_empty() { Ok(T::default()) } else { self.body() }
    }

    /// The records of the body, each good or bad.
    pub fn each_record<T: DeserializeOwned>(&self) -> Result<Vec<Result<T, Fault>>, Problem> {
        records::each(self.bytes(), self.format)
    }

    /// The records of the body, all good; the problem names the first bad one as `name[3].field`.
    pub fn records<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, Problem> {
        let each = self.each_record()?;
        let place = |(index, record): (usize, Result<T, Fault>)| {
            record.map_err(|fault| fault.within(&format!("{name}[{index}]")).into_problem())
        };
        each.into_iter().enumerate().map(place).collect()
    }
}

/// Takes a query string apart. Parameters that the route does not know, repeated ones and values of the wrong kind are
/// refused: a misspelt filter must not silently widen an answer.
pub fn parse_query(raw: &str, known: &'static [Parameter]) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut query: Vec<(&'static str, String)> = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode("query", &name.replace('+', " "))?;
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
            let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(match name.as_str() {
                "" => Problem::invalid("query", format!("has a parameter without a name, expected {expected}")),
                _ => Problem::invalid(name, format!("is not a parameter of this route, expected {expected}")),
            });
        };
        if query.iter().any(|(seen, _)| *seen == parameter.name) {
            return Err(Problem::invalid(parameter.name, "is given twice"));
        }
        let value = decode(parameter.name, &value.replace('+', " "))?;
        parameter.kind.check(&value).map_err(|reason| Problem::invalid(parameter.name, reason))?;
        query.push((parameter.name, value));
    }
    Ok(query)
}

impl ParameterKind {
    fn check(&self, value: &str) -> Result<(), String> {
        let (fits, expected) = match self {
            Self::Count { max, .. } => {
                (value.parse().is_ok_and(|n: usize| (1..=*max).contains(&n)), format!("1 to {max}"))
            }
            Self::Flag { .. } => (matches!(value, "true" | "false"), "true or false".to_owned()),
            Self::Word(words) => (words.contains(&value), words.join(" or ")),
            Self::Text => (!value.is_empty(), "a text".to_owned()),
        };
        if fits { Ok(()) } else { Err(format!("is \"{value}\", expected {expected}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter { name: "limit", about: "", kind: ParameterKind::Count { max: 1000, default: 10 } },
        Parameter { name: "explain", about: "", kind: ParameterKind::Flag { default: false } },
        Parameter { name: "category", about: "", kind: ParameterKind::Text },
    ];

    #[test]
    fn parameters_are_decoded_and_typed() {
        let call = Call::new(Vec::new(), parse_query("limit=5&explain=true&category=a%26b+c", KNOWN).unwrap());
        assert_eq!(call.value::<usize>("limit"), Some(5));
        assert_eq!(call.value::<bool>("explain"), Some(true));
        assert_eq!(call.text("category"), Some("a&b c"));
        assert!(parse_query("", KNOWN).unwrap().is_empty());
    }

    #[test]
    fn what_the_route_does_not_know_is_refused_by_name() {
        for (raw, field) in [
            ("limits=5", "limits"),
            ("limit=5&limit=6", "limit"),
            ("limit=0", "limit"),
            ("limit=-1", "limit"),
            ("limit=99999999999999999999999", "limit"),
            ("explain=yes", "explain"),
            ("category=", "category"),
            ("category=%ff", "category"),
        ] {
            assert_eq!(parse_query(raw, KNOWN).unwrap_err().field.as_deref(), Some(field), "{raw}");
        }
    }
}
