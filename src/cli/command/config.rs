//! `savor config show|check`: the configuration as commands see it.

use crate::cli::args::ConfigCommand;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::error::Error;

pub fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    context.only_here()?;
    let mut config = context.config()?;
    // For people and files that others read.
    config.monitor = config.monitor.shown();
    match command {
        ConfigCommand::Show => {
            let text = toml::to_string(&config).map_err(|error| Error::invalid("configuration", error.to_string()))?;
            context.output.show(&config, |_| text)
        }
        ConfigCommand::Check => {
            let file = context.config_file();
            let what =
                file.as_ref().map_or_else(|| "the default configuration".into(), |file| file.display().to_string());
            context.output.done(&serde_json::json!({"file": file, "valid": true}), format!("{what} is valid"))
        }
    }
}
