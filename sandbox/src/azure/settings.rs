//! How kind the cloud is: delays, modes and switches, all of which can be changed while it runs.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::world::seconds;

/// What becomes of a role assignment that PIM made when somebody deletes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PimDeletion {
    /// It goes, and its schedule with it.
    #[default]
    Taken,
    /// It stays, and whoever asked is refused.
    Refused,
    /// It goes, and PIM goes on listing its schedule.
    Unnoticed,
}

/// What PIM does with a condition that it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PimConditions {
    /// It keeps it.
    #[default]
    Kept,
    /// It assigns without it, and says nothing.
    Dropped,
    /// It refuses the request.
    Refused,
}

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
    /// What becomes of a deleted role assignment that PIM made.
    pub pim_deletion: PimDeletion,
    /// What PIM does with conditions.
    pub pim_conditions: PimConditions,
    /// `MultiFactorAuthentication` is demanded of people alone, and not of applications.
    pub mfa_spares_apps: bool,
    /// A condition is kept with other white space than it was written with.
    pub conditions_respaced: bool,
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
            pim_deletion: PimDeletion::Taken,
            pim_conditions: PimConditions::Kept,
            mfa_spares_apps: false,
            conditions_respaced: false,
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
