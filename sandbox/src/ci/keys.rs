//! The issuer's RSA keys: one that signs, those that are published, and one that never was.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::token::MintError;
use crate::signing_key::SigningKey;

/// The keys as they are now. Cloned out of the lock, so that no signature is made under it.
#[derive(Clone)]
pub(super) struct KeyRing {
    current: Arc<SigningKey>,
    former: Vec<Arc<SigningKey>>,
    published: Vec<Arc<SigningKey>>,
    stranger: Arc<OnceLock<Option<SigningKey>>>,
}

impl KeyRing {
    pub(super) fn new() -> Option<Self> {
        let current = Arc::new(SigningKey::generate()?);
        let published = vec![Arc::clone(&current)];
        Some(Self {
            current,
            former: Vec::new(),
            published,
            stranger: Arc::default(),
        })
    }

    pub(super) fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The key that signed before the last rotation, published or not.
    pub(super) fn former(&self) -> Option<&SigningKey> {
        self.former.last().map(Arc::as_ref)
    }

    /// A key that this issuer never publishes, made when first asked for.
    pub(super) fn stranger(&self) -> Option<&SigningKey> {
        self.stranger.get_or_init(SigningKey::generate).as_ref()
    }

    pub(super) fn rotate(&mut self, keep_old: bool) -> Result<(), MintError> {
        let next = Arc::new(SigningKey::generate().ok_or(MintError::NoKey)?);
        self.former
            .push(std::mem::replace(&mut self.current, Arc::clone(&next)));
        if !keep_old {
            self.published.clear();
        }
        self.published.push(next);
        Ok(())
    }

    /// The published key set.
    pub(super) fn key_set(&self) -> Value {
        json!({ "keys": self.published.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
    }
}

/// 128 random bits as text, for ids and bearers.
pub(super) fn random_name() -> String {
    let mut bytes = [0_u8; 16];
    match rand::fill(&mut bytes) {
        Ok(()) => URL_SAFE_NO_PAD.encode(bytes),
        Err(_) => uuid::Uuid::new_v4().simple().to_string(),
    }
}
