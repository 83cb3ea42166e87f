//! The audit: the sandbox's own books against the ledger.
//!
//! The sandbox knows every session it ever gave out, and decides by its own evaluator whether one
//! would still be let through. The ledger is what an operator sees of it. Nothing of what the
//! broker believes about the cloud is asked.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::audit::{Entry, Event};
use jitney_sandbox::SessionInfo;

use super::job::held;
use super::{Cloud, Installation, LANES, LeaseSeen, Ledger, bucket_of, role_of};

/// The session tag that carries a lease's handle.
const LEASE_TAG: &str = "jitney:lease";
/// What every lease of these stages allows.
const ACTION: &str = "s3:PutObject";

/// Where the books contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Promise 1: a session exists of which the ledger knows nothing.
    Unrecorded {
        /// The session's access key.
        session: String,
        /// The handle in its tags, if any.
        handle: Option<String>,
    },
    /// Promise 1: a session is older than its intent.
    RecordedAfterwards {
        /// The lease.
        lease: String,
        /// The session's access key.
        session: String,
    },
    /// A lease has more sessions than the ledger was told of mints.
    MintedTooOften {
        /// The lease.
        lease: String,
        /// How many sessions bear its handle.
        sessions: usize,
        /// How many mints were recorded.
        recorded: usize,
    },
    /// Promise 2: the ledger says that the lease is over, and the cloud lets its session through.
    EndedAndWorks {
        /// The lease.
        lease: String,
        /// The session's access key.
        session: String,
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
        /// The access key that it was given.
        session: String,
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
            | Self::LeftOpen { lease, .. } => Some(lease),
            Self::Unrecorded { .. } | Self::HeldUnrecorded { .. } | Self::LogDoubted(_) => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecorded { session, handle } => {
                write!(f, "session {session} with handle {handle:?} has no intent")
            }
            Self::RecordedAfterwards { lease, session } => {
                write!(f, "session {session} is older than the intent of {lease}")
            }
            Self::MintedTooOften {
                lease,
                sessions,
                recorded,
            } => write!(
                f,
                "{lease} has {sessions} sessions of {recorded} recorded mints"
            ),
            Self::EndedAndWorks { lease, session } => {
                write!(
                    f,
                    "{lease} has ended, and its session {session} still works"
                )
            }
            Self::LeftOpen { lease, state } => write!(f, "{lease} is still {state}"),
            Self::HeldUnrecorded { request, session } => {
                write!(
                    f,
                    "a job of {request} held {session}, which was not granted"
                )
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
    /// The cloud's sessions.
    pub sessions: Vec<SessionInfo>,
    /// The access keys of those that it would let through.
    pub working: BTreeSet<String>,
    /// What jobs say they were given: request and access key.
    pub held: Vec<(String, String)>,
}

impl Books {
    /// What can be compared at any moment, while everything goes on. What has ended in the ledger
    /// stays ended: read before the cloud is asked, nothing of it may work.
    pub async fn at_present(installation: &Installation, cloud: &Cloud) -> Self {
        let leases = Ledger(installation).leases();
        let sessions = cloud.sessions().await;
        let mut working = BTreeSet::new();
        for session in &sessions {
            if let Some(resource) = resource_of(session)
                && cloud
                    .would_allow(&session.access_key_id, ACTION, &resource)
                    .await
            {
                working.insert(session.access_key_id.clone());
            }
        }
        Self {
            leases,
            sessions,
            working,
            ..Self::default()
        }
    }

    /// Everything, once the broker has stopped in order and so has signed its log.
    pub async fn at_the_end(installation: &Installation, cloud: &Cloud) -> Self {
        let ledger = Ledger(installation);
        Self {
            log: ledger.audit_log(),
            doubts: ledger.doubts(),
            held: held(installation.folder()),
            ..Self::at_present(installation, cloud).await
        }
    }

    /// Sessions that work although their lease has ended.
    #[must_use]
    pub fn revived(&self) -> Vec<Violation> {
        let over = self.leases.iter().filter(|lease| lease.is_over());
        let over: BTreeMap<&str, &LeaseSeen> =
            over.map(|lease| (lease.handle.as_str(), lease)).collect();
        let working = |session: &&SessionInfo| self.working.contains(&session.access_key_id);
        let works = self.sessions.iter().filter(working);
        works
            .filter_map(|session| {
                Some(Violation::EndedAndWorks {
                    lease: over.get(handle_of(session)?)?.id.clone(),
                    session: session.access_key_id.clone(),
                })
            })
            .collect()
    }
}

/// Where the books contradict each other once everything had the time to end.
#[must_use]
pub fn violations(books: &Books) -> Vec<Violation> {
    let mut found = books.revived();
    found.extend(unrecorded(books));
    found.extend(too_many(books));
    found.extend(held_unrecorded(books));
    let open = books.leases.iter().filter(|lease| !lease.is_over());
    found.extend(open.map(|lease| Violation::LeftOpen {
        lease: lease.id.clone(),
        state: lease.state.clone(),
    }));
    found.extend(books.doubts.clone().map(Violation::LogDoubted));
    found
}

fn handle_of(session: &SessionInfo) -> Option<&str> {
    session.tags.get(LEASE_TAG).map(String::as_str)
}

/// What a session was given for; nothing when it is of no lane of ours.
fn resource_of(session: &SessionInfo) -> Option<String> {
    let lane =
        (0..LANES).find(|lane| session.role_arn.ends_with(&format!("/{}", role_of(*lane))))?;
    Some(format!("arn:aws:s3:::{}/releases/probe", bucket_of(lane)))
}

/// The entries of a kind, by the handle they are about.
fn entries_of(log: &[Entry], event: Event) -> BTreeMap<&str, Vec<&Entry>> {
    let mut found: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.event() == event) {
        if let Some(handle) = entry.fields().get("handle") {
            found.entry(handle).or_default().push(entry);
        }
    }
    found
}

fn unrecorded(books: &Books) -> Vec<Violation> {
    let intents = entries_of(&books.log, Event::LeaseIntended);
    let leases: BTreeMap<&str, &LeaseSeen> = books
        .leases
        .iter()
        .map(|lease| (lease.handle.as_str(), lease))
        .collect();
    let judge = |session: &SessionInfo| {
        let name = session.access_key_id.clone();
        let handle = handle_of(session);
        let intent = handle.and_then(|handle| intents.get(handle)?.first());
        let lease = handle.and_then(|handle| leases.get(handle));
        match (intent, lease) {
            (Some(intent), Some(lease)) => (intent.at().as_micros()
                > session.issued.as_microsecond())
            .then(|| Violation::RecordedAfterwards {
                lease: lease.id.clone(),
                session: name,
            }),
            _ => Some(Violation::Unrecorded {
                session: name,
                handle: handle.map(str::to_owned),
            }),
        }
    };
    books.sessions.iter().filter_map(judge).collect()
}

fn too_many(books: &Books) -> Vec<Violation> {
    let intents = entries_of(&books.log, Event::LeaseIntended);
    let renewals = entries_of(&books.log, Event::LeaseRenewed);
    let of = |handle: &str| {
        let count = |entries: &BTreeMap<&str, Vec<&Entry>>| entries.get(handle).map_or(0, Vec::len);
        let bears = |session: &&SessionInfo| handle_of(session) == Some(handle);
        let sessions = books.sessions.iter().filter(bears).count();
        (sessions, count(&intents).saturating_add(count(&renewals)))
    };
    let judge = |lease: &LeaseSeen| {
        let (sessions, recorded) = of(&lease.handle);
        (sessions > recorded).then(|| Violation::MintedTooOften {
            lease: lease.id.clone(),
            sessions,
            recorded,
        })
    };
    books.leases.iter().filter_map(judge).collect()
}

/// A grant is on disk before the job is told. A renewal gives another access key than the grant.
fn held_unrecorded(books: &Books) -> Vec<Violation> {
    let renewals = entries_of(&books.log, Event::LeaseRenewed);
    let granted = |request: &str, key: &str| {
        books.log.iter().any(|entry| {
            let field = |name: &str| entry.fields().get(name).map(String::as_str);
            entry.event() == Event::LeaseGranted
                && entry
                    .request_id()
                    .is_some_and(|id| id.to_string() == request)
                && (field("fingerprint") == Some(key)
                    || field("handle").is_some_and(|handle| renewals.contains_key(handle)))
        })
    };
    let unrecorded = books
        .held
        .iter()
        .filter(|(request, key)| !granted(request, key));
    unrecorded
        .map(|(request, key)| Violation::HeldUnrecorded {
            request: request.clone(),
            session: key.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
