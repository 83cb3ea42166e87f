//! Names and numbers the cloud makes up.

use uuid::Uuid;

use crate::draws::Draws;

/// How long an access token lives: between these, at random, as Entra has it.
const TOKEN_SECONDS_MIN: u64 = 3_600;
const TOKEN_SECONDS_MAX: u64 = 5_400;

pub(crate) struct Identifiers(Draws);

impl Identifiers {
    /// With a seed they repeat from run to run; without one they do not.
    pub(crate) fn new(seed: Option<u64>) -> Identifiers {
        Identifiers(Draws::new(seed))
    }

    /// A fresh GUID.
    pub(crate) fn guid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.half()).into_uuid()
    }

    fn half(&self) -> [u8; 16] {
        self.0.draw().first_chunk().copied().unwrap_or_default()
    }

    /// How long the next access token lives.
    pub(crate) fn token_seconds(&self) -> u64 {
        let [first, second, ..] = self.0.draw();
        let spread = u64::from(u16::from_be_bytes([first, second]));
        TOKEN_SECONDS_MIN + spread % (TOKEN_SECONDS_MAX - TOKEN_SECONDS_MIN + 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn a_seed_repeats_and_no_seed_does_not() {
        let guid = |seed| Identifiers::new(seed).guid();
        assert_eq!(guid(Some(7)), guid(Some(7)));
        assert_ne!(guid(Some(7)), guid(Some(8)));
        assert_ne!(guid(None), guid(None));
    }

    #[test]
    fn tokens_live_between_an_hour_and_an_hour_and_a_half() {
        let identifiers = Identifiers::new(Some(1));
        let lives: Vec<u64> = (0..200).map(|_| identifiers.token_seconds()).collect();
        assert!(
            lives
                .iter()
                .all(|seconds| (3_600..=5_400).contains(seconds))
        );
        assert!(lives.iter().any(|seconds| *seconds > 4_500));
        assert!(lives.iter().any(|seconds| *seconds < 4_500));
    }
}
