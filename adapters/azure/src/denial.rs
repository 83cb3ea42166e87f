//! Denials: what stops an ended lease whose role PIM does not let us take yet.
//!
//! A denial is a deny assignment for one slot, on the scope of what the lease was given, under a name
//! that is made from the lease. It stands beside the removal and never before it. It is lifted when
//! the lease is over and its role was seen gone for as long as a change takes: whoever stops anywhere
//! in between leaves a denial for too long, and never a role.

use core::time::Duration;

use jitney_core::adapter::Mark;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use uuid::Uuid;

use crate::adapter::AzureAdapter;
use crate::arm::NoAnswer;
use crate::calm::Calm;
use crate::classify::{Call, fault};
use crate::giving::{at, named};
use crate::resources::{
    Asked, DENY_VERSION, Denies, DenyAssignment, Named, NewDenyAssignment, Resource,
};
use crate::scope::Scope;
use crate::stamp::ends;
use crate::standing::{Denied, Seen};
use crate::terms::{Grant, Purpose};

/// What is denied of a whole role. "Only write, delete, and action operations can be denied. Read
/// actions and data actions are not supported" (New-AzDenyAssignment).
const OF_A_ROLE: [&str; 3] = ["*/write", "*/delete", "*/action"];

/// A deny assignment as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) name: Uuid,
    scope: Scope,
    role: Uuid,
    denies: Denies,
}

impl Denial {
    /// What is denied once a lease has ended that was given this.
    pub(crate) fn of(grant: &Grant, lease: LeaseId) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            name: grant.denial_name(lease),
            scope: grant.scope.clone(),
            role: grant.role,
            denies: match &grant.purpose {
                Purpose::Blobs { data_actions } => Denies {
                    data_actions: data_actions.iter().map(|a| a.as_str().to_owned()).collect(),
                    ..Denies::default()
                },
                Purpose::Role => Denies {
                    actions: texts(&OF_A_ROLE),
                    ..Denies::default()
                },
            },
        }
    }
}

#[cfg(test)]
impl Denial {
    pub(crate) const fn denies(&self) -> &Denies {
        &self.denies
    }
}

impl Seen {
    /// Whether something is there, or on its way, that a denial is to stop.
    pub(crate) fn needs(&self, denied: &Denied) -> bool {
        let is_stopped = |handle: Option<&Handle>, scope: &Scope| {
            handle == Some(&denied.handle) || *scope == denied.scope
        };
        let mut standing = self.standing.iter();
        let mut open = self.open.iter();
        standing.any(|it| is_stopped(it.handle.as_ref(), &it.scope))
            || open.any(|it| is_stopped(Some(&it.handle), &it.place.1))
    }

    /// The denials that have stopped nothing for at least `settle`.
    pub(crate) fn needless(
        &self,
        calm: &mut Calm,
        passed: Duration,
        settle: Duration,
    ) -> Vec<&Denied> {
        calm.keep_denials(&self.denied);
        let is_needless = |denied: &&Denied| {
            let idle = calm.idle(denied, self.needs(denied), passed);
            idle.is_some_and(|idle| idle >= settle)
        };
        self.denied.iter().filter(is_needless).collect()
    }
}

impl AzureAdapter {
    /// Denies a slot what it was given, for the lease that `handle` names. A refusal is told, and
    /// keeps nothing from being taken back.
    pub(crate) async fn deny(
        &self,
        principal: Uuid,
        denial: &Denial,
        handle: &Handle,
        mark: Mark,
    ) -> Result<(), Fault> {
        let body = Asked {
            properties: NewDenyAssignment {
                // "Names must be unique for a given scope" (list deny assignments).
                deny_assignment_name: format!("jitney {handle} {}", denial.role),
                description: ends(&self.planner.installation, handle, mark),
                deny_assignment_effect: "enforced",
                principals: [Named {
                    id: principal.to_string(),
                    kind: "ServicePrincipal",
                }],
                permissions: [denial.denies.clone()],
            },
        };
        let path = denial_path(&denial.scope, denial.name);
        let asked = self
            .clients
            .taking
            .put(at(&path, DENY_VERSION), &body)
            .await;
        let told = asked.map(|answer| {
            let _: Resource<DenyAssignment> = answer.body;
        });
        told.map_err(|error| refused("PUT", &path, &error))
    }

    /// Takes a denial away. Whether that worked is seen at the next look.
    pub(crate) async fn lift(&self, denied: &Denied) {
        let path = denial_path(&denied.scope, denied.name);
        let lifted = self.clients.taking.delete(at(&path, DENY_VERSION)).await;
        if let Err(error) = lifted {
            let fault = refused("DELETE", &path, &error);
            tracing::error!(code = fault.code, fault = %fault.logged,
                "a deny assignment of Jitney's stands for longer than it is needed, and its slot \
                 carries nothing until it is gone");
        }
    }
}

fn refused(method: &str, path: &str, error: &NoAnswer) -> Fault {
    fault(Call::Takes, &named(method, path), error)
}

/// Whether asking for the same again will come to the same.
pub(crate) fn is_final(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Permanent => true,
        FaultKind::Retryable { .. } | FaultKind::Ambiguous | FaultKind::LedgerBehind { .. } => {
            false
        }
    }
}

fn denial_path(scope: &Scope, name: Uuid) -> String {
    format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{name}")
}
