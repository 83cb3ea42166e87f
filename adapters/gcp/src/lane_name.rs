//! What a lane is called: by what its account carries, and by the account.

use jitney_core::id::TargetName;
use jitney_core::plan::LaneId;

use crate::names::AccountEmail;

/// What the account of a lane carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// One lease at a time. It is disabled between them, and while it rests.
    One,
    /// Many leases, each by bindings of its own.
    Many,
    /// Many leases, each narrowed by an access boundary.
    Bounded,
}

impl Carries {
    const ALL: [Self; 3] = [Self::One, Self::Many, Self::Bounded];

    /// The part of a lane's name before the account's.
    const fn prefix(self) -> &'static str {
        match self {
            Self::One => "account/",
            Self::Many => "shared/",
            Self::Bounded => "boundary/",
        }
    }
}

/// The lane of an account.
pub(crate) fn lane(target: &TargetName, carries: Carries, account: &AccountEmail) -> LaneId {
    LaneId {
        target: target.clone(),
        name: format!("{}{account}", carries.prefix()),
    }
}

/// The account of a lane, and what it carries. It need not be one that is configured: what was
/// lent before is taken back all the same.
pub(crate) fn of_lane(lane: &LaneId) -> Option<(Carries, AccountEmail)> {
    Carries::ALL.into_iter().find_map(|carries| {
        let email = lane.name.strip_prefix(carries.prefix())?;
        Some((carries, email.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lane_is_that_of_one_account() {
        let target: TargetName = "acme-gcp".parse().unwrap();
        let account: AccountEmail = "jitney-001@acme-pool.iam.gserviceaccount.com"
            .parse()
            .unwrap();
        for carries in Carries::ALL {
            let name = lane(&target, carries, &account);
            assert_eq!(of_lane(&name), Some((carries, account.clone())));
        }
        for bad in ["role/deploy", "account/", "account/x", "other/x", ""] {
            let target = target.clone();
            let name = bad.to_owned();
            assert_eq!(of_lane(&LaneId { target, name }), None, "{bad}");
        }
    }
}
