//! What a submission uses up, so that nobody can submit it twice.

use aws_lc_rs::digest;

use super::submit::Ask;
use crate::id::RequestId;
use crate::ledger::{OnceUse, Transaction};
use crate::principal::{OnceKey, Principal};
use crate::scope::Scope;

/// The two things that a submission uses up: the token, and the job's name for its wish.
pub(super) struct Uses {
    pub(super) token: OnceKey,
    pub(super) wish: OnceKey,
    pub(super) asked: String,
    pub(super) principal: Principal,
}

impl Uses {
    pub(super) fn of(ask: &Ask) -> Self {
        let job = ask.principal.job.key.as_str();
        let mut asked: Vec<String> = ask.scopes.iter().map(Scope::to_string).collect();
        asked.sort();
        asked.push(
            ask.ttl_seconds
                .map_or_else(String::new, |ttl| ttl.to_string()),
        );
        asked.push(ask.idempotency_key.clone());
        Self {
            token: ask.principal.token.once.clone(),
            wish: OnceKey(hash(&["idempotency key", job, &ask.idempotency_key])),
            asked: hash(&asked.iter().map(String::as_str).collect::<Vec<_>>()),
            principal: ask.principal.clone(),
        }
    }

    pub(super) fn transaction(&self, request: RequestId) -> Transaction {
        let remember_until = self.principal.token.remember_until;
        let use_of = |key: &OnceKey| OnceUse {
            key: key.clone(),
            bound_to: self.principal.key.clone(),
            asked: self.asked.clone(),
            request,
            remember_until,
        };
        Transaction {
            once: vec![use_of(&self.token), use_of(&self.wish)],
            ..Transaction::default()
        }
    }
}

/// A digest over parts, each with its length, so that no two lists of parts are alike.
fn hash(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    context
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
