//! The audit: the clouds' own books against the ledger.
//!
//! Each sandbox knows everything that it ever gave out, and decides by its own evaluator whether it
//! would still be let through. The ledger is what an operator sees of it. Nothing of what the
//! broker believes about a cloud is asked.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jitney_core::audit::{Entry, Event};

use super::given::given;
use super::job::held;
use super::{Bears, Cloud, Given, Installation, LeaseSeen, Ledger, What};

/// Where the books contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Promise 1: something was given of which the ledger knows nothing.
    Unrecorded {
        /// What the cloud knows it by.
        given: String,
        /// Whose it seems to be.
        bears: Bears,
    },
    /// Promise 1: something was given before its intent.
    RecordedAfterwards {
        /// The lease.
        lease: String,
        /// What the cloud knows it by.
        given: String,
    },
    /// A lease has more credentials than the ledger was told of mints.
    MintedTooOften {
        /// The lease.
        lease: String,
        /// How many credentials it has.
        credentials: usize,
        /// How many mints were recorded.
        recorded: usize,
    },
    /// Promise 2: the ledger says that the lease is over, and the cloud lets its credential through.
    EndedAndWorks {
        /// The lease.
        lease: String,
        /// What the cloud knows it by.
        given: String,
    },
    /// Promise 2: the ledger says that the lease is over, and its right stands.
    EndedAndStands {
        /// The lease.
        lease: String,
        /// What the cloud knows it by.
        given: String,
    },
    /// An identity was given to the next lease while something of the one before could be alive.
    SlotShared {
        /// The next lease.
        lease: String,
        /// The one before.
        before: String,
        /// The identity.
        slot: String,
    },
    /// A lease has not ended although all had the time to.
    LeftOpen {
        /// The lease.
        lease: String,
        /// Its state.
        state: String,
    },
    /// A job held a credential of which the log knows no grant.
    HeldUnrecorded {
        /// The request that the job was told.
        request: String,
        /// What the cloud knows it by.
        given: String,
    },
    /// The audit log does not verify.
    LogDoubted(String),
}

impl Violation {
    /// The lease it is about, if it is known.
    #[must_use]
    pub fn lease(&self) -> Option<&str> {
        match self {
            Self::RecordedAfterwards { lease, .. }
            | Self::MintedTooOften { lease, .. }
            | Self::EndedAndWorks { lease, .. }
            | Self::EndedAndStands { lease, .. }
            | Self::SlotShared { lease, .. }
            | Self::LeftOpen { lease, .. } => Some(lease),
            Self::Unrecorded { .. } | Self::HeldUnrecorded { .. } | Self::LogDoubted(_) => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecorded { given, bears } => write!(f, "{given} of {bears:?} has no intent"),
            Self::RecordedAfterwards { lease, given } => {
                write!(f, "{given} is older than the intent of {lease}")
            }
            Self::MintedTooOften {
                lease,
                credentials,
                recorded,
            } => write!(
                f,
                "{lease} has {credentials} credentials of {recorded} recorded mints"
            ),
            Self::EndedAndWorks { lease, given } => {
                write!(f, "{lease} has ended, and its {given} still works")
            }
            Self::EndedAndStands { lease, given } => {
                write!(f, "{lease} has ended, and {given} still stands")
            }
            Self::SlotShared {
                lease,
                before,
                slot,
            } => write!(
                f,
                "{slot} was given to {lease} while something of {before} could be alive"
            ),
            Self::LeftOpen { lease, state } => write!(f, "{lease} is still {state}"),
            Self::HeldUnrecorded { request, given } => {
                write!(f, "a job of {request} held {given}, which was not granted")
            }
            Self::LogDoubted(why) => write!(f, "the audit log does not verify: {why}"),
        }
    }
}

/// Everything that is compared.
#[derive(Debug, Default)]
pub struct Books {
    /// The leases of the ledger.
    pub leases: Vec<LeaseSeen>,
    /// Its audit log.
    pub log: Vec<Entry>,
    /// What verifying the log said against it.
    pub doubts: Option<String>,
    /// What the clouds gave.
    pub given: Vec<Given>,
    /// What jobs say they were given: requests, and what the cloud knows the credential by.
    pub held: Vec<(String, String)>,
}

impl Books {
    /// What can be compared at any moment, while everything goes on. What has ended in the ledger
    /// stays ended: read before the clouds are asked, nothing of it may work.
    pub async fn at_present(installation: &Installation, cloud: &Cloud) -> Self {
        let ledger = Ledger(installation);
        Self {
            leases: ledger.leases(),
            log: ledger.audit_log(),
            given: given(cloud).await,
            ..Self::default()
        }
    }

    /// Everything, once the broker has stopped in order and so has signed its log.
    pub async fn at_the_end(installation: &Installation, cloud: &Cloud) -> Self {
        Self {
            doubts: Ledger(installation).doubts(),
            held: held(installation.folder()),
            ..Self::at_present(installation, cloud).await
        }
    }

    /// What works although its lease has ended.
    #[must_use]
    pub fn revived(&self) -> Vec<Violation> {
        self.works_of(LeaseSeen::is_over)
    }

    /// What works of leases of which nothing may work any more: also of those that only wait for
    /// the time in which a lost call could land.
    #[must_use]
    pub fn left_behind(&self) -> Vec<Violation> {
        self.works_of(|lease| lease.is_over() || lease.waits_for_time())
    }

    fn works_of(&self, is_meant: impl Fn(&LeaseSeen) -> bool) -> Vec<Violation> {
        let intents = Intents::of(&self.log);
        let meant: BTreeSet<&str> = self
            .leases
            .iter()
            .filter(|lease| is_meant(lease))
            .map(|lease| lease.handle.as_str())
            .collect();
        let works = self.given.iter().filter(|given| given.works);
        works
            .filter_map(|given| {
                let intent = intents.behind(given)?;
                meant.contains(intent.handle).then(|| {
                    let (lease, given, what) = (intent.lease.clone(), given.id.clone(), given.what);
                    match what {
                        What::Credential => Violation::EndedAndWorks { lease, given },
                        What::Right => Violation::EndedAndStands { lease, given },
                    }
                })
            })
            .collect()
    }
}

/// Where the books contradict each other once everything had the time to end.
#[must_use]
pub fn violations(books: &Books) -> Vec<Violation> {
    let mut found = books.left_behind();
    found.extend(unrecorded(books));
    found.extend(too_many(books));
    found.extend(shared_slots(books));
    found.extend(held_unrecorded(books));
    let open = books.leases.iter();
    let open = open.filter(|lease| !lease.is_over() && !lease.waits_for_time());
    found.extend(open.map(|lease| Violation::LeftOpen {
        lease: lease.id.clone(),
        state: lease.state.clone(),
    }));
    found.extend(books.doubts.clone().map(Violation::LogDoubted));
    found
}

/// An intent, as the log tells it.
#[derive(Debug)]
struct Intent<'a> {
    lease: String,
    handle: &'a str,
    lane: &'a str,
    at: Timestamp,
}

/// The intents of a log.
struct Intents<'a> {
    /// In the order in which they were recorded.
    all: Vec<Intent<'a>>,
    /// How far the log goes: who is younger is not in it yet.
    until: Timestamp,
    /// What jobs were given, by what the log calls it, and the handle of its lease.
    granted: Vec<(&'a str, &'a str)>,
    /// The handles of leases of whose call nobody knows what became of it.
    doubted: BTreeSet<&'a str>,
}

fn at(entry: &Entry) -> Timestamp {
    Timestamp::from_microsecond(entry.at().as_micros()).unwrap_or(Timestamp::MAX)
}

fn field<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    entry.fields().get(name).map(String::as_str)
}

impl<'a> Intents<'a> {
    fn of(log: &'a [Entry]) -> Self {
        let intent = |entry: &'a Entry| {
            Some(Intent {
                lease: entry.lease_id()?.to_string(),
                handle: field(entry, "handle")?,
                lane: field(entry, "lane")?,
                at: at(entry),
            })
        };
        Self {
            all: entries(log, Event::LeaseIntended)
                .filter_map(intent)
                .collect(),
            until: log.last().map_or(Timestamp::MIN, at),
            granted: entries(log, Event::LeaseGranted)
                .filter_map(|entry| Some((field(entry, "fingerprint")?, field(entry, "handle")?)))
                .collect(),
            doubted: entries(log, Event::LeaseDoubted)
                .filter_map(|entry| field(entry, "handle"))
                .collect(),
        }
    }

    /// The intent behind something that was given. What bears the name of an identity alone is of
    /// the lease that the identity carried at that time. Where it carries many, it is of the lease
    /// of whose job the log knows that it was given it, or of one that was doubted.
    fn behind(&self, given: &Given) -> Option<&Intent<'a>> {
        let (slot, since) = match (&given.bears, given.since) {
            (Bears::Handle(handle), _) => return self.of_handle(handle),
            (Bears::Slot(slot), Some(since)) if since <= self.until => (slot, since),
            (Bears::Slot(_) | Bears::Nothing, _) => return None,
        };
        let theirs = || self.all.iter().filter(|it| it.lane == slot);
        let latest = || theirs().rfind(|it| it.at <= since).or(theirs().next());
        if is_slot(slot) {
            return latest();
        }
        // A cloud's own books may cut what they call a token by.
        let is_it = |(full, _): &&(&str, &str)| full.starts_with(&given.id);
        if let Some((_, handle)) = self.granted.iter().find(is_it) {
            return self.of_handle(handle);
        }
        let mut doubted = theirs().filter(|it| self.doubted.contains(it.handle));
        doubted.rfind(|it| it.at <= since).or_else(latest)
    }

    fn of_handle(&self, handle: &str) -> Option<&Intent<'a>> {
        self.all.iter().find(|it| it.handle == handle)
    }
}

fn entries(log: &[Entry], event: Event) -> impl Iterator<Item = &Entry> {
    log.iter().filter(move |entry| entry.event() == event)
}

/// The entries of a kind, by the handle they are about.
fn entries_of(log: &[Entry], event: Event) -> BTreeMap<&str, Vec<&Entry>> {
    let mut found: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries(log, event) {
        if let Some(handle) = field(entry, "handle") {
            found.entry(handle).or_default().push(entry);
        }
    }
    found
}

fn unrecorded(books: &Books) -> Vec<Violation> {
    let intents = Intents::of(&books.log);
    let rows: BTreeSet<&str> = books.leases.iter().map(|it| it.handle.as_str()).collect();
    let judge = |given: &Given| match intents.behind(given) {
        Some(intent) if rows.contains(intent.handle) => given
            .since
            .is_some_and(|since| since < intent.at)
            .then(|| Violation::RecordedAfterwards {
                lease: intent.lease.clone(),
                given: given.id.clone(),
            }),
        Some(_) | None => Some(Violation::Unrecorded {
            given: given.id.clone(),
            bears: given.bears.clone(),
        }),
    };
    books.given.iter().filter_map(judge).collect()
}

/// Where many leases share an identity they are counted together: a token of which nobody heard
/// does not say whose it is.
fn too_many(books: &Books) -> Vec<Violation> {
    let intents = Intents::of(&books.log);
    let renewals = entries_of(&books.log, Event::LeaseRenewed);
    let group = |bears: &Bears, intent: &Intent<'_>| match bears {
        Bears::Slot(lane) if !is_slot(lane) => lane.clone(),
        Bears::Slot(_) | Bears::Handle(_) | Bears::Nothing => intent.handle.to_owned(),
    };
    let mut counted: BTreeMap<String, (&Intent<'_>, usize)> = BTreeMap::new();
    for given in books.given.iter().filter(|it| it.what == What::Credential) {
        if let Some(intent) = intents.behind(given) {
            let count = counted.entry(group(&given.bears, intent));
            let (_, count) = count.or_insert((intent, 0));
            *count = count.saturating_add(1);
        }
    }
    let judge = |(group, (intent, credentials)): (String, (&Intent<'_>, usize))| {
        let of_group = |it: &&Intent<'_>| it.handle == group || it.lane == group;
        let recorded = intents.all.iter().filter(of_group).map(|intent| {
            let renewals = renewals.get(intent.handle).map_or(0, Vec::len);
            renewals.saturating_add(1)
        });
        let recorded = recorded.sum();
        (credentials > recorded).then(|| Violation::MintedTooOften {
            lease: intent.lease.clone(),
            credentials,
            recorded,
        })
    };
    counted.into_iter().filter_map(judge).collect()
}

/// The identities that carry one lease at a time: each may be given to the next lease only when
/// the one before has ended, and when by the cloud's own books its last credential is dead and its
/// last right is out of force.
fn shared_slots(books: &Books) -> Vec<Violation> {
    let intents = Intents::of(&books.log);
    let mut slots: BTreeMap<&str, Vec<&Intent<'_>>> = BTreeMap::new();
    for intent in intents.all.iter().filter(|it| is_slot(it.lane)) {
        slots.entry(intent.lane).or_default().push(intent);
    }
    let shares = |(slot, leases): (&str, Vec<&Intent<'_>>)| {
        let pairs = leases.iter().zip(leases.iter().skip(1));
        let shared = pairs.filter(|(before, next)| next.at < free_at(books, &intents, before));
        let told = shared.map(|(before, next)| Violation::SlotShared {
            lease: next.lease.clone(),
            before: before.lease.clone(),
            slot: slot.to_owned(),
        });
        told.collect::<Vec<_>>()
    };
    slots.into_iter().flat_map(shares).collect()
}

/// Whether a lane is an identity that carries one lease.
fn is_slot(lane: &str) -> bool {
    lane.contains("/slot/") || lane.contains("/account/")
}

/// When nothing of a lease is left, by the ledger and by the clouds.
fn free_at(books: &Books, intents: &Intents<'_>, lease: &Intent<'_>) -> Timestamp {
    let ends = [
        Event::LeaseEnded,
        Event::LeaseNeverGranted,
        Event::LeaseWrittenOff,
    ];
    let is_end = |entry: &&Entry| {
        ends.contains(&entry.event()) && field(entry, "handle") == Some(lease.handle)
    };
    let ended = books.log.iter().find(is_end).map_or(Timestamp::MAX, at);
    let is_theirs = |given: &&Given| {
        intents
            .behind(given)
            .is_some_and(|intent| intent.handle == lease.handle)
    };
    let given = books.given.iter().filter(is_theirs);
    let lives = given.map(|given| given.until.unwrap_or(Timestamp::MAX));
    lives.fold(ended, Timestamp::max)
}

/// A grant is on disk before the job is told. A renewal gives another credential than the grant.
fn held_unrecorded(books: &Books) -> Vec<Violation> {
    let renewals = entries_of(&books.log, Event::LeaseRenewed);
    let granted = |request: &str, known: &str| {
        books.log.iter().any(|entry| {
            entry.event() == Event::LeaseGranted
                && entry
                    .request_id()
                    .is_some_and(|id| id.to_string() == request)
                // A cloud's own books may cut what they call a token by.
                && (field(entry, "fingerprint").is_some_and(|full| full.starts_with(known))
                    || field(entry, "handle").is_some_and(|it| renewals.contains_key(it)))
        })
    };
    let unrecorded = books
        .held
        .iter()
        .filter(|(request, known)| !granted(request, known));
    unrecorded
        .map(|(request, known)| Violation::HeldUnrecorded {
            request: request.clone(),
            given: known.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
