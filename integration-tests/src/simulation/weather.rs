//! Decides what goes wrong, and remembers what did.
//!
//! Each fault is drawn at the place where it may strike, and has a [`Key`] that names that place.
//! A world can be told to let only certain keys happen: so a failing one is made smaller without
//! changing what is left of it.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jitney_core::time::Timestamp;

use super::dice::Dice;
use super::executor::lock;
use super::fault::{Call, Fault};
use super::hits::Hits;

/// Names one thing that happens in a world, and that could be left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A broker beside the first.
    Broker(u32),
    /// A job.
    Job(u32),
    /// Something that befalls the whole world, by number.
    Event(u32),
    /// A fault at the so-manieth call of a kind by a process.
    Strike(String, Call, u32),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(number) => write!(f, "broker {number}"),
            Self::Job(number) => write!(f, "job {number}"),
            Self::Event(number) => write!(f, "event {number}"),
            Self::Strike(process, call, number) => {
                write!(f, "{process}, {} {number}", call.as_str())
            }
        }
    }
}

/// What is let happen: everything, or only what is named.
pub type Only = Option<Arc<BTreeSet<Key>>>;

/// The weather of one world.
pub struct Weather {
    dice: Dice,
    odds: BTreeMap<Fault, u64>,
    /// From then on nothing goes wrong any more.
    calm_from: Timestamp,
    only: Only,
    happened: Mutex<BTreeSet<Key>>,
    hits: Mutex<Hits>,
}

impl Weather {
    /// The weather that `dice` decide: in each world some faults are common, some rare, and some
    /// are left out, so that no fault hides behind another in all of them.
    #[must_use]
    pub fn new(dice: Dice, calm_from: Timestamp, only: Only) -> Self {
        let mut draw = dice.named("odds");
        let mut odds_of = |fault: Fault| match (draw.below(3), fault.odds()) {
            (0, _) => 0,
            (1, (rare, _)) => rare,
            (_, (_, common)) => common,
        };
        Self {
            dice: dice.named("strikes"),
            odds: Fault::ALL.into_iter().map(|it| (it, odds_of(it))).collect(),
            calm_from,
            only,
            happened: Mutex::default(),
            hits: Mutex::default(),
        }
    }

    /// When the faults end.
    #[must_use]
    pub const fn calm_from(&self) -> Timestamp {
        self.calm_from
    }

    /// Whether something that has a key happens. Asked before it does.
    pub fn lets(&self, key: Key) -> bool {
        let lets = self.only.as_ref().is_none_or(|only| only.contains(&key));
        if lets {
            lock(&self.happened).insert(key);
        }
        lets
    }

    /// How rarely a fault strikes in this world, one time in so many; 0 for never.
    #[must_use]
    pub fn odds(&self, fault: Fault) -> u64 {
        self.odds.get(&fault).copied().unwrap_or(0)
    }

    /// What goes wrong with a process's call, the so-manieth of its kind, and dice to say how.
    pub fn strikes(
        &self,
        process: &str,
        call: Call,
        number: u32,
        now: Timestamp,
    ) -> Option<(Fault, Dice)> {
        if now >= self.calm_from {
            return None;
        }
        let place = self
            .dice
            .named(process)
            .named(call.as_str())
            .at(number.into());
        let struck = |fault: &&Fault| place.named(fault.as_str()).one_in(self.odds(**fault));
        let fault = *Fault::of(call).iter().find(struck)?;
        let key = Key::Strike(process.to_owned(), call, number);
        self.lets(key).then(|| (fault, place.named("how")))
    }

    /// A fault met leases in these states.
    pub fn met<'a>(&self, fault: Fault, states: impl IntoIterator<Item = &'a str>) {
        let mut hits = lock(&self.hits);
        states.into_iter().for_each(|state| hits.hit(fault, state));
    }

    /// Everything that happened and could have been left out.
    #[must_use]
    pub fn happened(&self) -> BTreeSet<Key> {
        lock(&self.happened).clone()
    }

    /// Which faults met which states.
    #[must_use]
    pub fn hits(&self) -> Hits {
        lock(&self.hits).clone()
    }
}
