//! The crew: tasks that belong to the broker and to no connection. A use case runs here, so that
//! it reaches its commit whoever is still listening.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Tasks under way. Cheap to clone; all clones are one crew.
#[derive(Clone, Default)]
pub(crate) struct Crew {
    tasks: Arc<Mutex<JoinSet<()>>>,
    killed: Arc<AtomicBool>,
}

impl Crew {
    /// Runs `work` to its end. What it comes to is dropped when nobody waits for it any more; a
    /// receiver that never gets anything means that the work panicked or the crew was killed.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        self.spawn(async move {
            drop(tell.send(work.await));
        });
        told
    }

    /// Runs `work` to its end, for nobody in particular.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if self.is_killed() {
            return;
        }
        let mut tasks = self.tasks();
        while let Some(over) = tasks.try_join_next() {
            note_panic(over);
        }
        // Outside a runtime there is nobody to do it: what is due is found by the next process.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tasks.spawn_on(work, &runtime);
        }
    }

    /// Waits until nothing is under way, also what is begun meanwhile.
    pub(crate) async fn finish(&self) {
        loop {
            let mut under_way = std::mem::take(&mut *self.tasks());
            if under_way.is_empty() {
                return;
            }
            while let Some(over) = under_way.join_next().await {
                note_panic(over);
            }
        }
    }

    /// Drops everything where it stands, as the loss of the process would.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.tasks().abort_all();
    }

    /// Whether the crew was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        // A set of tasks is whole whatever a panicking thread was doing with it.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_panic(over: Result<(), tokio::task::JoinError>) {
    if let Err(error) = over
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked; what it began is found in the ledger");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use core::time::Duration;
    use std::sync::atomic::AtomicU32;

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let crew = Crew::default();
        let done = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&done);
        drop(crew.run(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            counted.fetch_add(1, Ordering::SeqCst)
        }));
        crew.finish().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_panic_is_told_to_who_waits_and_stops_nobody_else() {
        let crew = Crew::default();
        let doomed = crew.run(async { panic!("on purpose") });
        let sound = crew.run(async { 7 });
        let doomed: Result<(), _> = doomed.await;
        assert!(doomed.is_err());
        assert_eq!(sound.await.unwrap(), 7);
        crew.finish().await;
    }

    #[tokio::test]
    async fn a_killed_crew_stops_where_it_stands_and_takes_nothing_on() {
        let crew = Crew::default();
        let stuck = crew.run(std::future::pending::<()>());
        crew.kill();
        assert!(stuck.await.is_err());
        assert!(crew.run(async { 7 }).await.is_err());
        crew.finish().await;
    }
}
