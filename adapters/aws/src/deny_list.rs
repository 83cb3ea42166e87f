//! The list of ended sessions: one inline policy on a role, which denies everything to whatever
//! carries the lease tag of a session that has ended.
//!
//! IAM has no compare-and-swap: a policy is replaced as a whole by whoever writes last, and a
//! write that was given up on may still land. So a list is never changed by two hands, nor under
//! a name that an unanswered write might still take: the name carries the hand's epoch and a
//! stamp of its own. A write that lands late can only bring back a list of Denies, under a name
//! that is older than the one in use; the next pass removes it.

use std::collections::BTreeSet;

use jitney_core::adapter::Epoch;
use jitney_core::handle::{HANDLE_LENGTH, Handle};
use jitney_core::id::InstallationName;
use percent_encoding::percent_decode_str;

use crate::limits::POLICY_NAME_LENGTH_MAX;
use crate::policy_document::{Document, Effect, Statement};

/// The session tag that carries a lease's handle.
pub(crate) const LEASE_TAG: &str = "jitney:lease";
/// The condition key under which AWS shows that tag when it judges a request. Never
/// `aws:PrincipalArn`: that is the role, and would end every session of it.
const LEASE_KEY: &str = "aws:PrincipalTag/jitney:lease";
const OPERATOR: &str = "StringEquals";

/// The characters a list has without an entry, and those an entry adds: its quotes and its comma.
pub(crate) const EMPTY_CHARACTERS: u32 = 150;
pub(crate) const ENTRY_CHARACTERS: u32 = HANDLE_LENGTH as u32 + 3;

/// The handles that are denied.
pub(crate) type Handles = BTreeSet<Handle>;

/// The list as IAM takes it. Sorted, so that the same list is always the same text.
pub(crate) fn document(handles: &Handles) -> Result<String, serde_json::Error> {
    let values = handles
        .iter()
        .map(Handle::as_str)
        .collect::<crate::policy_document::OneOrMany>();
    let deny = Statement::deny("*", "*").when(OPERATOR, LEASE_KEY, values);
    Document::new(vec![deny]).compact()
}

/// The handles that a policy denies, read from IAM's answer, which is percent-encoded. Nothing
/// when it is not exactly a list as we write it: a condition more, or one action less, and it
/// does not end what it names.
pub(crate) fn parse(answer: &str) -> Option<Handles> {
    let text = percent_decode_str(answer).decode_utf8().ok()?;
    let document: Document = serde_json::from_str(&text).ok()?;
    let is_current = document.is_current();
    let [statement] = <[Statement; 1]>::try_from(document.statement).ok()?;
    let values = statement.condition.get(OPERATOR)?.get(LEASE_KEY)?;
    let handles: Handles = values
        .0
        .iter()
        .map(|value| Handle::try_from(value.clone()).ok())
        .collect::<Option<_>>()?;
    let expected = Statement::deny("*", "*").when(OPERATOR, LEASE_KEY, values.clone());
    let is_ours = is_current && statement.effect == Effect::Deny && statement == expected;
    is_ours.then_some(handles)
}

/// The name of one list: `jitney-deny-e<epoch>-<stamp>-<installation>`. Ordered by epoch, then by
/// stamp; the digits are padded, so that a person's eye sorts them the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListName {
    pub(crate) epoch: Epoch,
    /// Greater than that of every earlier list of this epoch.
    pub(crate) stamp: u64,
}

const NAME_START: &str = "jitney-deny-e";
const DIGITS: usize = 20;

impl ListName {
    /// As IAM knows it.
    pub(crate) fn of(self, installation: &InstallationName) -> String {
        const {
            let longest =
                NAME_START.len() + DIGITS + 1 + DIGITS + 1 + jitney_core::id::NAME_LENGTH_MAX;
            assert!(longest <= POLICY_NAME_LENGTH_MAX);
        }
        let (Epoch(epoch), stamp) = (self.epoch, self.stamp);
        format!("{NAME_START}{epoch:0DIGITS$}-{stamp:0DIGITS$}-{installation}")
    }

    /// Reads a policy's name. Nothing when it is not the name of a list of this installation:
    /// another installation's list is as foreign as any other policy.
    pub(crate) fn read(name: &str, installation: &InstallationName) -> Option<Self> {
        let rest = name.strip_prefix(NAME_START)?;
        let (epoch, rest) = rest.split_once('-')?;
        let (stamp, owner) = rest.split_once('-')?;
        let number = |digits: &str| {
            let is_number = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let name = Self {
            epoch: Epoch(number(epoch)?),
            stamp: number(stamp)?,
        };
        (owner == installation.as_str()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn handle(number: u64) -> Handle {
        Handle::try_from(format!("{number:019}")).unwrap()
    }

    fn handles(numbers: impl IntoIterator<Item = u64>) -> Handles {
        numbers.into_iter().map(handle).collect()
    }

    fn answered(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn the_list_takes_as_many_characters_as_the_plan_counts() {
        for count in [0_u64, 1, 2, 200] {
            let length = document(&handles(0..count)).unwrap().len();
            let counted = u64::from(EMPTY_CHARACTERS) + count * u64::from(ENTRY_CHARACTERS);
            assert!(
                u64::try_from(length).unwrap() <= counted,
                "{length} > {counted}"
            );
        }
        let two_hundred = document(&handles(0..200)).unwrap().len();
        assert_eq!(
            two_hundred + 1,
            usize::try_from(EMPTY_CHARACTERS + 200 * ENTRY_CHARACTERS).unwrap()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(numbers in prop::collection::btree_set(0_u64..1_000, 1..40)) {
            let list = handles(numbers);
            let text = document(&list).unwrap();
            prop_assert_eq!(parse(&answered(&text)), Some(list.clone()));
            prop_assert_eq!(parse(&text), Some(list));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_list_that_was_weakened_denies_nothing_as_far_as_we_know() {
        let text = document(&handles([1, 2])).unwrap();
        assert!(parse(&text).is_some());
        for (right, weakened) in [
            ("\"Effect\":\"Deny\"", "\"Effect\":\"Allow\""),
            ("\"Action\":\"*\"", "\"Action\":\"s3:*\""),
            ("\"Action\":\"*\"", "\"NotAction\":\"*\""),
            ("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:s3:::a\""),
            ("\"Resource\":\"*\"", "\"NotResource\":\"*\""),
            ("\"StringEquals\"", "\"StringNotEquals\""),
            (
                "\"StringEquals\"",
                "\"Bool\":{\"aws:SecureTransport\":\"false\"},\"StringEquals\"",
            ),
            (
                ":{\"aws:PrincipalTag/jitney:lease\"",
                ":{\"aws:userid\":\"x\",\"aws:PrincipalTag/jitney:lease\"",
            ),
            ("aws:PrincipalTag/jitney:lease", "aws:PrincipalTag/other"),
            ("2012-10-17", "2008-10-17"),
            ("0000000000000000001", "0000000000000000001*"),
            (
                "\"Statement\":[",
                "\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"},",
            ),
        ] {
            let weak = text.replacen(right, weakened, 1);
            assert_ne!(weak, text, "{right}");
            assert_eq!(parse(&weak), None, "{weak}");
        }
    }

    #[test]
    fn a_name_is_read_only_by_its_own_installation() {
        let acme: InstallationName = "acme".parse().unwrap();
        let name = ListName {
            epoch: Epoch(42),
            stamp: 7,
        };
        let text = name.of(&acme);
        assert_eq!(
            text,
            "jitney-deny-e00000000000000000042-00000000000000000007-acme"
        );
        assert_eq!(ListName::read(&text, &acme), Some(name));
        for other in ["acme-2", "ac", "evil-acme"] {
            assert_eq!(
                ListName::read(&text, &other.parse().unwrap()),
                None,
                "{other}"
            );
        }
        for foreign in [
            "",
            "deploy",
            "jitney-deny-e42-7-acme",
            "jitney-deny-e0000000000000000004x-00000000000000000007-acme",
            "jitney-deny-e00000000000000000042-00000000000000000007-acme-2",
            "jitney-deny-e99999999999999999999-00000000000000000007-acme",
            "my-jitney-deny-e00000000000000000042-00000000000000000007-acme",
        ] {
            assert_eq!(ListName::read(foreign, &acme), None, "{foreign}");
        }
    }

    #[test]
    fn later_hands_and_later_lists_come_after() {
        let name = |epoch, stamp| ListName {
            epoch: Epoch(epoch),
            stamp,
        };
        assert!(name(2, 0) > name(1, 9));
        assert!(name(1, 2) > name(1, 1));
        let acme: InstallationName = "acme".parse().unwrap();
        assert!(name(10, 0).of(&acme) > name(9, 0).of(&acme));
    }
}
