//! A cloud that behaves: it gives sessions, enforces what is revoked, and fails when told to.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jitney_core::adapter::{Elevate, Hand, Page, Pass, Reach, Revocations, Revoke};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Credential, Elevation, Shown};
use jitney_core::evidence::{Evidence, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::id::{CloudName, TargetName};
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::question::Inquire;
use jitney_core::time::Clock as _;
use serde_json::json;
use tokio::sync::Semaphore;

/// Part of every credential; must be found nowhere but in the answers that hand one over.
pub const CANARY: &str = "canary-9f1c77";

/// What the next elevation comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Obliging,
    Faulty(FaultKind),
    /// The session is given out, and the answer is lost.
    AnswerLost,
    Panicking,
    /// Nothing is taken back either.
    Away,
}

pub struct FakeCloud {
    name: CloudName,
    mood: Mutex<Mood>,
    /// Handles whose sessions work.
    alive: Mutex<BTreeSet<String>>,
    minted: Mutex<u32>,
    refuses_probes: AtomicBool,
    /// Elevations wait here while it has no permits.
    pub gate: Semaphore,
    /// Who looks the cloud through waits here while it has no permits.
    pub looks: Semaphore,
}

impl FakeCloud {
    pub fn new() -> Self {
        Self {
            name: "fake".parse().unwrap(),
            mood: Mutex::new(Mood::Obliging),
            alive: Mutex::new(BTreeSet::new()),
            minted: Mutex::new(0),
            refuses_probes: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            looks: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    /// Says of every credential that it is not in force.
    pub fn refuse_probes(&self, refuse: bool) {
        self.refuses_probes.store(refuse, Ordering::SeqCst);
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Stops elevations before they are made, until the gate gets permits.
    pub fn shut_gate(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Stops looks through the cloud, until `looks` gets permits.
    pub fn shut_looks(&self) {
        self.looks.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn sessions_alive(&self) -> usize {
        self.alive.lock().unwrap().len()
    }

    pub fn minted(&self) -> u32 {
        *self.minted.lock().unwrap()
    }

    async fn mint(&self, handle: &str) -> Result<Elevation, Fault> {
        self.gate.acquire().await.unwrap().forget();
        self.gate.add_permits(1);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Obliging | Mood::AnswerLost => {}
            Mood::Faulty(kind) => return Err(fault(kind)),
            Mood::Away => return Err(fault(FaultKind::Ambiguous)),
            Mood::Panicking => panic!("the adapter panicked with {CANARY}"),
        }
        self.alive.lock().unwrap().insert(handle.to_owned());
        *self.minted.lock().unwrap() += 1;
        if mood == Mood::AnswerLost {
            return Err(fault(FaultKind::Ambiguous));
        }
        let now = jitney_broker::SystemClock.now();
        let secret = format!("{CANARY}-{handle}");
        Ok(Elevation {
            credential: Credential::new(
                "aws-session",
                [
                    ("access_key_id", "ASIAFAKE".to_owned()),
                    ("secret_access_key", secret),
                ],
                now.plus(std::time::Duration::from_secs(900)),
            )
            .with_settings([("region", "eu-central-1".to_owned())]),
            fingerprint: "ASIAFAKE".to_owned(),
            provider_request: None,
        })
    }
}

fn fault(kind: FaultKind) -> Fault {
    Fault {
        kind,
        code: "fake_fault",
        told: "the cloud did not grant it".to_owned(),
        logged: "the fake was told to fail".to_owned(),
    }
}

fn lane(target: &TargetName) -> LaneId {
    LaneId {
        target: target.clone(),
        name: "role/deploy".to_owned(),
    }
}

#[async_trait]
impl Elevate for FakeCloud {
    fn cloud(&self) -> &CloudName {
        &self.name
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        let scopes: Vec<_> = order.wanted.iter().map(|w| w.scope.to_string()).collect();
        if scopes.iter().any(|scope| scope.contains("unplannable")) {
            return Err(CannotPlan {
                code: "plan_too_large",
                told: "this cannot be expressed".to_owned(),
                logged: "this cannot be expressed".to_owned(),
            });
        }
        Ok(Plan {
            lane: lane(order.target),
            lane_capacity: 50,
            terms: json!({ "scopes": scopes }),
            summary: vec!["assume the role `deploy`".to_owned()],
            answers_within_seconds: 0,
            lands_within_seconds: 2,
            lives_seconds: 900,
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 60,
                ttl_seconds_max: 3600,
                recall: Recall::Severs { within_seconds: 5 },
                ends_by_itself: true,
                because: Vec::new(),
            },
        })
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let lane = |resource: &&Resource| lane(&resource.target);
        resources.iter().map(lane).collect()
    }

    fn reach(&self) -> Reach {
        Reach {
            issues_within: Duration::from_secs(2),
            lives: Duration::from_secs(900),
            settles: Duration::ZERO,
            watermarks: true,
            grants_stay: false,
        }
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        self.mint(intent.terms().handle.as_str()).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        self.mint(lease.terms().handle.as_str()).await
    }
}

#[async_trait]
impl Revoke for FakeCloud {
    async fn revoke(
        &self,
        _: &LaneId,
        _: Hand,
        due: &[Recorded<Revoking>],
        _: &[Hold],
    ) -> Result<Pass, Fault> {
        if *self.mood.lock().unwrap() == Mood::Away {
            return Err(fault(FaultKind::Ambiguous));
        }
        let now = jitney_broker::SystemClock.now();
        let mut found = Revocations::new();
        for lease in due {
            self.alive
                .lock()
                .unwrap()
                .remove(lease.terms().handle.as_str());
            let evidence = Evidence::Settled {
                written_at: now,
                settle_seconds: 0,
            };
            let evident = Revocation::Evident {
                evidence,
                hold_until: None,
            };
            found.insert(lease.terms().id, Ok(evident));
        }
        Ok(found.into())
    }

    async fn sweep(&self, _: Option<String>) -> Result<Page, Fault> {
        self.looks.acquire().await.unwrap().forget();
        self.looks.add_permits(1);
        Ok(Page::default())
    }
}

#[async_trait]
impl Probe for FakeCloud {
    fn in_force(&self, _: &Plan) -> InForce {
        InForce {
            within: Duration::from_secs(2),
            says: "the fake says 2 s",
        }
    }

    async fn probe(&self, _: &Terms, _: &Wanted, shown: &Shown) -> Probed {
        let secret = shown.field("secret_access_key").unwrap_or_default();
        let Some(handle) = secret.strip_prefix(CANARY) else {
            return Probed::Refused;
        };
        let handle = handle.trim_start_matches('-');
        if self.refuses_probes.load(Ordering::SeqCst) {
            return Probed::Refused;
        }
        match self.alive.lock().unwrap().contains(handle) {
            true => Probed::Accepted,
            false => Probed::Refused,
        }
    }
}

impl Inquire for FakeCloud {}
