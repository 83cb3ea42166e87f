//! Probes: does the cloud accept this credential for this scope right now?
//!
//! # Contract
//!
//! - A probe changes nothing in the cloud, whatever it is answered.
//! - It asks with the credential itself. What the broker's own identity reads of policies is no
//!   answer: a change is read back long before it is in force.
//! - What is neither clearly accepted nor clearly refused is [`Unknown`](Probed::Unknown). Where no
//!   harmless call tells the two apart, the probe says so and never guesses.

use core::time::Duration;

use async_trait::async_trait;

use crate::catalogue::Wanted;
use crate::credential::Shown;
use crate::lease::Terms;
use crate::plan::Plan;

/// What a cloud says of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It does what the scope says.
    Accepted,
    /// It does not.
    Refused,
    /// The cloud gave no clear answer this time.
    Unknown {
        /// What was seen instead.
        why: String,
    },
    /// No harmless call can tell.
    CannotTell {
        /// Why not.
        why: String,
    },
}

impl Probed {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown { .. } => "unknown",
            Self::CannotTell { .. } => "cannot-tell",
        }
    }

    /// Why there is no clear answer, when there is none.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Accepted | Self::Refused => None,
            Self::Unknown { why } | Self::CannotTell { why } => Some(why),
        }
    }

    /// What several scopes of one credential come to. One that cannot be told about hides nothing
    /// of the others, and speaks only when it is alone; two that disagree are no clear answer.
    #[must_use]
    pub fn of_all(probes: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Option<Self> = None;
        for next in probes {
            all = Some(match (all, next) {
                (None | Some(Self::CannotTell { .. }), next) => next,
                (Some(before), Self::CannotTell { .. }) => before,
                (Some(Self::Accepted), Self::Accepted) => Self::Accepted,
                (Some(Self::Refused), Self::Refused) => Self::Refused,
                (Some(Self::Accepted), Self::Refused) | (Some(Self::Refused), Self::Accepted) => {
                    Self::Unknown {
                        why: "one scope is accepted and another is refused".to_owned(),
                    }
                }
                (Some(unknown @ Self::Unknown { .. }), _)
                | (Some(_), unknown @ Self::Unknown { .. }) => unknown,
            });
        }
        all.unwrap_or_else(|| Self::CannotTell {
            why: "nothing is asked for".to_owned(),
        })
    }
}

/// What a cloud says of how soon a grant is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// The longest it takes. Zero where a credential works from the moment it is handed out.
    pub within: Duration,
    /// The provider's word on it, to end a sentence with: `Google says up to 7 minutes`.
    pub says: &'static str,
}

/// Asks a cloud about a credential.
#[async_trait]
pub trait Probe: Send + Sync {
    /// How soon what a plan grants is in force.
    fn in_force(&self, plan: &Plan) -> InForce;

    /// Whether the cloud accepts `shown`, a credential of this lease, for one of its scopes.
    async fn probe(&self, lease: &Terms, wanted: &Wanted, shown: &Shown) -> Probed;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_scopes_come_to_one_answer_and_never_to_a_guess() {
        let unknown = || Probed::Unknown {
            why: "503".to_owned(),
        };
        let cannot = || Probed::CannotTell {
            why: "no call".to_owned(),
        };
        let (yes, no) = (|| Probed::Accepted, || Probed::Refused);
        assert_eq!(Probed::of_all([yes(), yes()]), Probed::Accepted);
        assert_eq!(Probed::of_all([no(), cannot(), no()]), Probed::Refused);
        assert_eq!(Probed::of_all([cannot(), yes()]), Probed::Accepted);
        assert_eq!(Probed::of_all([cannot(), cannot()]), cannot());
        for mixed in [
            [yes(), no()],
            [no(), yes()],
            [yes(), unknown()],
            [unknown(), no()],
        ] {
            assert_eq!(Probed::of_all(mixed).as_str(), "unknown");
        }
        assert_eq!(Probed::of_all([unknown(), no(), no()]), unknown());
        assert_eq!(Probed::of_all([]).as_str(), "cannot-tell");
    }
}
