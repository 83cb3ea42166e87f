//! A broker's adapter of a simulated cloud: what core calls.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jitney_core::adapter::{Elevate, Hand, Page, Pass, Reach, Revoke};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Elevation, Shown};
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::handle::Handle;
use jitney_core::id::{CloudName, InstallationName, TargetName};
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::question::Inquire;
use jitney_core::time::Timestamp;
use jitney_gcp::simulated::{Remembered, terms};

use super::giving::Turn;
use super::google::{Hands, Reached, account_of};
use super::lists::Pens;
use super::slots::SLOT_SETTLE;
use super::{Cloud, DEADLINE, PATIENCE, SETTLE, SKEW, Style};
use crate::simulation::dice::Dice;
use crate::simulation::executor::Group;
use crate::simulation::fault::{Call, Fault};
use crate::simulation::mutant::Mutant;
use crate::simulation::process::Process;
use crate::simulation::reply::question;

/// The most leases and holds of a lane that leases share.
const LANE_CAPACITY: u32 = 96;
/// How many slots there are to choose from. Few, so that they are used again.
const POOL: u32 = 3;

/// The adapter of one process for one cloud.
pub struct CloudPort {
    pub(super) name: CloudName,
    pub(super) cloud: Arc<Cloud>,
    pub(super) process: Arc<Process>,
    pub(super) memory: Mutex<Memory>,
    pub(super) hands: Hands,
    wire: Wire,
}

/// The way of one process to one cloud.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) cloud: Arc<Cloud>,
    pub(super) process: Arc<Process>,
    pub(super) mutant: Arc<dyn Mutant>,
}

/// What a process remembers of a cloud. It is forgotten with the process.
#[derive(Default)]
pub(super) struct Memory {
    /// What it remembers of the lists it writes.
    pub(super) pens: Pens,
    /// Since when this process itself has seen a grant gone. Counted on its own: another process's
    /// clock may be two minutes from ours.
    pub(super) gone_since: BTreeMap<Handle, Timestamp>,
    /// What this process has seen to be gone while it was held.
    pub(super) seen_gone: BTreeSet<(LaneId, Held)>,
    /// What it remembers of accounts.
    pub(super) accounts: BTreeMap<LaneId, Remembered>,
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
    pub fn new(
        name: CloudName,
        cloud: Arc<Cloud>,
        process: Arc<Process>,
        mutant: Arc<dyn Mutant>,
        installation: InstallationName,
    ) -> Self {
        let wire = Wire {
            cloud: Arc::clone(&cloud),
            process: Arc::clone(&process),
            mutant,
        };
        Self {
            name,
            cloud,
            process,
            memory: Mutex::default(),
            hands: Reached::by(wire.clone(), installation),
            wire,
        }
    }

    /// The lane of what is ordered, and how much room it has.
    fn lane_of(&self, order: &Order<'_>) -> Result<(LaneId, u32), CannotPlan> {
        if self.cloud.style.has_slots() {
            let slot = order.slot.cloned().ok_or_else(|| CannotPlan {
                code: "sim_no_slot",
                told: "no identity is there to carry it".to_owned(),
                logged: "the order names no slot".to_owned(),
            });
            return Ok((slot?, 1));
        }
        let via = order.wanted.first().and_then(|it| it.resource.via.clone());
        let lane = LaneId {
            target: order.target.clone(),
            name: via.unwrap_or_else(|| "main".to_owned()),
        };
        Ok((lane, LANE_CAPACITY))
    }

    fn settle(&self) -> Duration {
        match self.cloud.style {
            Style::Denies | Style::Deletes | Style::Accounts => SETTLE,
            Style::Slots => SLOT_SETTLE,
        }
    }

    /// See [`Wire::send`].
    pub(super) async fn send<T: Send + 'static>(
        &self,
        fate: Fate,
        work: impl FnOnce(&Cloud) -> T + Send + 'static,
    ) -> Result<T, Believed> {
        self.wire.send(fate, work).await
    }

    /// See [`Wire::fair`].
    pub(super) fn fair(&self) -> Fate {
        self.wire.fair()
    }

    /// See [`Wire::fate`].
    pub(super) fn fate(&self, call: Call, states: &[&str]) -> Result<Fate, Believed> {
        self.wire.fate(call, states)
    }

    fn terms(&self, slot: &LaneId) -> Result<serde_json::Value, CannotPlan> {
        if self.cloud.style != Style::Accounts {
            return Ok(serde_json::Value::Null);
        }
        let life = seconds(self.cloud.style.life());
        terms(&account_of(slot), life).map_err(|bad| CannotPlan {
            code: "sim_no_account",
            told: "no account is there to carry it".to_owned(),
            logged: bad,
        })
    }
}

impl Wire {
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

fn pool(target: &TargetName) -> Vec<LaneId> {
    let slot = |number| LaneId {
        target: target.clone(),
        name: format!("slot-{number}"),
    };
    (0..POOL).map(slot).collect()
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

    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        match wanted.first() {
            Some(first) if self.cloud.style.has_slots() => pool(&first.resource.target),
            Some(_) | None => Vec::new(),
        }
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        let (lane, lane_capacity) = self.lane_of(order)?;
        let life = seconds(self.cloud.style.life());
        Ok(Plan {
            terms: self.terms(&lane)?,
            lane,
            lane_capacity,
            summary: Vec::new(),
            answers_within_seconds: 0,
            lands_within_seconds: seconds(DEADLINE) + seconds(PATIENCE) + seconds(SKEW),
            lives_seconds: life,
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 1,
                ttl_seconds_max: life,
                recall: Recall::Severs {
                    within_seconds: seconds(self.settle()),
                },
                ends_by_itself: self.cloud.style != Style::Slots,
                because: Vec::new(),
            },
        })
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let lane = |resource: &&Resource| LaneId {
            target: resource.target.clone(),
            name: resource.via.clone().unwrap_or_else(|| "main".to_owned()),
        };
        if self.cloud.style.has_slots() {
            return resources.iter().flat_map(|it| pool(&it.target)).collect();
        }
        resources.iter().map(lane).collect()
    }

    fn reach(&self) -> Reach {
        Reach {
            issues_within: DEADLINE + PATIENCE + SKEW,
            lives: self.cloud.style.life(),
            settles: self.settle(),
            watermarks: self.cloud.style == Style::Denies,
            grants_stay: self.cloud.style.has_slots(),
        }
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Believed> {
        let terms = intent.terms();
        let mark = intent.mark();
        if self.cloud.style == Style::Accounts {
            return self.lend(terms, (mark, terms.answer_by), Turn::First).await;
        }
        self.give(terms, terms.answer_by, mark, Turn::First).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Believed> {
        let (terms, answer_by) = (lease.terms(), lease.answer_by());
        if self.cloud.style == Style::Accounts {
            return self
                .lend(terms, (lease.mark(), answer_by), Turn::Again)
                .await;
        }
        self.give(terms, answer_by, lease.mark(), Turn::Again).await
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
            Style::Slots => self.clear(lane, hand, due, holds).await,
            Style::Accounts => self.disable(lane, hand, due, holds).await,
        }
    }

    async fn sweep(&self, _after: Option<String>) -> Result<Page, Believed> {
        if !self.cloud.is_seen() {
            let retryable = FaultKind::Retryable { after: None };
            return Err(believed(retryable, "sim_unseen"));
        }
        if self.cloud.style == Style::Accounts {
            return self.look_through(pool(&self.cloud.target)).await;
        }
        self.process.step().await;
        let found = self.send(self.fair(), Cloud::stamped).await?;
        Ok(Page { found, next: None })
    }
}

/// Nobody in these worlds probes.
#[async_trait]
impl Probe for CloudPort {
    fn in_force(&self, _: &Plan) -> InForce {
        InForce {
            within: Duration::ZERO,
            says: "at once",
        }
    }

    async fn probe(&self, _: &Terms, _: &Wanted, _: &Shown) -> Probed {
        Probed::CannotTell {
            why: "no world has a probe".to_owned(),
        }
    }
}

impl Inquire for CloudPort {}
