//! One request with its one lease, and everything that the ledger says of both.

use jitney_core::audit::{Entry, Event};
use jitney_core::books::{found_lease, found_request};
use jitney_core::evidence::{Held, Hold};
use jitney_core::handle::{Handle, StampKey};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{OnceUse, Owner, Row, RowId};
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use uuid::{Builder, Uuid};

use super::CannotCopy;
use super::template::{Marks, Template};

/// A run's id must be so long, or it could not be told from other numbers.
const RUN_DIGITS_MIN: usize = 8;
/// How much of a once-key is the copy's own.
const OWN_DIGITS: usize = 16;

/// A life that can be copied.
#[derive(Debug)]
pub(super) struct Life {
    id: LeaseId,
    /// When the last thing in it happened.
    last: Timestamp,
    run_digits: usize,
    request: RowTemplate,
    lease: RowTemplate,
    uses: Vec<OnceUse>,
    entries: Vec<EntryTemplate>,
}

#[derive(Debug)]
struct RowTemplate {
    row: Row,
    job: Template,
    body: Template,
}

#[derive(Debug)]
struct EntryTemplate {
    at: Timestamp,
    event: Event,
    of_lease: bool,
    fields: Vec<(String, Template)>,
}

/// What a copy has of its own.
#[derive(Debug)]
pub(super) struct Copied {
    number: usize,
    pub(super) request: RequestId,
    pub(super) lease: LeaseId,
    pub(super) handle: Handle,
    pub(super) request_text: String,
    pub(super) lease_text: String,
    pub(super) run: String,
    /// By how many microseconds it is later than what it was copied from.
    later: i64,
    /// Until when something is held after its end.
    pub(super) held_until: Option<Timestamp>,
}

impl Copied {
    /// A moment of the life, as it is in the copy.
    pub(super) fn moved(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_add(self.later))
    }
}

impl Life {
    /// Takes a life out of a ledger.
    pub(super) fn of(
        (request, lease): (Row, Row),
        uses: Vec<OnceUse>,
        entries: &[Entry],
    ) -> Result<Self, CannotCopy> {
        let odd = |why: &dyn core::fmt::Display| CannotCopy::Odd(why.to_string());
        let asked = found_request(&request).map_err(|error| odd(&error))?;
        let found = found_lease(&lease).map_err(|error| odd(&error))?;
        let last = entries.iter().map(Entry::at).max();
        let last = last.ok_or_else(|| odd(&"a lease that no entry tells of"))?;
        let run = asked.terms().principal.job.run_id.clone();
        if run.len() < RUN_DIGITS_MIN {
            return Err(odd(&format!("a run with the short id `{run}`")));
        }
        let marks = Marks {
            request: asked.terms().id.to_string(),
            lease: found.terms().id.to_string(),
            handle: found.terms().handle.to_string(),
            run,
        };
        Ok(Self {
            id: found.terms().id,
            last,
            run_digits: marks.run.len(),
            request: RowTemplate::of(request, &marks),
            lease: RowTemplate::of(lease, &marks),
            uses,
            entries: entries
                .iter()
                .map(|it| EntryTemplate::of(it, &marks))
                .collect(),
        })
    }

    /// The lease it is copied from.
    pub(super) const fn lease(&self) -> LeaseId {
        self.id
    }

    /// The copy of that number, whose last moment is `at`.
    pub(super) fn copied(&self, number: usize, at: Timestamp, stamp: &StampKey) -> Copied {
        let request = RequestId::from_uuid(uuid_of(at, number, 0));
        let lease = LeaseId::from_uuid(uuid_of(at, number, 1));
        Copied {
            number,
            request,
            lease,
            handle: stamp.handle(lease),
            request_text: request.to_string(),
            lease_text: lease.to_string(),
            run: format!("9{number:0>width$}", width = self.run_digits - 1),
            later: at.as_micros().saturating_sub(self.last.as_micros()),
            held_until: None,
        }
    }

    /// A copy's request.
    pub(super) fn request_of(&self, copied: &Copied) -> Row {
        self.request.fill(RowId::Request(copied.request), copied)
    }

    /// A copy's lease.
    pub(super) fn lease_of(&self, copied: &Copied) -> Row {
        self.lease.fill(RowId::Lease(copied.lease), copied)
    }

    /// What a copy has used up.
    pub(super) fn uses_of(&self, copied: &Copied) -> impl Iterator<Item = OnceUse> {
        self.uses.iter().map(|used| {
            let kept = used.key.0.len().saturating_sub(OWN_DIGITS);
            let kept = used.key.0.get(..kept).unwrap_or_default();
            OnceUse {
                key: OnceKey(format!("{kept}{:0OWN_DIGITS$x}", copied.number)),
                request: copied.request,
                remember_until: copied.moved(used.remember_until),
                ..used.clone()
            }
        })
    }

    /// What is held after a copy's end.
    pub(super) fn hold_of(&self, copied: &Copied, until: Timestamp) -> Option<Hold> {
        Some(Hold {
            lane: self.lease.row.lane.clone()?,
            held: Held::Grant(copied.handle.clone()),
            lease: Some(copied.lease),
            until,
            issued_by: Some(copied.moved(self.last)),
        })
    }

    /// What the audit log says of a copy.
    pub(super) fn entries_of(&self, copied: &Copied) -> impl Iterator<Item = Entry> {
        self.entries.iter().map(|entry| entry.fill(copied))
    }
}

impl RowTemplate {
    fn of(row: Row, marks: &Marks) -> Self {
        Self {
            job: Template::of(&row.owner.job, marks),
            body: Template::of(&row.body, marks),
            row,
        }
    }

    fn fill(&self, id: RowId, copied: &Copied) -> Row {
        Row {
            id,
            request: copied.request,
            owner: Owner {
                job: self.job.fill(copied),
                ..self.row.owner.clone()
            },
            due_at: self.row.due_at.map(|due| copied.moved(due)),
            body: self.body.fill(copied),
            ..self.row.clone()
        }
    }
}

impl EntryTemplate {
    fn of(entry: &Entry, marks: &Marks) -> Self {
        let fields = entry.fields().iter();
        let fields = fields.map(|(key, value)| (key.clone(), Template::of(value, marks)));
        Self {
            at: entry.at(),
            event: entry.event(),
            of_lease: entry.lease_id().is_some(),
            fields: fields.collect(),
        }
    }

    fn fill(&self, copied: &Copied) -> Entry {
        let mut entry = Entry::new(copied.moved(self.at), self.event).request(copied.request);
        if self.of_lease {
            entry = entry.lease(copied.lease);
        }
        let fields = self.fields.iter();
        fields.fold(entry, |entry, (key, value)| {
            entry.field(key, value.fill(copied))
        })
    }
}

/// A UUID of version 7 for a moment, the same each time.
fn uuid_of(at: Timestamp, number: usize, kind: u8) -> Uuid {
    let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or_default();
    let mut own = [0_u8; 10];
    let number = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
    for (byte, value) in own.iter_mut().zip([0, kind].into_iter().chain(number)) {
        *byte = value;
    }
    Builder::from_unix_timestamp_millis(millis, &own).into_uuid()
}
