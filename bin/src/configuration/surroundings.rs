//! The sections about what stands around a broker: forges that call it, programs that watch it,
//! people who operate it.

use std::net::SocketAddr;
use std::path::PathBuf;

use jitney_core::principal::Provider;
use serde::Deserialize;

/// `[webhooks]`: by which CI systems say that jobs are over. The path of an absent one does not
/// exist.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksSection {
    /// GitHub's `workflow_job` events.
    pub github: Option<WebhookSection>,
    /// GitLab's job events.
    pub gitlab: Option<WebhookSection>,
}

impl WebhooksSection {
    /// Both, with the sections' names and whose jobs they tell about.
    pub(super) fn named(
        &mut self,
    ) -> impl Iterator<Item = (&'static str, Provider, &mut WebhookSection)> {
        let named = [
            ("webhooks.github", Provider::GithubActions, &mut self.github),
            ("webhooks.gitlab", Provider::GitlabCi, &mut self.gitlab),
        ];
        named
            .into_iter()
            .filter_map(|(name, provider, section)| Some((name, provider, section.as_mut()?)))
    }
}

/// `[webhooks.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// The secret that the forge was given; readable by the broker's user only.
    pub secret_file: PathBuf,
    /// The `iss` of the tokens of the jobs it tells about.
    pub issuer: String,
}

/// `[metrics]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Where metrics are shown in plain HTTP; otherwise where the broker listens, if that is
    /// loopback.
    pub listen: Option<SocketAddr>,
}

/// `[admin]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminSection {
    /// The socket through which operators act on a running broker; otherwise beside the ledger.
    pub socket: Option<PathBuf>,
}

/// `[alarms]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmsSection {
    /// Where alarms are told, beside the log and the metrics.
    pub webhook_url: Option<String>,
    /// What signs them; readable by the broker's user only.
    pub secret_file: Option<PathBuf>,
}
