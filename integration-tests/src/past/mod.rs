//! A ledger with a long past: lives that a broker has led, copied until there are as many as a
//! large installation has after a year. For benches; whatever reads the dump cannot tell.
//!
//! ```text
//! jitney ledger export ─► Lives::read ─► Lives::write ─► jitney ledger import
//! ```
//!
//! A copy has ids, a handle, a run and times of its own, and the key of the job it was copied from:
//! whoever holds that key can beat for all its copies.

mod life;
mod template;

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use jitney_core::audit::{Checkpoint, Entry, Frontier, LeafHash, NoteError, SigningKey};
use jitney_core::dump::{BadDump, Counts, DumpReader, DumpWriter, Record};
use jitney_core::handle::StampKey;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{OnceUse, Row, RowId};
use jitney_core::time::Timestamp;

use self::life::{Copied, Life};

/// Over how long the past is spread.
pub const PAST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// What has ended has ended for so long at least, but for what is still held.
const OVER_SINCE: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long a hold has been there, and how long it has yet to go.
const HELD_SINCE: Duration = Duration::from_secs(5 * 60);
const HELD_FOR: Duration = Duration::from_secs(60 * 60);

/// Why lives cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CannotCopy {
    /// The dump is none.
    #[error(transparent)]
    Dump(#[from] BadDump),
    /// Something in it is not what it should be.
    #[error("the dump holds something that cannot be copied: {0}")]
    Odd(String),
    /// There is no life of a kind that is needed.
    #[error("the dump has no lease that {0}")]
    Missing(&'static str),
    /// The copies cannot be written.
    #[error(transparent)]
    Unwritable(#[from] io::Error),
    /// A checkpoint cannot be signed.
    #[error(transparent)]
    Unsigned(#[from] NoteError),
}

/// How long a past is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// How many leases there ever were.
    pub leases: usize,
    /// How many of them are open.
    pub open: usize,
    /// For how many of those that have ended something is still held.
    pub held: usize,
    /// The present instant.
    pub now: Timestamp,
}

/// Lives to be copied.
#[derive(Debug)]
pub struct Lives {
    over: Vec<Life>,
    open: Vec<Life>,
    /// Lanes and sheets, as they are.
    around: Vec<Record>,
}

impl Lives {
    /// Reads the lives of a ledger that was exported: every request with one lease that has ended,
    /// and every one with a lease that is open.
    ///
    /// # Errors
    /// When it is no dump, or has not both.
    pub fn read(dump: impl BufRead) -> Result<Self, CannotCopy> {
        let mut reader = DumpReader::begin(dump)?;
        let mut found = Found::default();
        while let Some(record) = reader.record()? {
            found.record(record)?;
        }
        found.lives()
    }

    /// Where each open life's copies are, by the id of its lease: whose key opens which.
    pub fn open(&self) -> impl Iterator<Item = LeaseId> {
        self.open.iter().map(Life::lease)
    }

    /// Writes a dump with copies of them, and a checkpoint after each. Gives the open leases, in
    /// the order of [`open`](Self::open): one of each, then another of each, and so on.
    ///
    /// # Errors
    /// When it cannot be written or signed.
    pub fn write(
        &self,
        past: &Past,
        (stamp, key): (&StampKey, &SigningKey),
        out: impl Write,
    ) -> Result<(Counts, Vec<LeaseId>), CannotCopy> {
        let mut writer = DumpWriter::begin(out)?;
        for (life, copied) in self.copies(past, stamp) {
            writer.record(Record::Row(life.request_of(&copied)))?;
        }
        for (life, copied) in self.copies(past, stamp) {
            writer.record(Record::Row(life.lease_of(&copied)))?;
        }
        for (life, copied) in self.copies(past, stamp).skip(past.leases - past.open) {
            for used in life.uses_of(&copied) {
                writer.record(Record::Once(used))?;
            }
        }
        for (life, copied) in self.copies(past, stamp) {
            let held = copied
                .held_until
                .and_then(|until| life.hold_of(&copied, until));
            if let Some(hold) = held {
                writer.record(Record::Hold(hold))?;
            }
        }
        for record in &self.around {
            writer.record(record.clone())?;
        }
        let mut frontier = Frontier::new();
        let mut sealed = Vec::new();
        for (life, copied) in self.copies(past, stamp) {
            for entry in life.entries_of(&copied) {
                let bytes = entry.encode();
                frontier.append(LeafHash::of(&bytes));
                writer.record(Record::Entry(bytes))?;
            }
            sealed.push(Checkpoint::of(&frontier));
        }
        for checkpoint in sealed {
            let note = checkpoint.sign(key)?.to_string();
            let size = checkpoint.size();
            writer.record(Record::Checkpoint { size, note })?;
        }
        let counts = writer.finish()?;
        let open = self.copies(past, stamp).skip(past.leases - past.open);
        Ok((counts, open.map(|(_, copied)| copied.lease).collect()))
    }

    /// All copies, the oldest first and the open ones last. They are the same each time.
    fn copies<'a>(
        &'a self,
        past: &'a Past,
        stamp: &'a StampKey,
    ) -> impl Iterator<Item = (&'a Life, Copied)> {
        let over = past.leases - past.open;
        let ended = (0..over).filter_map(move |number| {
            let life = self.over.get(number % self.over.len())?;
            let is_held = number + past.held >= over;
            let mut copied = life.copied(number, past.ended_at(number, is_held), stamp);
            copied.held_until = is_held.then(|| past.now.plus(HELD_FOR));
            Some((life, copied))
        });
        let open = (0..past.open).filter_map(move |number| {
            let life = self.open.get(number % self.open.len())?;
            Some((life, life.copied(over + number, past.now, stamp)))
        });
        ended.chain(open)
    }
}

impl Past {
    /// When the lease of that number has ended: evenly over the past, and just now if it is held.
    fn ended_at(&self, number: usize, is_held: bool) -> Timestamp {
        if is_held {
            return self.now.minus(HELD_SINCE);
        }
        let share = number as f64 / self.leases as f64;
        let after = (PAST - OVER_SINCE).mul_f64(share);
        self.now.minus(PAST).plus(after)
    }
}

/// What was found in a dump.
#[derive(Default)]
struct Found {
    requests: Vec<Row>,
    leases: BTreeMap<RequestId, Vec<Row>>,
    uses: BTreeMap<RequestId, Vec<OnceUse>>,
    entries: BTreeMap<RequestId, Vec<Entry>>,
    around: Vec<Record>,
}

impl Found {
    fn record(&mut self, record: Record) -> Result<(), CannotCopy> {
        match record {
            Record::Row(row) => match row.id {
                RowId::Request(_) => self.requests.push(row),
                RowId::Lease(_) => self.leases.entry(row.request).or_default().push(row),
            },
            Record::Once(used) => self.uses.entry(used.request).or_default().push(used),
            Record::Entry(bytes) => {
                let entry = Entry::decode(&bytes).map_err(|e| CannotCopy::Odd(e.to_string()))?;
                if let Some(request) = entry.request_id() {
                    self.entries.entry(request).or_default().push(entry);
                }
            }
            Record::Epoch(_) | Record::Look { .. } | Record::Sheet(_) => self.around.push(record),
            Record::Claim(_) | Record::Hold(_) | Record::Checkpoint { .. } => {}
        }
        Ok(())
    }

    fn lives(mut self) -> Result<Lives, CannotCopy> {
        let (mut over, mut open) = (Vec::new(), Vec::new());
        for request in self.requests {
            let id = request.request;
            let mut leases = self.leases.remove(&id).unwrap_or_default();
            let Some(lease) = leases.pop().filter(|_| leases.is_empty()) else {
                continue;
            };
            let lives = match lease.state.as_str() {
                "ended" if request.is_final => &mut over,
                "active" => &mut open,
                _ => continue,
            };
            let uses = self.uses.remove(&id).unwrap_or_default();
            let entries = self.entries.remove(&id).unwrap_or_default();
            lives.push(Life::of((request, lease), uses, &entries)?);
        }
        if over.is_empty() {
            return Err(CannotCopy::Missing("has ended, with its request"));
        }
        if open.is_empty() {
            return Err(CannotCopy::Missing("is active"));
        }
        let around = self.around;
        Ok(Lives { over, open, around })
    }
}
