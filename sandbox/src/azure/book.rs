//! The book of role assignments: every one there ever was, from when to when it was written and enforced.
//!
//! What was written is what a list shows. What is enforced follows after the lag, in both directions: a removed
//! role works on for a while, and a new one does not work at once. Nothing is ever taken out of the book, so that
//! an audit can ask what anybody could do at any time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::conditions::Condition;
use super::estate::PrincipalType;
use super::scope::Scope;

/// Who has which role where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) scope: Scope,
    pub(crate) role: Uuid,
    pub(crate) principal: Uuid,
}

/// Where an assignment came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was there from the start.
    Estate,
    /// A role assignment was put.
    Rbac,
    /// A schedule request was granted.
    Pim,
}

/// How an assignment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// A caller took it away.
    Removal,
    /// Its time was over.
    Expiry,
    /// A caller changed it; the next entry is what it became.
    Change,
}

#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    pub(crate) enforced_until: Timestamp,
    pub(crate) by: EndedBy,
}

/// One entry: a role assignment as it stood between two writes.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) name: Uuid,
    pub(crate) tuple: Tuple,
    pub(crate) principal_type: PrincipalType,
    pub(crate) description: Option<String>,
    /// Of whom it is, as whoever made it says. It decides nothing.
    pub(crate) delegated_identity: Option<String>,
    pub(crate) condition: Option<Condition>,
    pub(crate) origin: Origin,
    /// When the assignment was first made, and by whom; nobody made the estate's.
    pub(crate) created: Timestamp,
    pub(crate) created_by: Option<Uuid>,
    /// When this entry was written.
    pub(crate) written: Timestamp,
    pub(crate) enforced_from: Timestamp,
    pub(crate) end: Option<End>,
}

impl Grant {
    /// Whether a list shows it.
    pub(crate) fn is_listed(&self) -> bool {
        self.end.is_none()
    }

    /// Whether it gives rights at that moment.
    pub(crate) fn is_enforced(&self, at: Timestamp) -> bool {
        self.enforced_from <= at && self.end.as_ref().is_none_or(|end| at < end.enforced_until)
    }

    /// Whether it gives rights at that moment or at any later one, if nobody does anything.
    pub(crate) fn keeps_rights(&self, at: Timestamp) -> bool {
        self.end.as_ref().is_none_or(|end| at < end.enforced_until)
    }
}

/// One entry for other programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantInfo {
    /// The role assignment's name.
    pub name: Uuid,
    /// Where, as `/subscriptions/…`.
    pub scope: String,
    /// The role.
    pub role: Uuid,
    /// Whose.
    pub principal: Uuid,
    /// Where it came from.
    pub origin: Origin,
    /// Its condition.
    pub condition: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Who made it; nobody made what the estate has.
    pub created_by: Option<Uuid>,
    /// Since when a list shows it.
    #[serde(with = "crate::time_text")]
    pub listed_from: Timestamp,
    /// Since when it gives rights.
    #[serde(with = "crate::time_text")]
    pub enforced_from: Timestamp,
    /// How it ended, if it has.
    pub ended_by: Option<EndedBy>,
    /// Since when no list shows it.
    pub listed_until: Option<String>,
    /// Until when it gives rights.
    pub enforced_until: Option<String>,
}

impl From<&Grant> for GrantInfo {
    fn from(grant: &Grant) -> GrantInfo {
        let end = grant.end.as_ref();
        GrantInfo {
            name: grant.name,
            scope: grant.tuple.scope.to_string(),
            role: grant.tuple.role,
            principal: grant.tuple.principal,
            origin: grant.origin,
            condition: grant
                .condition
                .as_ref()
                .map(|condition| condition.text.clone()),
            description: grant.description.clone(),
            created_by: grant.created_by,
            listed_from: grant.written,
            enforced_from: grant.enforced_from,
            ended_by: end.map(|end| end.by),
            listed_until: end.map(|end| end.at.to_string()),
            enforced_until: end.map(|end| end.enforced_until.to_string()),
        }
    }
}

/// Every entry there ever was, by the order in which they were written.
#[derive(Debug, Default)]
pub(crate) struct Book {
    written: u64,
    /// What is listed, or still enforced.
    present: BTreeMap<u64, Grant>,
    /// What is neither: kept for audits alone, so that no call has to look through it.
    past: BTreeMap<u64, Grant>,
}

impl Book {
    pub(crate) fn write(&mut self, grant: Grant) {
        self.written += 1;
        self.present.insert(self.written, grant);
    }

    /// Ends the entry that bears this name. What never began to be enforced is enforced for a moment all the same:
    /// the cloud carries out both writes, one after the other.
    pub(crate) fn end(
        &mut self,
        name: Uuid,
        at: Timestamp,
        lag: SignedDuration,
        by: EndedBy,
    ) -> Option<&Grant> {
        let mut present = self.present.values_mut();
        let grant = present.find(|grant| grant.is_listed() && grant.name == name)?;
        grant.end = Some(End {
            at,
            enforced_until: later(at, lag),
            by,
        });
        Some(grant)
    }

    /// Puts away what gives no rights any more.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let over = self
            .present
            .extract_if(.., |_, grant| !grant.keeps_rights(now));
        self.past.extend(over);
    }

    pub(crate) fn listed(&self) -> impl Iterator<Item = &Grant> {
        self.present.values().filter(|grant| grant.is_listed())
    }

    pub(crate) fn named(&self, name: Uuid) -> Option<&Grant> {
        self.listed().find(|grant| grant.name == name)
    }

    pub(crate) fn of_tuple(&self, tuple: &Tuple) -> Option<&Grant> {
        self.listed().find(|grant| grant.tuple == *tuple)
    }

    /// What gives rights now; for another moment, ask [`Book::entries`].
    pub(crate) fn enforced(&self, now: Timestamp) -> impl Iterator<Item = &Grant> {
        self.present
            .values()
            .filter(move |grant| grant.is_enforced(now))
    }

    /// Oldest first.
    pub(crate) fn entries(&self) -> Vec<&Grant> {
        let mut all: Vec<(&u64, &Grant)> = self.past.iter().chain(&self.present).collect();
        all.sort_by_key(|(number, _)| **number);
        all.into_iter().map(|(_, grant)| grant).collect()
    }

    /// How many a subscription has, with its groups and resources.
    pub(crate) fn count_in(&self, subscription: Uuid) -> usize {
        let is_in = |grant: &&Grant| grant.tuple.scope.subscription_id() == Some(subscription);
        self.listed().filter(is_in).count()
    }
}

/// A moment after the lag.
pub(crate) fn later(at: Timestamp, lag: SignedDuration) -> Timestamp {
    at.saturating_add(lag).unwrap_or(Timestamp::MAX)
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn grant(name: u128) -> Grant {
        Grant {
            name: Uuid::from_u128(name),
            tuple: Tuple {
                scope: Scope::tenant(),
                role: Uuid::nil(),
                principal: Uuid::nil(),
            },
            principal_type: PrincipalType::ServicePrincipal,
            description: None,
            delegated_identity: None,
            condition: None,
            origin: Origin::Rbac,
            created: at(100),
            created_by: None,
            written: at(100),
            enforced_from: at(110),
            end: None,
        }
    }

    #[test]
    fn rights_come_late_and_go_late() {
        let mut book = Book::default();
        book.write(grant(1));
        let lag = SignedDuration::from_secs(10);
        assert!(
            book.named(Uuid::from_u128(1)).is_some(),
            "it is listed at once"
        );
        assert_eq!(book.enforced(at(109)).count(), 0);
        assert_eq!(book.enforced(at(110)).count(), 1);
        assert!(
            book.end(Uuid::from_u128(1), at(200), lag, EndedBy::Removal)
                .is_some()
        );
        assert!(
            book.named(Uuid::from_u128(1)).is_none(),
            "it is gone from the list at once"
        );
        assert_eq!(book.enforced(at(209)).count(), 1);
        assert_eq!(book.enforced(at(210)).count(), 0);
        assert!(book.entries()[0].keeps_rights(at(209)));
        assert!(!book.entries()[0].keeps_rights(at(210)));
    }

    #[test]
    fn the_book_forgets_nothing_and_ends_a_name_once() {
        let mut book = Book::default();
        let lag = SignedDuration::from_secs(10);
        book.write(grant(1));
        book.end(Uuid::from_u128(1), at(200), lag, EndedBy::Change);
        assert!(
            book.end(Uuid::from_u128(1), at(201), lag, EndedBy::Removal)
                .is_none()
        );
        book.write(grant(1));
        book.settle(at(209));
        assert_eq!(book.present.len(), 2, "one is still enforced");
        book.settle(at(210));
        assert_eq!(book.present.len(), 1);
        let ends: Vec<bool> = book
            .entries()
            .iter()
            .map(|grant| grant.end.is_some())
            .collect();
        assert_eq!(ends, [true, false], "oldest first");
    }
}
