//! Makes a failing world smaller: fewer brokers, jobs, events and faults, as long as it fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mutant::Mutant;
use super::weather::Key;
use super::world::{Outcome, Script, play};

/// The most worlds that are played to make one smaller.
const PLAYS_MAX: u32 = 600;

/// The smallest world of a seed that was found to fail, with its story.
#[must_use]
pub fn shrink(seed: u64, mutant: &Arc<dyn Mutant>) -> Outcome {
    let mut shrinking = Shrinking {
        seed,
        mutant,
        plays: 0,
    };
    let whole = play(&Script::of(seed), Arc::clone(mutant));
    let smallest = shrinking.smallest(whole.happened.into_iter().collect());
    shrinking.play(smallest, true)
}

struct Shrinking<'a> {
    seed: u64,
    mutant: &'a Arc<dyn Mutant>,
    plays: u32,
}

impl Shrinking<'_> {
    fn play(&mut self, only: Vec<Key>, told: bool) -> Outcome {
        self.plays += 1;
        let script = Script {
            seed: self.seed,
            only: Some(Arc::new(only.into_iter().collect::<BTreeSet<Key>>())),
            told,
        };
        play(&script, Arc::clone(self.mutant))
    }

    /// Takes away ever smaller parts (delta debugging), as long as what is left fails.
    fn smallest(&mut self, mut keys: Vec<Key>) -> Vec<Key> {
        let mut part = keys.len().div_ceil(2);
        while part > 0 && self.plays < PLAYS_MAX {
            let mut from = 0;
            let mut any = false;
            while from < keys.len() && self.plays < PLAYS_MAX {
                let to = keys.len().min(from + part);
                let less: Vec<Key> = without(&keys, from, to);
                if self.play(less.clone(), false).violations.is_empty() {
                    from = to;
                } else {
                    (keys, any) = (less, true);
                }
            }
            part = match (any, part) {
                (true, 1) => 1,
                (_, part) => part / 2,
            };
        }
        keys
    }
}

fn without(keys: &[Key], from: usize, to: usize) -> Vec<Key> {
    let before = keys.iter().take(from);
    before.chain(keys.iter().skip(to)).cloned().collect()
}
