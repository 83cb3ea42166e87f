//! Handing leases to a command: by the kind of each credential, in the way that cloud's own SDKs
//! look for it. Leases of several clouds stand side by side; of one cloud there is room for one.

use std::sync::Arc;

use jitney_api::{aws_session, azure_assertion, azure_token, gcp_token};

use super::environment::LOOPBACK_HOSTS;
use super::handing::{Handed, Handing, Kept};
use super::held::Held;
use super::loopback::{self, Loopback};
use super::options::{Environment, Output};
use super::{aws, azure, google};

/// Why a lease cannot be handed to a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotExport {
    /// A newer broker, or an adapter this version does not know.
    #[error("this version of jitney cannot hand a credential of kind `{0}` to a command")]
    Kind(String),
    /// A variable can name one identity.
    #[error(
        "the request spans the targets `{0}` and `{1}`, but a command has room for one identity of \
         {2}: use one `jitney run` for each"
    )]
    Two(String, String, &'static str),
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

/// The kinds of credentials that can be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    AwsSession,
    AzureToken,
    AzureAssertion,
    GcpToken,
}

impl Kind {
    fn of(lease: &Held) -> Result<Self, CannotExport> {
        match lease.kind.as_str() {
            aws_session::KIND => Ok(Self::AwsSession),
            azure_token::KIND => Ok(Self::AzureToken),
            azure_assertion::KIND => Ok(Self::AzureAssertion),
            gcp_token::KIND => Ok(Self::GcpToken),
            other => Err(CannotExport::Kind(other.to_owned())),
        }
    }

    /// Whose SDKs look for it, each in one place.
    const fn cloud(self) -> &'static str {
        match self {
            Self::AwsSession => "AWS",
            Self::AzureToken | Self::AzureAssertion => "Azure",
            Self::GcpToken => "Google Cloud",
        }
    }

    fn hand_over(
        self,
        to: &mut Handing,
        lease: &Arc<Held>,
        output: Output,
    ) -> Result<(), CannotExport> {
        match self {
            Self::AwsSession => aws::hand_over(to, lease, output),
            Self::AzureToken => azure::hand_over_token(to, lease, output),
            Self::AzureAssertion => azure::hand_over_assertion(to, lease),
            Self::GcpToken => google::hand_over(to, lease, output),
        }
    }
}

/// What a command gets. The endpoint and the files are gone when this value is dropped.
pub(crate) struct Export {
    handed: Handed,
    /// Whether loopback must be reached without a proxy.
    loopback: bool,
    // Order matters: the endpoint stops, and nothing writes any more, before the files are removed.
    _server: Option<Loopback>,
    _kept: Kept,
}

impl Export {
    /// Makes everything a command needs for these leases.
    pub(crate) async fn of(leases: &[Arc<Held>], output: Output) -> Result<Self, CannotExport> {
        let kinds = kinds(leases)?;
        let (listener, address) = loopback::listen().await?;
        let mut handing = Handing::begin(address)?;
        for (kind, lease) in kinds.into_iter().zip(leases) {
            kind.hand_over(&mut handing, lease, output)?;
        }
        let (handed, doors, kept) = handing.end();
        let server = (!doors.is_empty()).then(|| loopback::serve(listener, address, doors));
        Ok(Self {
            handed,
            loopback: output == Output::Loopback,
            _server: server,
            _kept: kept,
        })
    }

    /// Changes an environment into the command's.
    pub(crate) fn apply(&self, environment: &mut Environment) {
        for name in &self.handed.unset {
            environment.remove(name);
        }
        for (name, value) in &self.handed.set {
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

/// The kind of each lease, if no two are of one cloud.
fn kinds(leases: &[Arc<Held>]) -> Result<Vec<Kind>, CannotExport> {
    let mut kinds: Vec<Kind> = Vec::new();
    for lease in leases {
        let kind = Kind::of(lease)?;
        let same = |known: &Kind| known.cloud() == kind.cloud();
        if let Some(other) = kinds.iter().position(same).and_then(|at| leases.get(at)) {
            let (a, b) = (other.target.clone(), lease.target.clone());
            return Err(CannotExport::Two(a, b, kind.cloud()));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}
