//! The cloud's own terms of a plan, as they are stored with the intent: everything that a later
//! process needs in order to give, and to take back.

use jitney_core::id::LeaseId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::capability::BlobAction;
use crate::config::{FastStop, HandsOut, Mode};
use crate::environment::Environment;
use crate::scope::Scope;
use crate::stamp::JobLabels;

/// What a role is given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Purpose {
    /// These data actions and nothing else.
    Blobs { data_actions: Vec<BlobAction> },
    /// Whatever it allows.
    Role,
}

/// One role on one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) role: Uuid,
    pub(crate) scope: Scope,
    pub(crate) purpose: Purpose,
    pub(crate) condition: Option<String>,
}

impl Grant {
    /// The name by which Azure will know it, chosen before the call: asked for twice, it is there
    /// once.
    pub(crate) fn name(&self, lease: LeaseId) -> Uuid {
        Uuid::new_v5(&lease.as_uuid(), self.place().as_bytes())
    }

    /// The name of what denies it when the lease has ended.
    pub(crate) fn denial_name(&self, lease: LeaseId) -> Uuid {
        let about = format!("denied\n{}", self.place());
        Uuid::new_v5(&lease.as_uuid(), about.as_bytes())
    }

    fn place(&self) -> String {
        format!(
            "{}\n{}",
            self.role,
            self.scope.as_str().to_ascii_lowercase()
        )
    }

    /// The role as Azure wants it named.
    pub(crate) fn role_id(&self) -> String {
        role_id(self.scope.subscription_id(), self.role)
    }
}

/// A role definition's id within a subscription.
pub(crate) fn role_id(subscription: Uuid, role: Uuid) -> String {
    format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    )
}

/// Who takes the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Audience {
    Storage,
    Management,
}

impl Audience {
    /// As Entra is asked for it.
    pub(crate) const fn scope(self, environment: Environment) -> &'static str {
        match self {
            Self::Storage => environment.storage(),
            Self::Management => environment.management(),
        }
    }
}

/// The cloud's own terms of a plan, as they are stored with the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) slot: String,
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    pub(crate) mode: Mode,
    /// What stops the lease while its roles cannot be taken yet. Plans from before there was such a
    /// thing say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fast_stop: Option<FastStop>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) audience: Audience,
    pub(crate) hands_out: HandsOut,
    /// How long PIM lets the assignments stand.
    pub(crate) duration_seconds: u32,
    pub(crate) job: JobLabels,
}
