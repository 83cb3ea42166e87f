//! One world, from its beginning until nothing is left of what happened in it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitney_core::time::Timestamp;

use super::archive::operate;
use super::broker::{Broker, House};
use super::cloud::{Cloud, Style};
use super::dice::Dice;
use super::executor::{Executor, Group, Rest, Stage};
use super::fault::Fault;
use super::hits::Hits;
use super::job::Job;
use super::judge::judge;
use super::ledger::MemoryLedger;
use super::mutant::Mutant;
use super::notary::{Notary, Tally, Violation};
use super::process::{Outage, Scene};
use super::spool::Spool;
use super::trace::Trace;
use super::weather::{Key, Only, Weather};
use crate::fixtures::{BACKUP, PROD, START};

/// The most polls of one world.
const POLLS_MAX: u64 = 12_000_000;
/// How long everything may take to be over, once nothing goes wrong any more.
const OVER_WITHIN: Duration = Duration::from_secs(3 * 3600);
/// How often it is looked whether everything is over.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The furthest that a broker's clock is off: what adapters accept, less a little for the way.
const OFF_MAX: Duration = Duration::from_secs(55);

/// How many jobs a rush has.
const RUSH: u64 = 70;
/// One world in so many is a rush.
const RUSH_ODDS: u64 = 50;
/// How much a restored ledger has forgotten at most.
const FORGETS_MAX: Duration = Duration::from_secs(3600);

/// For how long clouds do not list what they bear, at most, when a ledger was restored, and how many
/// jobs come meanwhile. What ends or is refused in that time makes the ledger grow, and beyond what
/// a cloud bears nobody would notice: so it is shorter than a silence.
const UNSEEN_MAX: Duration = Duration::from_secs(40);
const COME_MEANWHILE: u32 = 5;
/// They are numbered after all others.
const MEANWHILE: u32 = 1_000;

/// How long the ledger can be out at most.
const OUT_MAX: Duration = Duration::from_secs(20 * 60);

/// What decides a world.
#[derive(Clone)]
pub struct Script {
    /// Decides everything.
    pub seed: u64,
    /// What is let happen.
    pub only: Only,
    /// Whether its story is written down.
    pub told: bool,
}

impl Script {
    /// The world of a seed, whole and untold.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self {
            seed,
            only: None,
            told: false,
        }
    }
}

/// What a world came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What must never happen and did.
    pub violations: Vec<Violation>,
    /// What happened and could have been left out.
    pub happened: BTreeSet<Key>,
    /// Which faults met which states.
    pub hits: Hits,
    /// In numbers.
    pub tally: Tally,
    /// Its story, where one was to be told.
    pub story: Vec<String>,
    /// How often anybody was polled.
    pub polls: u64,
}

/// Plays a world.
#[must_use]
pub fn play(script: &Script, mutant: Arc<dyn Mutant>) -> Outcome {
    let world = World::new(script, mutant);
    let mut executor = Executor::new(
        world.house.scene.stage.clone(),
        world.house.scene.dice.named("order"),
        POLLS_MAX,
    );
    world.set_out();
    let rest = executor.run(world.over_by());
    let scene = &world.house.scene;
    judge(scene, &world.house.clouds, rest);
    Outcome {
        violations: scene.notary.violations(),
        happened: scene.weather.happened(),
        hits: scene.weather.hits(),
        tally: scene.notary.tally(),
        story: scene.trace.lines(),
        polls: executor.polls(),
    }
}

struct World {
    house: Arc<House>,
    brokers: Arc<Vec<Arc<Broker>>>,
    /// From when on nothing new goes wrong.
    calm_from: Timestamp,
    events: Vec<(Timestamp, Event)>,
}

/// Something that befalls the whole world.
#[derive(Debug, Clone, Copy)]
enum Event {
    CloudDown(usize, Duration),
    Undone(usize),
    ClockJump(usize, i64),
    /// It has forgotten so much, and for so long clouds do not list what they bear.
    Restored(Duration, Duration),
    /// For so long, and whether it cannot be read either.
    LedgerOut(Duration, bool),
}

impl World {
    fn new(script: &Script, mutant: Arc<dyn Mutant>) -> Self {
        let dice = Dice::of(script.seed);
        let mut cast = dice.named("cast");
        let stage = Stage::at(START);
        let active = cast.between(Duration::from_secs(600), Duration::from_secs(3600));
        let calm_from = START.plus(active);
        let weather = Weather::new(dice.named("weather"), calm_from, script.only.clone());
        let cloud = |name: &str, style| {
            let target: jitney_core::id::TargetName = match name.parse() {
                Ok(target) => target,
                Err(_) => unreachable!("the fixtures' targets have names"),
            };
            let dice = dice.named("cloud").named(name);
            let cloud = Cloud::new(target.clone(), style, stage.clone(), dice);
            (target, Arc::new(cloud))
        };
        let house = Arc::new(House {
            scene: Arc::new(Scene {
                trace: Trace::new(stage.clone(), script.told),
                stage: stage.clone(),
                dice,
                ledger: MemoryLedger::default(),
                outage: Outage::default(),
                weather,
                notary: Notary::default(),
            }),
            clouds: BTreeMap::from([cloud(PROD, Style::Denies), cloud(BACKUP, other_style(dice))]),
            policy: Arc::default(),
            archive: Arc::default(),
            mutant,
        });
        let brokers = brokers(&house, &mut cast);
        let events = events(&house.scene, brokers.len(), active);
        Self {
            house,
            brokers: Arc::new(brokers),
            calm_from,
            events,
        }
    }

    /// By then everything must be over.
    fn over_by(&self) -> Timestamp {
        let up_again = self.events.iter().map(|(at, event)| match event {
            Event::CloudDown(_, time) | Event::LedgerOut(time, _) => at.plus(*time),
            Event::Undone(_) | Event::ClockJump(..) | Event::Restored(..) => *at,
        });
        up_again
            .max()
            .unwrap_or_default()
            .max(self.calm_from)
            .plus(OVER_WITHIN)
    }

    fn set_out(&self) {
        let scene = Arc::clone(&self.house.scene);
        self.brokers.iter().for_each(Broker::start);
        let mut dice = scene.dice.named("jobs");
        let active = self.calm_from.since(START);
        let jobs = if is_rush(scene.dice) {
            RUSH
        } else {
            1 + dice.below(7)
        };
        for number in 0..u32::try_from(jobs).unwrap_or(1) {
            self.job(number, dice.between(Duration::ZERO, active));
        }
        for (number, (at, event)) in (0..).zip(&self.events) {
            if !scene.weather.lets(Key::Event(number)) {
                continue;
            }
            self.expect(*at, *event);
            if let Event::Restored(_, unseen) = event {
                for number in MEANWHILE..MEANWHILE + COME_MEANWHILE {
                    self.job(
                        number,
                        at.since(START) + dice.between(Duration::ZERO, *unseen),
                    );
                }
            }
        }
        self.watch();
        let restores = |(_, event): &(Timestamp, Event)| matches!(event, Event::Restored(..));
        if self.events.iter().any(restores) {
            self.house.archive.keep(&scene);
            operate(&self.house, &self.brokers);
        }
    }

    fn job(&self, number: u32, starts_after: Duration) {
        let scene = &self.house.scene;
        if scene.weather.lets(Key::Job(number)) {
            let (house, brokers) = (Arc::clone(&self.house), Arc::clone(&self.brokers));
            let job = Arc::new(Job::new(number, house, brokers));
            scene.stage.spawn(Group::WORLD, job.run(starts_after));
        }
    }

    fn expect(&self, at: Timestamp, event: Event) {
        let (house, brokers) = (Arc::clone(&self.house), Arc::clone(&self.brokers));
        let stage = house.scene.stage.clone();
        stage.clone().spawn(Group::WORLD, async move {
            stage.sleep(at.since(stage.now())).await;
            befall(&house, &brokers, event);
        });
    }

    /// When nothing goes wrong any more, nobody stands still; and when nothing is left to do, the
    /// world ends.
    fn watch(&self) {
        let (scene, calm_from) = (Arc::clone(&self.house.scene), self.calm_from);
        let stage = scene.stage.clone();
        stage.clone().spawn(Group::WORLD, async move {
            while stage.now() < calm_from {
                stage.sleep(LOOK_EVERY).await;
                if !scene.notary.violations().is_empty() {
                    stage.stop();
                }
            }
            scene
                .trace
                .tell(|| "from here on nothing goes wrong".to_owned());
            stage.resume_all();
            loop {
                stage.sleep(LOOK_EVERY).await;
                scene.notary.must_notice_silence(&scene);
                let broken = !scene.notary.violations().is_empty();
                if broken || scene.ledger.look(super::judge::is_over) {
                    stage.stop();
                }
            }
        });
    }
}

/// How the cloud takes back that has no lists.
fn other_style(world: Dice) -> Style {
    match world.named("style").below(3) {
        0 => Style::Deletes,
        1 => Style::Slots,
        _ => Style::Accounts,
    }
}

fn brokers(house: &Arc<House>, cast: &mut Dice) -> Vec<Arc<Broker>> {
    let count = u32::try_from(1 + cast.below(3)).unwrap_or(1);
    let are_off = house.scene.weather.odds(Fault::ClockJump) > 0;
    let has_spools = house.scene.dice.named("spools").one_in(2);
    let mut brokers = Vec::new();
    for number in 0..count {
        let off = off_by(cast);
        if number == 0 || house.scene.weather.lets(Key::Broker(number)) {
            let off = if are_off { off } else { 0 };
            let spool = has_spools.then(Spool::default);
            brokers.push(Broker::new(number, Arc::clone(house), off, spool));
        }
    }
    brokers
}

/// By how many microseconds a clock is fast.
fn off_by(dice: &mut Dice) -> i64 {
    let most = i64::try_from(OFF_MAX.as_micros()).unwrap_or(i64::MAX);
    let off = dice.between(Duration::ZERO, OFF_MAX * 2);
    i64::try_from(off.as_micros())
        .unwrap_or(0)
        .saturating_sub(most)
}

fn events(scene: &Scene, brokers: usize, active: Duration) -> Vec<(Timestamp, Event)> {
    let mut events = Vec::new();
    let kinds = [
        Fault::CloudDown,
        Fault::Undone,
        Fault::ClockJump,
        Fault::Restored,
        Fault::LedgerOut,
    ];
    for fault in kinds {
        let mut dice = scene.dice.named("events").named(fault.as_str());
        if !dice.one_in(scene.weather.odds(fault)) {
            continue;
        }
        // A ledger that is restored twice within an hour is another story.
        let most = if fault == Fault::Restored { 1 } else { 3 };
        for _ in 0..1 + dice.below(most) {
            let at = START.plus(dice.between(Duration::ZERO, active));
            let which = usize::try_from(dice.below(64)).unwrap_or(0);
            let event = match fault {
                Fault::CloudDown => {
                    let is_long = dice.one_in(12) && !is_rush(scene.dice);
                    Event::CloudDown(which, down_for(is_long, &mut dice))
                }
                Fault::Undone => Event::Undone(which),
                Fault::LedgerOut => {
                    let time = dice.between(Duration::from_secs(20), OUT_MAX);
                    Event::LedgerOut(time, dice.one_in(4))
                }
                Fault::Restored => Event::Restored(
                    dice.between(Duration::from_secs(60), FORGETS_MAX),
                    dice.between(Duration::ZERO, UNSEEN_MAX),
                ),
                _ => Event::ClockJump(which.checked_rem(brokers).unwrap_or(0), off_by(&mut dice)),
            };
            events.push((at, event));
        }
    }
    events
}

/// Whether so many jobs come that their holds are compacted when they end.
fn is_rush(world: Dice) -> bool {
    world.named("rush").one_in(RUSH_ODDS)
}

/// Minutes, or more than a day. Not so long in a rush: there each look takes its time.
fn down_for(is_long: bool, dice: &mut Dice) -> Duration {
    if is_long {
        Duration::from_secs(26 * 3600)
    } else {
        dice.between(Duration::from_secs(30), Duration::from_secs(3600))
    }
}

fn befall(house: &House, brokers: &Arc<Vec<Arc<Broker>>>, event: Event) {
    let scene = &house.scene;
    let cloud = |which: usize| {
        let place = which.checked_rem(house.clouds.len()).unwrap_or(0);
        house.clouds.values().nth(place)
    };
    scene.trace.tell(|| format!("** {event:?}"));
    match event {
        Event::CloudDown(which, time) => {
            if let Some(cloud) = cloud(which) {
                cloud.go_down(scene.stage.now().plus(time));
            }
            met(scene, Fault::CloudDown, |_| true);
        }
        Event::Undone(which) => {
            let undone = cloud(which)
                .map(|cloud| cloud.stranger())
                .unwrap_or_default();
            if !undone.is_empty() {
                met(scene, Fault::Undone, |_| true);
            }
        }
        Event::ClockJump(which, micros) => {
            if let Some(broker) = brokers.get(which) {
                broker.set_clock(micros);
            }
            met(scene, Fault::ClockJump, |_| true);
        }
        Event::LedgerOut(time, reads_too) => {
            scene.outage.begin(scene.stage.now().plus(time), reads_too);
            met(scene, Fault::LedgerOut, |_| true);
            // Who mends it stops what writes it.
            let (stage, brokers) = (scene.stage.clone(), Arc::clone(brokers));
            stage.clone().spawn(Group::WORLD, async move {
                stage.sleep(time * 3 / 4).await;
                brokers.iter().for_each(Broker::kill);
            });
        }
        Event::Restored(back, unseen) => {
            met(scene, Fault::Restored, |_| true);
            let seen_from = scene.stage.now().plus(unseen);
            house
                .clouds
                .values()
                .for_each(|cloud| cloud.hide(seen_from));
            // Who restores a ledger stops what writes it.
            brokers.iter().for_each(Broker::kill);
            house.archive.restore(scene, back);
        }
    }
}

fn met(scene: &Scene, fault: Fault, counts: impl Fn(&str) -> bool) {
    let states = scene.states();
    let states = states
        .iter()
        .map(String::as_str)
        .filter(|state| counts(state));
    scene.weather.met(fault, states);
}

/// How a world came to rest, in words.
#[must_use]
pub const fn told(rest: Rest) -> &'static str {
    match rest {
        Rest::Time => "its time was up",
        Rest::Idle => "nobody wanted anything any more",
        Rest::Stopped => "everything was over",
        Rest::Restless => "it did not come to rest",
    }
}
