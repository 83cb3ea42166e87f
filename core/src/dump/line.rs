//! One line of a dump: JSON, with one key that says what it is.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Part, Record};
use crate::adapter::Epoch;
use crate::evidence::Hold;
use crate::id::{LeaseId, RequestId};
use crate::ledger::{Claim, Fence, OnceUse, Owner, Row, RowId, Sheet};
use crate::plan::LaneId;
use crate::principal::{KeyThumbprint, OnceKey};
use crate::time::Timestamp;

/// The most bytes a line may have.
pub const LINE_LENGTH_MAX: usize = 64 * 1024 * 1024;
/// What the first line says: the format's number.
pub(super) const FORMAT: u32 = 1;

/// How many there are of each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the parts are explained where they are listed")]
pub struct Counts {
    pub requests: u64,
    pub leases: u64,
    pub once: u64,
    pub claims: u64,
    pub holds: u64,
    pub epochs: u64,
    pub looks: u64,
    pub sheets: u64,
    pub entries: u64,
    pub checkpoints: u64,
}

impl Counts {
    /// Counts one more.
    pub const fn add(&mut self, part: Part) {
        let count = match part {
            Part::Requests => &mut self.requests,
            Part::Leases => &mut self.leases,
            Part::Once => &mut self.once,
            Part::Claims => &mut self.claims,
            Part::Holds => &mut self.holds,
            Part::Epochs => &mut self.epochs,
            Part::Looks => &mut self.looks,
            Part::Sheets => &mut self.sheets,
            Part::Entries => &mut self.entries,
            Part::Checkpoints => &mut self.checkpoints,
        };
        *count = count.saturating_add(1);
    }
}

/// The last line: what there must have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    pub counts: Counts,
    /// The root of the audit log's tree, base64.
    pub root: String,
    /// The SHA-256 of every line before this one, with its line feed, base64.
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    JitneyLedger(u32),
    Request(RowLine<RequestId>),
    Lease(RowLine<LeaseId>),
    Once(OnceLine),
    Claim(ClaimLine),
    Hold(Hold),
    Epoch(EpochLine),
    Look(LookLine),
    Sheet(SheetLine),
    Entry(String),
    Checkpoint(CheckpointLine),
    End(Closing),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowLine<Id> {
    id: Id,
    version: u64,
    state: String,
    is_final: bool,
    request: RequestId,
    lane: Option<LaneId>,
    owner: Owner,
    due_at: Option<Timestamp>,
    body: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnceLine {
    key: OnceKey,
    bound_to: KeyThumbprint,
    asked: String,
    request: RequestId,
    remember_until: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimLine {
    name: String,
    lease: LeaseId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpochLine {
    lane: LaneId,
    epoch: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookLine {
    lane: LaneId,
    at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SheetLine {
    name: String,
    version: u64,
    body: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointLine {
    size: u64,
    note: String,
}

impl Line {
    /// Its bytes, with a line feed.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        match record {
            Record::Row(row) => match row.id {
                RowId::Request(id) => Self::Request(row_line(id, row)),
                RowId::Lease(id) => Self::Lease(row_line(id, row)),
            },
            Record::Once(used) => Self::Once(OnceLine {
                key: used.key,
                bound_to: used.bound_to,
                asked: used.asked,
                request: used.request,
                remember_until: used.remember_until,
            }),
            Record::Claim(Claim { name, lease }) => Self::Claim(ClaimLine { name, lease }),
            Record::Hold(hold) => Self::Hold(hold),
            Record::Epoch(Fence { lane, epoch }) => {
                let epoch = epoch.0;
                Self::Epoch(EpochLine { lane, epoch })
            }
            Record::Look { lane, at } => Self::Look(LookLine { lane, at }),
            Record::Sheet(Sheet {
                name,
                version,
                body,
            }) => Self::Sheet(SheetLine {
                name,
                version,
                body,
            }),
            Record::Entry(bytes) => Self::Entry(STANDARD.encode(bytes)),
            Record::Checkpoint { size, note } => Self::Checkpoint(CheckpointLine { size, note }),
        }
    }
}

/// What a line may be.
pub(super) enum Read {
    Begin(u32),
    Record(Box<Record>),
    End(Closing),
}

impl TryFrom<Line> for Read {
    type Error = base64::DecodeError;

    fn try_from(line: Line) -> Result<Self, base64::DecodeError> {
        let record = match line {
            Line::JitneyLedger(format) => return Ok(Self::Begin(format)),
            Line::End(closing) => return Ok(Self::End(closing)),
            Line::Request(row) => Record::Row(row_of(RowId::Request(row.id), row)),
            Line::Lease(row) => Record::Row(row_of(RowId::Lease(row.id), row)),
            Line::Once(used) => Record::Once(OnceUse {
                key: used.key,
                bound_to: used.bound_to,
                asked: used.asked,
                request: used.request,
                remember_until: used.remember_until,
            }),
            Line::Claim(ClaimLine { name, lease }) => Record::Claim(Claim { name, lease }),
            Line::Hold(hold) => Record::Hold(hold),
            Line::Epoch(EpochLine { lane, epoch }) => {
                let epoch = Epoch(epoch);
                Record::Epoch(Fence { lane, epoch })
            }
            Line::Look(LookLine { lane, at }) => Record::Look { lane, at },
            Line::Sheet(SheetLine {
                name,
                version,
                body,
            }) => Record::Sheet(Sheet {
                name,
                version,
                body,
            }),
            Line::Entry(text) => Record::Entry(STANDARD.decode(text)?),
            Line::Checkpoint(CheckpointLine { size, note }) => Record::Checkpoint { size, note },
        };
        Ok(Self::Record(Box::new(record)))
    }
}

fn row_line<Id>(id: Id, row: Row) -> RowLine<Id> {
    RowLine {
        id,
        version: row.version,
        state: row.state,
        is_final: row.is_final,
        request: row.request,
        lane: row.lane,
        owner: row.owner,
        due_at: row.due_at,
        body: row.body,
    }
}

fn row_of<Id>(id: RowId, row: RowLine<Id>) -> Row {
    Row {
        id,
        version: row.version,
        state: row.state,
        is_final: row.is_final,
        request: row.request,
        lane: row.lane,
        owner: row.owner,
        due_at: row.due_at,
        body: row.body,
    }
}
