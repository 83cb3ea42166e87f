//! How kind the cloud is: delays, modes and switches, all of which can be changed while it runs.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::world::seconds;

/// Delays and switches. The defaults are what was seen of Azure, with no lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long after a write a role begins to work, or ceases to. Azure says up to ten minutes.
    pub effect_lag_seconds: u32,
    /// How long a new active assignment cannot be removed because PIM says it does not exist.
    pub pim_hidden_seconds: u32,
    /// How old an active assignment must be before PIM removes it.
    pub pim_floor_seconds: u32,
    /// How long after a removal PIM still says that the assignment exists.
    pub pim_tail_seconds: u32,
    /// How long PIM takes to provision and to revoke. 0 does it at once; else requests are pending meanwhile.
    pub pim_provisioning_seconds: u32,
    /// The tenant has no licence for PIM any more: time-bound assignments are permanent, PIM refuses.
    pub licence_lapsed: bool,
    /// Fields of a body that nobody may write are refused. Azure ignores them in silence, which hides mistakes.
    pub strict_bodies: bool,
    /// A federated credential that does not match is told by AADSTS70021 alone, as older records have it, and not
    /// by what it is that differs.
    pub vague_mismatches: bool,
    /// Deny assignments take data actions. Microsoft's clients say that Azure does not.
    pub deny_data_actions: bool,
    /// How many things a page of a list has.
    pub page_size: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            effect_lag_seconds: 0,
            pim_hidden_seconds: 60,
            pim_floor_seconds: 300,
            pim_tail_seconds: 120,
            pim_provisioning_seconds: 0,
            licence_lapsed: false,
            strict_bodies: true,
            vague_mismatches: false,
            deny_data_actions: false,
            page_size: 1_000,
        }
    }
}

impl Settings {
    pub(crate) fn effect_lag(&self) -> SignedDuration {
        seconds(self.effect_lag_seconds)
    }
}
