//! What of a policy is enforced, which is not what is written: a grant and its removal each take their time.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::document::{Condition, Document};
use crate::lagged::Lagged;

/// How long after a write its effects come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delays {
    pub(crate) grant: SignedDuration,
    pub(crate) revoke: SignedDuration,
    /// How long reads still show what was there before.
    pub(crate) read: SignedDuration,
}

/// One role in one member's hands, while it counts.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) role: String,
    pub(crate) member: String,
    pub(crate) condition: Option<Condition>,
    from: Timestamp,
    /// Set by the write that removed it.
    until: Option<Timestamp>,
}

impl Held {
    fn is_same(&self, other: &Held) -> bool {
        self.role == other.role && self.member == other.member && self.condition == other.condition
    }

    /// Whether it counts now.
    pub(crate) fn is_enforced(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// Whether it counts now, will do so, or may do so again.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The policy of one resource: what is written, what is shown, and what is enforced.
#[derive(Clone, Debug)]
pub(crate) struct PolicyState {
    document: Lagged<Document>,
    held: Vec<Held>,
}

impl PolicyState {
    /// A policy that was always there.
    pub(crate) fn settled(document: Document) -> PolicyState {
        PolicyState {
            held: held(&document, Timestamp::MIN),
            document: Lagged::settled(document),
        }
    }

    /// What the next write is compared with.
    pub(crate) fn written(&self) -> &Document {
        self.document.written()
    }

    /// What a read shows.
    pub(crate) fn shown(&self, now: Timestamp) -> &Document {
        self.document
            .enforced(now)
            .unwrap_or_else(|| self.document.written())
    }

    /// Replaces the policy.
    pub(crate) fn write(&mut self, document: Document, now: Timestamp, delays: Delays) {
        let later = |delay| now.saturating_add(delay).unwrap_or(Timestamp::MAX);
        self.held.retain(|held| !held.is_gone(now));
        let next = held(&document, later(delays.grant));
        for held in &mut self.held {
            if held.until.is_none() && !next.iter().any(|next| next.is_same(held)) {
                held.until = Some(later(delays.revoke));
            }
        }
        for next in next {
            let standing = |held: &Held| held.until.is_none() && held.is_same(&next);
            if !self.held.iter().any(standing) {
                self.held.push(next);
            }
        }
        self.document.write(now, later(delays.read), document);
    }

    /// Everything that is written or still counts.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }
}

fn held(document: &Document, from: Timestamp) -> Vec<Held> {
    let bindings = document.bindings().iter();
    bindings
        .flat_map(|binding| {
            let members: &BTreeSet<String> = &binding.members;
            members.iter().map(|member| Held {
                role: binding.role.clone(),
                member: member.clone(),
                condition: binding.condition.clone(),
                from,
                until: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;
    use crate::gcp::policy::Binding;

    fn with(members: &[&str]) -> Document {
        let binding = Binding {
            role: "roles/viewer".to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            condition: None,
        };
        Document::new(vec![binding], Vec::new(), members.join("+"))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delays() -> Delays {
        Delays {
            grant: SignedDuration::from_secs(10),
            revoke: SignedDuration::from_secs(60),
            read: SignedDuration::from_secs(5),
        }
    }

    fn enforced(policy: &PolicyState, second: i64) -> Vec<&str> {
        let held = policy
            .held()
            .iter()
            .filter(|held| held.is_enforced(at(second)));
        held.map(|held| held.member.as_str()).collect()
    }

    #[test]
    fn a_grant_comes_late_and_a_removal_later() {
        let mut policy = PolicyState::settled(with(&["a"]));
        policy.write(with(&["b"]), at(100), delays());
        assert_eq!(enforced(&policy, 100), ["a"]);
        assert_eq!(enforced(&policy, 110), ["a", "b"]);
        assert_eq!(enforced(&policy, 159), ["a", "b"]);
        assert_eq!(enforced(&policy, 160), ["b"]);
    }

    #[test]
    fn what_is_shown_lags_behind_what_is_compared() {
        let mut policy = PolicyState::settled(with(&["a"]));
        policy.write(with(&["b"]), at(100), delays());
        assert_eq!(policy.written().etag, "b");
        assert_eq!(policy.shown(at(104)).etag, "a");
        assert_eq!(policy.shown(at(105)).etag, "b");
    }

    #[test]
    fn a_binding_put_back_while_its_removal_is_on_its_way_does_not_stay_away() {
        let mut policy = PolicyState::settled(with(&["a"]));
        policy.write(with(&["b"]), at(100), delays());
        policy.write(with(&["a", "b"]), at(120), delays());
        assert_eq!(enforced(&policy, 129), ["a", "b"]);
        // The old holding ends at 160; the new one counts since 130.
        assert!(enforced(&policy, 160).contains(&"a"));
    }

    #[test]
    fn a_grant_removed_before_it_counted_may_still_come() {
        let mut policy = PolicyState::settled(with(&["a"]));
        policy.write(with(&["a", "b"]), at(100), delays());
        policy.write(with(&["a"]), at(101), delays());
        assert_eq!(enforced(&policy, 109), ["a"]);
        assert_eq!(
            enforced(&policy, 111),
            ["a", "b"],
            "the pessimistic reading"
        );
        assert_eq!(enforced(&policy, 161), ["a"]);
    }
}
