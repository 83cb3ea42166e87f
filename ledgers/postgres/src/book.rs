//! The part of the ledger that a batch touches, as it is under the lock, and as the batch's
//! transactions, decided one after the other in memory, leave it.
//!
//! The lock on `log` makes that sound: nobody else changes what was read until the batch commits.
//! It is worth it because the number of questions to the server then hangs on what kinds of things
//! a batch touches, and not on how many callers share it.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Frontier, LeafHash};
use jitney_core::evidence::Hold;
use jitney_core::id::LeaseId;
use jitney_core::ledger::{OnceUse, Owner, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::cells::Cells;
use crate::touched::{Holding, ShareKey, Touched};

/// A hold with whoever it counts against, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) hold: Hold,
    pub(crate) owner: Option<Owner>,
}

/// Who drives a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Driven {
    pub(crate) epoch: Epoch,
    pub(crate) hand: Option<String>,
    pub(crate) broker: Option<Uuid>,
    pub(crate) until: Timestamp,
}

/// What a batch works on.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) rows: Cells<RowId, Row>,
    pub(crate) once: Cells<String, OnceUse>,
    pub(crate) claims: Cells<String, LeaseId>,
    pub(crate) holds: Cells<Holding, Counted>,
    pub(crate) lanes: Cells<LaneId, Driven>,
    pub(crate) sheets: Cells<String, Sheet>,
    pub(crate) looks: Cells<LaneId, Timestamp>,
    /// The shares that were asked for, as they were found.
    pub(crate) counts: BTreeMap<ShareKey, i64>,
    pub(crate) tally: Tally,
    pub(crate) log: Log,
    /// The server's time, if it was asked for.
    pub(crate) time: Option<Timestamp>,
    /// The latest time that a transaction which used something up told.
    pub(crate) told: Option<Timestamp>,
    /// The broker that this ledger is part of.
    pub(crate) broker: Uuid,
}

impl Book {
    /// A book in which nothing was found yet of what is touched.
    pub(crate) fn blank(touched: Touched, frontier: Frontier, broker: Uuid) -> Self {
        let counts = touched.shares.into_iter().map(|share| (share, 0));
        Self {
            rows: Cells::wanted(touched.rows),
            once: Cells::wanted(touched.once),
            claims: Cells::wanted(touched.claims),
            holds: Cells::wanted(touched.holds),
            lanes: Cells::wanted(touched.lanes),
            sheets: Cells::wanted(touched.sheets),
            looks: Cells::wanted(BTreeSet::new()),
            counts: counts.collect(),
            tally: Tally::default(),
            log: Log::at(frontier),
            time: None,
            told: None,
            broker,
        }
    }

    /// Keeps what a transaction did, when it stands, and takes it back when it does not.
    pub(crate) fn settle(&mut self, stands: bool) {
        macro_rules! each {
            ($($part:ident),+) => {
                if stands {
                    $(self.$part.keep();)+
                } else {
                    $(self.$part.take_back();)+
                }
            };
        }
        each!(rows, once, claims, holds, lanes, sheets, looks, tally, log);
    }
}

/// By how much shares grow or shrink.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kept: BTreeMap<ShareKey, i64>,
    open: BTreeMap<ShareKey, i64>,
}

impl Tally {
    pub(crate) fn add(&mut self, share: ShareKey, by: i64) {
        let sum = self.open.entry(share).or_default();
        *sum = sum.saturating_add(by);
    }

    pub(crate) fn of(&self, share: &ShareKey) -> i64 {
        let one = |layer: &BTreeMap<ShareKey, i64>| layer.get(share).copied().unwrap_or(0);
        one(&self.kept).saturating_add(one(&self.open))
    }

    fn keep(&mut self) {
        for (share, by) in std::mem::take(&mut self.open) {
            let sum = self.kept.entry(share).or_default();
            *sum = sum.saturating_add(by);
        }
    }

    fn take_back(&mut self) {
        self.open.clear();
    }

    /// What must be added to each share that changed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&ShareKey, i64)> {
        let changed = self.kept.iter().map(|(share, by)| (share, *by));
        changed.filter(|(_, by)| *by != 0)
    }
}

/// The end of the audit log: the tree over what is there, and what is to be written behind it.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Written,
    open: Written,
    /// How many entries the log had when it was found.
    pub(crate) found: u64,
}

#[derive(Debug, Clone)]
struct Written {
    frontier: Frontier,
    entries: Vec<Vec<u8>>,
    checkpoints: Vec<(u64, String)>,
}

/// A log as a commit left it.
#[derive(Debug, Clone)]
pub(crate) struct Grown {
    pub(crate) tree: Frontier,
    /// Its last leaf.
    pub(crate) last: LeafHash,
}

impl Log {
    fn at(frontier: Frontier) -> Self {
        let found = frontier.size();
        let kept = Written {
            frontier,
            entries: Vec::new(),
            checkpoints: Vec::new(),
        };
        let open = kept.clone();
        Self { kept, open, found }
    }

    pub(crate) fn append(&mut self, entry: &Entry) {
        let bytes = entry.encode();
        self.open.frontier.append(LeafHash::of(&bytes));
        self.open.entries.push(bytes);
    }

    pub(crate) fn sign(&mut self, size: u64, note: &str) {
        let checkpoint = (size, note.to_owned());
        // Signed twice in one batch, it is stored once.
        if !self.kept.checkpoints.contains(&checkpoint) {
            self.open.checkpoints.push(checkpoint);
        }
    }

    /// How many entries there are by now.
    pub(crate) const fn size(&self) -> u64 {
        self.open.frontier.size()
    }

    /// The tree with its last leaf, when a batch is to add to it.
    pub(crate) fn grown(&self) -> Option<Grown> {
        let last = self.kept.entries.last()?;
        Some(Grown {
            tree: self.kept.frontier.clone(),
            last: LeafHash::of(last),
        })
    }

    fn keep(&mut self) {
        self.kept.entries.append(&mut self.open.entries);
        self.kept.checkpoints.append(&mut self.open.checkpoints);
        self.kept.frontier = self.open.frontier.clone();
    }

    fn take_back(&mut self) {
        self.open.entries.clear();
        self.open.checkpoints.clear();
        self.open.frontier = self.kept.frontier.clone();
    }

    /// The tree, the entries that are new in it, and the checkpoints to be stored.
    pub(crate) fn changes(self) -> (Frontier, Vec<Vec<u8>>, Vec<(u64, String)>) {
        let kept = self.kept;
        (kept.frontier, kept.entries, kept.checkpoints)
    }
}
