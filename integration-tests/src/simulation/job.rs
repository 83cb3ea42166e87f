//! A job of a pipeline: it asks, beats, renews, gives back, hangs up, falls silent.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jitney_core::id::{LeaseId, RequestId};
use jitney_core::lease::End;
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Ask, Core, Proof, Submission};

use super::broker::{Broker, House, any};
use super::dice::Dice;
use super::executor::Group;
use super::fault::Call;
use super::policy::{ASK_A_PERSON, DENY_ME};
use crate::fixtures::{BACKUP_SCOPE, PROD_SCOPE, ask, proof};

/// How often a job beats.
const BEAT: Duration = Duration::from_secs(15);
/// How long a job waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a job asks again when it got no good answer.
const ATTEMPTS: u32 = 6;
/// Between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(5);
/// The longest time that a job works.
const WORK_MAX: Duration = Duration::from_secs(40 * 60);

/// A job, and whom it can turn to.
pub struct Job {
    number: u32,
    house: Arc<House>,
    brokers: Arc<Vec<Arc<Broker>>>,
    dice: Dice,
    calls: AtomicU32,
}

impl Job {
    /// The so-manieth job of a world.
    #[must_use]
    pub fn new(number: u32, house: Arc<House>, brokers: Arc<Vec<Arc<Broker>>>) -> Self {
        let dice = house.scene.dice.named("job").at(number.into());
        Self {
            number,
            house,
            brokers,
            dice,
            calls: AtomicU32::new(0),
        }
    }

    /// Its whole life.
    pub async fn run(self: Arc<Self>, starts_after: Duration) {
        self.pause(starts_after).await;
        let mut leases = self.granted().await;
        if leases.is_empty() {
            return;
        }
        let works = self.dice.named("works").between(BEAT, WORK_MAX);
        let done_at = self.house.scene.stage.now().plus(works);
        while self.house.scene.stage.now() < done_at {
            self.pause(BEAT).await;
            if self.struck(Call::Beat) {
                self.tell("is gone without a word");
                return;
            }
            for (lease, renew_in) in &mut leases {
                *renew_in = renew_in.saturating_sub(1);
                if *renew_in == 0 {
                    *renew_in = self.renews_after();
                    self.renew(*lease).await;
                } else {
                    self.beat(*lease).await;
                }
            }
        }
        for lease in leases.into_keys() {
            self.release(lease).await;
        }
    }

    fn wish(&self) -> Ask {
        let mut dice = self.dice.named("wish");
        let name = self.number.to_string();
        let scopes: &[&str] = match dice.below(5) {
            0 | 1 => &[PROD_SCOPE, BACKUP_SCOPE],
            2 | 3 => &[PROD_SCOPE],
            _ => &[BACKUP_SCOPE],
        };
        let reason = match dice.below(24) {
            0 => DENY_ME,
            1 => ASK_A_PERSON,
            _ => "release 1.2",
        };
        let ttl = dice.between(Duration::from_secs(60), Duration::from_secs(3600));
        Ask {
            ttl_seconds: u32::try_from(ttl.as_secs()).ok(),
            reason: reason.to_owned(),
            ..ask(&name, &name, &name, scopes)
        }
    }

    /// Asks until something is granted or there is no use in asking.
    async fn granted(self: &Arc<Self>) -> BTreeMap<LeaseId, u32> {
        if self.dice.named("twin").one_in(8) {
            // The same wish at the same time, elsewhere: one of the two is a repetition.
            let twin = Arc::clone(self);
            let stage = &self.house.scene.stage;
            stage.spawn(Group::WORLD, async move {
                drop(twin.submit(PATIENCE).await);
            });
        }
        for _ in 0..ATTEMPTS {
            let hangs_up = self.struck(Call::Ask);
            let mut dice = self.turn();
            let patience = if hangs_up {
                dice.between(Duration::ZERO, Duration::from_secs(2))
            } else {
                PATIENCE
            };
            match self.submit(patience).await {
                Some(Ok(Submission::Granted { leases, .. })) => {
                    self.tell("has its credentials");
                    let ids = leases.iter().map(|(lease, _)| lease.terms().id);
                    return ids.map(|id| (id, self.renews_after())).collect();
                }
                Some(Ok(Submission::Repeated { request })) => {
                    return self.found(request).await;
                }
                Some(Ok(Submission::Pending { .. })) => return BTreeMap::new(),
                Some(Err(refusal)) if refusal.code == "denied" => return BTreeMap::new(),
                Some(Err(refusal)) => self.tell(&format!("is refused: {}", refusal.code)),
                None => self.tell("has no answer"),
            }
            self.pause(ATTEMPT_PAUSE).await;
        }
        BTreeMap::new()
    }

    async fn submit(&self, patience: Duration) -> Option<Result<Submission, Refusal>> {
        let wish = self.wish();
        let broker = any(&self.brokers, &mut self.turn())?;
        let scene = Arc::clone(&self.house.scene);
        let asking = move |core: Arc<Core>| async move {
            let submission = core.submit(wish).await;
            if let Ok(Submission::Granted { leases, .. }) = &submission {
                for (lease, _) in leases {
                    scene.notary.hands_out(&scene, lease.terms().id);
                }
            }
            submission
        };
        let undelivered = |core: Arc<Core>, submission: Result<Submission, Refusal>| async move {
            if let Ok(Submission::Granted { request, .. }) = submission {
                // What could not be ended is silent, and ends by that.
                let _ = core.end_request(request, End::Undelivered).await;
            }
        };
        broker.ask(patience, asking, undelivered).await.ok()
    }

    /// The leases of a request that was answered once and whose answer was lost.
    async fn found(&self, request: RequestId) -> BTreeMap<LeaseId, u32> {
        let proof = self.proof();
        let asking = |core: Arc<Core>| async move { core.request(request, &proof).await };
        let Some(Ok((_, leases))) = self.call(asking).await else {
            return BTreeMap::new();
        };
        let active = leases.iter().filter(|lease| lease.state() == "active");
        active.map(|lease| (lease.terms().id, 1)).collect()
    }

    async fn beat(&self, lease: LeaseId) {
        let (proof, scene) = (self.proof(), Arc::clone(&self.house.scene));
        let asking = move |core: Arc<Core>| async move {
            let at = scene.stage.now();
            if core.beat(lease, &proof).await.is_ok() {
                scene.notary.heard(lease, at);
            }
        };
        self.call(asking).await;
    }

    async fn renew(&self, lease: LeaseId) {
        if self.struck(Call::Renewal) {
            self.house.policy.no_longer(&self.number.to_string());
        }
        let (proof, scene) = (self.proof(), Arc::clone(&self.house.scene));
        let job = self.wish().principal.job.key;
        // Most renewals come with a token that the CI has just minted.
        let is_proved = !self.turn().one_in(4);
        let asking = move |core: Arc<Core>| async move {
            if is_proved {
                // Without it the renewal is judged as one that proves nothing.
                let _ = core.prove_life(lease, &job, core.clock.now()).await;
            }
            let renewed = core.renew(lease, &proof).await;
            if renewed.is_ok() {
                scene.notary.hands_out(&scene, lease);
            }
            renewed.err().map(|refusal| refusal.code)
        };
        let code = self.call(asking).await;
        self.tell(&format!("renewal: {code:?}"));
    }

    async fn release(&self, lease: LeaseId) {
        for _ in 0..ATTEMPTS {
            let proof = self.proof();
            let asking =
                move |core: Arc<Core>| async move { core.release(lease, &proof).await.is_ok() };
            if self.call(asking).await == Some(true) {
                let scene = &self.house.scene;
                scene.notary.told_ended(scene, lease);
                return;
            }
            self.pause(ATTEMPT_PAUSE).await;
        }
    }

    /// A call that changes nothing when its answer is lost.
    async fn call<T, W>(&self, asking: impl FnOnce(Arc<Core>) -> W) -> Option<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let broker = any(&self.brokers, &mut self.turn())?;
        broker.ask(PATIENCE, asking, |_, _| async {}).await.ok()
    }

    /// Dice for the next call.
    fn turn(&self) -> Dice {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        self.dice.named("call").at(number.into())
    }

    fn struck(&self, call: Call) -> bool {
        let scene = &self.house.scene;
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let name = format!("job {}", self.number);
        let struck = scene
            .weather
            .strikes(&name, call, number, scene.stage.now());
        let Some((fault, _)) = struck else {
            return false;
        };
        let states = scene.states();
        scene.weather.met(fault, states.iter().map(String::as_str));
        true
    }

    /// After how many beats a lease is renewed: some minutes.
    fn renews_after(&self) -> u32 {
        u32::try_from(4 + self.turn().below(28)).unwrap_or(4)
    }

    fn proof(&self) -> Proof {
        proof(&self.number.to_string())
    }

    async fn pause(&self, time: Duration) {
        self.house.scene.stage.sleep(time).await;
    }

    fn tell(&self, what: &str) {
        self.house
            .scene
            .trace
            .tell(|| format!("job {}: {what}", self.number));
    }
}
