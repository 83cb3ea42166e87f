//! A broker: it drives what is due, answers jobs, dies and comes back with nothing but the ledger.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use jitney_core::adapter::Adapter;
use jitney_core::books::Books;
use jitney_core::handle::StampKey;
use jitney_core::id::{InstallationName, TargetName};
use jitney_core::ledger::Ledger;
use jitney_core::plan::LaneId;
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Untold};
use jitney_core::time::Clock;
use jitney_core::usecase::{Core, Limits, Slots};

use super::archive::Archive;
use super::cloud::{Cloud, CloudPort};
use super::dice::Dice;
use super::executor::{Group, lock};
use super::mutant::Mutant;
use super::policy::Policy;
use super::ports::LedgerPort;
use super::process::{OffClock, Process, Scene};
use super::reply::{NoAnswer, question};
use super::spool::Spool;
use crate::fixtures::{SILENCE, catalogue, inventory};

/// The most lanes that one look brings up.
const LOOK_AT_MAX: u32 = 64;
/// The longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// The time between two looks while something is due: soon after something was driven, and later
/// while all of it rests.
const LOOK_SOON: Duration = Duration::from_millis(200);
const LOOK_LATER: Duration = Duration::from_secs(10);
/// How often beats are written down that the ledger must know of.
const WRITE_BEATS_EVERY: Duration = Duration::from_secs(1);
/// A broker that did not run for so much longer than it meant to could not hear any job either.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// How soon it looks back again at a cloud that it could not look through.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(60);
/// The longest until a broker that died is there again.
const RESTART_MAX: Duration = Duration::from_secs(40);

/// What every broker of a world is made of.
pub struct House {
    /// What everybody shares.
    pub scene: Arc<Scene>,
    /// The cloud of each target.
    pub clouds: BTreeMap<TargetName, Arc<Cloud>>,
    /// The policy.
    pub policy: Arc<Policy>,
    /// Copies of the ledger.
    pub archive: Arc<Archive>,
    /// What is wrong with the brokers of this world, if anything is meant to be.
    pub mutant: Arc<dyn Mutant>,
}

/// A life under way.
struct Running {
    process: Arc<Process>,
    core: Arc<Core>,
}

/// One broker, through all its lives.
pub struct Broker {
    number: u32,
    house: Arc<House>,
    clock: Arc<OffClock>,
    /// Where it notes ends, if it does.
    spool: Option<Spool>,
    lives: AtomicU32,
    running: Mutex<Option<Arc<Running>>>,
}

impl Broker {
    /// A broker that is not running yet, with a clock that is so many microseconds fast.
    #[must_use]
    pub fn new(
        number: u32,
        house: Arc<House>,
        fast_micros: i64,
        spool: Option<Spool>,
    ) -> Arc<Self> {
        let clock = OffClock::new(house.scene.stage.clone(), fast_micros);
        Arc::new(Self {
            number,
            house,
            clock: Arc::new(clock),
            spool,
            lives: AtomicU32::new(0),
            running: Mutex::default(),
        })
    }

    /// Sets its clock so many microseconds fast.
    pub fn set_clock(&self, fast_micros: i64) {
        self.clock.set(fast_micros);
    }

    /// Begins a life.
    pub fn start(self: &Arc<Self>) {
        let life = self.lives.fetch_add(1, Ordering::SeqCst);
        let scene = &self.house.scene;
        let hand = format!("broker {}.{}", self.number, life + 1);
        scene.notary.begins(scene);
        scene.trace.tell(|| format!("{hand}: begins"));
        let mourner = Mourner(Arc::downgrade(self));
        let process = Arc::new(Process::new(
            hand,
            Group(1 + self.number * 10_000 + life),
            Arc::clone(&self.clock),
            Arc::clone(scene),
            Box::new(move || mourner.mourn()),
        ));
        let core = Arc::new(self.house.core(&process, self.spool.as_ref()));
        let running = Arc::new(Running { process, core });
        *lock(&self.running) = Some(Arc::clone(&running));
        let driver = Driver {
            running: Arc::clone(&running),
            busy: Arc::default(),
        };
        scene.stage.spawn(running.process.group(), driver.run());
        let group = running.process.group();
        let hearing = Arc::clone(&running);
        scene
            .stage
            .spawn(group, async move { running.look_back().await });
        let running = Arc::clone(&hearing);
        scene
            .stage
            .spawn(group, async move { running.write_beats_down().await });
    }

    /// Ends the life under way, if there is one.
    pub fn kill(self: &Arc<Self>) {
        let running = lock(&self.running).clone();
        if let Some(running) = running {
            self.house.scene.stage.kill(running.process.group());
            Arc::clone(self).died();
        }
    }

    fn died(self: Arc<Self>) {
        *lock(&self.running) = None;
        let scene = Arc::clone(&self.house.scene);
        let life = self.lives.load(Ordering::SeqCst);
        let mut dice = scene
            .dice
            .named("restart")
            .at(self.number.into())
            .at(life.into());
        let pause = dice.between(Duration::from_millis(100), RESTART_MAX);
        let stage = scene.stage.clone();
        stage.clone().spawn(Group::WORLD, async move {
            stage.sleep(pause).await;
            self.start();
        });
    }

    /// Asks the broker for something and waits for the answer so long. `undelivered` is done, by
    /// the broker, with an answer for which nobody waited.
    ///
    /// # Errors
    /// When nobody is there, or nobody answered.
    pub async fn ask<T, A, W, U, B>(
        &self,
        patience: Duration,
        asking: A,
        undelivered: U,
    ) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        A: FnOnce(Arc<Core>) -> W,
        W: Future<Output = T> + Send + 'static,
        U: FnOnce(Arc<Core>, T) -> B + Send + 'static,
        B: Future<Output = ()> + Send,
    {
        let running = lock(&self.running).clone().ok_or(NoAnswer::Gone)?;
        let stage = &self.house.scene.stage;
        let (answerer, waiting) = question(stage.sleep(patience));
        let work = asking(Arc::clone(&running.core));
        let core = Arc::clone(&running.core);
        stage.spawn(running.process.group(), async move {
            let answer = work.await;
            if let Err(answer) = answerer.answer(answer) {
                undelivered(core, answer).await;
            }
        });
        waiting.await
    }
}

/// Tells a broker that it died, if it is still of this world.
struct Mourner(Weak<Broker>);

impl Mourner {
    fn mourn(&self) {
        if let Some(broker) = self.0.upgrade() {
            broker.died();
        }
    }
}

impl House {
    fn core(&self, process: &Arc<Process>, spool: Option<&Spool>) -> Core {
        let name: jitney_core::id::CloudName = match "simulated".parse() {
            Ok(name) => name,
            Err(_) => unreachable!("a lower-case word is a cloud's name"),
        };
        let adapters = self.clouds.iter().map(|(target, cloud)| {
            let port = CloudPort::new(
                name.clone(),
                Arc::clone(cloud),
                Arc::clone(process),
                Arc::clone(&self.mutant),
                installation(),
            );
            let port: Arc<dyn Adapter> = Arc::new(port);
            (target.clone(), self.mutant.adapter(port))
        });
        let mut ledger: Arc<dyn Ledger> = Arc::new(LedgerPort(Arc::clone(process)));
        if let Some(spool) = spool {
            ledger = spool.before(ledger, process, &self.mutant);
        }
        let clock: Arc<dyn Clock> = process.clock().clone();
        let targets: Vec<TargetName> = self.clouds.keys().cloned().collect();
        let pulse = Pulse::default();
        pulse.ready(clock.now());
        Core {
            books: Books::new(self.mutant.ledger(ledger, process), SILENCE),
            adapters: adapters.collect(),
            policy: self.policy.clone(),
            inventory: inventory(),
            catalogue: catalogue(),
            clock,
            stamp: stamp(),
            limits: Limits {
                ttl_seconds_min: 1,
                ..Limits::default()
            },
            pulse,
            lanes: Lanes::of(process.hand().to_owned()),
            slots: Slots::default(),
            looked_back: self.mutant.looked_back(&targets),
            untold: Untold::default(),
        }
    }
}

fn installation() -> InstallationName {
    match "acme".parse() {
        Ok(name) => name,
        Err(_) => unreachable!("a lower-case word is an installation's name"),
    }
}

fn stamp() -> StampKey {
    match StampKey::new(installation(), &[1; 32]) {
        Some(stamp) => stamp,
        None => unreachable!("32 bytes are long enough for a stamp"),
    }
}

/// Drives what is due, as the broker's own driver does: each lane in a task of its own, no lane
/// twice at once.
struct Driver {
    running: Arc<Running>,
    busy: Arc<Mutex<BTreeSet<LaneId>>>,
}

impl Driver {
    async fn run(self) {
        let Running { process, core } = &*self.running;
        let keeping = Arc::new(Mutex::new(false));
        loop {
            let driven = self.look().await;
            if !core::mem::replace(&mut *lock(&keeping), true) {
                let (running, keeping) = (Arc::clone(&self.running), Arc::clone(&keeping));
                process.stage().spawn(process.group(), async move {
                    running.keep_house().await;
                    *lock(&keeping) = false;
                });
            }
            let pause = self.pause(driven).await;
            let meant = process.stage().now().plus(pause);
            process.stage().sleep(pause).await;
            if process.stage().now().since(meant) > DEAF_AFTER {
                core.pulse.ready(core.clock.now());
            }
        }
    }

    /// Drives every lane that is due and not being driven. True when there was one.
    async fn look(&self) -> bool {
        let Running { process, core } = &*self.running;
        let due = match core.due_lanes(core.clock.now(), LOOK_AT_MAX).await {
            Ok(due) => due,
            Err(error) => {
                self.running.stumbled(Some(error));
                return false;
            }
        };
        let mut any = false;
        for lane in due {
            if !lock(&self.busy).insert(lane.clone()) {
                continue;
            }
            any = true;
            let (running, busy) = (Arc::clone(&self.running), Arc::clone(&self.busy));
            process.stage().spawn(process.group(), async move {
                let driven = running.core.drive(&lane).await;
                running.stumbled(driven.err());
                lock(&busy).remove(&lane);
            });
        }
        any
    }

    async fn pause(&self, driven: bool) -> Duration {
        let core = &self.running.core;
        let soon = if driven { LOOK_SOON } else { LOOK_LATER };
        match core.books.ledger().next_due().await {
            Ok(Some(due)) => due.since(core.clock.now()).clamp(soon, LOOK_EVERY),
            Ok(None) | Err(_) => LOOK_EVERY,
        }
    }
}

impl Running {
    /// As the broker does when it begins: a ledger that was restored would not come by itself upon
    /// what a later one has written.
    async fn look_back(&self) {
        while !self.core.look_back().await.is_empty() {
            self.process.stage().sleep(LOOK_BACK_EVERY).await;
        }
    }

    /// Writes down what was heard, apart from everything else.
    async fn write_beats_down(&self) {
        loop {
            self.stumbled(self.core.write_beats_down().await.err());
            self.process.stage().sleep(WRITE_BEATS_EVERY).await;
        }
    }

    /// What is due in no lane.
    async fn keep_house(&self) {
        let now = self.core.clock.now();
        self.stumbled(self.core.obey().await.err());
        let closed = self.core.close_due_requests(now, LOOK_AT_MAX).await;
        self.stumbled(closed.err());
    }

    fn stumbled(&self, stumble: Option<impl core::fmt::Display>) {
        if let Some(stumble) = stumble {
            self.process.tell(|| format!("stumbles: {stumble}"));
        }
    }
}

/// Where a world draws which broker somebody turns to.
#[must_use]
pub fn any<'a>(brokers: &'a [Arc<Broker>], dice: &mut Dice) -> Option<&'a Arc<Broker>> {
    dice.pick(brokers)
}
