//! `savor restore FROM`: a data directory with its tenants from a backup, or one tenant of it.

use crate::cli::args::RestoreArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::render::stats;
use crate::engine::{Engine, Tenants, Until};
use crate::error::Error;
use crate::record::{ApiKey, KeyState, Timestamp};

pub fn run(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    context.only_here()?;
    let until = match (args.generation, args.sequence, args.time) {
        (Some(number), ..) => Until::Generation(number),
        (_, Some(sequence), _) => Until::Sequence(sequence),
        (.., Some(time)) => Until::Time(time),
        _ => Until::Newest,
    };
    if let Some(name) = context.tenant() {
        if args.revoke_keys {
            return Err(
                Error::invalid("--revoke-keys", "keys are the server's, and none comes back with a tenant").into()
            );
        }
        let tenants = context.open_all()?;
        tenants.restore_one(name, &args.from, until)?;
        return context.output.show(&tenants.get(name)?.stats()?, stats::table);
    }
    let config = context.config()?;
    Tenants::restore_until(&args.from, &context.data, until)?;
    let engine = Engine::open(&context.data, config)?;
    keys_that_came_back(&engine, args.revoke_keys)?;
    context.output.show(&engine.stats()?, stats::table)
}

/// A key that was revoked, and a secret that was rotated away after the moment that is restored, are good again.
fn keys_that_came_back(engine: &Engine, revoke: bool) -> Result<(), Failure> {
    let now = Timestamp::now();
    let good: Vec<ApiKey> = engine.keys().into_iter().filter(|key| key.state(now) == KeyState::Active).collect();
    if revoke {
        good.iter().try_for_each(|key| engine.revoke_key(&key.id).map(|_| ()))?;
        tell(&format!("{} keys of the backup are revoked", good.len()));
    } else if !good.is_empty() {
        tell(&format!(
            "{} keys let in as they did then, also what was revoked or rotated away since: look at `savor key list`, and revoke \
             what should not (restore --revoke-keys revokes all)",
            good.len()
        ));
    }
    Ok(())
}
