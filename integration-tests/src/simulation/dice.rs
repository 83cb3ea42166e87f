//! Draws that depend on nothing but the seed and the place where they are made.
//!
//! A world that is run again with one fault less must draw the same everywhere else, or nothing
//! could be taken away from a failing one. So there is no stream that all share: each place has
//! dice of its own, and drawing here moves nothing there.

use core::time::Duration;

/// Dice for one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a whole world.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The dice of a place within this one, by number.
    #[must_use]
    pub const fn at(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number.wrapping_add(1))))
    }

    /// The dice of a place within this one, by name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        name.bytes()
            .fold(self.at(0x6e61_6d65), |dice, byte| dice.at(byte.into()))
    }

    /// The next draw at this place.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`; 0 when the limit is.
    pub const fn below(&mut self, limit: u64) -> u64 {
        match self.roll().checked_rem(limit) {
            Some(number) => number,
            None => 0,
        }
    }

    /// True one time in so many; never when that is 0.
    pub const fn one_in(&mut self, many: u64) -> bool {
        many > 0 && self.below(many) == 0
    }

    /// A time of at least `least` and less than `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = most.saturating_sub(least).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        least.saturating_add(Duration::from_micros(self.below(micros)))
    }

    /// One of several; nothing when there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let place = self.below(u64::try_from(from.len()).unwrap_or(0));
        from.get(usize::try_from(place).unwrap_or(0))
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_draws_the_same_whatever_is_drawn_elsewhere() {
        let world = Dice::of(7);
        let alone = world.named("a").at(3).roll();
        let mut busy = world.named("b");
        for _ in 0..100 {
            busy.roll();
        }
        assert_eq!(world.named("a").at(3).roll(), alone);
        assert_ne!(world.named("a").at(4).roll(), alone);
        assert_ne!(world.named("b").at(3).roll(), alone);
        assert_ne!(Dice::of(8).named("a").at(3).roll(), alone);
    }

    #[test]
    fn draws_are_spread() {
        let mut dice = Dice::of(0);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            let number = usize::try_from(dice.below(10)).unwrap_or(0);
            if let Some(count) = seen.get_mut(number) {
                *count += 1;
            }
        }
        assert!(
            seen.iter().all(|count| (800..1_200).contains(count)),
            "{seen:?}"
        );
        assert!(!dice.one_in(0) && dice.one_in(1));
    }
}
