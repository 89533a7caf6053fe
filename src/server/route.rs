//! The route table: one entry names a method, a path, what it takes, what it answers and the function that does it. The
//! server dispatches by it, labels its metrics with it and writes the OpenAPI document from it, so that the three cannot
//! drift apart.

use std::sync::Arc;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::admission::Class;
use super::call::Call;
use super::context::Context;
use super::problem::Problem;
use super::reply::Reply;
use crate::record::Scope;

/// Answers one request; synchronous, like the engine.
pub type Handler = dyn Fn(&Context, &Call) -> Result<Reply, Problem> + Send + Sync;
/// Makes the JSON Schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation of the API.
pub struct Route {
    /// The method. `GET` answers `HEAD` too.
    pub method: Method,
    /// The path template: `/v1/items/{id}`.
    pub path: &'static str,
    /// The OpenAPI operation id.
    pub name: &'static str,
    /// Whom it is open to.
    pub needs: Needs,
    /// Whether it carries data, and is not an operation that the audit log tells of.
    pub is_data: bool,
    /// The OpenAPI tag: which group it belongs to.
    pub group: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Whether what stands in the path are whole numbers.
    pub is_numbered: bool,
    /// The query parameters it knows; others are refused.
    pub query: &'static [Parameter],
    /// The body it takes.
    pub body: BodyKind,
    /// What it answers when all is well.
    pub answers: Vec<AnswerKind>,
    /// The problems that it may answer beside those that every route of its shape has.
    pub problems: &'static [u16],
    /// Where it runs.
    pub lane: Lane,
    /// Whose data it is about.
    pub about: About,
    /// Whose places it takes, where neither lane nor method tells it.
    class: Option<Class>,
    /// What does it.
    pub handler: Arc<Handler>,
}

/// Whose data a route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Those of the tenant that the caller names or is bound to.
    Tenant,
    /// The whole server's, tenants included: for callers who are bound to none and name none.
    Server,
    /// Those of the directory itself that the caller's key is about, whatever tenant the request names. The quotas of the tenant that the
    /// key is bound to hold.
    Caller,
    /// Nobody's: what it answers is the same for all.
    Nobody,
}

/// Whom a route is open to, once there are API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Everybody, always.
    Nothing,
    /// Keys with this scope, publishable ones among them: it tells nothing that is known of a person.
    Key(Scope),
    /// Secret keys with this scope.
    SecretKey(Scope),
}

/// Open to everybody, also once there are keys.
pub const OPEN: Needs = Needs::Nothing;
/// Recommendations and lists, from web pages, too.
pub const READ: Needs = Needs::Key(Scope::Read);
/// Recommendations in bulk, and lists of people.
pub const READ_SECRET: Needs = Needs::SecretKey(Scope::Read);
/// Events, from web pages, too.
pub const WRITE: Needs = Needs::Key(Scope::Write);
/// The catalogue, and what is known of people.
pub const MANAGE: Needs = Needs::SecretKey(Scope::Manage);
/// Figures.
pub const OBSERVE: Needs = Needs::SecretKey(Scope::Observe);
/// Operations.
pub const OPERATE: Needs = Needs::SecretKey(Scope::Operate);

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// On the async worker, always, also when the server is full: liveness and the like.
    Probe,
    /// On a blocking thread, also when the server is full, as it has places of its own: metrics.
    Report,
    /// On the async worker while others are free to look after connections, else on a blocking thread: answers from memory in well under a
    /// millisecond.
    Quick,
    /// On a blocking thread: whatever may wait for a disk or takes long.
    Work,
}

impl Lane {
    /// Whether it may have to wait for a place, and be refused.
    pub fn is_admitted(self) -> bool {
        self != Self::Probe
    }
}

/// What body a route takes.
#[derive(Clone, Copy)]
pub enum BodyKind {
    /// None; one that is sent is ignored.
    Nothing,
    /// A JSON object.
    One(SchemaOf),
    /// A JSON object, or nothing.
    Optional(SchemaOf),
    /// One JSON object, an array of them, or NDJSON.
    Many(SchemaOf),
}

/// One status that a route answers when all is well.
pub struct AnswerKind {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub about: &'static str,
    /// The media type and schema of its body, if it has one.
    pub body: Option<(&'static str, SchemaOf)>,
}

/// A query parameter.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
}

/// What a query parameter may be.
#[derive(Clone, Copy)]
pub enum ParameterKind {
    /// A whole number from 1 to a largest one.
    Count {
        /// The largest.
        max: usize,
        /// What an absent parameter means.
        default: usize,
    },
    /// `true` or `false`.
    Flag {
        /// What an absent parameter means.
        default: bool,
    },
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Route {
    /// A route that takes no parameters, runs on a blocking thread and answers nothing in particular.
    pub fn new(
        method: Method,
        path: &'static str,
        name: &'static str,
        needs: Needs,
        handler: impl Fn(&Context, &Call) -> Result<Reply, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self {
            method,
            path,
            name,
            needs,
            is_data: false,
            group: path
                .trim_start_matches("/v1")
                .split(['/', ':'])
                .find(|part| !part.is_empty())
                .unwrap_or("operations"),
            summary: "",
            is_numbered: false,
            query: &[],
            body: BodyKind::Nothing,
            answers: Vec::new(),
            problems: &[],
            lane: Lane::Work,
            about: About::Tenant,
            class: None,
            handler: Arc::new(handler),
        }
    }

    /// What it does, in one sentence.
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// The OpenAPI tag, where the path does not tell it.
    pub fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// What stands in the path are whole numbers.
    pub fn numbered(mut self) -> Self {
        self.is_numbered = true;
        self
    }

    /// The query parameters it knows.
    pub fn query(mut self, parameters: &'static [Parameter]) -> Self {
        self.query = parameters;
        self
    }

    /// It takes a JSON object.
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = BodyKind::One(schema_of::<T>);
        self
    }

    /// It takes a JSON object, or nothing.
    pub fn may_take<T: JsonSchema>(mut self) -> Self {
        self.body = BodyKind::Optional(schema_of::<T>);
        self
    }

    /// It takes one record, an array of them, or NDJSON.
    pub fn takes_many<T: JsonSchema>(mut self) -> Self {
        self.body = BodyKind::Many(schema_of::<T>);
        self
    }

    /// It answers a JSON body with this status.
    pub fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_as::<T>(status, about, "application/json")
    }

    /// It answers a body of another media type.
    pub fn answers_as<T: JsonSchema>(mut self, status: u16, about: &'static str, media_type: &'static str) -> Self {
        self.answers.push(AnswerKind { status, about, body: Some((media_type, schema_of::<T>)) });
        self
    }

    /// It answers this status without a body.
    pub fn answers_nothing(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(AnswerKind { status, about, body: None });
        self
    }

    /// The problems that are its own.
    pub fn problems(mut self, statuses: &'static [u16]) -> Self {
        self.problems = statuses;
        self
    }

    /// It is about the whole server.
    pub fn home(mut self) -> Self {
        self.about = About::Server;
        self
    }

    /// It is about keys: the caller's own bound decides what it sees.
    pub fn of_caller(mut self) -> Self {
        self.about = About::Caller;
        self
    }

    /// It is about nobody's data.
    pub fn nobodys(mut self) -> Self {
        self.about = About::Nobody;
        self
    }

    /// It carries data: many such requests come in each second, and the audit log does not tell of them.
    pub fn data(mut self) -> Self {
        self.is_data = true;
        self
    }

    /// Whether the audit log tells of it: whatever changes something and is not data.
    pub fn is_audited(&self) -> bool {
        let changes = !matches!(self.method, Method::GET | Method::HEAD);
        let is_operation = matches!(self.needs, Needs::SecretKey(Scope::Manage | Scope::Operate));
        changes && is_operation && !self.is_data
    }

    /// Where it runs.
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Whose places it takes. If nothing is said: those of questions for `GET`, of changes for other methods.
    pub fn class(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }

    /// Whose places it takes; `None` for what is always done.
    pub fn admitted(&self) -> Option<Class> {
        match self.lane {
            Lane::Probe => None,
            Lane::Report => Some(Class::Operate),
            Lane::Quick | Lane::Work => {
                Some(self.class.unwrap_or(if self.method == Method::GET { Class::Read } else { Class::Write }))
            }
        }
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
