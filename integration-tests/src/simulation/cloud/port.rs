//! A broker's adapter of a simulated cloud: what core calls.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jitney_core::adapter::{Elevate, Hand, Page, Pass, Reach, Revoke};
use jitney_core::books::Recorded;
use jitney_core::catalogue::Resource;
use jitney_core::credential::Elevation;
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::handle::Handle;
use jitney_core::id::CloudName;
use jitney_core::lease::{Active, Elevating, Revoking};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::time::Timestamp;

use super::lists::Pens;
use super::{Cloud, DEADLINE, PATIENCE, SESSION_LIFE, SETTLE, SKEW, Style};
use crate::simulation::dice::Dice;
use crate::simulation::executor::Group;
use crate::simulation::fault::{Call, Fault};
use crate::simulation::process::Process;
use crate::simulation::reply::question;

/// The most leases and holds of a lane.
const LANE_CAPACITY: u32 = 96;

/// The adapter of one process for one cloud.
pub struct CloudPort {
    pub(super) name: CloudName,
    pub(super) cloud: Arc<Cloud>,
    pub(super) process: Arc<Process>,
    pub(super) memory: Mutex<Memory>,
}

/// What a process remembers of a cloud. It is forgotten with the process.
#[derive(Default)]
pub(super) struct Memory {
    /// What it remembers of the lists it writes.
    pub(super) pens: Pens,
    /// Since when this process itself has seen a handle absent. Counted on its own: another
    /// process's clock may be two minutes from ours.
    pub(super) absent_since: BTreeMap<Handle, Timestamp>,
}

/// What becomes of one call.
#[derive(Clone, Copy)]
pub(super) struct Fate {
    arrives_after: Option<Duration>,
    is_answered: bool,
}

impl CloudPort {
    /// The adapter of a process.
    #[must_use]
    pub fn new(name: CloudName, cloud: Arc<Cloud>, process: Arc<Process>) -> Self {
        Self {
            name,
            cloud,
            process,
            memory: Mutex::default(),
        }
    }

    /// Sends a call and waits for its answer until the deadline. What it does, it does when it
    /// arrives, whether or not anybody still waits.
    pub(super) async fn send<T: Send + 'static>(
        &self,
        fate: Fate,
        work: impl FnOnce(&Cloud) -> T + Send + 'static,
    ) -> Result<T, Believed> {
        let stage = self.process.stage().clone();
        let (answerer, waiting) = question(stage.sleep(DEADLINE));
        let cloud = Arc::clone(&self.cloud);
        let back = self.process.jitter();
        self.process.stage().spawn(Group::WORLD, async move {
            let Some(arrives_after) = fate.arrives_after else {
                stage.sleep(DEADLINE).await;
                return;
            };
            stage.sleep(arrives_after).await;
            if cloud.is_down() {
                stage.sleep(DEADLINE).await;
                return;
            }
            let answer = work(&cloud);
            if fate.is_answered {
                stage.sleep(back).await;
                // Nobody may be there any more to hear it.
                let _ = answerer.answer(answer);
            }
        });
        waiting
            .await
            .map_err(|_| believed(FaultKind::Ambiguous, "sim_no_answer"))
    }

    /// What becomes of a call that goes well.
    pub(super) fn fair(&self) -> Fate {
        Fate {
            arrives_after: Some(self.process.jitter()),
            is_answered: true,
        }
    }

    /// What becomes of the next call of a kind.
    ///
    /// # Errors
    /// When it is turned away, so that nothing happens.
    pub(super) fn fate(&self, call: Call, states: &[&str]) -> Result<Fate, Believed> {
        let struck = self.process.struck(call, states.iter().copied());
        let Some((fault, mut dice)) = struck else {
            return Ok(self.fair());
        };
        let fair = self.fair();
        match fault {
            Fault::MintThrottled | Fault::RevokeThrottled => {
                let after = dice.between(Duration::ZERO, Duration::from_secs(120));
                let after = Some(after).filter(|_| dice.one_in(2));
                Err(believed(FaultKind::Retryable { after }, "sim_throttled"))
            }
            Fault::MintDenied | Fault::RevokeDenied => {
                Err(believed(FaultKind::Permanent, "sim_denied"))
            }
            Fault::MintLost | Fault::RevokeLost => Ok(Fate {
                arrives_after: None,
                ..fair
            }),
            Fault::MintAnswerLost | Fault::RevokeAnswerLost => Ok(Fate {
                is_answered: false,
                ..fair
            }),
            _ => Ok(Fate {
                arrives_after: Some(late(&mut dice)),
                is_answered: false,
            }),
        }
    }
}

/// When a call lands that was hung up on: up to a little after the cloud would still act on it.
fn late(dice: &mut Dice) -> Duration {
    dice.between(DEADLINE, PATIENCE + Duration::from_secs(20))
}

pub(super) fn believed(kind: FaultKind, code: &'static str) -> Believed {
    Believed {
        kind,
        code,
        told: "the cloud did not do what was asked".to_owned(),
        logged: format!("the simulated cloud answered `{code}`"),
    }
}

const fn seconds(time: Duration) -> u32 {
    // Every time here is some minutes.
    time.as_secs() as u32
}

#[async_trait]
impl Elevate for CloudPort {
    fn cloud(&self) -> &CloudName {
        &self.name
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        let via = order.wanted.first().and_then(|it| it.resource.via.clone());
        Ok(Plan {
            lane: LaneId {
                target: order.target.clone(),
                name: via.unwrap_or_else(|| "main".to_owned()),
            },
            lane_capacity: LANE_CAPACITY,
            terms: serde_json::Value::Null,
            summary: Vec::new(),
            answers_within_seconds: 0,
            lands_within_seconds: seconds(DEADLINE) + seconds(PATIENCE) + seconds(SKEW),
            lives_seconds: seconds(SESSION_LIFE),
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 1,
                ttl_seconds_max: seconds(SESSION_LIFE),
                recall: Recall::Severs {
                    within_seconds: seconds(SETTLE),
                },
                ends_by_itself: true,
                because: Vec::new(),
            },
        })
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let lane = |resource: &&Resource| LaneId {
            target: resource.target.clone(),
            name: resource.via.clone().unwrap_or_else(|| "main".to_owned()),
        };
        resources.iter().map(lane).collect()
    }

    fn reach(&self) -> Reach {
        Reach {
            issues_within: DEADLINE + PATIENCE + SKEW,
            lives: SESSION_LIFE,
            settles: SETTLE,
            watermarks: self.cloud.style == Style::Denies,
            grants_stay: false,
        }
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Believed> {
        let terms = intent.terms();
        self.give(terms, terms.answer_by, intent.mark()).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Believed> {
        self.give(lease.terms(), lease.answer_by(), lease.mark())
            .await
    }
}

#[async_trait]
impl Revoke for CloudPort {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Believed> {
        match self.cloud.style {
            Style::Denies => self.deny(lane, hand, due, holds).await,
            Style::Deletes => self.delete(lane, due, holds).await,
        }
    }

    async fn sweep(&self, _after: Option<String>) -> Result<Page, Believed> {
        self.process.step().await;
        let found = self.send(self.fair(), Cloud::stamped).await?;
        Ok(Page { found, next: None })
    }
}
