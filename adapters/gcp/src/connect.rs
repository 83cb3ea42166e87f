//! As whom Jitney calls Google. Nothing is taken from the environment but credentials, and those
//! only from the sources the configuration names.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use google_cloud_auth::build_errors;
use google_cloud_auth::credentials::service_account::AccessSpecifier;
use google_cloud_auth::credentials::{
    AccessTokenCredentials, Builder, external_account, impersonated, service_account, user_account,
};
use jitney_core::quota::Errand;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::{CredentialSource, GcpTarget};

/// What the broker's own token is for. Its roles decide what it may.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The longest token that is read from a file, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a call is for, and so which of two identities makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Gives,
    Takes,
}

impl Purpose {
    /// What it is for, to a quota.
    pub(crate) const fn errand(self) -> Errand {
        match self {
            Self::Gives => Errand::Other,
            Self::Takes => Errand::TakesBack,
        }
    }
}

/// As whom Jitney gives, and as whom it takes back: two identities, where the operator wants that a
/// stolen one can do only half.
#[derive(Debug, Clone)]
pub struct Identities {
    /// Gives.
    pub granter: Identity,
    /// Takes back, and looks after what was given; absent where it is the granter too.
    pub revoker: Option<Identity>,
}

impl Identities {
    /// The identities that a target's configuration names. Makes no call; must be made in a runtime.
    ///
    /// # Errors
    /// When a file cannot be used, or Google's library finds nothing to use.
    pub fn of(target: &GcpTarget) -> Result<Self, NoIdentity> {
        let revoker = target.revoker_credentials.as_ref();
        Ok(Self {
            granter: Identity::from_source(&target.credentials)?,
            revoker: revoker.map(Identity::from_source).transpose()?,
        })
    }
}

impl From<Identity> for Identities {
    /// One for both.
    fn from(granter: Identity) -> Self {
        Self {
            granter,
            revoker: None,
        }
    }
}

/// An identity with which Jitney calls Google.
#[derive(Clone)]
pub struct Identity(Source);

#[derive(Clone)]
enum Source {
    Google(AccessTokenCredentials),
    File(PathBuf),
    Fixed(Arc<Zeroizing<String>>),
}

/// Why there is no such identity.
#[derive(Debug, thiserror::Error)]
pub enum NoIdentity {
    /// The file cannot be read as JSON.
    #[error("`{}` cannot be read as credentials: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Google's library does not take them.
    #[error("Google's library finds no credentials: {0}")]
    Library(#[from] build_errors::Error),
}

impl Identity {
    fn from_source(source: &CredentialSource) -> Result<Self, NoIdentity> {
        match source {
            CredentialSource::Ambient => {
                let found = Builder::default().with_scopes([SCOPE]);
                Ok(Self(Source::Google(
                    found.build_access_token_credentials()?,
                )))
            }
            CredentialSource::File { path } => Ok(Self(Source::Google(from_file(path)?))),
            CredentialSource::TokenFile { path } => Ok(Self(Source::File(path.clone()))),
        }
    }

    /// An access token that somebody else answers for.
    #[must_use]
    pub fn token(token: String) -> Self {
        Self(Source::Fixed(Arc::new(Zeroizing::new(token))))
    }

    /// A token to send. The error is for the log.
    pub(crate) async fn bearer(&self) -> Result<Zeroizing<String>, String> {
        match &self.0 {
            Source::Google(credentials) => {
                let token = credentials.access_token().await;
                let token = token.map_err(|error| error.to_string())?;
                Ok(Zeroizing::new(token.token))
            }
            Source::File(path) => {
                let told = |why: &dyn fmt::Display| format!("`{}`: {why}", path.display());
                let text = tokio::fs::read_to_string(path).await;
                let text = Zeroizing::new(text.map_err(|error| told(&error))?);
                match text.trim() {
                    "" => Err(told(&"it is empty")),
                    token if token.len() > TOKEN_BYTES_MAX => Err(told(&"it is no token")),
                    token => Ok(Zeroizing::new(token.to_owned())),
                }
            }
            Source::Fixed(token) => Ok(Zeroizing::new(token.to_string())),
        }
    }
}

impl fmt::Debug for Identity {
    /// Never shows a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Credentials of one of the kinds that Google's own tools write.
fn from_file(path: &Path) -> Result<AccessTokenCredentials, NoIdentity> {
    let wrong = |why: String| NoIdentity::File {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let json: Value =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("no JSON: {error}")))?;
    let kind = json.get("type").and_then(Value::as_str).unwrap_or("-");
    let kind = kind.to_owned();
    let built = match kind.as_str() {
        "external_account" => external_account::Builder::new(json)
            .with_scopes([SCOPE])
            .build_access_token_credentials(),
        "service_account" => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes([SCOPE]))
            .build_access_token_credentials(),
        "impersonated_service_account" => impersonated::Builder::new(json)
            .with_scopes([SCOPE])
            .build_access_token_credentials(),
        "authorized_user" => user_account::Builder::new(json)
            .with_scopes([SCOPE])
            .build_access_token_credentials(),
        other => {
            let seen: String = other
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect();
            return Err(wrong(format!(
                "its `type` is `{seen}`: expected `external_account`, `service_account`, \
                 `impersonated_service_account` or `authorized_user`"
            )));
        }
    };
    Ok(built?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_token_is_read_afresh_and_never_shown() {
        let path = std::env::temp_dir().join(format!("jitney-gcp-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, " CANARY-1\n").unwrap();
        let identity = Identity(Source::File(path.clone()));
        assert_eq!(identity.bearer().await.unwrap().as_str(), "CANARY-1");
        std::fs::write(&path, "CANARY-2").unwrap();
        assert_eq!(identity.bearer().await.unwrap().as_str(), "CANARY-2");
        for bad in ["", " \n", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            std::fs::write(&path, bad).unwrap();
            let error = identity.bearer().await.unwrap_err();
            assert!(!error.contains("xxxx"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(identity.bearer().await.is_err());
        let fixed = Identity::token("CANARY".to_owned());
        assert_eq!(fixed.bearer().await.unwrap().as_str(), "CANARY");
        assert!(!format!("{fixed:?}{identity:?}").contains("CANARY"));
    }

    #[tokio::test]
    async fn a_file_of_another_kind_is_refused_without_being_told() {
        let path = std::env::temp_dir().join(format!("jitney-gcp-{}", uuid::Uuid::new_v4()));
        for bad in ["CANARY", "{\"type\":\"gdch\",\"key\":\"CANARY\"}", "{}"] {
            std::fs::write(&path, bad).unwrap();
            let error = from_file(&path).unwrap_err().to_string();
            assert!(!error.contains("CANARY"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(from_file(&path).is_err());
    }
}
