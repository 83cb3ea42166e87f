//! Credentials on the wire: written once by the broker, read once by the client, kept by neither
//! on a disk. No type here can be cloned, and `Debug` shows an allow-list.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The kind `aws-session`: temporary credentials of an AWS role session.
pub mod aws_session {
    /// The value of [`kind`](super::CredentialView::kind).
    pub const KIND: &str = "aws-session";
    /// A secret field.
    pub const ACCESS_KEY_ID: &str = "access_key_id";
    /// A secret field.
    pub const SECRET_ACCESS_KEY: &str = "secret_access_key";
    /// A secret field.
    pub const SESSION_TOKEN: &str = "session_token";
    /// A setting: the region the job should talk to.
    pub const REGION: &str = "region";
    /// A setting: the account of the session.
    pub const ACCOUNT_ID: &str = "account_id";
}

/// The kind `azure-token`: access tokens of a slot, each for one audience of Azure's.
pub mod azure_token {
    /// The value of [`kind`](super::CredentialView::kind).
    pub const KIND: &str = "azure-token";
    /// A secret field: the token for what the lease is about. That is Azure Resource Manager, unless
    /// the next field holds the same.
    pub const ACCESS_TOKEN: &str = "access_token";
    /// A secret field, where the lease is about the data of storage accounts: the token for those.
    pub const STORAGE_ACCESS_TOKEN: &str = "storage_access_token";
    /// A setting: the tenant of the slot.
    pub const TENANT_ID: &str = "tenant_id";
    /// A setting: the application of the slot.
    pub const CLIENT_ID: &str = "client_id";
    /// A setting: the subscription the job should work in.
    pub const SUBSCRIPTION_ID: &str = "subscription_id";
}

/// The kind `azure-assertion`: a short token of the broker's, which the job's own tools exchange for
/// access tokens of a slot.
pub mod azure_assertion {
    /// The value of [`kind`](super::CredentialView::kind).
    pub const KIND: &str = "azure-assertion";
    /// A secret field.
    pub const ASSERTION: &str = "assertion";
    /// A setting, as are those of [`azure_token`](super::azure_token): where it is exchanged.
    pub const AUTHORITY_HOST: &str = "authority_host";
}

/// The kind `gcp-token`: an access token of a service account.
pub mod gcp_token {
    /// The value of [`kind`](super::CredentialView::kind).
    pub const KIND: &str = "gcp-token";
    /// A secret field.
    pub const ACCESS_TOKEN: &str = "access_token";
    /// A setting: the project the job should work in.
    pub const PROJECT_ID: &str = "project_id";
    /// A setting: the account's e-mail address.
    pub const SERVICE_ACCOUNT: &str = "service_account";
}

/// A secret text. Wiped when dropped; `Debug` does not show it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret itself, for whoever must pass it on.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// What a cloud handed out for one lease.
#[derive(Serialize, Deserialize)]
pub struct CredentialView {
    /// The lease it belongs to.
    pub lease: String,
    /// The protocol it belongs to, e.g. [`aws_session::KIND`].
    pub kind: String,
    /// When the cloud says that it stops working by itself.
    pub expires_at: String,
    /// The secret parts, by name.
    pub fields: BTreeMap<String, Secret>,
    /// Hints that are not secret, e.g. a region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl fmt::Debug for CredentialView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialView")
            .field("lease", &self.lease)
            .field("kind", &self.kind)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CANARY: &str = "canary-7c0e";

    #[test]
    fn debug_never_shows_a_field() {
        let text = format!(
            r#"{{"lease":"lease_1","kind":"aws-session","expires_at":"2026-11-23T00:00:00Z",
                 "fields":{{"secret_access_key":"{CANARY}"}},"settings":{{"region":"eu-west-1"}}}}"#
        );
        let view: CredentialView = serde_json::from_str(&text).unwrap();
        assert!(!format!("{view:?}").contains(CANARY));
        assert!(!format!("{:?}", view.fields).contains(CANARY));
        // The control: it is there, and the wire carries it.
        assert!(serde_json::to_string(&view).unwrap().contains(CANARY));
        let secret = view.fields.get(aws_session::SECRET_ACCESS_KEY).unwrap();
        assert_eq!(secret.reveal(), CANARY);
    }

    #[test]
    fn a_malformed_credential_is_refused_without_being_repeated() {
        let text =
            format!(r#"{{"lease":"l","kind":"k","expires_at":"e","fields":{{"a":["{CANARY}"]}}}}"#);
        let refusal = serde_json::from_str::<CredentialView>(&text).unwrap_err();
        assert!(!refusal.to_string().contains(CANARY));
    }
}
