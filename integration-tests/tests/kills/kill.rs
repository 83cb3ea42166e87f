//! Kills, and what they were worth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jitney_integration_tests::kills::{Vendor, Way, bucket_of, prefix_of, role_of};
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
    /// The clouds to which a call was under way, by their own journals: one that the killed process
    /// had made, or, of a wrapper, one by which its lane is given something.
    pub fn in_flight(&self, journal: &[(Vendor, Entry)]) -> BTreeSet<Vendor> {
        let is_theirs = |(vendor, call): &&(Vendor, Entry)| {
            self.lane
                .is_none_or(|lane| is_gift(lane, *vendor, &call.action, &call.resource))
        };
        let under_way = |(_, call): &&(Vendor, Entry)| {
            (self.started..=self.at).contains(&call.arrived)
                && self.at <= call.answered.max(call.finished)
        };
        let calls = journal.iter().filter(under_way).filter(is_theirs);
        calls.map(|(vendor, _)| *vendor).collect()
    }
}

/// Whether a call gives something to the job in a lane.
pub fn gives(lane: usize, (vendor, call): &(Vendor, UnderWay)) -> bool {
    is_gift(lane, *vendor, &call.action, &call.resource)
}

fn is_gift(lane: usize, vendor: Vendor, action: &str, resource: &str) -> bool {
    let way = Way::of(lane);
    way.vendor() == vendor
        && is_giving(action)
        && match way {
            Way::Session => resource.ends_with(&role_of(lane)),
            Way::Account | Way::Standing | Way::Bounded => resource.contains(&prefix_of(lane)),
            Way::Rbac | Way::Pim => resource.contains(&bucket_of(lane)),
        }
}

/// Whether a call is one by which a cloud gives. PIM is asked in the same way to take back.
pub fn is_giving(action: &str) -> bool {
    [
        "AssumeRole",
        "GenerateAccessToken",
        "RoleAssignments_Create",
        "RoleAssignmentScheduleRequests_Create",
    ]
    .contains(&action)
}

/// Of so many kills one at least meets a call to each cloud; and to so many kills each cloud has
/// given one credential.
const MEETS_ONE_IN: usize = 10;
const GIVES_ONE_IN: usize = 20;

/// What a world, or several, saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Kills of brokers, and how many of them came while a call was in flight.
    pub brokers: (usize, usize),
    /// The same of wrappers.
    pub wrappers: (usize, usize),
    /// In how many kills a call to each cloud was in flight.
    pub clouds: BTreeMap<Vendor, usize>,
    /// Leases that were intended.
    pub leases: usize,
    /// Credentials that each cloud gave out.
    pub credentials: BTreeMap<Vendor, usize>,
    /// How often one was seen to work while its lease had not ended.
    pub alive: usize,
    /// Clouds that had given something which the probes found when the cloud ended nothing.
    pub able_to_fail: BTreeSet<Vendor>,
}

impl Tally {
    pub fn of(kills: &[Kill], journal: &[(Vendor, Entry)]) -> Self {
        let mut tally = Self::default();
        for kill in kills {
            let clouds = kill.in_flight(journal);
            let who = match kill.lane {
                None => &mut tally.brokers,
                Some(_) => &mut tally.wrappers,
            };
            who.0 += 1;
            who.1 += usize::from(!clouds.is_empty());
            for cloud in clouds {
                *tally.clouds.entry(cloud).or_default() += 1;
            }
        }
        tally
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
        self.alive += other.alive;
        self.able_to_fail.extend(&other.able_to_fail);
        for cloud in Vendor::ALL {
            *self.clouds.entry(cloud).or_default() += other.clouds.get(&cloud).unwrap_or(&0);
            let given = other.credentials.get(&cloud).unwrap_or(&0);
            *self.credentials.entry(cloud).or_default() += given;
        }
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
        for cloud in Vendor::ALL {
            assert!(
                self.able_to_fail.contains(&cloud),
                "the probes were never seen to say yes about {cloud:?}: {self}"
            );
            let met = self.clouds.get(&cloud).unwrap_or(&0);
            assert!(
                MEETS_ONE_IN * met >= self.kills(),
                "too few calls to {cloud:?}: {self}"
            );
            let given = self.credentials.get(&cloud).unwrap_or(&0);
            assert!(
                GIVES_ONE_IN * given >= self.kills(),
                "hardly anything was given by {cloud:?}: {self}"
            );
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((brokers, in_brokers), (wrappers, in_wrappers)) = (self.brokers, self.wrappers);
        write!(
            f,
            "{brokers} kills of brokers ({in_brokers} with a call in flight), {wrappers} of \
             wrappers ({in_wrappers}), calls in flight to {:?}; {} leases, credentials of {:?}, {} \
             seen at work",
            self.clouds, self.leases, self.credentials, self.alive
        )
    }
}
