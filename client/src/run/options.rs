//! What `run` is told.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use core::time::Duration;

/// What to do with the command when the broker or the lease is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// Say so, and let it run on.
    #[default]
    Warn,
    /// End it: first politely, then not.
    Kill,
}

/// How the command gets its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// From an endpoint on loopback that SDKs ask again and again: it can be refreshed, and it
    /// stops answering when the lease ends.
    #[default]
    Loopback,
    /// In environment variables. It cannot be refreshed, and any process of the job can read it:
    /// for tools that know nothing else.
    Env,
}

/// Whether the command is started only once the cloud accepts its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitEffective {
    /// It is started as soon as the credential is there.
    #[default]
    No,
    /// The cloud is asked until it accepts, for as long as the cloud's provider says that it may
    /// take.
    AsPromised,
    /// The cloud is asked until it accepts, for at most so long.
    AtMost(Duration),
}

/// Environment variables, as `run` found them.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable's value, if it is set, not empty, and text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(OsStr::new(name))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(OsStr::new(name));
    }

    /// Keeps those whose name passes.
    pub(crate) fn retain(&mut self, passes: impl Fn(&OsStr) -> bool) {
        self.0.retain(|name, _| passes(name));
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }
}

impl core::fmt::Debug for Environment {
    /// The names: values may be secrets.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything `run` is told.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The broker: `https://host[:port]`, or `http://127.0.0.1:port`.
    pub broker: String,
    /// Certificates, in PEM, of the broker's own authority, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The audience CI tokens are asked for; absent means the broker's address.
    pub audience: Option<String>,
    /// The audience of CI tokens that come with signs of life; absent means the audience and
    /// `/beat`.
    pub beat_audience: Option<String>,
    /// A file that holds a CI token; without it and `token_env`, GitHub's runner is asked.
    pub token_file: Option<PathBuf>,
    /// The variable that holds the job's CI token. The command does not get it.
    pub token_env: Option<String>,
    /// For what: 1 to 16 scopes.
    pub scopes: Vec<String>,
    /// For how long at a time, in seconds; absent means what the rule says.
    pub ttl_seconds: Option<u32>,
    /// Why.
    pub reason: Option<String>,
    /// How long to try to get the lease.
    pub patience: Duration,
    /// Whether to wait until the cloud accepts the credential.
    pub wait_effective: WaitEffective,
    /// What to do when the broker or the lease is lost.
    pub on_lost: OnLost,
    /// Start the command with a nearly empty environment.
    pub pristine: bool,
    /// Variables that are passed on although they would not be.
    pub keep_env: Vec<String>,
    /// How the command gets its credential.
    pub output: Output,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// The environment `run` was started with.
    pub environment: Environment,
}

impl RunOptions {
    /// How long `run` tries to get a lease when it is not told.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// The usual way to run a command with these scopes.
    #[must_use]
    pub fn new(broker: String, scopes: Vec<String>, command: Vec<OsString>) -> Self {
        Self {
            broker,
            ca_file: None,
            audience: None,
            beat_audience: None,
            token_file: None,
            token_env: None,
            scopes,
            ttl_seconds: None,
            reason: None,
            patience: Self::PATIENCE,
            wait_effective: WaitEffective::default(),
            on_lost: OnLost::default(),
            pristine: false,
            keep_env: Vec::new(),
            output: Output::default(),
            command,
            environment: Environment::of_process(),
        }
    }
}
