//! Giving, as core asks for it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_lc_rs::digest;
use jitney_core::adapter::{Elevate, Reach};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Credential, Elevation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::CloudName;
use jitney_core::lease::{self, Active, Elevating};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};

use crate::adapter::{GcpAdapter, own_fault};
use crate::connect::Purpose;
use crate::lending::{self, Loan, doubted};
use crate::slot::Token;
use crate::terms::{Terms, Way};

/// The protocol of the credentials this adapter hands out.
pub const CREDENTIAL_KIND: &str = "gcp-token";
/// The name of a credential's one field.
pub const ACCESS_TOKEN: &str = "access_token";
/// The setting that says in which project the job works.
pub const PROJECT_ID: &str = "project_id";
/// The setting that says whose token it is.
pub const SERVICE_ACCOUNT: &str = "service_account";

#[async_trait]
impl Elevate for GcpAdapter {
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
        let plan = terms(lease)?;
        let loan = Loan::of(lease, &plan, (intent.mark(), lease.answer_by));
        let slot = self.slot(&plan.account, Purpose::Gives);
        let token = match &plan.way {
            Way::Own(_) | Way::Standing | Way::Entitled { .. } => {
                lending::lend(&slot, &loan).await?
            }
            Way::Shared(_) => {
                lending::lend_part(&slot, &loan).await?;
                lending::mint_part(&slot, &loan).await.map_err(doubted)?
            }
            Way::Boundary(rules) => {
                lending::lend_part(&slot, &loan).await?;
                self.narrow(lending::mint_part(&slot, &loan).await?, rules)
                    .await?
            }
        };
        Ok(self.elevation(&plan, token))
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        let plan = terms(lease.terms())?;
        let loan = Loan::of(lease.terms(), &plan, (lease.mark(), lease.answer_by()));
        let slot = self.slot(&plan.account, Purpose::Gives);
        let token = match &plan.way {
            Way::Own(_) | Way::Standing | Way::Entitled { .. } => {
                lending::lend_on(&slot, &loan).await?
            }
            Way::Shared(_) => lending::lend_part_on(&slot, &loan).await?,
            Way::Boundary(rules) => {
                self.narrow(lending::lend_part_on(&slot, &loan).await?, rules)
                    .await?
            }
        };
        Ok(self.elevation(&plan, token))
    }
}

impl GcpAdapter {
    fn elevation(&self, plan: &Terms, token: Token) -> Elevation {
        Elevation {
            fingerprint: fingerprint(&token.secret),
            credential: Credential::new(
                CREDENTIAL_KIND,
                [(ACCESS_TOKEN, token.secret)],
                token.expires_at,
            )
            .with_settings([
                (PROJECT_ID, self.config().project.to_string()),
                (SERVICE_ACCOUNT, plan.account.to_string()),
            ]),
            provider_request: None,
        }
    }
}

pub(crate) fn terms(lease: &lease::Terms) -> Result<Terms, Fault> {
    serde_json::from_value(lease.plan.terms.clone()).map_err(|error| {
        let logged = format!("the plan of lease {} cannot be read: {error}", lease.id);
        let told = "the broker cannot read its own plan; the platform team must look";
        own_fault(FaultKind::Permanent, "gcp_plan_unreadable", told, logged)
    })
}

/// A public name of a token, which has none of its own: the beginning of its hash. A token has far
/// more in it than could be tried out.
fn fingerprint(secret: &str) -> String {
    let hash = digest::digest(&digest::SHA256, secret.as_bytes());
    let bytes = hash.as_ref().iter().take(10);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
