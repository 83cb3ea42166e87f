//! The executor of one world: it owns time, and it polls whoever is ready in an order that the
//! seed decides. One thread, no operating system.
//!
//! Time stands still while anybody is ready, and then jumps to the next moment at which somebody
//! wants to be woken. Tasks belong to a [`Group`], which is a process: a group that is killed
//! loses all its tasks wherever they stand, and one that is paused is not polled, however long
//! the world goes on without it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use jitney_core::time::Timestamp;

use super::dice::Dice;

/// A process, or the world itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub u32);

impl Group {
    /// What belongs to no process: the network, the clouds, the jobs.
    pub const WORLD: Self = Self(0);
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type TaskId = u64;

/// Which tasks were woken. Apart from everything else, so that a waker can be called by whoever
/// holds another lock.
#[derive(Debug, Default)]
struct Woken(Mutex<BTreeSet<TaskId>>);

struct TaskWaker {
    task: TaskId,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.woken.0).insert(self.task);
    }
}

struct Task {
    group: Group,
    work: Work,
    waker: Waker,
}

#[derive(Default)]
struct Backstage {
    now: Timestamp,
    made: u64,
    spawned: Vec<(Group, Work)>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    doomed: Vec<Group>,
    dead: BTreeSet<Group>,
    paused: BTreeMap<Group, Timestamp>,
    stopped: bool,
}

/// What tasks see of their world: the time, and each other.
#[derive(Clone, Default)]
pub struct Stage(Arc<Mutex<Backstage>>);

impl Stage {
    /// A stage on which it is `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let stage = Self::default();
        stage.lock().now = now;
        stage
    }

    /// The true time, which no clock in the world need show.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Starts a task of a group. In a dead group it never runs.
    pub fn spawn(&self, group: Group, work: impl Future<Output = ()> + Send + 'static) {
        self.lock().spawned.push((group, Box::pin(work)));
    }

    /// Ends so much later.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> Sleep {
        let due = self.now().plus(time);
        Sleep {
            stage: self.clone(),
            due,
            place: None,
        }
    }

    /// The process dies: none of its tasks is ever polled again, the one that says so included.
    pub fn kill(&self, group: Group) {
        let mut stage = self.lock();
        stage.dead.insert(group);
        stage.doomed.push(group);
    }

    /// The process is not polled before `until`.
    pub fn pause(&self, group: Group, until: Timestamp) {
        let mut stage = self.lock();
        let paused = stage.paused.entry(group).or_insert(until);
        *paused = until.max(*paused);
        // So that time does not pass by its end.
        stage.made += 1;
        let place = (until, stage.made);
        stage.timers.insert(place, Waker::noop().clone());
    }

    /// Whatever is paused goes on.
    pub fn resume_all(&self) {
        self.lock().paused.clear();
    }

    /// Nothing more is polled.
    pub fn stop(&self) {
        self.lock().stopped = true;
    }

    fn lock(&self) -> MutexGuard<'_, Backstage> {
        lock(&self.0)
    }
}

/// See [`Stage::sleep`].
pub struct Sleep {
    stage: Stage,
    due: Timestamp,
    place: Option<(Timestamp, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (due, place) = (self.due, self.place);
        let mut stage = self.stage.lock();
        if stage.now >= due {
            return Poll::Ready(());
        }
        let place = place.unwrap_or_else(|| {
            stage.made += 1;
            (due, stage.made)
        });
        stage.timers.insert(place, context.waker().clone());
        drop(stage);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.stage.lock().timers.remove(&place);
        }
    }
}

/// Lets others run, without time passing.
#[derive(Debug, Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Why the executor came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It is the time it was to come back at.
    Time,
    /// Nobody wants anything any more.
    Idle,
    /// Somebody stopped the world.
    Stopped,
    /// So much was polled that the world will not come to rest.
    Restless,
}

/// Runs the tasks of one world.
pub struct Executor {
    stage: Stage,
    tasks: BTreeMap<TaskId, Task>,
    woken: Arc<Woken>,
    made: TaskId,
    dice: Dice,
    polls: u64,
    polls_max: u64,
}

impl Executor {
    /// An executor whose choices come from `dice`, and that gives up after `polls_max` polls.
    #[must_use]
    pub fn new(stage: Stage, dice: Dice, polls_max: u64) -> Self {
        Self {
            stage,
            tasks: BTreeMap::new(),
            woken: Arc::default(),
            made: 0,
            dice,
            polls: 0,
            polls_max,
        }
    }

    /// How often anybody was polled.
    #[must_use]
    pub const fn polls(&self) -> u64 {
        self.polls
    }

    /// Runs until it is `end`.
    pub fn run(&mut self, end: Timestamp) -> Rest {
        loop {
            self.change_cast();
            if self.stage.lock().stopped {
                return Rest::Stopped;
            }
            if self.polls >= self.polls_max {
                return Rest::Restless;
            }
            match self.choose() {
                Some(task) => self.poll(task),
                None => {
                    if let Some(rest) = self.pass_time(end) {
                        return rest;
                    }
                }
            }
        }
    }

    /// Lets the dead go and newcomers in. What the dead leave behind as they go belongs to them.
    fn change_cast(&mut self) {
        loop {
            let (doomed, spawned, dead) = {
                let mut stage = self.stage.lock();
                let doomed = core::mem::take(&mut stage.doomed);
                let spawned = core::mem::take(&mut stage.spawned);
                (doomed, spawned, stage.dead.clone())
            };
            if doomed.is_empty() && spawned.is_empty() {
                return;
            }
            self.tasks.retain(|_, task| !doomed.contains(&task.group));
            for (group, work) in spawned {
                if !dead.contains(&group) {
                    self.admit(group, work);
                }
            }
        }
    }

    fn admit(&mut self, group: Group, work: Work) {
        self.made += 1;
        let waker = Waker::from(Arc::new(TaskWaker {
            task: self.made,
            woken: Arc::clone(&self.woken),
        }));
        waker.wake_by_ref();
        self.tasks.insert(self.made, Task { group, work, waker });
    }

    fn choose(&mut self) -> Option<TaskId> {
        let paused = {
            let mut stage = self.stage.lock();
            let now = stage.now;
            stage.paused.retain(|_, until| *until > now);
            stage.paused.clone()
        };
        let mut woken = lock(&self.woken.0);
        woken.retain(|task| self.tasks.contains_key(task));
        let ready: Vec<TaskId> = woken
            .iter()
            .filter(|id| {
                let task = self.tasks.get(id);
                task.is_some_and(|task| !paused.contains_key(&task.group))
            })
            .copied()
            .collect();
        let chosen = self.dice.pick(&ready).copied()?;
        woken.remove(&chosen);
        Some(chosen)
    }

    fn poll(&mut self, id: TaskId) {
        let Some(mut task) = self.tasks.remove(&id) else {
            return;
        };
        self.polls += 1;
        let mut context = Context::from_waker(&task.waker);
        if task.work.as_mut().poll(&mut context).is_pending() {
            self.tasks.insert(id, task);
        }
    }

    fn pass_time(&self, end: Timestamp) -> Option<Rest> {
        let mut stage = self.stage.lock();
        let Some(((due, _), _)) = stage.timers.first_key_value() else {
            return Some(Rest::Idle);
        };
        if *due > end {
            stage.now = end.max(stage.now);
            return Some(Rest::Time);
        }
        stage.now = stage.now.max(*due);
        let now = stage.now;
        while let Some(timer) = stage.timers.first_entry() {
            if timer.key().0 > now {
                break;
            }
            timer.remove().wake();
        }
        None
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Three tasks that each take three steps at the same moments; gives the order of the steps.
    fn order(seed: u64) -> Vec<(u32, u32)> {
        let stage = Stage::at(Timestamp::default());
        let steps = Arc::new(Mutex::new(Vec::new()));
        for task in 1..=3 {
            let (clock, steps) = (stage.clone(), Arc::clone(&steps));
            stage.spawn(Group(task), async move {
                for step in 0..3 {
                    lock(&steps).push((task, step));
                    clock.sleep(SECOND).await;
                }
            });
        }
        let mut executor = Executor::new(stage, Dice::of(seed), 1_000);
        assert_eq!(executor.run(Timestamp::from_seconds(60)), Rest::Idle);
        lock(&steps).clone()
    }

    #[test]
    fn a_seed_decides_the_order_and_another_decides_another() {
        assert_eq!(order(1), order(1));
        assert!((2..10).any(|seed| order(seed) != order(1)));
    }

    #[test]
    fn a_killed_group_stops_where_it_stands_and_a_paused_one_goes_on_later() {
        let stage = Stage::at(Timestamp::default());
        let told: Arc<Mutex<Vec<(u32, Timestamp)>>> = Arc::default();
        for group in [1, 2, 3] {
            let (clock, told) = (stage.clone(), Arc::clone(&told));
            stage.spawn(Group(group), async move {
                clock.sleep(SECOND).await;
                lock(&told).push((group, clock.now()));
            });
        }
        stage.kill(Group(1));
        stage.pause(Group(2), Timestamp::from_seconds(90));
        let mut executor = Executor::new(stage, Dice::of(1), 1_000);
        assert_eq!(executor.run(Timestamp::from_seconds(600)), Rest::Idle);
        let at = Timestamp::from_seconds;
        assert_eq!(*lock(&told), [(3, at(1)), (2, at(91))]);
    }

    #[test]
    fn a_world_that_does_not_come_to_rest_is_given_up() {
        let stage = Stage::default();
        stage.spawn(Group::WORLD, async {
            loop {
                Yield::default().await;
            }
        });
        let mut executor = Executor::new(stage, Dice::of(1), 100);
        assert_eq!(executor.run(Timestamp::FAR_FUTURE), Rest::Restless);
    }
}
