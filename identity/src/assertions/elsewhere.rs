//! Keys that lie in somebody else's keeping and do not leave it: what is to be signed is sent there.

use core::fmt;
use core::time::Duration;

use async_trait::async_trait;

use super::key::{AssertionKey, PublicKey};

/// A key in somebody else's keeping. Each call is over within a time of its keeper's own.
#[async_trait]
pub trait KeptKey: Send + Sync + fmt::Debug {
    /// What its keeper calls it, for people.
    fn name(&self) -> &str;

    /// What is published of it.
    ///
    /// # Errors
    /// When its keeper does not show it, or shows another kind of key.
    async fn public(&self) -> Result<PublicKey, KeyAway>;

    /// Signs a SHA-256 digest: RSA PKCS#1 v1.5. Whether the signature is good is not its to judge.
    ///
    /// # Errors
    /// When its keeper does not sign.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, KeyAway>;
}

/// Why a key in somebody else's keeping is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyAway {
    /// It may be in a while: its keeper is busy, away, or gave no clear answer.
    #[error("{why}")]
    ForNow {
        /// How long its keeper asks to wait.
        after: Option<Duration>,
        /// What its keeper said.
        why: String,
    },
    /// Somebody must change something first.
    #[error("{0}")]
    Refused(String),
}

/// A key of the issuer's, wherever it lies.
#[derive(Debug)]
pub enum IssuerKey {
    /// In this process.
    Here(AssertionKey),
    /// In somebody else's keeping.
    Kept(Box<dyn KeptKey>),
}

impl IssuerKey {
    /// By what two keys are told apart before either was read.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Here(key) => key.kid(),
            Self::Kept(key) => key.name(),
        }
    }

    pub(super) async fn public(&self) -> Result<PublicKey, KeyAway> {
        match self {
            Self::Here(key) => Ok(key.public().clone()),
            Self::Kept(key) => key.public().await,
        }
    }
}

impl From<AssertionKey> for IssuerKey {
    fn from(key: AssertionKey) -> Self {
        Self::Here(key)
    }
}
