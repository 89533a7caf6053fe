//! `savor key …`: who may ask a server. On a directory the first key can be made before any server runs.

use serde_json::json;

use crate::cli::args::{CreateKeyArgs, KeyCommand};
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::render::table;
use crate::record::{ApiKey, AuditEntry, KeyDesign, KeyKind, NewKey, Scope, Timestamp};

/// Where an operation of this command comes from, in the audit log.
const HERE: &str = "command line";

pub fn run(context: &Context, command: KeyCommand) -> Result<(), Failure> {
    // Keys are the server's, whichever tenant they are bound to.
    let home = context.of_home();
    match command {
        KeyCommand::Create(args) => {
            let place = home.place_or_create()?;
            let made = place.create_key(&design(args, context.bound()))?;
            noted(&place, "createKey", &made.key.id, 201)?;
            show(context, &made)
        }
        KeyCommand::List => context.output.show(&home.place()?.keys()?, |keys| list(keys)),
        KeyCommand::Rotate { id, overlap } => {
            let place = home.place()?;
            let made = place.rotate_key(&id, overlap)?;
            noted(&place, "rotateKey", &id, 200)?;
            show(context, &made)
        }
        KeyCommand::Revoke { id } => {
            let place = home.place()?;
            place.revoke_key(&id)?;
            noted(&place, "revokeKey", &id, 204)?;
            context.output.done(&json!({"key": id, "revoked": true}), format!("key {id} is revoked"))
        }
    }
}

fn design(args: CreateKeyArgs, tenant: Option<&str>) -> KeyDesign {
    KeyDesign {
        name: args.name,
        kind: if args.publishable { KeyKind::Publishable } else { KeyKind::Secret },
        scopes: args.scope.into_iter().collect(),
        tenant: tenant.map(str::to_owned),
        expires_in: args.expires,
        origins: args.origin,
        requests_per_second: args.rate,
    }
}

/// Standard output has the token and nothing else, to be piped where it is to be kept.
fn show(context: &Context, made: &NewKey) -> Result<(), Failure> {
    if context.output.is_table() {
        tell(&format!("key {} ({}): this is its token, which cannot be shown again", made.key.id, made.key.name));
    }
    context.output.show(made, |made| made.token.reveal().to_owned())
}

/// A server notes by itself what it is asked to do.
fn noted(place: &Place, action: &str, id: &str, outcome: u16) -> Result<(), Failure> {
    let Place::Here(engine) = place else { return Ok(()) };
    let entry = AuditEntry {
        time: Timestamp::now(),
        key: None,
        tenant: None,
        from: HERE.into(),
        action: action.into(),
        target: format!("/v1/keys/{id}"),
        target_tenant: None,
        outcome,
        code: None,
        omitted: 0,
    };
    Ok(engine.audit(&entry)?)
}

fn list(keys: &[ApiKey]) -> String {
    let now = Timestamp::now();
    let mut table = table(&["id", "name", "kind", "scopes", "tenant", "state", "made", "expires"], &[]);
    for key in keys {
        let scopes = key.scopes.iter().map(|scope| Scope::word(*scope)).collect::<Vec<_>>().join(", ");
        table.add_row([
            key.id.clone(),
            key.name.clone(),
            match key.kind {
                KeyKind::Secret => "secret".into(),
                KeyKind::Publishable => "publishable".into(),
            },
            scopes,
            key.tenant.clone().unwrap_or_default(),
            key.state(now).to_string(),
            key.created.to_string(),
            key.expires.map(|time| time.to_string()).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}
