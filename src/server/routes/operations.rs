//! For operators and their machines: liveness, readiness, metrics, figures, back-ups and the description of the API.

use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{BackupGeneration, Engine, Expired, IndexReport, Purged, Stats, Tenants};
use crate::record::Timestamp;
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{Lane, OBSERVE, OPEN, OPERATE, Route};
use crate::server::{metrics, openapi};

const MAX_NAME_BYTES: usize = 128;

/// Whether the server is up.
#[derive(Serialize, JsonSchema)]
struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether requests should be sent here.
#[derive(Serialize, JsonSchema)]
struct Readiness {
    /// `ok`
    status: &'static str,
    /// Tenants, as far as there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<TenantCounts>,
}

/// How many tenants there are. Which they are is for operators: everybody may ask whether a server is ready.
#[derive(Serialize, JsonSchema)]
struct TenantCounts {
    /// Those that can be asked.
    open: usize,
    /// Those that cannot; the others are not concerned. `GET /v1/tenants` says which and why.
    broken: usize,
}

/// What this server is.
#[derive(Serialize, JsonSchema)]
struct About {
    /// `savor`
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Where to read on.
    links: [&'static str; 4],
}

/// Which back-up to make.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BackupRequest {
    /// Its name: letters, digits, `.`, `_` and `-`; `default` if absent.
    name: Option<String>,
    /// Only the writes since the last generation, for its log.
    log: bool,
}

/// A back-up that was made.
#[derive(Serialize, JsonSchema)]
struct Backup {
    /// Its name.
    name: String,
    /// Where it lies on the server's machine; `savor restore` takes it.
    path: String,
    /// The generation that was made; absent where only the log was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<BackupGeneration>,
    /// The last write that can be restored from it.
    sequence: u64,
}

/// The back-ups of a server.
#[derive(Serialize, JsonSchema)]
struct Backups {
    /// In the order of their names.
    backups: Vec<Generations>,
}

/// A back-up.
#[derive(Serialize, JsonSchema)]
struct Generations {
    /// Its name.
    name: String,
    /// The oldest first.
    generations: Vec<BackupGeneration>,
}

/// The indexes that answer.
#[derive(Serialize, JsonSchema)]
struct Indexes {
    /// One for the active snapshot, one for each space.
    indexes: Vec<IndexReport>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/stats", "getStats", OBSERVE, stats)
            .class(Class::Bulk)
            .group("operations")
            .summary("How much there is, and what answers")
            .answers::<Stats>(200, "The figures"),
        Route::new(Method::GET, "/v1/indexes", "getIndexes", OBSERVE, indexes)
            .class(Class::Operate)
            .group("operations")
            .summary("How each index answers, what was measured when it was built, and why it was chosen")
            .answers::<Indexes>(200, "That of the model first, then the spaces of raw vectors"),
        Route::new(Method::POST, "/v1/backups", "backUp", OPERATE, back_up)
            .class(Class::Long)
            .group("operations")
            .summary("Adds a generation to a back-up, or the latest writes to its log, in the folder that the operator has chosen")
            .may_take::<BackupRequest>()
            .answers::<Backup>(201, "Made")
            .problems(&[409]),
        Route::new(Method::GET, "/v1/backups", "listBackups", OPERATE, backups)
            .class(Class::Operate)
            .group("operations")
            .summary("The back-ups in that folder, with their generations")
            .answers::<Backups>(200, "All of them"),
        Route::new(Method::POST, "/v1/purges", "purge", OPERATE, purge)
            .class(Class::Long)
            .group("operations")
            .summary(
                "Rewrites the files that still have the bytes of what has been deleted; answers when they are gone",
            )
            .answers::<Purged>(200, "How many deletions are gone for good, or what keeps them"),
        Route::new(Method::POST, "/v1/expirations", "expireEvents", OPERATE, expire)
            .class(Class::Long)
            .group("operations")
            .summary("Removes the events that are older than the retention of their type, now")
            .answers::<Expired>(200, "How many there were"),
        Route::new(Method::GET, "/healthz", "getHealth", OPEN, health)
            .group("operations")
            .summary("Whether the process is alive")
            .nobodys()
            .lane(Lane::Probe)
            .answers::<Health>(200, "It is"),
        Route::new(Method::GET, "/readyz", "getReadiness", OPEN, readiness)
            .group("operations")
            .summary("Whether requests should be sent here: not while the server is stopping, nor while the disk takes no writes")
            .nobodys()
            .lane(Lane::Probe)
            .answers::<Readiness>(200, "Yes")
            .problems(&[503]),
        Route::new(Method::GET, "/metrics", "getMetrics", OBSERVE, metrics_text)
            .group("operations")
            .summary("Metrics for Prometheus")
            .home()
            .lane(Lane::Report)
            .answers_as::<String>(200, "OpenMetrics text", metrics::MEDIA_TYPE),
        Route::new(Method::GET, "/openapi.json", "getOpenApi", OPEN, description)
            .group("operations")
            .summary("This description")
            .nobodys()
            .lane(Lane::Probe)
            .answers::<serde_json::Value>(200, "OpenAPI 3.1"),
        Route::new(Method::GET, "/", "getIndex", OPEN, about)
            .group("operations")
            .summary("What this server is")
            .nobodys()
            .lane(Lane::Probe)
            .answers::<About>(200, "Name, version and where to read on"),
    ]
}

fn indexes(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Indexes { indexes: context.engine.indexes()? })
}

fn stats(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.stats()?)
}

fn health(_: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Health { status: "ok" })
}

fn readiness(context: &Context, _: &Call) -> Result<Reply, Problem> {
    if context.is_stopping() {
        let detail = "the server is stopping";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(5));
    }
    if let Some(trouble) = context.engine.trouble() {
        return Err(Problem::unwritable(trouble.remedy));
    }
    let (all, open) = (context.tenants.names().len(), context.tenants.engines().len());
    let tenants = (all > 0).then(|| TenantCounts { open, broken: all.saturating_sub(open) });
    Reply::json(&Readiness { status: "ok", tenants })
}

fn metrics_text(context: &Context, _: &Call) -> Result<Reply, Problem> {
    let text = context
        .metrics
        .text(&context.engine.figures()?, &context.tenants.list()?, &context.admission)
        .map_err(|error| Problem::internal(&error))?;
    Ok(Reply::new(StatusCode::OK, metrics::MEDIA_TYPE, text.into_bytes()))
}

fn description(_: &Context, _: &Call) -> Result<Reply, Problem> {
    Ok(Reply::new(StatusCode::OK, "application/json", openapi::text().as_bytes().to_vec()))
}

fn about(_: &Context, _: &Call) -> Result<Reply, Problem> {
    let links = ["/openapi.json", "/v1/stats", "/metrics", "/readyz"];
    Reply::json(&About { name: "savor", version: env!("CARGO_PKG_VERSION"), links })
}

fn purge(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.purge()?)
}

fn expire(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.expire_events(Timestamp::now())?)
}

fn back_up(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let request: BackupRequest = call.body_or_default()?;
    let name = request.name.unwrap_or_else(|| "default".to_owned());
    check_name(&name)?;
    let (engine, folder) = (&context.engine, folder(context));
    let path = folder.join(&name);
    let is_one = engine.tenant().is_some() || call.caller().tenant().is_some();
    let (generation, sequence) = context.tenants.backup_within(engine, &path, || -> Result<_, Problem> {
        check_count(context, &folder, &name)?;
        if request.log {
            let log = if is_one { engine.backup_log(&path) } else { context.tenants.backup_log(&path) }?;
            return Ok((None, log.sequence));
        }
        let made = if is_one { engine.backup_with_settings(&path) } else { context.tenants.backup(&path) }?;
        let config = &context.tenants.home().config().backup;
        let keep = if engine.tenant().is_some() { config.keep_per_tenant } else { config.keep };
        if keep > 0 {
            Tenants::prune_backup(&path, keep)?;
        }
        let sequence = made.sequence;
        Ok((Some(made), sequence))
    })?;
    Reply::json_with(StatusCode::CREATED, &Backup { name, path: path.display().to_string(), generation, sequence })
}

fn backups(context: &Context, _: &Call) -> Result<Reply, Problem> {
    let mut backups = Vec::new();
    // There is no folder before the first back-up.
    for entry in std::fs::read_dir(folder(context)).into_iter().flatten().flatten() {
        // A folder that holds no back-up is none of ours.
        if let Ok(generations) = Engine::backups(entry.path()) {
            backups.push(Generations { name: entry.file_name().to_string_lossy().into_owned(), generations });
        }
    }
    backups.sort_by(|a, b| a.name.cmp(&b.name));
    Reply::json(&Backups { backups })
}

/// Where the back-ups of a server lie: its operator says so. Clients choose a name in there, never a path.
fn folder(context: &Context) -> PathBuf {
    context.tenants.backup_folder(context.engine.tenant())
}

/// Refuses another back-up where there are as many as may be; those that are there go on.
fn check_count(context: &Context, folder: &Path, name: &str) -> Result<(), Problem> {
    let config = &context.tenants.home().config().backup;
    let (most, setting) = match context.engine.tenant() {
        Some(_) => (config.max_per_tenant, "backup.max_per_tenant"),
        None => (config.max, "backup.max"),
    };
    // There is no folder before the first back-up; what begins with a point is nobody's choice.
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let count = names.filter(|name| !name.as_encoded_bytes().starts_with(b".")).count();
    if count < most || folder.join(name).exists() {
        return Ok(());
    }
    let detail = format!("there are as many back-ups as may be, {most}: add to one of them, or raise {setting}");
    Err(Problem::new(StatusCode::CONFLICT, "conflict", detail).in_field("name"))
}

/// A name must stay inside the directory of back-ups.
fn check_name(name: &str) -> Result<(), Problem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with('.') || !name.bytes().all(good) {
        let reason = "expected 1 to 128 letters, digits, '.', '_' or '-', not beginning with '.'";
        return Err(Problem::invalid("name", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_backup_cannot_leave_its_directory() {
        for bad in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\\b", "a\0b", "é"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("2026-11-24T08-30-00.000Z").is_ok());
    }
}
