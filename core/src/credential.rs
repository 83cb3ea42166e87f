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

    /// Keeps it to be shown to its own cloud, and to nobody else.
    #[must_use]
    pub fn kept(self) -> Shown {
        let fields = self.fields.into_iter();
        Shown::new(fields.map(|(name, value)| (name.to_owned(), value)))
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

/// A credential that is shown to its cloud once more, by whoever holds it, to learn whether it is
/// accepted. It cannot be printed, cloned or serialised either. Dropping it wipes it.
pub struct Shown(BTreeMap<String, Zeroizing<String>>);

impl Shown {
    /// Takes the secret parts of a credential, by name.
    pub fn new(fields: impl IntoIterator<Item = (String, Zeroizing<String>)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// One part, for a call to the cloud that handed it out.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
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
        let again = Credential::new(
            "aws-session",
            [("secret", "CANARY".to_owned())],
            Timestamp::default(),
        );
        let shown = again.kept();
        assert!(!format!("{shown:?}").contains("CANARY"));
        assert_eq!(shown.field("secret"), Some("CANARY"));
        let fields = credential.reveal_to_job();
        // The control: the search above would have found it.
        assert!(fields.values().any(|value| value.contains("CANARY")));
    }
}
