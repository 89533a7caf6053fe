//! `savor tenant …`: list, show, make, change and delete tenants, in a data directory or on a server.

use serde::Deserialize;
use toml::{Table, Value};

use crate::cli::args::{Said, TenantCommand};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::remote::Remote;
use crate::cli::render::tenant;
use crate::cli::settings::{Setting, put, remove};
use crate::config::Quotas;
use crate::engine::{TenantSettings, TenantStatus, Tenants};
use crate::error::Error;
use crate::record::TenantName;

pub fn run(context: &Context, command: TenantCommand) -> Result<(), Failure> {
    let keeper = match context.remote_of_all()? {
        Some(remote) => Keeper::There(remote),
        None => Keeper::Here(Box::new(context.open_all()?)),
    };
    match command {
        TenantCommand::List => context.output.show(&keeper.list()?, |tenants| tenant::list(tenants)),
        TenantCommand::Show { name } => context.output.show(&keeper.show(&name)?, tenant::one),
        TenantCommand::Create { name, said } => {
            if keeper.list()?.iter().any(|tenant| tenant.name == name) {
                return Err(Error::Conflict(format!("there is a tenant \"{name}\" already: savor tenant set")).into());
            }
            let settings = changed(TenantSettings::default(), said, context.settings(), &[])?;
            context.output.show(&keeper.create(&name, settings)?, tenant::one)
        }
        TenantCommand::Set { name, said, unset } => {
            let before = keeper.show(&name)?;
            let unreadable =
                || Error::Conflict(format!("what is said of tenant \"{name}\" cannot be read: savor tenant show"));
            let settings = changed(before.settings.ok_or_else(unreadable)?, said, context.settings(), &unset)?;
            context.output.show(&keeper.set(&name, settings)?, tenant::one)
        }
        TenantCommand::Delete { name, confirm } => {
            keeper.delete(&name, &confirm)?;
            let done = serde_json::json!({"tenant": name, "deleted": true});
            context.output.done(&done, format!("tenant {name} is deleted"))
        }
    }
}

/// The same with what was said in its place.
fn changed(mut of: TenantSettings, said: Said, set: &[String], unset: &[String]) -> Result<TenantSettings, Failure> {
    of.title = said.title.or(of.title);
    let unfit = |error: String| Failure::Usage(format!("--quota: {error}"));
    let mut quotas = Table::try_from(&of.quotas).map_err(|error| unfit(error.to_string()))?;
    for text in &said.quota {
        let (name, value) = Setting::parse(text)?.into_parts();
        if value == Value::String("none".into()) {
            quotas.remove(&name);
        } else {
            quotas.insert(name, value);
        }
    }
    of.quotas = quotas.try_into::<Quotas>().map_err(|error| unfit(error.message().to_owned()))?;
    for text in set {
        put(&mut of.config, Setting::parse(text)?)?;
    }
    unset.iter().for_each(|key| remove(&mut of.config, key));
    Ok(of)
}

/// Who keeps the tenants.
enum Keeper {
    Here(Box<Tenants>),
    There(Remote),
}

impl Keeper {
    fn list(&self) -> Result<Vec<TenantStatus>, Failure> {
        #[derive(Deserialize)]
        struct List {
            tenants: Vec<TenantStatus>,
        }
        match self {
            Self::Here(tenants) => Ok(tenants.list()?),
            Self::There(remote) => Ok(remote.get::<List>("/v1/tenants")?.tenants),
        }
    }

    fn show(&self, name: &TenantName) -> Result<TenantStatus, Failure> {
        match self {
            Self::Here(tenants) => Ok(tenants.show(name)?),
            Self::There(remote) => remote.get(&path(name)),
        }
    }

    fn create(&self, name: &TenantName, settings: TenantSettings) -> Result<TenantStatus, Failure> {
        match self {
            Self::Here(tenants) => Ok(tenants.create(name, settings)?),
            Self::There(remote) => remote.put(&path(name), &settings),
        }
    }

    fn set(&self, name: &TenantName, settings: TenantSettings) -> Result<TenantStatus, Failure> {
        match self {
            Self::Here(tenants) => Ok(tenants.set(name, settings)?),
            Self::There(remote) => remote.put(&path(name), &settings),
        }
    }

    fn delete(&self, name: &TenantName, confirm: &str) -> Result<(), Failure> {
        match self {
            Self::Here(tenants) => Ok(tenants.delete(name, confirm)?),
            Self::There(remote) => {
                remote.delete(&format!("{}?confirm={}", path(name), crate::cli::remote::segment(confirm)))
            }
        }
    }
}

fn path(name: &TenantName) -> String {
    format!("/v1/tenants/{name}")
}
