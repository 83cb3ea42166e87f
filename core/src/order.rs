//! Kill orders: an operator ends every lease that something is true of. An order is durable: it
//! is carried out by whichever broker is there, goes on after a crash where it was, and while it
//! stands nothing that it is about is elevated.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{LeaseId, OrderId};
use crate::plan::LaneId;
use crate::standing::Aim;
use crate::time::Timestamp;

/// How the names of the sheets of orders begin.
pub const SHEETS: &str = "order/";

/// The sheet of an order.
#[must_use]
pub fn sheet(id: OrderId) -> String {
    format!("{SHEETS}{id}")
}

/// A kill order and how far it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Which leases.
    pub aim: Aim,
    /// Lanes in which everything is cut at once, also the leases that the aim does not name.
    pub lanes: BTreeSet<LaneId>,
    /// Who ordered it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// When.
    pub ordered_at: Timestamp,
    /// Leases with this id and above were seen already.
    pub seen_down_to: Option<LeaseId>,
    /// How many open leases were looked at.
    pub looked_at: u32,
    /// How many of them were ended by this order.
    pub ended: u32,
    /// How many of them could not be read, and so were passed over.
    #[serde(default)]
    pub unreadable: u32,
    /// When the last one was durably ending.
    pub done_at: Option<Timestamp>,
}
