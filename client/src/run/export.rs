//! Handing leases to a command: by the kind of each credential, in the way that cloud's own SDKs
//! look for it.

use std::ffi::OsString;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use jitney_api::aws_session;
use tempfile::TempDir;

use super::aws;
use super::environment::LOOPBACK_HOSTS;
use super::held::{Held, Serving, Standing};
use super::loopback::{self, Door, Loopback};
use super::options::{Environment, Output};

/// Why a lease cannot be handed to a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotExport {
    /// A newer broker, or an adapter this version does not know.
    #[error("this version of jitney cannot hand a credential of kind `{0}` to a command")]
    Kind(String),
    /// A variable can name one identity.
    #[error(
        "the request spans the targets `{0}` and `{1}`, but a command has room for one identity of \
         kind `{2}`: use one `jitney run` for each"
    )]
    Two(String, String, String),
    /// The broker's answer is incomplete.
    #[error("the credential for `{0}` lacks a part")]
    Incomplete(String),
    /// Files or sockets.
    #[error("the credential cannot be handed over: {0}")]
    System(#[from] std::io::Error),
    /// No randomness.
    #[error(transparent)]
    Key(#[from] crate::key::NoKey),
}

/// What a command gets. The endpoint and the files are gone when this value is dropped.
pub(crate) struct Export {
    /// Variables that are taken away.
    pub unset: Vec<&'static str>,
    /// Variables that are set.
    pub set: Vec<(&'static str, OsString)>,
    /// Whether loopback must be reached without a proxy.
    pub loopback: bool,
    // Order matters: the endpoint stops before its files are removed.
    _server: Option<Loopback>,
    _files: TempDir,
}

impl Export {
    /// Makes everything a command needs for these leases.
    pub(crate) async fn of(leases: &[Arc<Held>], output: Output) -> Result<Self, CannotExport> {
        for (at, lease) in leases.iter().enumerate() {
            let before = leases.iter().take(at);
            if let Some(other) = before.into_iter().find(|other| other.kind == lease.kind) {
                let (a, b) = (other.target.clone(), lease.target.clone());
                return Err(CannotExport::Two(a, b, lease.kind.clone()));
            }
        }
        let files = tempfile::Builder::new()
            .prefix("jitney-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let mut export = Self {
            unset: Vec::new(),
            set: Vec::new(),
            loopback: output == Output::Loopback,
            _server: None,
            _files: files,
        };
        let (listener, address) = loopback::listen().await?;
        let mut doors = Vec::new();
        for lease in leases {
            match lease.kind.as_str() {
                aws_session::KIND => {
                    let origin = format!("http://{address}");
                    doors.extend(export.aws(lease, output, &origin)?);
                }
                other => return Err(CannotExport::Kind(other.to_owned())),
            }
        }
        if !doors.is_empty() {
            export._server = Some(loopback::serve(listener, address, doors));
        }
        Ok(export)
    }

    fn aws(
        &mut self,
        lease: &Arc<Held>,
        output: Output,
        origin: &str,
    ) -> Result<Option<Door>, CannotExport> {
        let incomplete = || CannotExport::Incomplete(lease.target.clone());
        let serving = serving(lease).ok_or_else(incomplete)?;
        let variables = aws::variables(&serving).ok_or_else(incomplete)?;
        self.unset.extend(aws::CONFLICTING);
        self.set
            .push((aws::CONFIG_FILE, self.file("aws-config", "")?.into()));
        let credentials = self.file("aws-credentials", "")?;
        self.set.push((aws::CREDENTIALS_FILE, credentials.into()));
        self.set
            .push((aws::NO_METADATA.0, aws::NO_METADATA.1.into()));
        self.set.extend(aws::region(&serving));
        match output {
            Output::Env => {
                self.set.extend(variables);
                Ok(None)
            }
            Output::Loopback => {
                let path = format!("/aws/{}", lease.id);
                let door = Door::new(path.clone(), Arc::clone(lease), aws::write)?;
                self.set
                    .push((aws::FULL_URI, format!("{origin}{path}").into()));
                // Without a line's end: SDKs send the file as it is.
                let file = self.file("aws-endpoint-token", door.secret())?;
                self.set.push((aws::TOKEN_FILE, file.into()));
                Ok(Some(door))
            }
        }
    }

    fn file(&self, name: &str, content: &str) -> std::io::Result<PathBuf> {
        let path = self._files.path().join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&path)?.write_all(content.as_bytes())?;
        Ok(path)
    }

    /// Changes an environment into the command's.
    pub(crate) fn apply(&self, environment: &mut Environment) {
        for name in &self.unset {
            environment.remove(name);
        }
        for (name, value) in &self.set {
            environment.set(*name, value.clone());
        }
        if self.loopback {
            for name in ["NO_PROXY", "no_proxy"] {
                let mut hosts = environment.get(name).unwrap_or_default().to_owned();
                for host in LOOPBACK_HOSTS {
                    if !hosts.split(',').any(|known| known.trim() == *host) {
                        hosts.push_str(if hosts.is_empty() { "" } else { "," });
                        hosts.push_str(host);
                    }
                }
                environment.set(name, hosts);
            }
        }
    }
}

fn serving(lease: &Held) -> Option<Arc<Serving>> {
    match lease.standing() {
        Standing::Served(serving) => Some(serving),
        Standing::Over(_) => None,
    }
}
