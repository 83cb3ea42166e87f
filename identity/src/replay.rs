//! Remembers the proofs that were used, so that none is used twice. In memory, because a proof is
//! good for a minute; bounded in number, because memory is. What does not fit is refused: forgetting
//! an old proof to make room for a new one would let a flood undo the memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jitney_core::time::Timestamp;

use crate::dpop::DpopProof;
use crate::refusal::{Refusal, RefusalCode};

/// How much a [`ReplayWindow`] remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayBounds {
    /// Proofs altogether. About 200 bytes each.
    pub proofs_max: usize,
    /// Proofs of one key, so that one client cannot fill the memory for all.
    pub proofs_per_key_max: usize,
}

impl Default for ReplayBounds {
    /// 262 144 proofs, some 4 000 calls a second; 256 of one key, some 4 calls a second.
    fn default() -> Self {
        Self {
            proofs_max: 262_144,
            proofs_per_key_max: 256,
        }
    }
}

/// The proofs that one broker has seen lately.
pub struct ReplayWindow {
    bounds: ReplayBounds,
    /// Proofs from before are refused: what was used then is not known any more.
    opened_at: Timestamp,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    seen: HashSet<Arc<str>>,
    /// By the instant at which the proof may be forgotten.
    due: BTreeMap<(Timestamp, Arc<str>), Entry>,
    of_key: HashMap<Arc<str>, usize>,
}

struct Entry {
    key: Arc<str>,
    /// The same instant on a clock that nobody sets. A wall clock that jumps ahead and back would
    /// otherwise make us forget proofs that become valid again.
    not_before: Instant,
}

impl ReplayWindow {
    /// An empty window. `opened_at` is the present instant: proofs made before it are refused, since
    /// a broker that was just started cannot know whether they were used.
    #[must_use]
    pub fn new(opened_at: Timestamp, bounds: ReplayBounds) -> Self {
        Self {
            bounds,
            opened_at,
            memory: Mutex::default(),
        }
    }

    /// Admits a proof that was not admitted before. Call it last, for a caller who is otherwise
    /// entitled: refused calls then take no room.
    ///
    /// # Errors
    /// `proof_replayed`, `proof_too_old` or `too_many_proofs`.
    pub fn admit(&self, proof: &DpopProof, now: Timestamp) -> Result<(), Refusal> {
        self.admit_at(proof, now, Instant::now())
    }

    /// How many proofs are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory().seen.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn admit_at(&self, proof: &DpopProof, now: Timestamp, instant: Instant) -> Result<(), Refusal> {
        // `iat` has whole seconds: one made within our first second is ours.
        if proof.issued_at.as_seconds() < self.opened_at.as_seconds() {
            return Err(Refusal::new(
                RefusalCode::ProofTooOld,
                "the proof was made before the broker was started; sign a fresh one",
            ));
        }
        let mut memory = self.memory();
        memory.forget(now, instant);
        if memory.seen.contains(proof.once.0.as_str()) {
            return Err(Refusal::with_log(
                RefusalCode::ProofReplayed,
                "the proof was used before; sign a fresh one for each call",
                format!("a proof of key `{}` was used twice", proof.thumbprint),
            ));
        }
        let of_key = memory
            .of_key
            .get(proof.thumbprint.0.as_str())
            .copied()
            .unwrap_or(0);
        if of_key >= self.bounds.proofs_per_key_max || memory.seen.len() >= self.bounds.proofs_max {
            return Err(Refusal::with_log(
                RefusalCode::TooManyProofs,
                "too many calls in the last minute; try again",
                format!(
                    "key `{}` has {of_key} proofs in the window, all keys {}; the bounds are {} \
                     and {}",
                    proof.thumbprint,
                    memory.seen.len(),
                    self.bounds.proofs_per_key_max,
                    self.bounds.proofs_max
                ),
            ));
        }
        memory.remember(proof, now, instant);
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing in here panics halfway through a change.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn remember(&mut self, proof: &DpopProof, now: Timestamp, instant: Instant) {
        let once: Arc<str> = proof.once.0.as_str().into();
        let key = self
            .of_key
            .get_key_value(proof.thumbprint.0.as_str())
            .map_or_else(
                || proof.thumbprint.0.as_str().into(),
                |(key, _)| Arc::clone(key),
            );
        let count = self.of_key.entry(Arc::clone(&key)).or_insert(0);
        *count = count.saturating_add(1);
        self.seen.insert(Arc::clone(&once));
        let entry = Entry {
            key,
            not_before: instant
                .checked_add(proof.remember_until.since(now))
                .unwrap_or(instant),
        };
        self.due.insert((proof.remember_until, once), entry);
    }

    /// Forgets what is no longer valid by either clock.
    fn forget(&mut self, now: Timestamp, instant: Instant) {
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now || entry.get().not_before > instant {
                return;
            }
            let ((_, once), entry) = entry.remove_entry();
            self.seen.remove(&once);
            if let Some(count) = self.of_key.get_mut(&entry.key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.of_key.remove(&entry.key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use core::time::Duration;
    use jitney_core::principal::{KeyThumbprint, OnceKey};
    use proptest::prelude::*;

    const VALID_SECONDS: i64 = 65;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn proof(key: &str, jti: &str, made: i64) -> DpopProof {
        DpopProof {
            thumbprint: KeyThumbprint(key.to_owned()),
            once: OnceKey(format!("{key}/{jti}")),
            issued_at: at(made),
            remember_until: at(made + VALID_SECONDS),
        }
    }

    fn code(judged: Result<(), Refusal>) -> Option<RefusalCode> {
        judged.err().map(|refusal| refusal.code)
    }

    struct Clocks {
        window: ReplayWindow,
        began: Instant,
    }

    impl Clocks {
        fn new(bounds: ReplayBounds) -> Self {
            Self {
                window: ReplayWindow::new(at(0), bounds),
                began: Instant::now(),
            }
        }

        fn admit(&self, proof: &DpopProof, wall: i64, steady: u64) -> Option<RefusalCode> {
            let instant = self.began + Duration::from_secs(steady);
            code(self.window.admit_at(proof, at(wall), instant))
        }
    }

    #[test]
    fn a_proof_is_admitted_once() {
        let window = ReplayWindow::new(at(0), ReplayBounds::default());
        let one = proof("k", "1", 0);
        assert_eq!(code(window.admit(&one, at(0))), None);
        assert_eq!(
            code(window.admit(&one, at(0))),
            Some(RefusalCode::ProofReplayed)
        );
        let other_iat = DpopProof {
            issued_at: at(1),
            remember_until: at(70),
            ..one
        };
        assert_eq!(
            code(window.admit(&other_iat, at(1))),
            Some(RefusalCode::ProofReplayed)
        );
        assert_eq!(code(window.admit(&proof("k", "2", 0), at(0))), None);
        assert_eq!(code(window.admit(&proof("l", "1", 0), at(0))), None);
        assert_eq!(window.len(), 3);
    }

    #[test]
    fn a_proof_is_remembered_for_as_long_as_it_is_valid_and_then_forgotten() {
        let clocks = Clocks::new(ReplayBounds::default());
        let one = proof("k", "1", 0);
        assert_eq!(clocks.admit(&one, 0, 0), None);
        assert_eq!(clocks.admit(&one, 64, 64), Some(RefusalCode::ProofReplayed));
        assert_eq!(clocks.admit(&proof("k", "2", 65), 65, 65), None);
        assert_eq!(clocks.window.len(), 1);
    }

    #[test]
    fn a_wall_clock_that_jumps_ahead_and_back_brings_no_proof_back() {
        let clocks = Clocks::new(ReplayBounds::default());
        let one = proof("k", "1", 0);
        assert_eq!(clocks.admit(&one, 0, 0), None);
        assert_eq!(clocks.admit(&proof("k", "2", 5000), 5000, 1), None);
        assert_eq!(clocks.admit(&one, 2, 2), Some(RefusalCode::ProofReplayed));
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_shorten_the_memory() {
        let clocks = Clocks::new(ReplayBounds::default());
        let one = proof("k", "1", 3600);
        assert_eq!(clocks.admit(&one, 3600, 0), None);
        assert_eq!(clocks.admit(&proof("k", "2", 10), 10, 100), None);
        assert_eq!(
            clocks.admit(&one, 3600, 3690),
            Some(RefusalCode::ProofReplayed)
        );
    }

    #[test]
    fn proofs_from_before_the_start_are_refused() {
        let window = ReplayWindow::new(
            at(0).plus(Duration::from_millis(700)),
            ReplayBounds::default(),
        );
        let before = proof("k", "1", -1);
        assert_eq!(
            code(window.admit(&before, at(1))),
            Some(RefusalCode::ProofTooOld)
        );
        // Made in the same second, of which `iat` keeps no fraction.
        assert_eq!(code(window.admit(&proof("k", "2", 0), at(1))), None);
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn one_key_cannot_take_the_room_of_others() {
        let clocks = Clocks::new(ReplayBounds {
            proofs_max: 10,
            proofs_per_key_max: 3,
        });
        for jti in ["1", "2", "3"] {
            assert_eq!(clocks.admit(&proof("k", jti, 0), 0, 0), None);
        }
        let fourth = proof("k", "4", 0);
        assert_eq!(
            clocks.admit(&fourth, 0, 0),
            Some(RefusalCode::TooManyProofs)
        );
        assert_eq!(clocks.admit(&proof("l", "1", 0), 0, 0), None);
        assert_eq!(clocks.admit(&proof("k", "5", 66), 66, 66), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_forgotten_for_it() {
        let clocks = Clocks::new(ReplayBounds {
            proofs_max: 4,
            proofs_per_key_max: 4,
        });
        for key in ["a", "b", "c", "d"] {
            assert_eq!(clocks.admit(&proof(key, "1", 0), 0, 0), None);
        }
        for flood in 0..100 {
            let flood = proof(&format!("flood-{flood}"), "1", 1);
            assert_eq!(clocks.admit(&flood, 1, 1), Some(RefusalCode::TooManyProofs));
        }
        for key in ["a", "b", "c", "d"] {
            let again = proof(key, "1", 0);
            assert_eq!(clocks.admit(&again, 2, 2), Some(RefusalCode::ProofReplayed));
        }
        assert_eq!(clocks.window.len(), 4);
    }

    proptest! {
        /// Against a model that never forgets: whatever is admitted was never admitted before, and
        /// the counts by key never drift from what is remembered.
        #[test]
        fn nothing_valid_is_admitted_twice(
            calls in proptest::collection::vec((0_u8..4, 0_u8..8, -3_i64..3, 0_u64..30), 1..80),
        ) {
            let clocks = Clocks::new(ReplayBounds { proofs_max: 12, proofs_per_key_max: 5 });
            let mut admitted: Vec<DpopProof> = Vec::new();
            let mut passed = 0;
            for (key, jti, drift, wait) in calls {
                passed += wait;
                let wall = i64::try_from(passed).unwrap();
                let made = (wall + drift).max(0);
                let one = proof(&key.to_string(), &jti.to_string(), made);
                if clocks.admit(&one, wall, passed).is_none() {
                    let valid = |was: &&DpopProof| {
                        was.once == one.once && was.remember_until > at(wall)
                    };
                    prop_assert!(admitted.iter().find(valid).is_none());
                    admitted.push(one);
                }
                let memory = clocks.window.memory();
                prop_assert_eq!(memory.seen.len(), memory.due.len());
                prop_assert_eq!(memory.seen.len(), memory.of_key.values().sum::<usize>());
                prop_assert!(memory.seen.len() <= 12);
            }
        }
    }
}
