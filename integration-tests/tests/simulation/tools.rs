//! What makes a failing world useful: it can be played again, and it is made small.

use std::sync::Arc;

use jitney_integration_tests::simulation::mutant::{Mutant, Sound};
use jitney_integration_tests::simulation::shrink::shrink;
use jitney_integration_tests::simulation::world::{Script, play};

use crate::mutants::{Bending, MintsBeforeRecording};
use crate::worlds::report;

fn told(seed: u64) -> Script {
    Script {
        told: true,
        ..Script::of(seed)
    }
}

#[test]
fn a_seed_decides_everything() {
    let sound: Arc<dyn Mutant> = Arc::new(Sound);
    for seed in 1..=12 {
        let [one, other] = [0, 1].map(|_| play(&told(seed), Arc::clone(&sound)));
        assert!(!one.story.is_empty());
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!(
            (one.polls, one.hits),
            (other.polls, other.hits),
            "seed {seed}"
        );
    }
}

#[test]
fn a_failing_world_is_made_small_and_told() {
    let mutant: Arc<dyn Mutant> = Arc::new(Bending(Arc::new(MintsBeforeRecording)));
    let fails = |seed: &u64| {
        let outcome = play(&Script::of(*seed), Arc::clone(&mutant));
        !outcome.violations.is_empty() && outcome.happened.len() > 20
    };
    let seed = (1..400).find(fails).expect("a world that fails");
    let small = shrink(seed, &mutant);
    assert!(!small.violations.is_empty());
    // One job is enough to mint, and nothing need go wrong.
    assert!(small.happened.len() <= 2, "{:?}", small.happened);
    let report = report(seed, &small);
    for part in [
        "makes a session of lease 1",
        "broken: every grant",
        "JITNEY_SEED=",
    ] {
        assert!(report.contains(part), "{report}");
    }
    assert!(report.lines().count() < 40, "{report}");
}
