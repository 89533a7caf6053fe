//! Text to records: one JSON object, an array of them, or NDJSON. Bad text is refused whole, with line and column; a bad
//! record is told apart from its good neighbours.

use std::fmt;
use std::marker::PhantomData;

use http::StatusCode;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::problem::{Problem, Rejected};
use crate::error::Error;
use crate::record::from_object;

/// The most records that one request may hold; bounds what a small hostile body can grow to in memory.
pub const MAX_RECORDS: usize = 100_000;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/x-ndjson`: one JSON object a line.
    Ndjson,
}

/// Why a piece of text is not the record that was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The stable word: `bad_json` for text that is no JSON, `invalid` for JSON that does not fit.
    pub code: &'static str,
    /// Where in the record; empty for the whole.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl Fault {
    /// The fault with its field placed inside an outer one.
    pub fn within(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        self
    }

    /// The fault as the answer to the whole request.
    pub fn into_problem(self) -> Problem {
        let detail = if self.field.is_empty() { self.reason } else { format!("{}: {}", self.field, self.reason) };
        let problem = Problem::new(StatusCode::BAD_REQUEST, self.code, detail);
        if self.field.is_empty() { problem } else { problem.in_field(self.field) }
    }

    /// The fault as the answer to one record.
    pub fn into_rejected(self, index: usize) -> Rejected {
        let field = (!self.field.is_empty()).then_some(self.field);
        Rejected { index, code: self.code, field, reason: self.reason }
    }

    fn of_text(error: &serde_json::Error) -> Self {
        Self { code: "bad_json", field: String::new(), reason: error.to_string() }
    }

    fn of_path(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        if !error.inner().is_data() {
            return Self::of_text(error.inner());
        }
        let (path, reason) = (error.path().to_string(), error.inner().to_string());
        // What is missing, or there twice, has no path of its own: that of the object it should be in, and its name in serde's words.
        let of_object = ["missing field `", "duplicate field `"].iter().find_map(|words| reason.strip_prefix(words));
        let name = of_object.and_then(|rest| rest.split('`').next());
        // The path of the whole is written like that of a field named ".".
        let is_whole = error.path().iter().next().is_none();
        let field = match (is_whole, name) {
            (true, name) => name.unwrap_or_default().to_owned(),
            (false, None) => path,
            (false, Some(name)) => format!("{path}.{name}"),
        };
        Self { code: "invalid", field, reason }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = error.code();
        match error {
            Error::Invalid { field, reason } => Self { code, field, reason },
            other => Self { code, field: String::new(), reason: other.to_string() },
        }
    }
}

/// One JSON object.
pub fn one<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    if text.iter().all(u8::is_ascii_whitespace) {
        let reason = "the body is empty, expected a JSON object".to_owned();
        return Err(Fault { code: "bad_json", field: String::new(), reason });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(Fault::of_path)?;
    deserializer.end().map_err(|error| Fault::of_text(&error))?;
    Ok(value)
}

/// Each record of a body. In NDJSON a line that is no JSON is a bad record; in an array it spoils the whole.
pub fn each<T: DeserializeOwned>(text: &[u8], format: Format) -> Result<Vec<Result<T, Fault>>, Problem> {
    let is_array = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let records = match format {
        Format::Ndjson => {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
            lines.take(MAX_RECORDS + 1).map(one).collect()
        }
        Format::Json if is_array => array(text)?,
        Format::Json => vec![Ok(one(text).map_err(Fault::into_problem)?)],
    };
    if records.len() > MAX_RECORDS {
        return Err(too_many());
    }
    Ok(records)
}

fn too_many() -> Problem {
    let detail = format!("the body holds more than {MAX_RECORDS} records; send them in parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_records", detail)
}

/// The elements of an array. Good ones, the usual case, are read straight into records; only when one does not fit is
/// the text read again, element by element.
fn array<T: DeserializeOwned>(text: &[u8]) -> Result<Vec<Result<T, Fault>>, Problem> {
    if let Ok(records) = serde_json::from_slice::<Vec<Object<T>>>(text) {
        return Ok(records.into_iter().map(|Object(record)| Ok(record)).collect());
    }
    match serde_json::from_slice::<Elements<T>>(text) {
        Ok(elements) => Ok(elements.0),
        Err(error) if error.is_data() => Err(too_many()),
        Err(error) => Err(Fault::of_text(&error).into_problem()),
    }
}

/// A record written as a JSON object.
struct Object<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_object(deserializer).map(Self)
    }
}

/// A JSON array whose elements are records or faults.
struct Elements<T>(Vec<Result<T, Fault>>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Elements<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor(PhantomData))
    }
}

struct ElementsVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ElementsVisitor<T> {
    type Value = Elements<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Elements<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(value) = sequence.next_element::<serde_json::Value>()? {
            if elements.len() == MAX_RECORDS {
                return Err(A::Error::custom("too many"));
            }
            let element = serde_path_to_error::deserialize(value);
            elements.push(element.map(|Object(record)| record).map_err(Fault::of_path));
        }
        Ok(Elements(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, ExperimentDesign, Item};

    #[test]
    fn an_object_an_array_and_lines_are_the_same_records() {
        let event = r#"{"user":"u","item":"i","type":"view"}"#;
        let read = |text: String, format| -> Vec<Event> {
            each(&text.into_bytes(), format).unwrap().into_iter().map(Result::unwrap).collect()
        };
        let expected = vec![Event::new("u", "i", "view")];
        assert_eq!(read(event.into(), Format::Json), expected);
        assert_eq!(read(format!(" [{event}] "), Format::Json), expected);
        assert_eq!(read(format!("\r\n{event}\r\n\n"), Format::Ndjson), expected);
        assert!(read(String::new(), Format::Ndjson).is_empty());
    }

    #[test]
    fn a_bad_record_names_its_field_and_leaves_the_others() {
        let text = br#"[{"id":"a"},{"id":"b","hidden":"no"},{"id":"c","price":1},{"id":"d","vectors":{"x":[1,"y"]}}]"#;
        let records = each::<Item>(text, Format::Json).unwrap();
        let fields: Vec<_> = records.iter().map(|r| r.as_ref().err().map(|fault| fault.field.as_str())).collect();
        assert_eq!(fields, [None, Some("hidden"), Some("price"), Some("vectors.x[1]")]);
        assert_eq!(one::<Event>(br#"{"user":"u","type":"view"}"#).unwrap_err().field, "item");
        assert_eq!(one::<Event>(br#"{"user":"u","user":"v"}"#).unwrap_err().field, "user");
        assert_eq!(one::<Event>(br#"{".":1}"#).unwrap_err().field, ".");
        let twice = one::<ExperimentDesign>(br#"{"variants":[{"name":"A","name":"B"}]}"#).unwrap_err();
        assert_eq!(twice.field, "variants[0].name");
        let variant = one::<ExperimentDesign>(br#"{"variants":[{"name":"A"},{}]}"#).unwrap_err();
        assert_eq!(variant.field, "variants[1].name");
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_its_place() {
        let problem = each::<Item>(b"[{\"id\":\"a\"},\n{\"id\":}]", Format::Json).unwrap_err();
        assert_eq!(problem.code, "bad_json");
        assert!(problem.detail.contains("line 2 column 7"), "{}", problem.detail);
        assert_eq!(one::<Item>(b"{\"id\":\"a\"} x").unwrap_err().code, "bad_json");
        assert_eq!(one::<Item>(b"").unwrap_err().code, "bad_json");
        assert_eq!(one::<Item>(b"\xff\xfe").unwrap_err().code, "bad_json");
        let deep = format!("{{\"attributes\":{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(one::<Item>(deep.as_bytes()).unwrap_err().code, "bad_json");
        let lines = each::<Item>(b"{\"id\":\"a\"}\n{\"id\":\n", Format::Ndjson).unwrap();
        assert_eq!(lines[1].as_ref().unwrap_err().code, "bad_json");
    }

    #[test]
    fn only_an_object_is_a_record() {
        assert_eq!(one::<Event>(br#"["u","i","view"]"#).unwrap_err().code, "invalid");
        let records =
            each::<Event>(br#"[["u","i","view"],5,{"user":"u","item":"i","type":"t"}]"#, Format::Json).unwrap();
        assert_eq!(records.iter().filter(|record| record.is_ok()).count(), 1);
    }

    #[test]
    fn a_body_of_countless_records_is_refused() {
        let text = format!("[{}0]", "0,".repeat(MAX_RECORDS));
        assert_eq!(each::<Item>(text.as_bytes(), Format::Json).unwrap_err().code, "too_many_records");
        let lines = "0\n".repeat(MAX_RECORDS + 1);
        assert_eq!(each::<Item>(lines.as_bytes(), Format::Ndjson).unwrap_err().code, "too_many_records");
    }
}
