//! A credential on its way from the cloud to the job. It is never stored, and it cannot be
//! printed, cloned or serialised by accident: the type has none of those traits.

use core::fmt;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::time::Timestamp;

/// What a cloud handed out. Dropping it wipes it.
pub struct Credential {
    kind: &'static str,
    fields: BTreeMap<&'static str, Zeroizing<String>>,
    settings: BTreeMap<&'static str, String>,
    expires_at: Timestamp,
}

impl Credential {
    /// Wraps what the cloud answered. `kind` names its protocol, e.g. `aws-session`; `expires_at`
    /// is the cloud's own word, never what was asked for.
    #[must_use]
    pub fn new(
        kind: &'static str,
        fields: impl IntoIterator<Item = (&'static str, String)>,
        expires_at: Timestamp,
    ) -> Self {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name, Zeroizing::new(value)))
            .collect();
        Self {
            kind,
            fields,
            settings: BTreeMap::new(),
            expires_at,
        }
    }

    /// Adds what a job's tools need beside the secret, and what anybody may read: a region.
    #[must_use]
    pub fn with_settings(
        mut self,
        settings: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        self.settings.extend(settings);
        self
    }

    /// What is not secret about it.
    #[must_use]
    pub const fn settings(&self) -> &BTreeMap<&'static str, String> {
        &self.settings
    }

    /// The protocol it belongs to.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// When the cloud says that it stops working by itself.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Gives the secret up, to be handed to the job that was granted it. The caller answers for
    /// it from here on: nothing else in core calls this.
    #[must_use]
    pub fn reveal_to_job(self) -> BTreeMap<&'static str, Zeroizing<String>> {
        self.fields
    }
}

impl fmt::Debug for Credential {
    /// Shows what may be known of it, by an allow-list: never a field's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("kind", &self.kind)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A successful elevation.
#[derive(Debug)]
pub struct Elevation {
    /// What the job gets.
    pub credential: Credential,
    /// A public name of the credential for the audit: on AWS the access key id.
    pub fingerprint: String,
    /// The provider's id of the request, when it gave one.
    pub provider_request: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_secret() {
        let credential = Credential::new(
            "aws-session",
            [("secret", "CANARY".to_owned())],
            Timestamp::default(),
        );
        assert!(!format!("{credential:?}").contains("CANARY"));
        let fields = credential.reveal_to_job();
        // The control: the search above would have found it.
        assert!(fields.values().any(|value| value.contains("CANARY")));
    }
}
