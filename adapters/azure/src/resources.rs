//! The few resources of Azure's authorization API that this adapter reads and writes, in Azure's
//! own words. What it does not need is not read, and unknown words of an open list are kept.

use jitney_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Role assignments and role definitions.
pub(crate) const RBAC_VERSION: &str = "2022-04-01";
/// Privileged Identity Management.
pub(crate) const PIM_VERSION: &str = "2020-10-01";
/// Deny assignments, where they are written. They are listed in the same version as roles, which
/// every one of Azure's clouds has.
pub(crate) const DENY_VERSION: &str = "2026-09-01";

/// Something with a name and properties.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Resource<P> {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) properties: P,
}

/// A role assignment, whoever made it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assignment {
    pub(crate) role_definition_id: String,
    pub(crate) principal_id: String,
    #[serde(default)]
    pub(crate) scope: String,
    pub(crate) description: Option<String>,
    pub(crate) condition: Option<String>,
}

/// An assignment that PIM keeps, while it is active.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    pub(crate) role_definition_id: String,
    pub(crate) principal_id: String,
    pub(crate) scope: String,
    pub(crate) origin_role_assignment_id: Option<String>,
    pub(crate) start_date_time: Option<String>,
    pub(crate) condition: Option<String>,
}

/// What PIM was asked for. Kept for about 45 days.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) role_definition_id: String,
    pub(crate) principal_id: String,
    #[serde(default)]
    pub(crate) scope: String,
    pub(crate) request_type: String,
    pub(crate) status: String,
    pub(crate) justification: Option<String>,
    pub(crate) created_on: Option<String>,
}

/// A deny assignment, whoever made it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DenyAssignment {
    #[serde(default)]
    pub(crate) scope: String,
    pub(crate) description: Option<String>,
    pub(crate) principals: Option<Vec<DeniedPrincipal>>,
    pub(crate) is_system_protected: Option<bool>,
}

/// Whom it is about.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DeniedPrincipal {
    pub(crate) id: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It was carried out.
    Done,
    /// It never will be.
    Never,
    /// It may be yet; also every word that is new to us.
    Open,
}

impl Request {
    pub(crate) fn progress(&self) -> Progress {
        match self.status.as_str() {
            "Provisioned" | "Revoked" => Progress::Done,
            "Denied"
            | "Canceled"
            | "Failed"
            | "FailedAsResourceIsLocked"
            | "AdminDenied"
            | "TimedOut"
            | "Invalid" => Progress::Never,
            _ => Progress::Open,
        }
    }

    /// Whether it asks for somebody to have a role.
    pub(crate) fn gives(&self) -> bool {
        self.request_type.eq_ignore_ascii_case("AdminAssign")
    }
}

/// A time as Azure writes it.
pub(crate) fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// The body of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Asked<P> {
    pub(crate) properties: P,
}

/// A plain role assignment that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewAssignment {
    pub(crate) role_definition_id: String,
    pub(crate) principal_id: String,
    /// Without it Azure looks the principal up, which fails while a new one is on its way to every
    /// directory.
    pub(crate) principal_type: &'static str,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition_version: Option<&'static str>,
}

/// What PIM is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewRequest {
    pub(crate) principal_id: String,
    pub(crate) role_definition_id: String,
    pub(crate) request_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule_info: Option<Schedule>,
    pub(crate) justification: String,
    pub(crate) ticket_info: Ticket,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition_version: Option<&'static str>,
}

/// From when, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schedule {
    pub(crate) start_date_time: String,
    pub(crate) expiration: Expiration,
}

/// See [`Schedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Expiration {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) duration: String,
}

/// Where people find out more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    pub(crate) ticket_number: String,
    pub(crate) ticket_system: &'static str,
}

/// A deny assignment that is asked for. Nobody is excluded, which is said by leaving the list out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewDenyAssignment {
    pub(crate) deny_assignment_name: String,
    pub(crate) description: String,
    pub(crate) deny_assignment_effect: &'static str,
    pub(crate) principals: [Named; 1],
    pub(crate) permissions: [Denies; 1],
}

/// A principal by its object id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Named {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// What is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Denies {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) actions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) data_actions: Vec<String>,
}

/// The settings of a role in PIM, as they are in force on a scope.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyAssignment {
    pub(crate) role_definition_id: String,
    #[serde(default)]
    pub(crate) effective_rules: Vec<Rule>,
}

/// One rule of them. Which fields there are depends on its kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) enabled_rules: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) maximum_duration: Option<String>,
}

#[cfg(test)]
mod tests;
