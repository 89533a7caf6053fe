//! One request of a route, from the check of its key to its note in the audit log.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;
use http::header::LOCATION;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Handle;

use super::{Access, Caller, Refusal};
use crate::engine::{Engine, Limit};
use crate::error::Result;
use crate::record::{AuditEntry, TenantName, Timestamp};
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::Route;
use crate::server::table::PathParameters;

/// The client went away before it was answered; the work was done all the same.
const CLIENT_CLOSED: u16 = 499;
/// Ids stand in the log as they stand in paths: no id can begin a new line there.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request: who asks, and the note that is to be made of it.
pub struct Visit<'a> {
    caller: std::result::Result<Caller, Problem>,
    access: &'a Access,
    note: Option<Note>,
}

/// What the audit log is to say. The name of a user is in it until it is written, and never after.
struct Note {
    entry: AuditEntry,
    route: &'static str,
    parameters: PathParameters,
}

/// Which refusals are written down: a flood of them is counted instead.
pub struct Refusals {
    limit: Limit,
    omitted: AtomicU64,
}

impl Refusals {
    /// As many as the limit lets through.
    pub fn new(limit: Limit) -> Self {
        Self { limit, omitted: AtomicU64::new(0) }
    }

    /// Whether this one is to be written, and how many before it were not.
    fn take(&self) -> Option<u64> {
        if self.limit.take(Instant::now()).is_ok() {
            return Some(self.omitted.swap(0, Ordering::Relaxed));
        }
        self.omitted.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl<'a> Visit<'a> {
    /// Decides what is to be noted.
    pub fn new(
        access: &'a Access,
        route: &Route,
        parameters: Option<&PathParameters>,
        from: IpAddr,
        caller: std::result::Result<Caller, Refusal>,
    ) -> Self {
        let omitted = match &caller {
            Ok(_) => route.is_audited().then_some(0),
            Err(refusal) if refusal.is_noted() => access.refusals.take(),
            Err(_) => None,
        };
        let key = match &caller {
            Ok(caller) => caller.key.as_deref(),
            Err(refusal) => refusal.key(),
        };
        let note = omitted.map(|omitted| Note {
            entry: AuditEntry {
                time: Timestamp::now(),
                key: key.map(|key| key.id.clone()),
                tenant: key.and_then(|key| key.tenant.clone()),
                from: from.to_string(),
                action: route.name.to_owned(),
                target: String::new(),
                target_tenant: None,
                outcome: CLIENT_CLOSED,
                code: None,
                omitted,
            },
            route: route.path,
            parameters: parameters.cloned().unwrap_or_default(),
        });
        Self { caller: caller.map_err(|refusal| refusal.problem()), access, note }
    }

    /// On behalf of which tenant, or on whose data: none is the data directory itself.
    pub fn is_about(&mut self, tenant: Option<&TenantName>) {
        if let Some(note) = &mut self.note {
            note.entry.target_tenant = tenant.map(TenantName::to_string);
        }
    }

    /// Who asks; the problem where that is not enough.
    pub fn caller(&self) -> std::result::Result<Caller, Problem> {
        self.caller.clone()
    }

    /// Notes how it ended, before the client is told.
    pub async fn end(mut self, reply: &std::result::Result<Reply, Problem>) {
        let Some(mut note) = self.note.take() else { return };
        match reply {
            Ok(reply) => note.ended(reply.status(), reply.headers().get(LOCATION).and_then(|at| at.to_str().ok())),
            Err(problem) => {
                note.entry.code = Some(problem.code.to_owned());
                note.ended(problem.status(), None);
            }
        }
        let engine = self.access.context.engine.clone();
        if tokio::task::spawn_blocking(move || note.write(&engine)).await.is_err() {
            tracing::error!("the audit log is not written: its writer panicked");
        }
    }
}

/// Who goes away does not go unnoticed.
impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let (Some(note), Ok(runtime)) = (self.note.take(), Handle::try_current()) {
            let engine = self.access.context.engine.clone();
            runtime.spawn_blocking(move || note.write(&engine));
        }
    }
}

impl Note {
    fn ended(&mut self, status: StatusCode, made: Option<&str>) {
        self.entry.outcome = status.as_u16();
        self.entry.target = made.map(str::to_owned).unwrap_or_default();
    }

    fn write(mut self, engine: &Engine) {
        let written = self.target(engine).and_then(|target| {
            self.entry.target = target;
            engine.audit(&self.entry)
        });
        if let Err(error) = written {
            tracing::error!(%error, action = self.entry.action, "the audit log is not written");
        }
    }

    /// The path with its parameters in their places, those that are users by pseudonym. What was made is told by its own path.
    fn target(&self, engine: &Engine) -> Result<String> {
        let is_user = self.route.starts_with("/v1/users/");
        if !is_user && !self.entry.target.is_empty() {
            return Ok(self.entry.target.clone());
        }
        let mut target = self.route.to_owned();
        for (name, value) in &self.parameters {
            let value =
                if is_user { engine.pseudonym(value)? } else { utf8_percent_encode(value, SEGMENT).to_string() };
            target = target.replacen(&format!("{{{name}}}"), &value, 1);
        }
        Ok(target)
    }
}
