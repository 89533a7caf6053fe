//! `savor tune`: searches models and settings, and writes what it chose into the configuration that `savor train` reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::TuneArgs;
use crate::cli::bars::Bars;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::files::{replace, try_page, try_replacing, write_page};
use crate::cli::output::tell;
use crate::cli::patch::patched;
use crate::cli::render::{search, tune};
use crate::cli::signals::Stop;
use crate::config::{Config, HalfLife, TrainConfig};
use crate::engine::{TuneOptions, Tuned, changes};
use crate::error::Error;

pub fn run(context: &Context, args: TuneArgs) -> Result<(), Failure> {
    let engine = context.open()?;
    let in_force = engine.config().events.half_life;
    let target = (!args.dry_run).then(|| Target::of(context, args.write, in_force)).transpose()?;
    args.plot.as_deref().map(try_page).transpose()?;
    let options = TuneOptions {
        train: None,
        models: args.models,
        metric: args.metric,
        trials: args.trials,
        minutes: args.minutes,
        inside: args.inside_split,
        seed: args.seed,
        fresh: args.fresh,
        memory_mib: args.memory,
    };
    let bars = Bars::new(Stop::on_signal()?);
    let tuned = engine.tune(&options, &bars);
    bars.finish();
    if matches!(tuned, Err(Error::Cancelled(_))) {
        tell("what is finished is kept: the same command goes on from there");
    }
    let tuned = tuned?;
    // The most important first: the settings, then what people see, then the page.
    let written = target.map(|target| target.write(&tuned)).transpose()?;
    let command = written.as_deref().map(|file| taken_by(context, file)).unwrap_or_default();
    let page = args.plot.map(|file| (file, search::page(&tuned).html()));
    let done = Done { tuned, written };
    let shown = context
        .output
        .show(&done, |done| tune::table(&done.tuned, done.written.as_deref().map(|file| (file, command.as_str()))));
    if let Some((file, html)) = page {
        write_page(&file, &html)?;
    }
    shown
}

/// The result, and the file that holds the settings now.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    tuned: Tuned,
    written: Option<PathBuf>,
}

/// The command that trains with the settings of a file: only the one beside the data is found without being named.
fn taken_by(context: &Context, file: &Path) -> String {
    let is_found = context.data.join("savor.toml").canonicalize().ok() == file.canonicalize().ok();
    if is_found { "savor train".into() } else { format!("savor train --config {}", file.display()) }
}

/// Where the settings go: a file, and what it says until now.
struct Target {
    file: PathBuf,
    text: String,
    config: Config,
    /// The half-life of the engine that searches.
    in_force: HalfLife,
}

impl Target {
    /// Reads the file, and tries whether it can be patched and replaced: not after an hour of searching.
    fn of(context: &Context, write: Option<PathBuf>, in_force: HalfLife) -> Result<Self, Failure> {
        let in_use = context.config_file();
        let file = write.or_else(|| in_use.clone()).unwrap_or_else(|| context.data.join("savor.toml"));
        // A new file holds everything that counts until now.
        let source = if file.is_file() { Some(file.clone()) } else { in_use };
        let text =
            source.as_ref().map_or(Ok(String::new()), |file| fs::read_to_string(file).map_err(Error::io(file)))?;
        // A tenant's file says only what differs from the data directory's.
        let config = match context.tenant_config()? {
            Some(config) => config,
            None => Config::from_toml(&text).map_err(|error| error.within(&file.display().to_string()))?,
        };
        let target = Self { file, text, config, in_force };
        let other = TrainConfig { seed: !target.config.train.seed >> 1, ..target.config.train.clone() };
        let is_faded = target.config.events.half_life != HalfLife::Never;
        target.patched(&other, if is_faded { HalfLife::Never } else { HalfLife::Auto })?;
        try_replacing(&target.file)?;
        Ok(target)
    }

    fn patched(&self, train: &TrainConfig, half_life: HalfLife) -> Result<String, Error> {
        let faded = Some(half_life).filter(|half_life| self.config.events.half_life != *half_life);
        let faded = faded.map(|half_life| ("half_life".to_owned(), half_life.to_string().into()));
        patched(&self.text, "train", &changes(&self.config.train, train))
            .and_then(|text| patched(&text, "events", &BTreeMap::from_iter(faded)))
            .map_err(|error| error.within(&self.file.display().to_string()))
    }

    /// Writes the settings, whole or not at all.
    fn write(self, tuned: &Tuned) -> Result<PathBuf, Failure> {
        // Where none is told apart, what is configured stays.
        let found = tuned.fading.as_ref().and_then(|fading| fading.half_life);
        let half_life = found.map_or(self.in_force, HalfLife::After);
        let text = self.patched(&tuned.train, half_life)?;
        if text != self.text || !self.file.is_file() {
            replace(&self.file, &text)?;
        }
        Ok(self.file)
    }
}
