//! Both promises, in so many worlds.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jitney_integration_tests::simulation::hits::Hits;
use jitney_integration_tests::simulation::mutant::{Mutant, Sound};
use jitney_integration_tests::simulation::notary::Tally;
use jitney_integration_tests::simulation::shrink::shrink;
use jitney_integration_tests::simulation::world::{Outcome, Script, play};

/// How many worlds are played when nobody says how many.
const WORLDS: u64 = 2_000;
/// So many at once: each is one thread.
const THREADS: usize = 2;
/// With fewer worlds an empty cell of the table says nothing.
const WORLDS_THAT_MEET_EVERYTHING: u64 = 1_500;

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("`{variable}` is `{text}`, expected a number")),
        Err(_) => otherwise,
    }
}

/// What many worlds came to together.
#[derive(Default)]
struct Sum {
    hits: Hits,
    tally: Tally,
    polls: u64,
    worlds: u64,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.hits.add(&outcome.hits);
        self.tally.add(&outcome.tally);
        self.polls += outcome.polls;
        self.worlds += 1;
    }
}

/// Says which world it was when a world panics.
struct Playing(u64);

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "the world of seed {} panicked; JITNEY_SEED={0} JITNEY_WORLDS=1",
                self.0
            );
        }
    }
}

/// Plays worlds one after another until there are no more, or one failed.
fn play_some(next: &AtomicU64, end: u64, sum: &Mutex<Sum>, failed: &Mutex<Option<u64>>) {
    let sound: Arc<dyn Mutant> = Arc::new(Sound);
    while failed.lock().unwrap().is_none() {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= end {
            return;
        }
        let playing = Playing(seed);
        let outcome = play(&Script::of(seed), Arc::clone(&sound));
        drop(playing);
        sum.lock().unwrap().add(&outcome);
        if let Some(first) = outcome.violations.first() {
            // Said at once: to make it small takes a while.
            println!("seed {seed} fails: {}: {}", first.rule, first.how);
            failed.lock().unwrap().get_or_insert(seed);
        }
    }
}

/// A failed world as a person reads it: the smallest that still fails.
pub fn report(seed: u64, small: &Outcome) -> String {
    let mut text = format!("the world of seed {seed} fails, and the smallest like it:\n\n");
    for line in &small.story {
        let _ = writeln!(text, "{line}");
    }
    for violation in &small.violations {
        let _ = writeln!(
            text,
            "\nbroken: {}\n        {}",
            violation.rule, violation.how
        );
    }
    let keys: Vec<String> = small.happened.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "\nwhat went wrong: {}", keys.join("; "));
    let _ = writeln!(text, "to play it again: JITNEY_SEED={seed} JITNEY_WORLDS=1");
    text
}

/// The whole story of a world that somebody asks for by its seed.
fn tell(seed: u64) {
    let script = Script {
        told: true,
        ..Script::of(seed)
    };
    for line in play(&script, Arc::new(Sound)).story {
        println!("{line}");
    }
}

#[test]
fn both_promises_hold_in_every_world() {
    let (first, worlds) = (number("JITNEY_SEED", 1), number("JITNEY_WORLDS", WORLDS));
    if worlds == 1 {
        tell(first);
    }
    let end = first.saturating_add(worlds);
    let (next, sum, failed) = (AtomicU64::new(first), Mutex::default(), Mutex::new(None));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| play_some(&next, end, &sum, &failed));
        }
    });
    let sum: Sum = sum.into_inner().unwrap();
    println!("{}\n", sum.hits);
    println!(
        "{} worlds in {:.1} s, {} polls: {:?}",
        sum.worlds,
        began.elapsed().as_secs_f64(),
        sum.polls,
        sum.tally
    );
    if let Some(seed) = failed.into_inner().unwrap() {
        let small = shrink(seed, &(Arc::new(Sound) as Arc<dyn Mutant>));
        panic!("{}", report(seed, &small));
    }
    if sum.worlds >= WORLDS_THAT_MEET_EVERYTHING {
        let missing = sum.hits.missing();
        assert!(missing.is_empty(), "never tried: {missing:?}");
        let tally = sum.tally;
        let seen = [
            tally.renewals,
            tally.revoked,
            tally.takeovers,
            tally.recoveries,
            tally.undone,
            tally.noted,
            tally.merges,
        ];
        assert!(seen.iter().all(|count| *count > 0), "{tally:?}");
    }
}
