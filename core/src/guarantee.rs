//! What an adapter can promise for one plan. The README's table of clouds is generated from these
//! values, so that it cannot flatter.

use serde::{Deserialize, Serialize};

/// How a lease ends once it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Recall {
    /// Whatever was handed out stops working within this time.
    Severs {
        /// Seconds from the end of the lease until nothing works any more.
        within_seconds: u32,
    },
    /// Something goes on working until it ends by itself.
    Lapses {
        /// Seconds from the end of the lease until the last thing has ended by itself.
        within_seconds: u32,
    },
}

impl Recall {
    /// The time from the end of the lease to the end of what it gave.
    #[must_use]
    pub const fn within(self) -> core::time::Duration {
        let (Self::Severs { within_seconds } | Self::Lapses { within_seconds }) = self;
        core::time::Duration::from_secs(within_seconds as u64)
    }

    /// The weaker of two promises: lapsing is weaker than severing, later weaker than sooner.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        match (self, other) {
            (Self::Severs { within_seconds: a }, Self::Severs { within_seconds: b }) => {
                Self::Severs {
                    within_seconds: a.max(b),
                }
            }
            (
                Self::Lapses { within_seconds: a },
                Self::Lapses { within_seconds: b } | Self::Severs { within_seconds: b },
            )
            | (Self::Severs { within_seconds: a }, Self::Lapses { within_seconds: b }) => {
                Self::Lapses {
                    within_seconds: a.max(b),
                }
            }
        }
    }
}

/// What an adapter promises for one plan: the weakest of mode, target and capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarantees {
    /// The shortest lease that makes sense, in seconds.
    pub ttl_seconds_min: u32,
    /// The longest lease, in seconds.
    pub ttl_seconds_max: u32,
    /// How the end comes.
    pub recall: Recall,
    /// Whether the cloud ends the grant by itself if Jitney never comes back.
    pub ends_by_itself: bool,
    /// Why the promise is no stronger, one plain sentence each.
    pub because: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lapsing_is_weaker_than_severing_and_later_weaker_than_sooner() {
        let severs = |within_seconds| Recall::Severs { within_seconds };
        let lapses = |within_seconds| Recall::Lapses { within_seconds };
        assert_eq!(severs(5).weaker(severs(9)), severs(9));
        assert_eq!(severs(9).weaker(lapses(5)), lapses(9));
        assert_eq!(lapses(5).weaker(severs(9)), lapses(9));
        assert_eq!(lapses(5).weaker(lapses(2)), lapses(5));
    }
}
