//! Chance that a seed decides.

use core::ops::Range;
use core::time::Duration;

/// A stream of chance: the same seed, the same stream (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for somebody who draws at other times.
    pub const fn branch(&mut self) -> Self {
        Self(self.next())
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range; its start when there is nothing in it.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start).max(1);
        range.start.saturating_add(self.next() % width)
    }

    /// A time, in milliseconds of a range.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True so many times out of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_branches_go_their_own_way() {
        let draw = |mut chance: Chance| (0..64).map(|_| chance.within(3..9)).collect::<Vec<_>>();
        assert_eq!(draw(Chance::of(7)), draw(Chance::of(7)));
        assert_ne!(draw(Chance::of(7)), draw(Chance::of(8)));
        let mut trunk = Chance::of(7);
        assert_ne!(draw(trunk.branch()), draw(trunk.branch()));
        assert!(
            draw(Chance::of(7))
                .iter()
                .all(|number| (3..9).contains(number))
        );
    }
}
