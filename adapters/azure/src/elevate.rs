//! Giving: a slot that has nothing is given the roles of one lease, and what it then can do is
//! handed out. All roles or none: what was given when something fails is taken back.

use core::future::Future;
use core::time::Duration;
use std::collections::BTreeSet;

use async_trait::async_trait;
use jitney_core::adapter::{Elevate, Reach};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::Elevation;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::CloudName;
use jitney_core::lease::{self, Active, Elevating};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::time::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use crate::adapter::{AzureAdapter, own_fault};
use crate::classify::{Call, TOLD_UNKNOWN, fault};
use crate::giving::{Asking, ambiguous, at};
use crate::limits::{NOT_BARE_SECONDS, POLL_MILLISECONDS};
use crate::resources::{RBAC_VERSION, Resource as Found};
use crate::role::Definition;
use crate::standing::{Denials, Look};
use crate::terms::{Grant, Purpose, Terms};

const TOLD_LATE: &str = "Azure was not asked in time; try again";
const TOLD_SLOT: &str =
    "the identity that was to carry this lease cannot be used just now; try again";
const TOLD_ROLE: &str = "the role that was to be granted allows other things than it should; the platform team must look";

#[async_trait]
impl Elevate for AzureAdapter {
    fn cloud(&self) -> &CloudName {
        &self.planner.cloud
    }

    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        self.planner.slots(wanted)
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.planner.plan(order)
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        self.planner.lanes(resources)
    }

    fn reach(&self) -> Reach {
        self.planner.reach()
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        let lease = intent.terms();
        let terms = self.terms(lease)?;
        let time = self.time(lease.answer_by);
        self.check_time(&time)?;
        let ready = time.within(self.ready(&terms)).await;
        ready.unwrap_or_else(|| Err(late("Azure did not tell in time what the slot has")))?;
        let asking = Asking {
            lease,
            terms: &terms,
            mark: intent.mark(),
        };
        let provider_request = self.give_all(asking, &time).await?;
        // From here on there is something to take back, whatever goes wrong.
        let handed = self.hand_out_once_active(asking, &time).await;
        let elevation = handed.map_err(|fault| ambiguous(&fault))?;
        Ok(Elevation {
            provider_request,
            ..elevation
        })
    }

    /// The roles stand for the whole request; only what is handed out is new.
    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        let terms = self.terms(lease.terms())?;
        let time = self.time(lease.answer_by());
        self.check_time(&time)?;
        let handed = time.within(self.hand_out(&terms)).await;
        handed.unwrap_or_else(|| Err(no_answer("POST token")))
    }
}

/// Until when a call may leave, by the ledger's reckoning, and until when it is waited for.
struct Time {
    ask_by: Timestamp,
    wait_until: Instant,
}

impl Time {
    /// What a call comes to in time.
    async fn within<T>(&self, call: impl Future<Output = T> + Send) -> Option<T> {
        timeout_at(self.wait_until, call).await.ok()
    }
}

impl AzureAdapter {
    fn time(&self, ask_by: Timestamp) -> Time {
        let left = ask_by.since(self.watch.now()).min(self.config().deadline());
        Time {
            ask_by,
            wait_until: Instant::now() + left,
        }
    }

    /// A later call could land when nobody reckons with it any more.
    fn check_time(&self, time: &Time) -> Result<(), Fault> {
        if self.watch.now() < time.ask_by && Instant::now() < time.wait_until {
            Ok(())
        } else {
            Err(late("the time to ask was over when its turn came"))
        }
    }

    pub(crate) fn terms(&self, lease: &lease::Terms) -> Result<Terms, Fault> {
        serde_json::from_value(lease.plan.terms.clone()).map_err(|error| {
            let logged = format!("the plan of lease {} cannot be read: {error}", lease.id);
            let told = "the broker cannot read its own plan; the platform team must look";
            own_fault(FaultKind::Permanent, "azure_plan_unreadable", told, logged)
        })
    }

    /// Looks before anything is given: at the slot, which must have nothing, and at the roles,
    /// which must be what they are taken for.
    async fn ready(&self, terms: &Terms) -> Result<(), Fault> {
        let look = Look {
            arm: &self.clients.looking,
            installation: &self.planner.installation,
            subscription: self.config().subscription,
            mode: terms.mode,
            denials: match terms.fast_stop {
                Some(_) => Denials::Expected,
                None => Denials::Skipped,
            },
        };
        let seen = look.at(terms.object_id, &BTreeSet::new()).await;
        let seen = seen.map_err(|error| fault(Call::Reads, "GET what the slot has", &error))?;
        if !seen.is_bare() {
            // A lease that is over would get the rights of this one, or this one the rights of that.
            let logged = format!("slot `{}` is not bare: it has {seen:?}", terms.slot);
            tracing::error!(slot = %terms.slot, "a slot that should have nothing has something");
            let after = Some(Duration::from_secs(NOT_BARE_SECONDS));
            let kind = FaultKind::Retryable { after };
            return Err(own_fault(kind, "azure_slot_not_bare", TOLD_SLOT, logged));
        }
        for grant in &terms.grants {
            self.check_role(grant).await?;
        }
        Ok(())
    }

    async fn check_role(&self, grant: &Grant) -> Result<(), Fault> {
        let path = grant.role_id();
        let found = self.clients.looking.get(at(&path, RBAC_VERSION)).await;
        let found: Found<Definition> = found
            .map_err(|error| fault(Call::Reads, &format!("GET {path}"), &error))?
            .body;
        let wrong = match &grant.purpose {
            Purpose::Blobs { data_actions } => {
                let wanted: Vec<&str> = data_actions.iter().map(|a| a.as_str()).collect();
                let (beyond, lacks) = (
                    found.properties.beyond(&wanted),
                    found.properties.lacks(&wanted),
                );
                let is_right = beyond.is_empty() && lacks.is_empty();
                (!is_right).then(|| format!("it allows {beyond:?} beside, and lacks {lacks:?}"))
            }
            Purpose::Role => found.properties.gives_roles().map(|way| {
                format!(
                    "it allows `{way}`: whoever has it can give itself what no revocation finds"
                )
            }),
        };
        match wrong {
            None => Ok(()),
            Some(why) => {
                let logged = format!("the role {} cannot be granted: {why}", grant.role);
                let permanent = FaultKind::Permanent;
                Err(own_fault(permanent, "azure_role_unfit", TOLD_ROLE, logged))
            }
        }
    }

    /// Gives every role, each by one call. Gives Azure's name for the last of them.
    async fn give_all(&self, asking: Asking<'_>, time: &Time) -> Result<Option<String>, Fault> {
        let mut request = None;
        for (number, grant) in asking.terms.grants.iter().enumerate() {
            let in_time = self.check_time(time);
            let given = match in_time {
                Ok(()) => {
                    let given = time.within(self.give(asking, grant)).await;
                    given.unwrap_or_else(|| Err(no_answer("PUT")))
                }
                Err(late) => Err(late),
            };
            // Of the first we know what the call came to. After it something was given already.
            request = given.map_err(|fault| match number {
                0 => fault,
                _ => ambiguous(&fault),
            })?;
        }
        Ok(request)
    }

    async fn hand_out_once_active(
        &self,
        asking: Asking<'_>,
        time: &Time,
    ) -> Result<Elevation, Fault> {
        for grant in &asking.terms.grants {
            let active = time.within(self.wait_for(asking, grant)).await;
            active.unwrap_or_else(|| {
                let what = format!("the role {} on {} to stand", grant.role, grant.scope);
                Err(no_answer(&what))
            })?;
        }
        self.check_time(time)?;
        let handed = time.within(self.hand_out(asking.terms)).await;
        handed.unwrap_or_else(|| Err(no_answer("POST token")))
    }

    async fn wait_for(&self, asking: Asking<'_>, grant: &Grant) -> Result<(), Fault> {
        while !self.is_active(asking, grant).await? {
            sleep(Duration::from_millis(POLL_MILLISECONDS)).await;
        }
        Ok(())
    }
}

fn late(what: &str) -> Fault {
    own_fault(
        FaultKind::Retryable { after: None },
        "azure_not_asked_in_time",
        TOLD_LATE,
        format!("nothing was asked for: {what}"),
    )
}

fn no_answer(what: &str) -> Fault {
    let logged = format!("{what}: no answer within the deadline");
    own_fault(
        FaultKind::Ambiguous,
        "azure_no_answer",
        TOLD_UNKNOWN,
        logged,
    )
}
