//! Access tokens: opaque to their holders, known here by heart.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::boundary::Boundary;
use super::cloud::Cloud;
use super::errors::ApiError;
use super::identifiers::fingerprint;
use super::principals::{Principal, account_metadata};
use crate::call::Call;
use crate::shared::Shared;

/// The scope that covers every API.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The scope that covers reading, in the APIs that know it.
pub(crate) const CLOUD_PLATFORM_READ_ONLY: &str =
    "https://www.googleapis.com/auth/cloud-platform.read-only";

/// A token as the sandbox knows it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) principal: Principal,
    pub(crate) scopes: Vec<String>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) boundary: Option<Arc<Boundary>>,
    pub(crate) origin: Origin,
    pub(crate) fingerprint: String,
}

/// How a token came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Asked for by a test or a judge.
    Sandbox,
    /// The metadata server.
    Metadata,
    /// `generateAccessToken`.
    Impersonation,
    /// The token service, for a token of a workload identity provider.
    Federation,
    /// The token service, narrowed by a credential access boundary.
    Boundary,
}

/// A token that was given out. The token itself is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Sixteen hex digits of its SHA-256; the journal names callers' tokens in the same way.
    pub fingerprint: String,
    /// As a policy would name its holder.
    pub principal: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was given.
    #[serde(with = "crate::time_text")]
    pub issued: Timestamp,
    /// When it ends by itself.
    #[serde(with = "crate::time_text")]
    pub expires: Timestamp,
    /// How it came to be.
    pub origin: Origin,
}

impl Token {
    pub(crate) fn info(&self) -> TokenInfo {
        TokenInfo {
            fingerprint: self.fingerprint.clone(),
            principal: self.principal.member(),
            scopes: self.scopes.clone(),
            issued: self.issued,
            expires: self.expires,
            origin: self.origin,
        }
    }

    /// Whether one of these scopes is among the token's.
    pub(crate) fn has_scope(&self, any_of: &[&str]) -> bool {
        self.scopes
            .iter()
            .any(|scope| scope == CLOUD_PLATFORM || any_of.contains(&scope.as_str()))
    }
}

/// Every token that was given out, also those whose answer was lost.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_text: Shared<BTreeMap<String, Arc<Token>>>,
}

/// What a new token is to be.
pub(crate) struct Issue {
    pub(crate) principal: Principal,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Timestamp,
    pub(crate) boundary: Option<Arc<Boundary>>,
    pub(crate) origin: Origin,
}

impl Tokens {
    pub(crate) fn find(&self, text: &str) -> Option<Arc<Token>> {
        self.by_text.read().get(text).cloned()
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Token>> {
        let mut tokens: Vec<_> = self.by_text.read().values().cloned().collect();
        tokens.sort_by_key(|token| token.issued);
        tokens
    }

    pub(crate) fn clear(&self) {
        self.by_text.write().clear();
    }
}

impl Cloud {
    /// Gives out a token.
    pub(crate) fn issue(&self, issue: Issue) -> String {
        let text = self.identifiers.access_token();
        let token = Token {
            principal: issue.principal,
            scopes: issue.scopes,
            issued: self.clock.now(),
            expires: issue.expires,
            boundary: issue.boundary,
            origin: issue.origin,
            fingerprint: fingerprint(&text),
        };
        self.tokens
            .by_text
            .write()
            .insert(text.clone(), Arc::new(token));
        text
    }

    /// The token a call bears, if it counts: known, not expired, its account there and enabled. `None` when the call
    /// bears none.
    pub(crate) fn bearer(&self, call: &Call) -> Result<Option<Arc<Token>>, ApiError> {
        let Some(header) = call.header("authorization") else {
            return Ok(None);
        };
        let text = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, text)| text.trim())
            .ok_or_else(|| ApiError::unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED", json!({})))?;
        let token = self
            .tokens
            .find(text)
            .ok_or_else(|| ApiError::unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED", json!({})))?;
        self.check_alive(&token)?;
        Ok(Some(token))
    }

    /// A disabled account's tokens do not count while it is disabled. They are not gone: once it is enabled again,
    /// they count again.
    pub(crate) fn check_alive(&self, token: &Token) -> Result<(), ApiError> {
        let now = self.clock.now();
        if token.expires <= now {
            return Err(ApiError::unauthenticated("ACCESS_TOKEN_EXPIRED", json!({})));
        }
        let Principal::Account { unique_id, email } = &token.principal else {
            return Ok(());
        };
        let directory = self.directory.read();
        let account = directory
            .accounts
            .get(unique_id)
            .filter(|account| !account.deleted);
        let outlives = token.boundary.is_some() && self.settings.habits().narrowed_outlive_account;
        let stops_nothing = outlives || self.settings.ignores_disabling();
        let is_enabled = account.is_some_and(|account| stops_nothing || !account.is_disabled(now));
        if is_enabled {
            Ok(())
        } else {
            Err(ApiError::unauthenticated(
                "ACCOUNT_STATE_INVALID",
                account_metadata(email),
            ))
        }
    }
}
