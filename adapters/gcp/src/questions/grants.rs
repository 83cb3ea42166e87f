//! How a grant of Privileged Access Manager goes: what it says of itself, and what the policy says.
//! Only reads; it is the lease's own end that revokes it.

use jitney_core::fault::Fault;
use jitney_core::question::{Answer, Finding};

use super::PAM_REVOKED;
use crate::adapter::GcpAdapter;
use crate::connect::Purpose;
use crate::slot::{Freshness, Slot as _};
use crate::terms::Terms;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Going {
    /// It was seen to stand in both.
    stood: bool,
    found: Option<Finding>,
}

/// One look: at the grants, at the policy, and at the grants again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    open_before: bool,
    bound: bool,
    open_after: bool,
}

impl Going {
    pub(super) async fn look(&mut self, adapter: &GcpAdapter, plan: &Terms) {
        if self.found.is_some() || plan.way.entitlements().next().is_none() {
            return;
        }
        // What cannot be read is read again.
        if let Ok(look) = adapter.look_at_its_grants(plan).await {
            self.see(look);
        }
    }

    fn see(&mut self, look: Look) {
        self.found = match look {
            // It had said that it is over, and is there afterwards.
            Look {
                open_before: false,
                bound: true,
                ..
            } if self.stood => Some(Finding::of(
                Answer::Yes,
                "it said that it is over, and the policy still named the account",
            )),
            // It was gone, and afterwards it did not yet say so.
            Look {
                bound: false,
                open_after: true,
                ..
            } if self.stood => Some(Finding::of(
                Answer::No,
                "the policy named the account no more, and it did not yet say that it is over",
            )),
            Look {
                bound: false,
                open_after: false,
                ..
            } if self.stood => Some(Finding::unanswered(
                "both came between two looks: whichever was first was not seen",
            )),
            Look { .. } => None,
        };
        self.stood |= look.open_before && look.bound;
    }

    pub(super) fn finding(&self, id: &str) -> Option<Finding> {
        self.found.clone().filter(|_| id == PAM_REVOKED)
    }
}

impl GcpAdapter {
    async fn look_at_its_grants(&self, plan: &Terms) -> Result<Look, Fault> {
        let slot = self.slot(&plan.account, Purpose::Takes);
        let open_before = self.has_open_grant(plan).await?;
        let bound = slot.bound_to(Freshness::Now).await?.is_some();
        let open_after = self.has_open_grant(plan).await?;
        Ok(Look {
            open_before,
            bound,
            open_after,
        })
    }

    async fn has_open_grant(&self, plan: &Terms) -> Result<bool, Fault> {
        let slot = self.slot(&plan.account, Purpose::Takes);
        for name in plan.way.entitlements() {
            if !slot.open_grants(name).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &[(bool, bool, bool)]) -> &'static str {
        let mut going = Going::default();
        for &(open_before, bound, open_after) in looks {
            if going.found.is_none() {
                going.see(Look {
                    open_before,
                    bound,
                    open_after,
                });
            }
        }
        going
            .finding(PAM_REVOKED)
            .map_or("none", |found| found.answer.as_str())
    }

    #[test]
    fn only_what_was_seen_one_without_the_other_is_an_answer() {
        let (stands, over) = ((true, true, true), (false, false, false));
        assert_eq!(after(&[stands, stands]), "none");
        assert_eq!(after(&[stands, (false, true, false), over]), "yes");
        assert_eq!(after(&[stands, (true, false, true), over]), "no");
        assert_eq!(after(&[stands, over]), "unanswered");
        // It was over by the time the policy had been read.
        assert_eq!(after(&[stands, (true, false, false)]), "unanswered");
        // Over only afterwards, and so not before the binding was seen.
        assert_eq!(after(&[stands, (true, true, false), over]), "unanswered");
        assert_eq!(after(&[(false, true, false)]), "none");
    }
}
