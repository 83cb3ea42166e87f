//! An answer on its way to whoever waits for it, who may hang up, or be gone.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use super::executor::{Sleep, lock};

struct Slot<T> {
    answer: Option<T>,
    waiting: Option<Waker>,
    given_up: bool,
}

/// Where the answer is put. Dropped without one, nobody will ever answer.
pub struct Answerer<T>(Arc<Mutex<Slot<T>>>);

impl<T> Answerer<T> {
    /// Answers. Gives the answer back when nobody waits for it any more.
    ///
    /// # Errors
    /// The answer itself.
    pub fn answer(self, answer: T) -> Result<(), T> {
        // The drop of the answerer takes the lock again.
        let mut slot = lock(&self.0);
        if slot.given_up {
            return Err(answer);
        }
        slot.answer = Some(answer);
        Ok(())
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.0).waiting.take() {
            waiting.wake();
        }
    }
}

/// Waits for an answer until it is too late.
pub struct Waiting<T> {
    slot: Arc<Mutex<Slot<T>>>,
    until: Sleep,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It was waited for long enough.
    TooLate,
    /// Whoever was to answer is gone.
    Gone,
}

/// A question: who answers, and who waits until `until`.
#[must_use]
pub fn question<T>(until: Sleep) -> (Answerer<T>, Waiting<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        answer: None,
        waiting: None,
        given_up: false,
    }));
    (Answerer(Arc::clone(&slot)), Waiting { slot, until })
}

impl<T> Future for Waiting<T> {
    type Output = Result<T, NoAnswer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let too_late = Pin::new(&mut self.until).poll(context).is_ready();
        let is_alone = Arc::strong_count(&self.slot) == 1;
        let mut slot = lock(&self.slot);
        if let Some(answer) = slot.answer.take() {
            return Poll::Ready(Ok(answer));
        }
        if is_alone {
            return Poll::Ready(Err(NoAnswer::Gone));
        }
        if too_late {
            return Poll::Ready(Err(NoAnswer::TooLate));
        }
        slot.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        lock(&self.slot).given_up = true;
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use jitney_core::time::Timestamp;

    use super::*;
    use crate::simulation::dice::Dice;
    use crate::simulation::executor::{Executor, Group, Stage};

    /// What a caller who waits for ten seconds is told by `answering`.
    fn told<W>(answering: impl FnOnce(Stage, Answerer<u8>) -> W) -> Option<Result<u8, NoAnswer>>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let stage = Stage::default();
        let (answerer, waiting) = question(stage.sleep(Duration::from_secs(10)));
        stage.spawn(Group(1), answering(stage.clone(), answerer));
        let heard = Arc::new(Mutex::new(None));
        let hearing = Arc::clone(&heard);
        stage.spawn(Group::WORLD, async move {
            *lock(&hearing) = Some(waiting.await);
        });
        Executor::new(stage, Dice::of(1), 100).run(Timestamp::from_seconds(100));
        *lock(&heard)
    }

    #[test]
    fn an_answer_comes_or_it_does_not_and_says_why() {
        let after = |seconds: u64| {
            told(move |stage, answerer| async move {
                stage.sleep(Duration::from_secs(seconds)).await;
                let _ = answerer.answer(7);
            })
        };
        assert_eq!(after(3), Some(Ok(7)));
        assert_eq!(after(11), Some(Err(NoAnswer::TooLate)));
        let gone = told(|stage, answerer| async move {
            stage.sleep(Duration::from_secs(3)).await;
            drop(answerer);
        });
        assert_eq!(gone, Some(Err(NoAnswer::Gone)));
    }
}
