//! The OpenAPI 3.1 document, written from the route table and the Rust types, so that it says what the server does.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Details;
use super::route::{About, BodyKind, Needs, Parameter, ParameterKind, Route};
use super::{routes, tenancy};
use crate::record::TenantName;

/// What the security scheme is called.
const KEY: &str = "key";

/// The document as it is served, made once.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    &TEXT
}

/// The document.
pub fn document() -> Value {
    let mut generator = settings()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let problem = generator.subschema_for::<Details>();
    let tenant = generator.subschema_for::<TenantName>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        let operation = operation(&route, &mut generator);
        paths.entry(route.path).or_default().insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Savor",
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
            "description": "Ids are any text of 1 to 512 bytes, percent-encoded in a path. Errors are problems \
                (RFC 9457) with a stable `code` and, where one is to blame, a `field`. `GET` routes answer `HEAD`; every \
                path answers `OPTIONS`. The header `x-timeout-ms` says how long a client waits: what cannot be answered within \
                that is not begun, and a question may be answered with less (`degraded`). 503 `overloaded` and 429 tell in \
                `Retry-After` when to ask again.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, needed once there is one. Each operation names the scope that the key must have",
            }},
            "schemas": generator.take_definitions(true),
            "parameters": {"Tenant": {
                "name": tenancy::HEADER,
                "in": "header",
                "required": false,
                "description": "The tenant that the request is about; that of the key, or the data directory itself, if absent. One that is \
                    not there and one that is not the caller's are both 404 `unknown_tenant`",
                "schema": tenant,
            }},
            "responses": {"Problem": {
                "description": "Not done; `code` and `detail` say why",
                "content": {"application/problem+json": {"schema": problem}},
            }},
        },
    })
}

/// JSON Schema of draft 2020-12, the dialect of OpenAPI 3.1, with descriptions for readers who do not have rustdoc.
pub fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(RecursiveTransform(|schema: &mut Schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = plain(text);
        }
    }))
}

/// A docstring without line breaks inside paragraphs and without links that only rustdoc understands.
fn plain(docstring: &str) -> String {
    let paragraphs: Vec<String> = docstring.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n").replace("[`", "`").replace("`]", "`").replace("`crate::", "`")
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.name,
        "tags": [route.group],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route, generator),
        "security": security(route.needs),
    });
    if matches!(route.needs, Needs::Key(_)) {
        operation["description"] = json!("Publishable keys may do this, too.");
    }
    if let Some(body) = request_body(route.body, generator) {
        operation["requestBody"] = body;
    }
    operation
}

/// The scope of the key that is needed; no entry where none is.
fn security(needs: Needs) -> Value {
    match needs {
        Needs::Nothing => json!([]),
        Needs::Key(scope) | Needs::SecretKey(scope) => json!([{KEY: [scope.word()]}]),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    let schema = match route.is_numbered {
        true => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        false => json!({"type": "string", "minLength": 1}),
    };
    let in_path = names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": schema}));
    let in_query = route.query.iter().map(|Parameter { name, about, kind }| {
        json!({"name": name, "in": "query", "description": about, "schema": kind.schema()})
    });
    let tenant = (route.about == About::Tenant).then(|| json!({"$ref": "#/components/parameters/Tenant"}));
    in_path.chain(in_query).chain(tenant).collect()
}

impl ParameterKind {
    fn schema(&self) -> Value {
        match self {
            Self::Count { max, default } => {
                json!({"type": "integer", "minimum": 1, "maximum": max, "default": default})
            }
            Self::Flag { default } => json!({"type": "boolean", "default": default}),
            Self::Text => json!({"type": "string", "minLength": 1}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
        }
    }
}

fn request_body(body: BodyKind, generator: &mut SchemaGenerator) -> Option<Value> {
    let one = |required: bool, schema: Schema| {
        Some(json!({"required": required, "content": {"application/json": {"schema": schema}}}))
    };
    match body {
        BodyKind::Nothing => None,
        BodyKind::One(schema) => one(true, schema(generator)),
        BodyKind::Optional(schema) => one(false, schema(generator)),
        BodyKind::Many(schema) => {
            let record = schema(generator);
            let one_or_many = json!({"oneOf": [record, {"type": "array", "items": record}]});
            let line = json!({"description": "One record a line", "type": "string"});
            let content = json!({
                "application/json": {"schema": one_or_many},
                "application/x-ndjson": {"schema": line},
            });
            Some(json!({"required": true, "content": content}))
        }
    }
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses = Map::new();
    for answer in &route.answers {
        let mut response = json!({"description": answer.about});
        if let Some((media_type, schema)) = answer.body {
            let media_type = media_type.split(';').next().unwrap_or(media_type);
            response["content"] = json!({media_type: {"schema": schema(generator)}});
        }
        if matches!(answer.status, 201 | 202) {
            response["headers"] = json!({"Location": {"schema": {"type": "string"}}});
        }
        responses.insert(answer.status.to_string(), response);
    }
    for status in problems(route) {
        responses.insert(status.to_string(), json!({"$ref": "#/components/responses/Problem"}));
    }
    responses
}

/// The problems of a route: its own and those that follow from its shape.
fn problems(route: &Route) -> Vec<u16> {
    let mut statuses = route.problems.to_vec();
    // Every route refuses query parameters that it does not know.
    statuses.push(400);
    if route.needs != Needs::Nothing {
        statuses.extend([401, 403, 429, 500]);
    }
    if !matches!(route.body, BodyKind::Nothing) {
        statuses.extend([408, 413, 415, 503]);
    }
    match route.about {
        // Unknown, broken, over its rate, over its quota.
        About::Tenant => statuses.extend([403, 404, 429, 503]),
        About::Server => statuses.push(403),
        About::Caller | About::Nobody => {}
    }
    if route.lane.is_admitted() {
        statuses.extend([429, 500, 503]);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use std::collections::BTreeSet;

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(values) => values.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_summary_and_an_answer() {
        let mut names = BTreeSet::new();
        for route in routes::all() {
            assert!(names.insert(route.name), "{} is used twice", route.name);
            assert!(!route.summary.is_empty() && !route.answers.is_empty(), "{}", route.name);
            let has_body = !matches!(route.body, BodyKind::Nothing);
            assert!(!has_body || matches!(route.method, Method::POST | Method::PUT | Method::PATCH), "{}", route.name);
        }
    }

    #[test]
    fn descriptions_are_for_readers_of_json() {
        let text = plain("A time,\nsee [`crate::Span`].\n\nMore.");
        assert_eq!(text, "A time, see `Span`.\n\nMore.");
        assert!(!super::text().contains("[`"));
    }

    #[test]
    fn path_parameters_are_declared_as_they_stand_in_the_path() {
        let document = document();
        let merge = &document["paths"]["/v1/users/{id}/merge/{from}"]["put"]["parameters"];
        let names: Vec<_> = merge.as_array().unwrap().iter().filter_map(|parameter| parameter.get("name")).collect();
        assert_eq!(names, ["id", "from"]);
    }
}
