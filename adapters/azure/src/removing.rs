//! Taking one role away, and what came of it.

use jitney_core::adapter::Mark;
use jitney_core::fault::Fault;
use jitney_core::handle::Handle;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::adapter::AzureAdapter;
use crate::arm::NoAnswer;
use crate::classify::{Call, DOES_NOT_EXIST, NO_LICENCE, TOO_SHORT, fault};
use crate::config::Mode;
use crate::giving::{TICKET_SYSTEM, at, named, request_path};
use crate::limits::{FLOOR_MARGIN_SECONDS, FLOOR_SECONDS, LOOK_SECONDS, LOOK_SECONDS_MAX};
use crate::resources::{Asked, NewRequest, PIM_VERSION, RBAC_VERSION, Request, Resource, Ticket};
use crate::stamp::ends;
use crate::standing::{Open, Standing};
use crate::terms::role_id;

/// What came of asking for a removal. None of it says that the role is gone: that is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Azure took it on.
    Accepted,
    /// PIM does not remove it yet.
    Floor {
        /// Since when it stands, by Azure's clock.
        since: Option<Timestamp>,
    },
    /// PIM does not see it, which is no sign that it is gone.
    NotVisible,
    /// Azure did not do it.
    Failed(Fault),
}

impl Removal {
    /// Whether PIM has put it off.
    pub(crate) const fn is_put_off(&self) -> bool {
        match self {
            Self::Floor { .. } | Self::NotVisible => true,
            Self::Accepted | Self::Failed(_) => false,
        }
    }

    /// When it is worth while to try again.
    pub(crate) fn look_again(&self, now: Timestamp) -> Timestamp {
        let seconds = core::time::Duration::from_secs;
        let soon = now.plus(seconds(LOOK_SECONDS));
        match self {
            Self::Floor { since: Some(since) } => {
                let over = since.plus(seconds(FLOOR_SECONDS + FLOOR_MARGIN_SECONDS));
                if over > now {
                    over.min(now.plus(seconds(LOOK_SECONDS_MAX)))
                } else {
                    soon
                }
            }
            Self::Floor { since: None } | Self::Accepted | Self::NotVisible | Self::Failed(_) => {
                soon
            }
        }
    }
}

impl AzureAdapter {
    /// Asks for a role to be taken from a slot, for the lease that `handle` names.
    pub(crate) async fn remove(
        &self,
        principal: Uuid,
        standing: &Standing,
        handle: &Handle,
        mode: Mode,
        mark: Mark,
    ) -> Removal {
        if standing.active.is_none() && mode == Mode::Rbac {
            return self.delete(standing).await;
        }
        match self.ask_pim(principal, standing, handle, mark).await {
            // PIM knows nothing of it and does not list it either: somebody else made it, or PIM's
            // licence is gone, and with it its knowledge.
            Removal::NotVisible if standing.active.is_none() => self.delete(standing).await,
            other => other,
        }
    }

    /// Asks PIM for a role to be taken away.
    pub(crate) async fn ask_pim(
        &self,
        principal: Uuid,
        standing: &Standing,
        handle: &Handle,
        mark: Mark,
    ) -> Removal {
        let body = Asked {
            properties: NewRequest {
                principal_id: principal.to_string(),
                role_definition_id: role_id(standing.scope.subscription_id(), standing.role),
                request_type: "AdminRemove",
                schedule_info: None,
                justification: ends(&self.planner.installation, handle, mark),
                ticket_info: Ticket {
                    ticket_number: handle.to_string(),
                    ticket_system: TICKET_SYSTEM,
                },
                condition: None,
                condition_version: None,
            },
        };
        // A name of its own each time. Should one land late, it takes a role away, and no more.
        let path = request_path(&standing.scope, Uuid::new_v4());
        let asked = self.clients.taking.put(at(&path, PIM_VERSION), &body).await;
        match asked {
            Ok(answer) => {
                let _: Resource<Request> = answer.body;
                Removal::Accepted
            }
            Err(error) if error.is(TOO_SHORT) => Removal::Floor {
                since: standing.active.and_then(|active| active.since),
            },
            Err(error) if error.is(DOES_NOT_EXIST) || error.is(NO_LICENCE) => Removal::NotVisible,
            Err(error) => Removal::Failed(fault(Call::Takes, &named("PUT", &path), &error)),
        }
    }

    async fn delete(&self, standing: &Standing) -> Removal {
        let id = standing
            .assignment
            .as_deref()
            .filter(|id| id.starts_with('/'));
        let Some(id) = id else {
            return Removal::NotVisible;
        };
        let removed = self.clients.taking.delete(at(id, RBAC_VERSION)).await;
        match removed {
            Ok(()) => Removal::Accepted,
            Err(error) => Removal::Failed(fault(Call::Takes, &named("DELETE", id), &error)),
        }
    }

    /// Calls off a request of ours that PIM has not carried out. Whether that worked is seen at the
    /// next look.
    pub(crate) async fn call_off(&self, open: &Open) {
        let (_, scope) = &open.place;
        let path = match open.name.parse() {
            Ok(name) => format!("{}/cancel", request_path(scope, name)),
            Err(_) => return,
        };
        let called_off: Result<(), NoAnswer> =
            self.clients.taking.post(at(&path, PIM_VERSION)).await;
        if let Err(error) = called_off {
            let fault = fault(Call::Takes, &named("POST", &path), &error);
            tracing::warn!(code = fault.code, fault = %fault.logged,
                "a request that PIM has not carried out yet could not be called off");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_second(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_floor_says_when_it_is_over_and_is_not_waited_for_blindly() {
        let floor = |since: Option<i64>, now: i64| {
            let floor = Removal::Floor {
                since: since.map(at_second),
            };
            floor.look_again(at_second(now))
        };
        assert_eq!(floor(Some(0), 280), at_second(305));
        assert_eq!(floor(Some(0), 10), at_second(70));
        // It should be over and is not: Azure's clock is behind ours.
        assert_eq!(floor(Some(0), 310), at_second(325));
        assert_eq!(floor(None, 10), at_second(25));
    }
}
