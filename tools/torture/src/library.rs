//! The library in a process of its own, which takes the same requests as a server, one a line.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use savor::ingest::{ImportOptions, Kind, Source};
use savor::{
    Config, Engine, KeyDesign, NewKey, Query, Scope, Silent, SnapshotId, Span, TenantSettings, Tenants, TrainOptions,
    VectorQuery,
};

use crate::Result;
use crate::estate::{Deed, tenant_name};
use crate::holdings::own_backup;
use crate::model::Op;
use crate::target::{Reply, Request, SPACE, backups, events_file};

/// The library, embedded in a storage service: answers requests, one line each, until it is killed.
pub fn serve_library(dir: &Path, config: Config) -> Result<()> {
    let tenants = Tenants::open(dir, config)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, tenants, dir) = (stream?, tenants.clone(), dir.to_path_buf());
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let reply = match serde_json::from_str(&line) {
                    Ok(request) => answer(&tenants, tenants.home(), &dir, request)
                        .unwrap_or_else(|error| Reply::Refused(error.to_string())),
                    Err(error) => Reply::Refused(error.to_string()),
                };
                line.clear();
                let reply = serde_json::to_string(&reply).unwrap_or_default();
                if writeln!(reader.get_mut(), "{reply}").is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

fn answer(tenants: &Tenants, engine: &Engine, dir: &Path, request: Request) -> Result<Reply> {
    let number = match request {
        Request::Write(op) => write(engine, dir, op)?,
        Request::Train => {
            let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() })?;
            engine.activate(snapshot)?;
            snapshot.0
        }
        Request::Activate(id) => {
            engine.activate(SnapshotId(id))?;
            id
        }
        Request::RollBack => engine.rollback()?.0,
        Request::BackUp(name) => {
            tenants.backup(backups(dir).join(name))?;
            0
        }
        Request::Bundle => {
            let Some(active) = engine.active_snapshot() else { return Ok(Reply::Done(0)) };
            let file = dir.with_extension("bundle");
            engine.export_snapshot(active, &file)?;
            engine.import_snapshot(&file)?.0
        }
        Request::Ask(user) => {
            let items = engine.recommend(&Query::for_user(user))?.items;
            return Ok(Reply::Items(items.into_iter().map(|item| item.item).collect()));
        }
        Request::Search(vector) => {
            let query = VectorQuery { space: SPACE.into(), vector, limit: 10, filter: None, explain: false };
            engine.search_vectors(&query)?.items.len() as u64
        }
        Request::Of(tenant, request) => return answer(tenants, &tenants.get(&tenant.parse()?)?, dir, *request),
        Request::Do(deed) => return do_deed(tenants, dir, deed),
        Request::Enter { token, tenant } => {
            let Ok(key) = engine.check_key(&token) else { return Ok(Reply::Done(0)) };
            // Whom it lets in to is the caller's to decide.
            match (key.tenant, tenant.map(tenant_name)) {
                (bound, Some(named)) if bound.as_ref() != Some(&named) => 0,
                _ => return Ok(Reply::Items(Vec::new())),
            }
        }
    };
    Ok(Reply::Done(number))
}

fn do_deed(tenants: &Tenants, dir: &Path, deed: Deed) -> Result<Reply> {
    let home = tenants.home();
    let name = |number: usize| tenant_name(number).parse();
    let key = |made: NewKey| Reply::Key { id: made.key.id, token: made.token.reveal().to_owned() };
    Ok(match deed {
        Deed::MakeTenant(number) => {
            tenants.create(&name(number)?, TenantSettings::default())?;
            Reply::Done(0)
        }
        Deed::DeleteTenant(number) => {
            tenants.delete(&name(number)?, &tenant_name(number))?;
            Reply::Done(0)
        }
        Deed::BackUp(number) => {
            let name = name(number)?;
            tenants.backup_one(&name, own_backup(tenants, &name))?;
            Reply::Done(0)
        }
        Deed::Write(number, op) => Reply::Done(write(&tenants.get(&name(number)?)?, dir, op)?),
        Deed::MakeKey { name, tenant } => {
            let tenant = tenant.map(tenant_name);
            key(home.create_key(&KeyDesign { tenant, ..KeyDesign::new(name, [Scope::Read]) })?)
        }
        Deed::RotateKey(id) => key(home.rotate_key(&id, Span::seconds(0))?),
        Deed::RevokeKey(id) => {
            home.revoke_key(&id)?;
            Reply::Done(0)
        }
    })
}

fn write(engine: &Engine, dir: &Path, op: Op) -> Result<u64> {
    let none = 0;
    Ok(match op {
        Op::Events(events) => engine.append_events(&events)?.stored,
        Op::Items(items) => {
            let put = engine.put_items(&items)?;
            put.created + put.changed
        }
        Op::Users(users) => {
            let put = engine.put_users(&users)?;
            put.created + put.changed
        }
        Op::PatchItem(id, patch) => engine.patch_item(&id, patch).map(|_| none)?,
        Op::PatchUser(id, patch) => engine.patch_user(&id, patch).map(|_| none)?,
        Op::DeleteItem(id) => u64::from(engine.delete_item(&id)?),
        Op::DeleteUser(id) => u64::from(engine.delete_user(&id)?),
        Op::Merge { into, from } => engine.merge_users(&into, &from)?.moved,
        Op::Scenario(name, scenario) => engine.put_scenario(&name, *scenario, None).map(|_| none)?,
        Op::DeleteScenario(name) => engine.delete_scenario(&name, None).map(|()| none)?,
        Op::Experiment(id, design) => engine.put_experiment(&id, &design).map(|_| none)?,
        Op::StartExperiment(id) => engine.start_experiment(&id).map(|_| none)?,
        Op::StopExperiment(id) => engine.stop_experiment(&id).map(|_| none)?,
        Op::DeleteExperiment(id) => engine.delete_experiment(&id).map(|()| none)?,
        Op::Import { events, batch } => {
            let file = events_file(dir.parent().unwrap_or(dir), &events)?;
            let options = ImportOptions { batch, ..ImportOptions::default() };
            engine.import(Kind::Events, &Source::file(file.path()), &options, &Silent)?.stored
        }
    })
}
