//! What operators say to a running broker, over a Unix domain socket that its own user alone can
//! open. The same JSON and the same problems as everywhere, on paths of their own.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | 200 [`StatusView`] |
//! | `POST /v1/leases/{id}/write-off` | [`WriteOffBody`] | 200 [`LeaseView`](crate::LeaseView) |
//! | `POST /v1/orders` | [`KillBody`] | 202 [`KillView`], or 200 when it was only tried |
//! | `GET /v1/orders`, `/v1/orders/{id}` | | 200 [`OrderView`]s, or one |
//! | `POST /v1/recover` | [`RecoverBody`] | 202 [`RecoverView`], or 200 when it was only tried |
//! | `POST /v1/sweeps` | [`SweepBody`] | 200 [`SweepView`] |
//! | `POST /v1/rehearsals` | [`RehearsalBody`] | 201 [`RehearsalView`] |
//! | `GET /v1/rehearsals/{id}`, `POST …/stop` | | 200 [`RehearsalView`] |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest name of a person, in bytes.
pub const PERSON_BYTES_MAX: usize = 128;
/// The most leases that one alarm or one status tells of.
pub const STUCK_TOLD_MAX: usize = 100;

/// Who says so, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
}

/// Declares a lease over without evidence.
pub type WriteOffBody = Signature;

/// Which leases a kill order is about. What is absent does not narrow it; something must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AimBody {
    /// Of this issuer's jobs.
    pub issuer: Option<String>,
    /// Of this repository's jobs: its id, or its path as the CI last told it.
    pub repository: Option<String>,
    /// On this target.
    pub target: Option<String>,
    /// On this resource, whatever name they were asked for under.
    pub resource: Option<String>,
    /// This one.
    pub lease: Option<String>,
    /// Intended at this moment or later, RFC 3339.
    pub since: Option<String>,
}

/// Ends every lease that something is true of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillBody {
    /// Which leases.
    pub aim: AimBody,
    /// Cut whole lanes at once, also what else is in them.
    #[serde(default)]
    pub cut_lanes: bool,
    /// Only say what it would be about.
    #[serde(default)]
    pub dry_run: bool,
    /// Who and why.
    pub signed: Signature,
}

/// What a kill order is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillView {
    /// The order; absent when it was only tried.
    pub order: Option<String>,
    /// How many open leases its aim fits now.
    pub leases: u64,
    /// The lanes they lie in.
    pub lanes: Vec<String>,
}

/// A kill order and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its id, `order_…`.
    pub id: String,
    /// Which leases.
    pub aim: AimBody,
    /// The lanes that were cut whole.
    pub lanes_cut: Vec<String>,
    /// Who and why.
    pub signed: Signature,
    /// When.
    pub ordered_at: String,
    /// How many open leases were looked at.
    pub looked_at: u32,
    /// How many of them it ended.
    pub ended: u32,
    /// When the last one was durably ending; absent while it goes on.
    pub done_at: Option<String>,
    /// How many open leases it has yet to end. Told of one order, not in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_end: Option<u32>,
    /// How many are ending and not over yet in their cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoking: Option<u32>,
    /// How many of those it ended are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<u32>,
    /// How many became over in a minute, since the order was given; while some are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_per_minute: Option<u64>,
    /// The last moment at which one of those may still work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_until: Option<String>,
    /// When all will be over if it goes on at that rate, in seconds from now; absent while nothing
    /// is over yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
}

/// Cuts everything that could have been issued before a ledger went back in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverBody {
    /// Only say what it would cut.
    #[serde(default)]
    pub dry_run: bool,
    /// The ledger was restored, although no cloud may tell.
    #[serde(default)]
    pub restored: bool,
    /// Who and why.
    pub signed: Signature,
}

/// What a recovery cuts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverView {
    /// Whether it is under way now.
    pub ordered: bool,
    /// Every lane in which something may have been issued.
    pub lanes: Vec<String>,
    /// How far the latest ledger had come whose stamp was found.
    pub latest_mark: Option<String>,
    /// What was issued before this is cut, and nothing is elevated before it.
    pub cut_before: Option<String>,
}

/// Looks through a target for what bears our stamp and belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepBody {
    /// The target.
    pub target: String,
    /// End what is found, not only tell of it.
    #[serde(default)]
    pub act: bool,
    /// At most so many.
    pub cap: u32,
    /// Who and why.
    pub signed: Signature,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepView {
    /// How many things bear the installation's name.
    pub seen: u32,
    /// How many of them do not prove it. They are left alone.
    pub foreign: u32,
    /// What belongs to nothing that is open.
    pub strays: Vec<StrayView>,
    /// Whether a stamp shows that the ledger went back in time. Then nothing was acted upon.
    pub behind: bool,
}

/// Something that bears our stamp and belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrayView {
    /// Where it lies.
    pub lane: String,
    /// What it grants or keeps ended.
    pub held: String,
    /// The cloud's own name for it.
    pub native: String,
    /// Whether it is now held, and so ended.
    pub ended: bool,
}

/// Takes a lease to rehearse with, and measures it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RehearsalBody {
    /// The target.
    pub target: String,
    /// What to ask for; absent means the first thing there that can be read.
    #[serde(default)]
    pub scope: Option<String>,
    /// Who and why.
    pub signed: Signature,
}

/// A rehearsal and what it has shown so far. Times after the end count from the moment at which the
/// lease was durably ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalView {
    /// Its lease, by which it is asked after.
    pub id: String,
    /// What was asked for.
    pub scope: String,
    /// Where.
    pub target: String,
    /// In which cloud.
    pub cloud: String,
    /// `coming-into-force`, `ending` or `over`.
    pub stage: String,
    /// Whether the end severs or lapses, and within which time.
    pub recall: crate::RecallView,
    /// The settle time that is configured, in seconds.
    pub settle_seconds: u64,
    /// How soon a grant is in force by the provider's word, in seconds.
    pub in_force_within_seconds: u64,
    /// The provider's word.
    pub in_force_says: String,
    /// From asking to having the credential.
    pub granted_after_milliseconds: u64,
    /// From having it to the first time that the cloud accepted it.
    pub accepted_after_milliseconds: Option<u64>,
    /// From the end to reading back what ends the grant.
    pub removed_after_milliseconds: Option<u64>,
    /// From the end to the last time that the cloud accepted it all the same.
    pub last_accepted_after_milliseconds: Option<u64>,
    /// From the end to the first refusal that stayed one.
    pub refused_after_milliseconds: Option<u64>,
    /// From the end to the evidence.
    pub evident_after_milliseconds: Option<u64>,
    /// The evidence.
    pub evidence: Option<String>,
    /// The latest look that came to nothing, and why.
    pub unknown: Option<String>,
    /// `kept`, `broken` or `cannot-tell`; absent until it is over.
    pub conclusion: Option<String>,
    /// Why.
    #[serde(default)]
    pub because: Vec<String>,
    /// The settle time that the measurement supports. A person sets it.
    pub proposed_settle_seconds: Option<u32>,
    /// The open questions about this cloud, each with what was found.
    #[serde(default)]
    pub questions: Vec<QuestionView>,
}

/// An open question about a cloud, and what a rehearsal found of it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionView {
    /// Its name, as the adapter's README has it.
    pub id: String,
    /// The question.
    pub asked: String,
    /// `yes`, `no`, `measured` or `unanswered`.
    pub answer: String,
    /// How long it takes or lasts, when it was measured.
    pub measured_milliseconds: Option<u64>,
    /// What was seen; empty when nothing was.
    pub seen: String,
    /// Why there is no answer, when there is none.
    pub why: Option<String>,
    /// Which setting to change, where it matters.
    pub set: Option<String>,
    /// What is done until it is answered.
    pub until_then: String,
}

/// How a broker and its leases are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Open leases, by state.
    pub leases: BTreeMap<String, u64>,
    /// Why nothing is elevated; absent when something is.
    pub halted: Option<String>,
    /// How many leases are stuck.
    pub stuck_count: u64,
    /// Those that are exposed the longest.
    pub stuck: Vec<StuckView>,
    /// The kill orders that are not yet carried out.
    pub orders: Vec<OrderView>,
    /// Lanes whose cloud did not answer of late, and are tried again after a pause.
    pub lanes_resting: u32,
}

/// A lease whose revocation is overdue: what it gave may still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckView {
    /// The lease.
    pub lease: String,
    /// Its request.
    pub request: String,
    /// Where it lies.
    pub target: String,
    /// The lane there.
    pub lane: String,
    /// Why it ends.
    pub why: String,
    /// Since when it is being revoked.
    pub since: String,
    /// How many times it was tried.
    pub attempts: u32,
    /// Whether what ends it is written in the cloud.
    pub written: bool,
    /// The last moment at which something may still work if no one comes back.
    pub exposed_until: String,
}

/// An alarm, as it is told to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// What it is about: `leases_stuck`. There will be others.
    pub kind: String,
    /// When.
    pub at: String,
    /// The broker that tells it.
    pub broker: String,
    /// The leases, those exposed the longest first.
    pub leases: Vec<StuckView>,
    /// How many more there are.
    pub more: u64,
}
