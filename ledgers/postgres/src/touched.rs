//! What a batch needs to know before it can be decided.

use std::collections::BTreeSet;

use jitney_core::evidence::{Held, Hold};
use jitney_core::ledger::{Owner, RowId, Share, Transaction};
use jitney_core::plan::LaneId;

/// What is held, and where: a hold's key.
pub(crate) type Holding = (LaneId, Held);

/// What kind of share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShareKind {
    Job,
    Lane,
    Repository,
    Tenant,
}

impl ShareKind {
    const ALL: [Self; 4] = [Self::Job, Self::Lane, Self::Repository, Self::Tenant];

    /// Its name in the ledger.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Lane => "lane",
            Self::Repository => "repository",
            Self::Tenant => "tenant",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A share's key: what kind, and which.
pub(crate) type ShareKey = (ShareKind, String);

/// The keys of everything that a batch looks at or changes.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) rows: BTreeSet<RowId>,
    pub(crate) once: BTreeSet<String>,
    pub(crate) claims: BTreeSet<String>,
    pub(crate) holds: BTreeSet<Holding>,
    pub(crate) lanes: BTreeSet<LaneId>,
    pub(crate) sheets: BTreeSet<String>,
    /// Shares whose whole count is needed. What is only added to needs no look.
    pub(crate) shares: BTreeSet<ShareKey>,
    /// Whether the server's time is needed.
    pub(crate) time: bool,
}

impl Touched {
    pub(crate) fn transaction(&mut self, transaction: &Transaction) {
        let Transaction {
            rows,
            once,
            claims,
            claims_released,
            holds_placed,
            holds_dropped,
            budgets,
            fences,
            sheets,
            sheets_unchanged,
            looks: _,
            epochs_raised,
            entries: _,
        } = transaction;
        self.rows.extend(rows.iter().map(|row| row.id));
        self.once.extend(once.iter().map(|used| used.key.0.clone()));
        let claims = claims.iter().chain(claims_released);
        self.claims.extend(claims.map(|claim| claim.name.clone()));
        for hold in holds_placed.iter().chain(holds_dropped) {
            self.holds.insert(holding(hold));
            // A hold counts against whoever its lease counted against.
            self.rows.extend(hold.lease.map(RowId::Lease));
        }
        let shares = budgets.iter().map(|budget| share(&budget.share));
        self.shares.extend(shares);
        let lanes = fences.iter().chain(epochs_raised);
        self.lanes.extend(lanes.map(|fence| fence.lane.clone()));
        self.sheets.extend(sheets.iter().map(|it| it.name.clone()));
        let unchanged = sheets_unchanged.iter().map(|it| it.name.clone());
        self.sheets.extend(unchanged);
        self.time |= !once.is_empty();
    }
}

pub(crate) fn holding(hold: &Hold) -> Holding {
    (hold.lane.clone(), hold.held.clone())
}

pub(crate) fn share(share: &Share) -> ShareKey {
    match share {
        Share::Job(job) => (ShareKind::Job, job.clone()),
        Share::Repository(repository) => (ShareKind::Repository, repository.clone()),
        Share::Tenant(tenant) => (ShareKind::Tenant, tenant.clone()),
        Share::Lane(lane) => lane_share(lane),
    }
}

/// No target has a slash in its name, so no two lanes are written alike.
pub(crate) fn lane_share(lane: &LaneId) -> ShareKey {
    (ShareKind::Lane, lane.to_string())
}

/// The shares that count what an owner has.
pub(crate) fn owned(owner: &Owner) -> [ShareKey; 3] {
    [
        (ShareKind::Job, owner.job.clone()),
        (ShareKind::Repository, owner.repository.clone()),
        (ShareKind::Tenant, owner.tenant.clone()),
    ]
}
