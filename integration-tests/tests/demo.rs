//! The demonstration is as promised on an obedient cloud, and notices a disobedient one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use jitney_demo::{DemoOptions, Format, run};
use serde_json::Value;

/// Plays the demonstration. Gives its verdict and its steps.
fn play(sandbox_ignores_deny: bool) -> (bool, Vec<Value>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut out = Vec::new();
    let options = DemoOptions {
        format: Format::Json,
        sandbox_ignores_deny,
    };
    let as_promised = runtime
        .block_on(run(options, &mut out))
        .expect("the stage is set");
    let text = String::from_utf8(out).unwrap();
    (
        as_promised,
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn failed(steps: &[Value]) -> Vec<&str> {
    let failed = steps.iter().filter(|step| step["ok"] == false);
    failed.map(|step| step["step"].as_str().unwrap()).collect()
}

#[test]
fn every_step_is_as_promised() {
    let (as_promised, steps) = play(false);
    assert!(as_promised, "{steps:#?}");
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    for told in [
        "decision",
        "lease",
        "upload",
        "delete",
        "other-prefix",
        "look-alike-prefix",
        "other-bucket",
        "other-service",
        "second-lease",
        "release",
        "kept-credential",
        "second-still-works",
        "evidence",
        "kill",
        "orphan",
        "restart",
        "fork",
        "token-replayed",
        "azure-lease",
        "azure-upload",
        "azure-floor",
        "azure-rbac-kept-token",
        "google-lease",
        "google-kept-token",
        "one-cloud-refuses",
        "three-clouds",
        "azure-kept-token",
        "azure-evidence",
        "audit",
        "tampered-copy",
    ] {
        assert!(names.contains(&told), "step `{told}` is missing: {names:?}");
    }
    for step in &steps {
        for key in ["step", "expect", "got", "ok", "elapsed_ms"] {
            assert!(!step[key].is_null(), "{step} has no `{key}`");
        }
    }
}

#[test]
fn a_cloud_that_ignores_deny_is_noticed() {
    let (as_promised, steps) = play(true);
    assert!(!as_promised);
    let noticed = ["kept-credential", "restart", "one-cloud-refuses"];
    assert_eq!(failed(&steps), noticed, "{steps:#?}");
}
