//! The timeline of an active assignment, on the clock.
//!
//! ```text
//! Free ─assign─► Waiting ─its time─► Active ────────────────remove──────────────► (Leaving ─►) Tail ─► Free
//!      └────────────────────────────►  │ Hidden: "does not exist", though the list has it       "exists"
//!                                      │ TooYoung: "the active duration is too short"
//!                                      │ Removable
//!                                      └─its end─► Free
//! ```

use jiff::Timestamp;
use uuid::Uuid;

use crate::azure::book::later;
use crate::azure::conditions::Condition;
use crate::azure::estate::PrincipalType;
use crate::azure::settings::Settings;
use crate::azure::world::seconds;

/// What was assigned, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Changes each time the assignment is touched.
    pub(super) id: Uuid,
    /// The request that touched it last.
    pub(super) request: Uuid,
    /// The role assignment behind it, which also names its instance.
    pub(super) assignment: Uuid,
    pub(super) principal_type: PrincipalType,
    pub(super) condition: Option<Condition>,
    /// Whoever asked for it.
    pub(super) requestor: Uuid,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) begins: Timestamp,
    /// Never, when it is permanent.
    pub(super) ends: Option<Timestamp>,
}

/// What is stored about a tuple.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Granted, and its time has not come.
    Waiting {
        schedule: Schedule,
        until: Timestamp,
    },
    Active(Schedule),
    /// Its removal was accepted and is not done.
    Leaving {
        schedule: Schedule,
        removal: Uuid,
        until: Timestamp,
    },
    /// It was removed, and nothing holds its place but the tail.
    Gone {
        since: Timestamp,
    },
}

/// What a request about a tuple meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    Waiting,
    Hidden,
    TooYoung,
    Removable,
    Leaving,
    Tail,
}

/// What has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Begin { at: Timestamp },
    Expire { at: Timestamp },
    Leave { at: Timestamp },
}

impl Stage {
    pub(super) fn phase(&self, settings: &Settings, now: Timestamp) -> Phase {
        match self {
            Stage::Waiting { .. } => Phase::Waiting,
            Stage::Leaving { .. } => Phase::Leaving,
            Stage::Active(schedule) => {
                let after = |delay| later(schedule.begins, seconds(delay));
                if now < after(settings.pim_hidden_seconds) {
                    Phase::Hidden
                } else if now < after(settings.pim_floor_seconds) {
                    Phase::TooYoung
                } else {
                    Phase::Removable
                }
            }
            Stage::Gone { since } if now < later(*since, seconds(settings.pim_tail_seconds)) => {
                Phase::Tail
            }
            Stage::Gone { .. } => Phase::Free,
        }
    }

    /// The next thing that the clock does to it, if that is due.
    pub(super) fn due(&self, now: Timestamp) -> Option<Turn> {
        match self {
            Stage::Waiting { until, .. } if *until <= now => Some(Turn::Begin { at: *until }),
            Stage::Active(Schedule { ends: Some(at), .. }) if *at <= now => {
                Some(Turn::Expire { at: *at })
            }
            Stage::Leaving {
                schedule, until, ..
            } => {
                // Whichever comes first.
                let ends = schedule.ends.filter(|ends| ends <= until);
                let turn = ends.map_or(Turn::Leave { at: *until }, |at| Turn::Expire { at });
                (ends.unwrap_or(*until) <= now).then_some(turn)
            }
            _ => None,
        }
    }

    pub(super) fn schedule(&self) -> Option<&Schedule> {
        match self {
            Stage::Waiting { schedule, .. }
            | Stage::Active(schedule)
            | Stage::Leaving { schedule, .. } => Some(schedule),
            Stage::Gone { .. } => None,
        }
    }

    pub(super) fn schedule_mut(&mut self) -> Option<&mut Schedule> {
        match self {
            Stage::Waiting { schedule, .. }
            | Stage::Active(schedule)
            | Stage::Leaving { schedule, .. } => Some(schedule),
            Stage::Gone { .. } => None,
        }
    }

    /// What instances list: what is active now, also while its removal is under way.
    pub(super) fn instance(&self) -> Option<&Schedule> {
        match self {
            Stage::Active(schedule) | Stage::Leaving { schedule, .. } => Some(schedule),
            Stage::Waiting { .. } | Stage::Gone { .. } => None,
        }
    }
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

    fn schedule(begins: i64, ends: Option<i64>) -> Schedule {
        Schedule {
            id: Uuid::nil(),
            request: Uuid::nil(),
            assignment: Uuid::nil(),
            principal_type: PrincipalType::ServicePrincipal,
            condition: None,
            requestor: Uuid::nil(),
            created: at(begins),
            updated: at(begins),
            begins: at(begins),
            ends: ends.map(at),
        }
    }

    #[test]
    fn a_young_assignment_is_hidden_then_too_young_then_removable() {
        let settings = Settings::default();
        let stage = Stage::Active(schedule(1_000, Some(9_000)));
        for (second, phase) in [
            (1_000, Phase::Hidden),
            (1_059, Phase::Hidden),
            (1_060, Phase::TooYoung),
            (1_299, Phase::TooYoung),
            (1_300, Phase::Removable),
        ] {
            assert_eq!(stage.phase(&settings, at(second)), phase, "{second}");
        }
    }

    #[test]
    fn the_tail_of_a_removal_is_over_after_its_time() {
        let settings = Settings::default();
        let stage = Stage::Gone { since: at(2_000) };
        assert_eq!(stage.phase(&settings, at(2_119)), Phase::Tail);
        assert_eq!(stage.phase(&settings, at(2_120)), Phase::Free);
    }

    #[test]
    fn the_clock_begins_and_ends_it() {
        let waiting = Stage::Waiting {
            schedule: schedule(1_100, Some(2_000)),
            until: at(1_100),
        };
        assert_eq!(waiting.due(at(1_099)), None);
        assert_eq!(waiting.due(at(1_100)), Some(Turn::Begin { at: at(1_100) }));
        let active = Stage::Active(schedule(1_100, Some(2_000)));
        assert_eq!(active.due(at(1_999)), None);
        assert_eq!(active.due(at(2_500)), Some(Turn::Expire { at: at(2_000) }));
        assert_eq!(
            Stage::Active(schedule(1_100, None)).due(Timestamp::MAX),
            None
        );
    }

    #[test]
    fn an_end_that_comes_before_the_removal_is_the_end() {
        let leaving = |until| Stage::Leaving {
            schedule: schedule(1_000, Some(2_000)),
            removal: Uuid::nil(),
            until: at(until),
        };
        assert_eq!(
            leaving(1_900).due(at(2_500)),
            Some(Turn::Leave { at: at(1_900) })
        );
        assert_eq!(
            leaving(2_100).due(at(2_500)),
            Some(Turn::Expire { at: at(2_000) })
        );
        assert_eq!(leaving(1_900).due(at(1_899)), None);
    }
}
