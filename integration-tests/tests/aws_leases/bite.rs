//! The laws bite: what breaks a promise breaks a law.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::{Adapter, Elevate, Hand, Page, Pass, Reach, Revocations, Revoke};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Elevation, Shown};
use jitney_core::evidence::{Evidence, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::CloudName;
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::question::Inquire;
use jitney_core::time::Clock;
use jitney_integration_tests::adapter_laws::{Law, Revealed, Scribe, Stage, SystemClock, Trouble};
use serde_json::json;

use crate::stage::{AwsStage, ours};

async fn breaks(name: &str, stage: &dyn Stage) {
    let law = Law::named(name).unwrap();
    assert!(
        law.holds_on(stage).await.is_err(),
        "`{name}` holds of what breaks it"
    );
}

#[tokio::test]
async fn a_cloud_that_ignores_denies_breaks_the_laws_of_ending() {
    for name in [
        "ends-within-its-promise",
        "evidence-is-true",
        "ends-one-and-no-other",
        "holds-stay-in-force",
        "renewal-keeps-the-handle",
        "a-later-hand-carries-on",
        "what-a-stranger-undid-is-done-again",
    ] {
        let stage = ours(0, 1).await;
        stage.sandbox.as_ref().unwrap().set_ignore_deny(true);
        breaks(name, &stage).await;
    }
}

#[tokio::test]
async fn a_settle_time_shorter_than_the_lag_is_noticed() {
    let stage = ours(3, 1).await;
    breaks("evidence-is-true", &stage).await;
}

#[tokio::test]
async fn an_adapter_that_lies_or_widens_is_noticed() {
    for (fault, laws) in [
        (Vice::Widens, vec!["grants-nothing-else", "plans-are-pure"]),
        (
            Vice::CriesVictory,
            vec!["evidence-is-true", "nothing-is-left-behind"],
        ),
        (
            Vice::ForgetsHolds,
            vec!["holds-stay-in-force", "a-later-hand-carries-on"],
        ),
        (
            Vice::TakesDoubtForFailure,
            vec!["a-lost-answer-is-ambiguous", "a-server-error-is-ambiguous"],
        ),
    ] {
        for name in laws {
            let stage = Bad {
                stage: ours(0, 1).await,
                vice: fault,
            };
            breaks(name, &stage).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Vice {
    Widens,
    CriesVictory,
    ForgetsHolds,
    TakesDoubtForFailure,
}

/// A stage whose adapter has a vice.
struct Bad {
    stage: AwsStage,
    vice: Vice,
}

struct BadAdapter {
    good: Arc<dyn Adapter>,
    vice: Vice,
}

#[async_trait]
impl Elevate for BadAdapter {
    fn cloud(&self) -> &CloudName {
        self.good.cloud()
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        let mut plan = self.good.plan(order)?;
        if self.vice == Vice::Widens {
            let wide = json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]);
            plan.terms["policy"]["Statement"] = wide;
            let now = SystemClock.now().as_micros();
            plan.summary.push(format!("planned at {now}"));
        }
        Ok(plan)
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        self.good
            .elevate(intent)
            .await
            .map_err(|fault| match self.vice {
                Vice::TakesDoubtForFailure => Fault {
                    kind: FaultKind::Permanent,
                    ..fault
                },
                Vice::Widens | Vice::CriesVictory | Vice::ForgetsHolds => fault,
            })
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        self.good.lanes(resources)
    }

    fn reach(&self) -> Reach {
        self.good.reach()
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        self.good.renew(lease).await
    }
}

#[async_trait]
impl Revoke for BadAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        match self.vice {
            Vice::CriesVictory => Ok(Pass::from(
                due.iter()
                    .map(|lease| {
                        let evidence = Evidence::Probed {
                            at: SystemClock.now(),
                        };
                        let over = Revocation::Evident {
                            evidence,
                            hold_until: None,
                        };
                        (lease.terms().id, Ok(over))
                    })
                    .collect::<Revocations>(),
            )),
            Vice::ForgetsHolds => self.good.revoke(lane, hand, due, &[]).await,
            Vice::Widens | Vice::TakesDoubtForFailure => {
                self.good.revoke(lane, hand, due, holds).await
            }
        }
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        self.good.sweep(after).await
    }
}

#[async_trait]
impl Probe for BadAdapter {
    fn in_force(&self, plan: &Plan) -> InForce {
        self.good.in_force(plan)
    }

    async fn probe(&self, lease: &Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        self.good.probe(lease, wanted, shown).await
    }
}

impl Inquire for BadAdapter {}

#[async_trait]
impl Stage for Bad {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(BadAdapter {
            good: self.stage.adapter(),
            vice: self.vice,
        })
    }
    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter> {
        self.stage.adapter_of_nowhere()
    }
    fn scribe(&self) -> &Scribe {
        self.stage.scribe()
    }
    fn settles(&self) -> Duration {
        self.stage.settles()
    }
    fn wanted(&self) -> jitney_core::catalogue::Wanted {
        self.stage.wanted()
    }
    async fn works(&self, credential: &Revealed) -> Result<bool, String> {
        self.stage.works(credential).await
    }
    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        self.stage.strays(credential).await
    }
    fn trouble(&self, trouble: Trouble) {
        self.stage.trouble(trouble);
    }
    async fn grants_made(&self) -> Option<usize> {
        self.stage.grants_made().await
    }
    async fn undo(&self, lane: &LaneId) -> Result<(), String> {
        self.stage.undo(lane).await
    }
    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String> {
        self.stage.left_behind(lane).await
    }
    async fn others_are_intact(&self, lane: &LaneId) -> Result<bool, String> {
        self.stage.others_are_intact(lane).await
    }
}
