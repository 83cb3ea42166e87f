//! One life of a broker, as everything around it sees it: its name, its clock, and the places at
//! which it may stand still or die.

use core::future::pending;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jitney_core::id::LeaseId;
use jitney_core::time::{Clock, Timestamp};

use super::dice::Dice;
use super::executor::{Group, Stage, Yield, lock};
use super::fault::{Call, Fault};
use super::ledger::MemoryLedger;
use super::notary::Notary;
use super::trace::Trace;
use super::weather::Weather;

/// The longest that a broker stands still.
const PAUSE_MAX: Duration = Duration::from_secs(2 * 3600);

/// What everybody in a world shares.
pub struct Scene {
    /// Time and tasks.
    pub stage: Stage,
    /// The seed's dice.
    pub dice: Dice,
    /// The one ledger.
    pub ledger: MemoryLedger,
    /// Whether it can be reached.
    pub outage: Outage,
    /// What goes wrong.
    pub weather: Weather,
    /// Who watches.
    pub notary: Notary,
    /// What is told.
    pub trace: Trace,
}

/// Until when the ledger takes no commit, and until when it answers nothing at all.
#[derive(Default)]
pub struct Outage(Mutex<(Timestamp, Timestamp)>);

impl Outage {
    /// Nothing is written before `until`; nor read, if `reads_too`.
    pub fn begin(&self, until: Timestamp, reads_too: bool) {
        let mut out = lock(&self.0);
        out.0 = out.0.max(until);
        if reads_too {
            out.1 = out.1.max(until);
        }
    }

    /// Whether nothing can be written.
    #[must_use]
    pub fn stops_writes(&self, now: Timestamp) -> bool {
        now < lock(&self.0).0
    }

    /// Whether nothing can be read either.
    #[must_use]
    pub fn stops_reads(&self, now: Timestamp) -> bool {
        now < lock(&self.0).1
    }
}

impl Scene {
    /// The states in which there are leases now. One that has ended counts while it is held.
    #[must_use]
    pub fn states(&self) -> Vec<String> {
        self.ledger.look(|tables| {
            let open = tables
                .rows()
                .filter(|row| row.lane.is_some() && !row.is_final);
            let mut states: Vec<String> = open.map(|row| row.state.clone()).collect();
            states.extend(tables.holds().next().map(|_| "ended".to_owned()));
            states
        })
    }
}

/// A broker's clock: the true time and how far it is off.
pub struct OffClock {
    stage: Stage,
    micros: AtomicI64,
}

impl OffClock {
    /// A clock that is so many microseconds fast.
    #[must_use]
    pub const fn new(stage: Stage, micros: i64) -> Self {
        Self {
            stage,
            micros: AtomicI64::new(micros),
        }
    }

    /// Sets it so many microseconds fast.
    pub fn set(&self, micros: i64) {
        self.micros.store(micros, Ordering::SeqCst);
    }
}

impl Clock for OffClock {
    fn now(&self) -> Timestamp {
        let off = self.micros.load(Ordering::SeqCst);
        Timestamp::from_micros(self.stage.now().as_micros().saturating_add(off))
    }
}

/// One life of a broker.
pub struct Process {
    hand: String,
    group: Group,
    clock: Arc<OffClock>,
    scene: Arc<Scene>,
    calls: Mutex<BTreeMap<Call, u32>>,
    jitters: AtomicU64,
    dies: Box<dyn Fn() + Send + Sync>,
}

impl Process {
    /// A life that begins. `dies` is called when it ends.
    #[must_use]
    pub fn new(
        hand: String,
        group: Group,
        clock: Arc<OffClock>,
        scene: Arc<Scene>,
        dies: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            hand,
            group,
            clock,
            scene,
            calls: Mutex::default(),
            jitters: AtomicU64::new(0),
            dies,
        }
    }

    /// Its name among all brokers, never used again.
    #[must_use]
    pub fn hand(&self) -> &str {
        &self.hand
    }

    /// Its tasks.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Its clock.
    #[must_use]
    pub const fn clock(&self) -> &Arc<OffClock> {
        &self.clock
    }

    /// Time and tasks.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.scene.stage
    }

    /// What everybody shares.
    #[must_use]
    pub const fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }

    /// A name for a lease that a person can read.
    #[must_use]
    pub fn name_of(&self, lease: LeaseId) -> String {
        self.scene.notary.name_of(lease)
    }

    /// Tells what this broker does.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        self.scene
            .trace
            .tell(|| format!("{}: {}", self.hand, what()));
    }

    /// A little while, as a network or a disk takes: mostly milliseconds, now and then seconds.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        let number = self.jitters.fetch_add(1, Ordering::SeqCst);
        let mut dice = self.scene.dice.named("jitter").named(&self.hand).at(number);
        let most = if dice.one_in(50) { 4_000 } else { 40 };
        dice.between(Duration::from_micros(100), Duration::from_millis(most))
    }

    /// What goes wrong with the next call of a kind that is about leases in these states.
    pub fn struck<'a>(
        &self,
        call: Call,
        states: impl IntoIterator<Item = &'a str>,
    ) -> Option<(Fault, Dice)> {
        let number = {
            let mut calls = lock(&self.calls);
            let number = calls.entry(call).or_default();
            *number += 1;
            *number
        };
        let now = self.scene.stage.now();
        let struck = self.scene.weather.strikes(&self.hand, call, number, now);
        if let Some((fault, _)) = struck {
            self.scene.weather.met(fault, states);
            self.tell(|| format!("** {}", fault.as_str()));
        }
        struck
    }

    /// A place between two steps: the broker may die here, or stand still.
    pub async fn step(&self) {
        let Some((fault, mut dice)) = self.struck(Call::Step, []) else {
            return;
        };
        let states = self.scene.states();
        self.scene
            .weather
            .met(fault, states.iter().map(String::as_str));
        if fault == Fault::Crash {
            self.scene.stage.kill(self.group);
            (self.dies)();
            pending::<()>().await;
        }
        let least = Duration::from_secs(1);
        let most = if dice.one_in(4) {
            PAUSE_MAX
        } else {
            PAUSE_MAX / 60
        };
        let until = self.scene.stage.now().plus(dice.between(least, most));
        self.scene.stage.pause(self.group, until);
        Yield::default().await;
        self.tell(|| "goes on".to_owned());
    }
}
