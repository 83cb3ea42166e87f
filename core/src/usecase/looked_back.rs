//! Looking back: before a process mints on a target, it has looked there for traces of a later
//! ledger than its own.
//!
//! A ledger that was restored has forgotten leases, and nothing in it tells so. The clouds do; but
//! who mints before having looked gives, in the meantime, a slot that a forgotten lease is on, or
//! prolongs a lease that has ended. So a target is shut to this process until it was looked at
//! once, and for as long as it cannot be.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;

use super::Core;
use crate::id::TargetName;
use crate::refusal::Refusal;

/// The cause of a refusal before a target was looked at.
pub const NOT_LOOKED_BACK: &str = "not_looked_back";
/// When it may be worth asking again while a target is being looked at.
const LOOKS_WITHIN: Duration = Duration::from_secs(1);
/// When it may be worth asking again about a target that could not be looked at.
const LOOKS_AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// At which targets this process has looked back, and how that went.
#[derive(Debug, Default)]
pub struct LookedBack(Mutex<BTreeMap<TargetName, Result<(), Refusal>>>);

impl LookedBack {
    /// As if it had been looked back at these targets: for worlds in which no ledger can have gone
    /// back in time.
    #[must_use]
    pub fn at<'a>(targets: impl IntoIterator<Item = &'a TargetName>) -> Self {
        let seen = targets.into_iter().map(|target| (target.clone(), Ok(())));
        Self(Mutex::new(seen.collect()))
    }

    /// Whether anything may be minted on a target, as far as this process has looked.
    ///
    /// # Errors
    /// `try_again` until it has, or why it could not.
    pub(super) fn permits(&self, target: &TargetName) -> Result<(), Refusal> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(target).cloned().unwrap_or_else(|| {
            let told = "the broker has just begun and is still looking at what this target bears";
            let refusal = Refusal {
                cause: Some(NOT_LOOKED_BACK),
                ..Refusal::new("try_again", told)
            };
            Err(refusal
                .logged(format!("target `{target}` was not looked back at yet"))
                .retry(LOOKS_WITHIN))
        })
    }

    /// Remembers a look. One that came through is not undone by a later one that does not.
    fn note(&self, target: &TargetName, look: &Result<(), Refusal>) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(looks.get(target), Some(Ok(()))) {
            looks.insert(target.clone(), look.clone());
        }
    }
}

impl Core {
    /// Looks through every target for what only a later ledger than this one can have written, and
    /// halts where it finds such. Gives the targets that could not be looked through.
    pub async fn look_back(&self) -> Vec<(TargetName, Refusal)> {
        let looks = self.adapters.keys().map(async |target| {
            let look = self.look_back_at(target).await;
            look.err().map(|refusal| (target.clone(), refusal))
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Looks back at one target, and lets it be minted on from then on.
    ///
    /// # Errors
    /// When it cannot be looked through, or a halt cannot be written down. Until a look comes
    /// through, whoever asks for a lease there is told so.
    pub async fn look_back_at(&self, target: &TargetName) -> Result<(), Refusal> {
        let look = self.later_ledgers_at(target).await;
        let look = look.map_err(|refusal| refusal.retry(LOOKS_AGAIN_WITHIN));
        self.looked_back.note(target, &look);
        look
    }

    async fn later_ledgers_at(&self, target: &TargetName) -> Result<(), Refusal> {
        for stamped in self.all_stamped(target).await? {
            let is_foreign = stamped.held.is_grant() && !self.proves(&stamped);
            if !is_foreign && self.is_later(stamped.mark).await? {
                self.halt_for(&stamped).await?;
            }
        }
        Ok(())
    }
}
