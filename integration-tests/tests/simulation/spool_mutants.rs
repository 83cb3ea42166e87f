//! Brokers that do one thing wrong with their spools. Each is caught.

use jitney_integration_tests::simulation::mutant::Mutant;

use crate::mutants::caught;

const TOLD: &str = "an end that was told is an end";

/// Says that an end is noted, and notes nothing.
struct DropsNotes;

impl Mutant for DropsNotes {
    fn noted(&self, _payload: Vec<u8>) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn an_end_that_is_not_noted_is_caught() {
    caught(DropsNotes, &[TOLD]);
}
