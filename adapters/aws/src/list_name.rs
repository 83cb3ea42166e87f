//! Under which names a role's lists of ended sessions stand.
//!
//! IAM has no compare-and-swap: a policy is replaced as a whole by whoever writes last, and a
//! write that was given up on may still land. So a list is never changed by two hands, nor under
//! a name that an unanswered write might still take: the name carries the hand's epoch and a
//! stamp of its own. A write that lands late can only bring back a list of Denies, under a name
//! that is older than the one in use; the next pass removes it.

use jitney_core::adapter::Epoch;
use jitney_core::id::InstallationName;

use crate::limits::POLICY_NAME_LENGTH_MAX;

/// The name of one list: `jitney-deny-e<epoch>-<stamp>-<installation>`. Ordered by epoch, then by
/// stamp; the digits are padded, so that a person's eye sorts them the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListName {
    /// The hand that writes it.
    pub epoch: Epoch,
    /// Greater than that of every earlier list of this epoch.
    pub stamp: u64,
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
    #![allow(clippy::unwrap_used)]
    use super::*;

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
