//! `jitney keys`: make the installation's keys, and show the public one.

use crate::arguments::{ConfigurationFile, Keys};
use crate::configuration::{self, Configuration};
use crate::failure::Failure;
use crate::keys::{audit_key, make_missing};
use crate::terminal::say;

/// Runs the command.
pub fn keys(command: Keys) -> Result<u8, Failure> {
    match command {
        Keys::Init(file) => init(&read(&file)?),
        Keys::Show(file) => show(&read(&file)?),
    }
}

fn read(file: &ConfigurationFile) -> Result<Configuration, Failure> {
    configuration::read(&file.config, std::env::vars())
}

fn init(configuration: &Configuration) -> Result<u8, Failure> {
    let made = make_missing(configuration)?;
    for file in &made {
        say(&format!("made `{}`", file.display()))?;
    }
    if made.is_empty() {
        say("all keys are there already")?;
    }
    show(configuration)
}

fn show(configuration: &Configuration) -> Result<u8, Failure> {
    let key = audit_key(&configuration.keys, &configuration.installation)?;
    say(&key.verifier().to_string())?;
    Ok(0)
}
