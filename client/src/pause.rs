//! Pauses between attempts: twice as long each time up to a bound, and never the same for two
//! clients, so that a broker that comes back is not met by all of them at once.

use core::time::Duration;

use aws_lc_rs::rand;

/// The first pause, before chance shortens it.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pauses of one series of attempts.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: PAUSE_MIN }
    }
}

impl Pause {
    /// The next pause; not shorter than what the broker asked for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let pause = jittered(self.next, 50);
        self.next = self.next.saturating_mul(2).min(PAUSE_MAX);
        pause.max(asked.unwrap_or_default())
    }
}

/// `duration`, shortened by chance by up to `percent` of a hundred.
pub(crate) fn jittered(duration: Duration, percent: u32) -> Duration {
    let mut byte = [0_u8; 1];
    // Without randomness everybody waits the full time: slower, never wrong.
    let chance = rand::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
    let cut = duration.saturating_mul(percent.min(100)) / 100;
    duration.saturating_sub(cut.saturating_mul(chance) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_obey_the_broker() {
        let mut pause = Pause::default();
        let first = pause.next(None);
        assert!(first >= PAUSE_MIN / 2 && first <= PAUSE_MIN);
        for _ in 0..20 {
            assert!(pause.next(None) <= PAUSE_MAX);
        }
        assert!(pause.next(None) >= PAUSE_MAX / 2);
        let asked = Duration::from_secs(30);
        assert_eq!(pause.next(Some(asked)), asked);
    }

    #[test]
    fn chance_shortens_and_never_lengthens() {
        let full = Duration::from_secs(15);
        let drawn: Vec<_> = (0..200).map(|_| jittered(full, 20)).collect();
        assert!(drawn.iter().all(|d| *d <= full && *d >= full * 4 / 5));
        assert!(drawn.iter().any(|d| d != drawn.first().unwrap_or(d)));
    }
}
