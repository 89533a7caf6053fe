//! What the typed words mean: which directory or server a command works on, with which configuration, and where its
//! results go.

use std::path::{Path, PathBuf};

use super::args::Common;
use super::failure::Failure;
use super::output::Output;
use super::remote::Remote;
use super::settings::{configuration, set};
use crate::config::Config;
use crate::engine::{Engine, Tenants};
use crate::error::Error;
use crate::ingest;
use crate::record::{TenantName, Token};

/// Where the API key is looked for when no file is named.
const KEY_VARIABLE: &str = "SAVOR_API_KEY";

/// Everything that a command needs beside its own words.
#[derive(Clone)]
pub struct Context {
    /// The data directory, or that of the tenant in it.
    pub data: PathBuf,
    /// The data directory, whichever tenant it is about.
    home: PathBuf,
    tenant: Option<TenantName>,
    is_named: bool,
    /// Where results go.
    pub output: Output,
    /// How the files of an import are written, if that was said.
    pub files: Option<ingest::Format>,
    url: Option<String>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    config_file: Option<PathBuf>,
    settings: Vec<String>,
}

/// Where a command is carried out.
pub enum Place {
    /// In this process, on a data directory.
    Here(Box<Engine>),
    /// By a server.
    There(Remote),
}

impl Context {
    /// Works out what the common options mean.
    pub fn new(common: Common) -> Self {
        let tenant = common.tenant.clone().and_then(|word| word.0);
        Self {
            output: Output::new(common.results()),
            files: common.files(),
            data: tenant.as_ref().map_or_else(|| common.data.clone(), |name| Tenants::path_of(&common.data, name)),
            home: common.data,
            is_named: common.tenant.is_some(),
            tenant,
            url: common.url,
            key_file: common.key_file,
            ca_file: common.ca_file,
            config_file: common.config,
            settings: common.set,
        }
    }

    /// The configuration: the named file, or the data directory's, with the settings in their places.
    pub fn config(&self) -> Result<Config, Failure> {
        match self.tenant_config()? {
            Some(config) => set(config, &self.settings),
            None => configuration(self.config_file().as_deref(), &self.settings),
        }
    }

    /// The configuration of the tenant that it is about, without the settings; `None` where it is about none.
    pub fn tenant_config(&self) -> Result<Option<Config>, Failure> {
        let Some(name) = &self.tenant else { return Ok(None) };
        Ok(Some(Tenants::config_of(&self.home, &self.home_config()?, name)?))
    }

    /// The configuration of the data directory, whichever tenant it is about.
    fn home_config(&self) -> Result<Config, Failure> {
        let beside = Some(self.home.join("savor.toml")).filter(|path| path.is_file());
        configuration(self.config_file.clone().or(beside).as_deref(), &[])
    }

    /// The tenant that it is about.
    pub fn tenant(&self) -> Option<&TenantName> {
        self.tenant.as_ref()
    }

    /// The tenant that was named, `default` for the data directory itself.
    pub fn bound(&self) -> Option<&str> {
        self.is_named.then(|| self.tenant.as_ref().map_or(TenantName::DEFAULT, TenantName::as_str))
    }

    /// The same, about the data directory itself.
    pub fn of_home(&self) -> Self {
        Self { data: self.home.clone(), tenant: None, ..self.clone() }
    }

    /// The settings as they were typed.
    pub fn settings(&self) -> &[String] {
        &self.settings
    }

    /// Opens the data directory with all its tenants, whichever it is about.
    pub fn open_all(&self) -> Result<Tenants, Failure> {
        self.only_here()?;
        let tenants = Tenants::open(&self.home, self.home_config()?).map_err(|error| explained(error, &self.home))?;
        tenants.open_all();
        Ok(tenants)
    }

    /// The server that `--url` names, to be asked about all its tenants.
    pub fn remote_of_all(&self) -> Result<Option<Remote>, Failure> {
        self.remote_about(None)
    }

    /// The configuration's file, if there is one.
    pub fn config_file(&self) -> Option<PathBuf> {
        let beside_the_data = || Some(self.data.join("savor.toml")).filter(|path| path.is_file());
        self.config_file.clone().or_else(beside_the_data)
    }

    /// The same command with further settings.
    pub fn with_settings(mut self, settings: Vec<String>) -> Self {
        self.settings.extend(settings);
        self
    }

    /// Opens the data directory, or the way to the server.
    pub fn place(&self) -> Result<Place, Failure> {
        match self.remote()? {
            Some(remote) => Ok(Place::There(remote)),
            None => Ok(Place::Here(Box::new(self.open()?))),
        }
    }

    /// The server that `--url` names.
    pub fn remote(&self) -> Result<Option<Remote>, Failure> {
        self.remote_about(self.tenant.clone())
    }

    fn remote_about(&self, tenant: Option<TenantName>) -> Result<Option<Remote>, Failure> {
        let Some(url) = self.url.as_deref() else { return Ok(None) };
        let authorities = self.ca_file.as_deref().map(|file| {
            let read = std::fs::read(file).map_err(Error::io(file))?;
            Ok::<_, Failure>((file, read))
        });
        Remote::new(url, tenant, self.key()?, authorities.transpose()?).map(Some)
    }

    /// The API key for the server: what the file holds, or else the environment.
    fn key(&self) -> Result<Option<Token>, Failure> {
        let text = match &self.key_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(Error::io(file))?),
            None => std::env::var(KEY_VARIABLE).ok(),
        };
        let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        // What it is must not be told, not even when it is none.
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Failure::Usage("the API key is no key: expected one word, sk_… or pk_…".into()));
        }
        Ok(Some(Token::new(text)))
    }

    /// Opens the data directory, which is made if need be, or the way to the server.
    pub fn place_or_create(&self) -> Result<Place, Failure> {
        match self.remote()? {
            Some(remote) => Ok(Place::There(remote)),
            None => Ok(Place::Here(Box::new(self.open_or_create()?))),
        }
    }

    /// Opens the data directory; one that does not exist is not made by asking it something.
    pub fn open(&self) -> Result<Engine, Failure> {
        self.only_here()?;
        let config = self.config()?;
        if self.tenant.is_none() && !self.data.exists() {
            let missing = format!("there is no data directory {}", self.data.display());
            return Err(Error::no_data(missing, "`savor import` makes one, --data names another").into());
        }
        self.open_with(config)
    }

    /// Opens the data directory, and makes it first if need be.
    pub fn open_or_create(&self) -> Result<Engine, Failure> {
        self.only_here()?;
        self.open_with(self.config()?)
    }

    fn open_with(&self, config: Config) -> Result<Engine, Failure> {
        let opened = match &self.tenant {
            Some(name) => Tenants::open_one(&self.home, config, name),
            None => Engine::open(&self.data, config),
        };
        opened.map_err(|error| explained(error, &self.data))
    }

    /// Refuses `--url` for commands that work on a directory alone.
    pub fn only_here(&self) -> Result<(), Failure> {
        match &self.url {
            Some(_) => Err(Failure::Usage("this command works on a data directory and does not take --url".into())),
            None => Ok(()),
        }
    }

    /// Whether settings were given that a server would not know of.
    pub fn settings_for_server(&self) -> Result<Option<Config>, Failure> {
        match (&self.config_file, self.settings.is_empty()) {
            (None, true) => Ok(None),
            (None, false) => Err(Failure::Usage(
                "the server's other training settings are not known here: give all of them by --config FILE too, or change \
                 the server's own configuration"
                    .into(),
            )),
            (Some(file), _) => Ok(Some(configuration(Some(file), &self.settings)?)),
        }
    }
}

/// A directory that a server holds open is said to be so, with the very option that reaches it.
fn explained(error: Error, data: &Path) -> Failure {
    let address = match error {
        Error::Locked { .. } => Engine::holder(data).and_then(|holder| holder.address),
        _ => None,
    };
    match (error, address) {
        (Error::Locked { path, holder }, Some(address)) if !holder.contains(&address) => {
            Error::Locked { path, holder: format!("{holder} at {address}") }.into()
        }
        (error, _) => error.into(),
    }
}
