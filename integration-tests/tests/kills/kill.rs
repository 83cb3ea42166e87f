//! Kills, and what they were worth.

use std::fmt;

use jiff::Timestamp;
use jitney_integration_tests::kills::role_of;
use jitney_sandbox::{Entry, UnderWay};

/// One kill.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// The lane of a job's wrapper; nothing when it was the broker.
    pub lane: Option<usize>,
    /// When the process was started.
    pub started: Timestamp,
    /// The moment.
    pub at: Timestamp,
}

impl Kill {
    /// Whether a call to the cloud was under way, by the cloud's own journal: one that the killed
    /// process had made, or, of a wrapper, the one that was to give what it waited for.
    pub fn was_in_flight(&self, journal: &[Entry]) -> bool {
        let is_theirs = |call: &Entry| {
            self.lane
                .is_none_or(|lane| is_mint(lane, &call.action, &call.resource))
        };
        journal.iter().any(|call| {
            (self.started..=self.at).contains(&call.arrived)
                && self.at <= call.answered.max(call.finished)
                && is_theirs(call)
        })
    }
}

/// Whether a call gives the job in a lane its session.
pub fn gives(lane: usize, call: &UnderWay) -> bool {
    is_mint(lane, &call.action, &call.resource)
}

fn is_mint(lane: usize, action: &str, resource: &str) -> bool {
    action == "AssumeRole" && resource.ends_with(&role_of(lane))
}

/// What a world, or several, saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Kills of brokers, and how many of them came while a call was in flight.
    pub brokers: (usize, usize),
    /// The same of wrappers.
    pub wrappers: (usize, usize),
    /// Leases that were intended.
    pub leases: usize,
    /// Sessions that the cloud gave out.
    pub sessions: usize,
    /// How often a session was seen to work while its lease had not ended.
    pub alive: usize,
}

impl Tally {
    pub fn of(kills: &[Kill], journal: &[Entry]) -> Self {
        let count = |is_broker: bool| {
            let kills = kills.iter().filter(|kill| kill.lane.is_none() == is_broker);
            let in_flight = kills.clone().filter(|kill| kill.was_in_flight(journal));
            (kills.clone().count(), in_flight.count())
        };
        Self {
            brokers: count(true),
            wrappers: count(false),
            ..Self::default()
        }
    }

    pub fn kills(&self) -> usize {
        self.brokers.0 + self.wrappers.0
    }

    pub fn add(&mut self, other: &Self) {
        self.brokers.0 += other.brokers.0;
        self.brokers.1 += other.brokers.1;
        self.wrappers.0 += other.wrappers.0;
        self.wrappers.1 += other.wrappers.1;
        self.leases += other.leases;
        self.sessions += other.sessions;
        self.alive += other.alive;
    }

    /// A run in which nothing was under way proves nothing.
    pub fn must_be_worth_it(&self) {
        let in_flight = self.brokers.1 + self.wrappers.1;
        assert!(2 * in_flight >= self.kills(), "too few in flight: {self}");
        let least = self.kills() / 5;
        assert!(
            self.brokers.0 >= least && self.wrappers.0 >= least,
            "{self}"
        );
        assert!(self.alive > 0, "no probe ever said yes: {self}");
        assert!(
            4 * self.sessions >= self.kills(),
            "hardly anything was given: {self}"
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((brokers, in_brokers), (wrappers, in_wrappers)) = (self.brokers, self.wrappers);
        write!(
            f,
            "{brokers} kills of brokers ({in_brokers} with a call in flight), {wrappers} of \
             wrappers ({in_wrappers}); {} leases, {} sessions, {} seen at work",
            self.leases, self.sessions, self.alive
        )
    }
}
