//! Drives the reconciler: looks at what is due, drives each lane in a task of its own, and comes
//! again. It is told nothing but that a look may be worth while; what is due it finds in the
//! ledger.
//!
//! A lane is never driven twice at once, and not again before its pause is over: that is what
//! makes one write of a cloud's enforcing object out of many ends. The first drive has no pause.
//! Pauses differ by up to a half each time, so that lanes which became busy at once are out of step
//! after a few: driven all together once a second, they would leave jobs waiting for the processor.

use core::time::Duration;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jitney_core::plan::LaneId;
use jitney_core::reconcile::CLAIM;
use jitney_core::time::Timestamp;
use jitney_core::usecase::Core;
use tokio::sync::Notify;

use crate::crew::Crew;

/// The longest time between two looks. Bounds what a clock that was set, or an intent that nobody
/// nudged for, can delay.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two looks: what ends at the same moment is one look.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two looks while something due cannot be driven yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The most lanes and requests that one look brings up.
const LOOK_AT_MAX: u32 = 1024;
/// The most lanes of a target that are driven at a time. Lanes that wait for one cloud, which is slow
/// or whose quota is used up, leave room for those of another.
const DRIVEN_MAX: usize = 64;
/// How often a lane is prolonged while it is driven: twice, before its claim is over.
const PROLONG_EVERY: Duration = Duration::from_secs(CLAIM.as_secs() / 3);
/// Without a look for so long, the driver is not alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// A process that did not run for so long could not hear any job either.
const DEAF_AFTER: Duration = Duration::from_secs(5);

/// Looks at what is due and drives it.
pub(crate) struct Driver {
    lane_pause: Duration,
    chance: RandomState,
    nudged: Notify,
    keeping_house: AtomicBool,
    writing_beats: AtomicBool,
    memory: Mutex<Memory>,
}

struct Memory {
    looked_at: Instant,
    /// The same moment by the wall clock, which goes on while a machine sleeps.
    looked_at_wall: Timestamp,
    lanes: HashMap<LaneId, Lane>,
}

#[derive(Clone, Copy)]
struct Lane {
    busy: bool,
    driven_at: Instant,
    rests_for: Duration,
}

impl Driver {
    pub(crate) fn new(lane_pause: Duration, now: Timestamp) -> Self {
        Self {
            lane_pause,
            chance: RandomState::new(),
            nudged: Notify::new(),
            keeping_house: AtomicBool::new(false),
            writing_beats: AtomicBool::new(false),
            memory: Mutex::new(Memory {
                looked_at: Instant::now(),
                looked_at_wall: now,
                lanes: HashMap::new(),
            }),
        }
    }

    /// Something may be due.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Whether it still looks.
    pub(crate) fn is_alive(&self) -> bool {
        self.memory().looked_at.elapsed() < ALIVE_WITHIN
    }

    /// Looks and drives until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, core: Arc<Core>, crew: Crew) {
        loop {
            let pause = self.look(&core, &crew).await;
            tokio::time::sleep(LOOK_PAUSE).await;
            tokio::select! {
                () = self.nudged.notified() => {}
                () = tokio::time::sleep(pause.saturating_sub(LOOK_PAUSE)) => {}
            }
        }
    }

    /// One look. Gives the time until the next.
    async fn look(self: &Arc<Self>, core: &Arc<Core>, crew: &Crew) -> Duration {
        let now = core.clock.now();
        self.notice_deafness(core, now);
        let due = match core.due_lanes(now, LOOK_AT_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "cannot see what is due; it will be looked for again");
                return LOOK_EVERY;
            }
        };
        let mut pause = LOOK_EVERY;
        for lane in due {
            match self.take(&lane) {
                Taken::Free(turn) => {
                    let core = Arc::clone(core);
                    crew.spawn(async move { turn.drive(&core).await });
                }
                Taken::Resting(left) => pause = pause.min(left.max(LOOK_AGAIN)),
                // Its end is a nudge.
                Taken::Busy => {}
            }
        }
        self.write_beats_down(core, crew);
        self.keep_house(core, crew, now);
        pause.min(until_due(core, now).await)
    }

    /// Jobs are not to blame for beats that nobody could hear. A process that was stopped, or a
    /// machine that slept, starts to listen anew.
    fn notice_deafness(&self, core: &Core, now: Timestamp) {
        let mut memory = self.memory();
        let stood_still = memory.looked_at.elapsed();
        let slept = now.since(memory.looked_at_wall);
        (memory.looked_at, memory.looked_at_wall) = (Instant::now(), now);
        if was_deaf(stood_still, slept) {
            tracing::warn!(
                stood_still_ms =
                    u64::try_from(stood_still.max(slept).as_millis()).unwrap_or(u64::MAX),
                "the broker did not run for a while: silence is counted from now on"
            );
            core.pulse.ready(now);
        }
    }

    fn take(self: &Arc<Self>, lane: &LaneId) -> Taken {
        let mut memory = self.memory();
        let now = Instant::now();
        match memory.lanes.get(lane) {
            Some(known) if known.busy => return Taken::Busy,
            Some(known) => {
                let since = now.saturating_duration_since(known.driven_at);
                if since < known.rests_for {
                    return Taken::Resting(known.rests_for.saturating_sub(since));
                }
            }
            None => {}
        }
        // What has rested long enough is as good as never driven.
        memory.lanes.retain(|_, known| {
            known.busy || now.saturating_duration_since(known.driven_at) < known.rests_for
        });
        let driven = memory
            .lanes
            .iter()
            .filter(|(of, known)| known.busy && of.target == lane.target);
        if driven.count() >= DRIVEN_MAX {
            return Taken::Resting(LOOK_AGAIN);
        }
        let fresh = Lane {
            busy: true,
            driven_at: now,
            rests_for: self.pause(now),
        };
        memory.lanes.insert(lane.clone(), fresh);
        Taken::Free(Turn {
            driver: Arc::clone(self),
            lane: lane.clone(),
        })
    }

    /// Apart from everything else: beats must be written down in time, whatever takes long.
    fn write_beats_down(self: &Arc<Self>, core: &Arc<Core>, crew: &Crew) {
        let Some(writing) = self.begin(|driver| &driver.writing_beats) else {
            return;
        };
        let core = Arc::clone(core);
        crew.spawn(async move {
            if let Err(stumble) = core.write_beats_down().await {
                tracing::warn!(%stumble, "signs of life are not in the ledger until the next look");
            }
            drop(writing);
        });
    }

    /// What is due in no lane: orders of an operator, requests whose time has come. Apart from the
    /// lanes: neither waits for the other.
    fn keep_house(self: &Arc<Self>, core: &Arc<Core>, crew: &Crew, now: Timestamp) {
        let Some(keeping) = self.begin(|driver| &driver.keeping_house) else {
            return;
        };
        let core = Arc::clone(core);
        crew.spawn(async move {
            if let Err(stumble) = core.obey().await {
                tracing::error!(%stumble, "orders are not carried out to their end; they stand");
            }
            if let Err(stumble) = core.close_due_requests(now, LOOK_AT_MAX).await {
                tracing::warn!(%stumble, "requests that are over stay open until the next look");
            }
            drop(keeping);
        });
    }

    /// Begins what is done once at a time, unless it is under way.
    fn begin(self: &Arc<Self>, what: fn(&Self) -> &AtomicBool) -> Option<UnderWay> {
        let is_under_way = what(self).swap(true, Ordering::SeqCst);
        (!is_under_way).then(|| UnderWay {
            driver: Arc::clone(self),
            what,
        })
    }

    /// The pause after a drive that begins now: as it was set, and up to a half more.
    fn pause(&self, now: Instant) -> Duration {
        let [part, ..] = self.chance.hash_one(now).to_le_bytes();
        self.lane_pause + self.lane_pause * u32::from(part) / (2 * u32::from(u8::MAX))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the process, or the machine under it, did not run for a while.
fn was_deaf(stood_still: Duration, slept: Duration) -> bool {
    stood_still.max(slept) > LOOK_EVERY.saturating_add(DEAF_AFTER)
}

/// When the next thing is due, as a time from now. What is due already and was not driven is
/// resting: it is looked at again soon.
async fn until_due(core: &Core, now: Timestamp) -> Duration {
    match core.books.ledger().next_due().await {
        Ok(Some(due)) => due.since(now).max(LOOK_AGAIN),
        Ok(None) => LOOK_EVERY,
        Err(error) => {
            tracing::error!(%error, "cannot see what is due next");
            LOOK_EVERY
        }
    }
}

enum Taken {
    Free(Turn),
    Busy,
    Resting(Duration),
}

/// The one drive of a lane that is under way. Gives the lane free when it is dropped, also by a
/// panic.
struct Turn {
    driver: Arc<Driver>,
    lane: LaneId,
}

impl Turn {
    async fn drive(self, core: &Core) {
        let prolong = || async {
            if let Err(stumble) = core.prolong(&self.lane).await {
                tracing::warn!(lane = %self.lane, %stumble, "a lane is not prolonged");
            }
        };
        if let Err(stumble) = attended(core.drive(&self.lane), PROLONG_EVERY, prolong).await {
            tracing::warn!(lane = %self.lane, %stumble, "what is due stays due");
        }
    }
}

/// Does `work`, and beside it `meanwhile` again and again until it is done. Both go on at once: one
/// may wait for what the other has.
async fn attended<T, F: Future<Output = ()>>(
    work: impl Future<Output = T>,
    every: Duration,
    meanwhile: impl Fn() -> F,
) -> T {
    let attending = async {
        loop {
            tokio::time::sleep(every).await;
            meanwhile().await;
        }
    };
    tokio::select! {
        done = work => done,
        never = attending => never,
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(lane) = self.driver.memory().lanes.get_mut(&self.lane) {
            lane.busy = false;
        }
        self.driver.nudge();
    }
}

/// Something that is under way until this is dropped, also by a panic.
struct UnderWay {
    driver: Arc<Driver>,
    what: fn(&Driver) -> &AtomicBool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.what)(&self.driver).store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str) -> Option<LaneId> {
        lane_of("acme-prod", name)
    }

    fn lane_of(target: &str, name: &str) -> Option<LaneId> {
        Some(LaneId {
            target: target.parse().ok()?,
            name: name.to_owned(),
        })
    }

    fn driver(pause: Duration) -> Arc<Driver> {
        Arc::new(Driver::new(pause, Timestamp::default()))
    }

    #[test]
    fn a_lane_is_driven_by_one_hand_at_a_time_and_others_do_not_wait() {
        let driver = driver(Duration::ZERO);
        let (Some(one), Some(other)) = (lane("one"), lane("other")) else {
            unreachable!("the names are names")
        };
        let turn = driver.take(&one);
        assert!(matches!(turn, Taken::Free(_)));
        assert!(matches!(driver.take(&one), Taken::Busy));
        assert!(matches!(driver.take(&other), Taken::Free(_)));
        drop(turn);
        assert!(matches!(driver.take(&one), Taken::Free(_)));
    }

    #[test]
    fn a_lane_rests_between_two_drives_and_not_before_the_first() {
        let driver = driver(Duration::from_secs(3600));
        let Some(lane) = lane("one") else {
            unreachable!("the name is a name")
        };
        drop(driver.take(&lane));
        assert!(matches!(
            driver.take(&lane),
            Taken::Resting(left) if left > Duration::from_secs(3590)
        ));
    }

    #[test]
    fn lanes_that_all_wait_for_one_cloud_leave_room_for_those_of_another() {
        let driver = driver(Duration::ZERO);
        let names = 0..DRIVEN_MAX;
        let lanes = names.filter_map(|number| lane(&number.to_string()));
        let turns: Vec<Taken> = lanes.map(|lane| driver.take(&lane)).collect();
        assert_eq!(turns.len(), DRIVEN_MAX);
        assert!(turns.iter().all(|turn| matches!(turn, Taken::Free(_))));
        let (Some(more), Some(elsewhere)) = (lane("more"), lane_of("acme-data", "one")) else {
            unreachable!("the names are names")
        };
        assert!(matches!(driver.take(&more), Taken::Resting(_)));
        assert!(matches!(driver.take(&elsewhere), Taken::Free(_)));
    }

    #[test]
    fn lanes_do_not_stay_in_step() {
        let driver = driver(Duration::from_secs(1));
        let now = Instant::now();
        let pauses: std::collections::BTreeSet<Duration> = (0..100)
            .map(|number| driver.pause(now + Duration::from_millis(number)))
            .collect();
        let pauses: Vec<_> = pauses.into_iter().collect();
        assert!(pauses.len() > 30, "{pauses:?}");
        let (least, most) = (Duration::from_secs(1), Duration::from_millis(1_500));
        assert!(pauses.iter().all(|pause| (least..=most).contains(pause)));
    }

    #[test]
    fn a_process_that_was_stopped_was_deaf_and_one_that_idled_was_not() {
        let seconds = Duration::from_secs;
        assert!(!was_deaf(seconds(1), seconds(1)));
        assert!(!was_deaf(seconds(6), seconds(6)));
        assert!(was_deaf(seconds(7), seconds(0)));
        assert!(was_deaf(seconds(0), seconds(7)));
    }

    #[tokio::test]
    async fn long_work_is_attended_until_it_is_done() {
        let calls = std::sync::atomic::AtomicU32::new(0);
        let attend = || async {
            calls.fetch_add(1, Ordering::SeqCst);
        };
        let every = Duration::from_millis(10);
        assert_eq!(attended(async { 7 }, every, attend).await, 7);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        let enough = async {
            while calls.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
        };
        attended(enough, every, attend).await;
    }

    #[test]
    fn beats_are_written_one_at_a_time_and_while_the_house_is_kept() {
        let driver = driver(Duration::ZERO);
        let keeping = driver.begin(|driver| &driver.keeping_house);
        let writing = driver.begin(|driver| &driver.writing_beats);
        assert!(keeping.is_some() && writing.is_some());
        assert!(driver.begin(|driver| &driver.writing_beats).is_none());
        drop(writing);
        assert!(driver.begin(|driver| &driver.writing_beats).is_some());
    }

    #[test]
    fn a_panic_gives_the_lane_free() {
        let driver = driver(Duration::ZERO);
        let Some(lane) = lane("one") else {
            unreachable!("the name is a name")
        };
        let Taken::Free(turn) = driver.take(&lane) else {
            unreachable!("nobody drives it")
        };
        let panicked = std::thread::spawn(move || {
            let _turn = turn;
            std::panic::resume_unwind(Box::new(()));
        })
        .join();
        assert!(panicked.is_err());
        assert!(matches!(driver.take(&lane), Taken::Free(_)));
    }
}
