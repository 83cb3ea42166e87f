//! What the ledger holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Frontier, Hash};
use jitney_core::evidence::{Held, Hold};
use jitney_core::id::LeaseId;
use jitney_core::ledger::{OnceUse, Owner, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::standing::{SHEET, Standing};
use jitney_core::time::Timestamp;

/// Everything that a ledger holds. Clones share what does not change.
#[derive(Clone, Default)]
pub struct Tables {
    pub(super) rows: BTreeMap<RowId, Arc<Row>>,
    pub(super) once: BTreeMap<OnceKey, OnceUse>,
    pub(super) claims: BTreeMap<String, LeaseId>,
    pub(super) holds: BTreeMap<(LaneId, Held), Kept>,
    pub(super) lanes: BTreeMap<LaneId, Owned>,
    pub(super) looks: BTreeMap<LaneId, Timestamp>,
    pub(super) sheets: BTreeMap<String, Sheet>,
    pub(super) entries: Arc<Vec<Vec<u8>>>,
    pub(super) frontier: Frontier,
    pub(super) checkpoints: Vec<(u64, String)>,
}

/// A hold, and whose budgets it counts against.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) hold: Hold,
    pub(super) owner: Option<Owner>,
}

/// Who drives a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The hand's epoch.
    pub epoch: Epoch,
    /// Its name.
    pub hand: String,
    /// Until when nobody else gets the lane.
    pub until: Timestamp,
}

impl Tables {
    /// Every row.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(Arc::as_ref)
    }

    /// Every hold.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().map(|kept| &kept.hold)
    }

    /// Who drives a lane, if anybody ever has.
    #[must_use]
    pub fn owner(&self, lane: &LaneId) -> Option<&Owned> {
        self.lanes.get(lane)
    }

    /// Who drives each lane.
    pub fn owners(&self) -> impl Iterator<Item = (&LaneId, &Owned)> {
        self.lanes.iter()
    }

    /// The standing orders.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let sheet = self.sheets.get(SHEET);
        let says = sheet.and_then(|sheet| serde_json::from_str(&sheet.body).ok());
        says.unwrap_or_default()
    }

    /// The audit entries' bytes, in order.
    #[must_use]
    pub fn log(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// The root that was kept of the audit log's tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}
