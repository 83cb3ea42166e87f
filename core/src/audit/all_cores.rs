//! The same question about many things, on all cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

/// Asks about each thing, and gives the answers in the order of the things.
pub(super) fn on_all_cores<T: Sync, A: Send>(things: &[T], ask: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = things.len().div_ceil(cores).max(1);
    let about = |some: &[T]| some.iter().map(&ask).collect::<Vec<A>>();
    let about = &about;
    thread::scope(|threads| {
        let begin = |some| {
            let begun = thread::Builder::new().spawn_scoped(threads, move || about(some));
            begun.map_err(|_| some)
        };
        let shares: Vec<_> = things.chunks(share).map(begin).collect();
        let answers = shares.into_iter().flat_map(|share| match share {
            Ok(begun) => ScopedJoinHandle::join(begun).unwrap_or_else(|panic| resume_unwind(panic)),
            // The system has no thread to give.
            Err(some) => about(some),
        });
        answers.collect()
    })
}
