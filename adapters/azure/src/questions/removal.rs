//! What PIM answers to a removal, and what becomes of the role: asked once the lease is ending, and
//! so of nothing that is not to go anyway.

use core::time::Duration;

use jitney_core::books::Recorded;
use jitney_core::lease::Revoking;
use jitney_core::question::{Answer, Finding};
use jitney_core::time::Timestamp;

use super::{PIM_DELETE, PIM_FLOOR, STILL_EXISTS};
use crate::adapter::AzureAdapter;
use crate::arm::{NoAnswer, Refusal};
use crate::classify::described;
use crate::giving::at;
use crate::limits::FLOOR_SECONDS;
use crate::removing::Removal;
use crate::resources::RBAC_VERSION;
use crate::standing::Standing;
use crate::terms::Terms;

/// From one question to PIM to the next.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How often a deletion is tried that is not answered clearly.
const DELETIONS_MAX: u32 = 3;
const FLOOR: Duration = Duration::from_secs(FLOOR_SECONDS);

/// How the removal of a rehearsal's first role goes. Times count from the moment at which the role
/// began to stand, by Azure's clock.
#[derive(Debug, Default)]
pub(super) struct Removing {
    since: Option<Timestamp>,
    /// When PIM was last asked, by a clock that nobody sets.
    asked: Option<Duration>,
    /// The last time that PIM did not see the assignment.
    unseen: Option<Duration>,
    /// The first time that PIM said that it is too young.
    too_young: Option<Duration>,
    /// When PIM took the removal, or Azure the deletion.
    taken: Option<Duration>,
    /// When neither list had it any more.
    gone: Option<Duration>,
    deletions: u32,
    deletion: Option<Finding>,
    trouble: Option<String>,
}

impl Removing {
    /// Notes since when the role stands, before anybody takes it away.
    pub(super) async fn notice(&mut self, adapter: &AzureAdapter, terms: &Terms) {
        if let Some(standing) = self.standing(adapter, terms).await {
            self.began(adapter, &standing);
        }
    }

    /// Asks for the removal of what still stands, and notes what comes of it.
    pub(super) async fn look(
        &mut self,
        adapter: &AzureAdapter,
        lease: &Recorded<Revoking>,
        terms: &Terms,
    ) {
        let passed = adapter.watch.passed();
        let is_due = self.asked.is_none_or(|asked| passed >= asked + ASK_EVERY);
        if self.gone.is_some() || !is_due {
            return;
        }
        self.asked = Some(passed);
        // No pass of our own over the slot comes in between.
        let calm = adapter.calms.of(&lease.terms().plan.lane);
        let _calm = calm.lock().await;
        let Some(standing) = self.standing(adapter, terms).await else {
            return;
        };
        self.began(adapter, &standing);
        // What was taken on is waited for, as any lease waits for it.
        if self.taken.is_some() || self.too_young.is_some() && self.deletion.is_some() {
            return;
        }
        let (handle, mark) = (&lease.terms().handle, lease.mark());
        let removal = adapter
            .ask_pim(terms.object_id, &standing, handle, mark)
            .await;
        let age = self.age(adapter);
        match removal {
            Removal::Accepted => self.taken = age,
            Removal::NotVisible => self.unseen = age,
            Removal::Failed(fault) => self.trouble = Some(fault.logged),
            Removal::Floor { .. } => {
                self.too_young = self.too_young.or(age);
                self.delete(adapter, &standing).await;
            }
        }
        if self.taken.is_some() {
            // Whether the lists still have it.
            self.standing(adapter, terms).await;
        }
    }

    fn began(&mut self, adapter: &AzureAdapter, standing: &Standing) {
        let since = standing.active.and_then(|active| active.since);
        // Where Azure does not say since when, it is since when it was seen.
        let seen = || Some(adapter.watch.now());
        self.since = self.since.or(since).or_else(seen);
    }

    fn age(&self, adapter: &AzureAdapter) -> Option<Duration> {
        Some(adapter.watch.now().since(self.since?))
    }

    /// The lease's first role, as long as anything lists it. Of what was there and is not, the time
    /// is noted.
    async fn standing(&mut self, adapter: &AzureAdapter, terms: &Terms) -> Option<Standing> {
        let seen = match adapter.standing(terms).await {
            Ok(seen) => seen,
            Err(error) => {
                self.trouble = Some(described(&error));
                return None;
            }
        };
        let grant = terms.grants.first()?;
        let its = |it: &Standing| (it.role, &it.scope) == (grant.role, &grant.scope);
        let standing = seen.standing.into_iter().find(its);
        if standing.is_none() {
            self.gone = self.gone.or(self.age(adapter));
        }
        standing
    }

    /// Deletes the role assignment behind PIM's, which PIM did not remove: its identity is this
    /// lease's slot, and the lease is ending.
    async fn delete(&mut self, adapter: &AzureAdapter, standing: &Standing) {
        let id = standing.assignment.as_deref();
        let Some(id) = id.filter(|id| id.starts_with('/')) else {
            let why = "PIM's list names no role assignment behind its own";
            self.deletion = Some(Finding::unanswered(why));
            return;
        };
        self.deletions += 1;
        let deleted = adapter.clients.taking.delete(at(id, RBAC_VERSION)).await;
        match deleted {
            Ok(()) => {
                self.taken = self.age(adapter);
                let seen = format!(
                    "Azure took the deletion {} after it began",
                    told(self.taken)
                );
                self.deletion = Some(Finding::of(Answer::Yes, seen));
            }
            Err(error) => match no(&error) {
                Some(finding) => self.deletion = Some(finding),
                None if self.deletions < DELETIONS_MAX => {}
                None => self.deletion = Some(Finding::unanswered(described(&error))),
            },
        }
    }

    pub(super) fn finding(&self, id: &str) -> Option<Finding> {
        match id {
            PIM_FLOOR => self.floor(),
            PIM_DELETE => self.deletion(),
            STILL_EXISTS => self.still_exists(),
            _ => None,
        }
    }

    fn floor(&self) -> Option<Finding> {
        let unseen = self.unseen.map_or_else(String::new, |unseen| {
            format!("PIM did not see it {} after it began; ", told(Some(unseen)))
        });
        let gone = self.gone.map_or_else(String::new, |gone| {
            format!("; it was gone after {}", told(Some(gone)))
        });
        if self.too_young.is_some() {
            let refused = told(self.too_young);
            let seen = format!("{unseen}the removal was refused after {refused}{gone}");
            return Some(Finding::of(Answer::Yes, seen));
        }
        // Whoever took it: it is gone.
        let ended = self.taken.or(self.gone);
        match ended {
            Some(after) if after < FLOOR => {
                let after = told(Some(after));
                let seen = format!("{unseen}the removal was taken after {after}{gone}");
                Some(Finding::of(Answer::No, seen))
            }
            Some(after) => Some(Finding::unanswered(format!(
                "the role had stood for {} when its removal was taken: the five minutes were over",
                told(Some(after))
            ))),
            None => self.trouble.clone().map(Finding::unanswered),
        }
    }

    fn deletion(&self) -> Option<Finding> {
        if self.too_young.is_none() {
            let why = "it is tried only when PIM has refused to remove what is too young";
            return self.floor().map(|_| Finding::unanswered(why));
        }
        let finding = self.deletion.clone()?;
        let left = match (&finding.answer, self.gone) {
            (Answer::Yes, Some(gone)) => format!(
                "; neither list has it {} after it began. The times of this rehearsal are those \
                 of the deletion, and other leases wait for the five minutes",
                told(Some(gone))
            ),
            (Answer::Yes, None) => "; PIM goes on listing it, so it counts as there".to_owned(),
            (Answer::No | Answer::Measured(_) | Answer::Unanswered { .. }, _) => String::new(),
        };
        let seen = format!("{}{left}", finding.seen);
        Some(Finding { seen, ..finding })
    }

    fn still_exists(&self) -> Option<Finding> {
        let (taken, gone) = (self.taken?, self.gone?);
        let why = "only a request that gives would be answered that it exists, and none is made \
                   for a lease that ends";
        let seen = format!(
            "neither list told it {} after its removal was taken",
            told(Some(gone.saturating_sub(taken)))
        );
        Some(Finding {
            seen,
            ..Finding::unanswered(why)
        })
    }
}

/// A clear no of Azure's. What may pass, and what the revoker itself is not let do, is none.
fn no(error: &NoAnswer) -> Option<Finding> {
    match error {
        NoAnswer::Refused(Refusal { status, .. })
            if matches!(status, 400..=499)
                && ![401, 408, 429].contains(status)
                && !error.is("AuthorizationFailed") =>
        {
            Some(Finding::of(Answer::No, described(error)))
        }
        NoAnswer::Refused(_)
        | NoAnswer::Lost(_)
        | NoAnswer::NeverSent(_)
        | NoAnswer::NoCredentials(_) => None,
    }
}

fn told(after: Option<Duration>) -> String {
    after.map_or_else(
        || "an unknown time".to_owned(),
        |after| format!("{} s", after.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn answer(removing: &Removing, id: &str) -> &'static str {
        removing.finding(id).map_or("none", |it| it.answer.as_str())
    }

    #[test]
    fn only_what_was_refused_or_taken_in_time_tells_of_a_floor() {
        let removing = Removing::default();
        assert_eq!(answer(&removing, PIM_FLOOR), "none");
        for (too_young, taken, gone, expected) in [
            (seconds(12), None, None, "yes"),
            (seconds(12), seconds(303), seconds(303), "yes"),
            (None, seconds(12), None, "no"),
            // Another broker was faster.
            (None, None, seconds(40), "no"),
            (None, seconds(300), seconds(300), "unanswered"),
            (None, None, seconds(301), "unanswered"),
        ] {
            let removing = Removing {
                too_young,
                taken,
                gone,
                ..Removing::default()
            };
            assert_eq!(answer(&removing, PIM_FLOOR), expected, "{removing:?}");
        }
    }

    #[test]
    fn a_deletion_is_told_of_with_what_pim_still_lists() {
        let removing = |gone| Removing {
            too_young: seconds(12),
            taken: seconds(13),
            gone,
            deletion: Some(Finding::of(Answer::Yes, "taken")),
            ..Removing::default()
        };
        let told = |gone| removing(gone).finding(PIM_DELETE).unwrap().seen;
        assert!(told(seconds(14)).contains("neither list has it"));
        assert!(told(None).contains("goes on listing it"));
        // Nothing was refused, so nothing was deleted.
        let untried = Removing {
            taken: seconds(13),
            ..Removing::default()
        };
        assert_eq!(answer(&untried, PIM_DELETE), "unanswered");
    }

    #[test]
    fn what_may_pass_is_no_answer() {
        let refused = |status, code: &str| {
            no(&NoAnswer::Refused(Refusal {
                status,
                code: Some(code.to_owned()),
                ..Refusal::default()
            }))
        };
        assert!(refused(400, "RoleAssignmentManagedByPim").is_some());
        assert!(refused(403, "Forbidden").is_some());
        for (status, code) in [
            (403, "AuthorizationFailed"),
            (429, "SubscriptionRequestsThrottled"),
            (401, "ExpiredAuthenticationToken"),
            (503, "ServiceUnavailable"),
        ] {
            assert!(refused(status, code).is_none(), "{status} {code}");
        }
        assert!(no(&NoAnswer::Lost("cut".to_owned())).is_none());
    }
}
