//! Probes and rehearsals on Google Cloud: what is asked changes nothing, and what is measured is
//! the sandbox's own lag.

use core::time::Duration;

use jitney_core::credential::{Credential, Shown};
use jitney_core::probe::{Probe as _, Probed};
use jitney_core::time::Timestamp;
use jitney_core::usecase::Conclusion;
use jitney_integration_tests::adapter_laws::{
    Revealed, Stage as _, begin_rehearsal, rehearse, watch_rehearsal,
};
use jitney_sandbox::gcp::Lags;
use reqwest::Method;
use serde_json::{Value, json};

use crate::estate::BUCKET;
use crate::stage::{GcpStage, LAGS};

/// One look each so often.
const PAUSE: Duration = Duration::from_secs(2);
const AT_ONCE: Lags = Lags {
    grant_seconds: 0,
    revoke_seconds: 0,
    disable_seconds: 0,
    enable_seconds: 0,
    read_seconds: 0,
};

fn shown(credential: &Revealed) -> Shown {
    let fields = credential
        .iter()
        .map(|(name, value)| (*name, value.clone()));
    Credential::new("gcp-token", fields, Timestamp::FAR_FUTURE).kept()
}

/// The names of everything in the bucket.
async fn everything_there(stage: &GcpStage) -> Vec<Value> {
    let path = format!("/storage/v1/b/{BUCKET}/o");
    let listed = stage.admin(Method::GET, &path, &Value::Null).await;
    let items = listed.unwrap()["items"].as_array().cloned();
    let items = items.unwrap_or_default().into_iter();
    items
        .map(|item| json!([item["name"], item["generation"]]))
        .collect()
}

#[tokio::test]
async fn probes_tell_what_works_and_change_nothing() {
    let stage = GcpStage::new(AT_ONCE).await;
    let adapter = stage.adapter_at(&stage.sandbox.url(), &json!({}));
    let before = everything_there(&stage).await;
    assert!(!before.is_empty());
    for (scope, pool, expected) in [
        ("object-storage:read@artifacts-prod", "deploy", "accepted"),
        ("object-storage:read@artifacts-prod", "fast", "accepted"),
        ("object-storage:read@artifacts-prod", "bounded", "accepted"),
        (
            "object-storage:read@artifacts-prod/releases/",
            "deploy",
            "accepted",
        ),
        (
            "object-storage:read@artifacts-prod/releases/",
            "bounded",
            "accepted",
        ),
        (
            "object-storage:read@artifacts-prod/releases/seed",
            "deploy",
            "cannot-tell",
        ),
        ("object-storage:write@artifacts-prod", "bounded", "accepted"),
        (
            "object-storage:write@artifacts-prod/releases/",
            "bounded",
            "accepted",
        ),
        (
            "object-storage:write@artifacts-prod/a=b+c/",
            "bounded",
            "accepted",
        ),
        ("infra:apply@deployer", "deploy", "cannot-tell"),
    ] {
        let wanted = stage.wish(scope, pool);
        let wish = std::slice::from_ref(&wanted);
        let taken = stage.scribe.take(&adapter, wish).await.unwrap();
        let terms = taken.lease.terms().clone();
        let shown = shown(&taken.credential);
        let probed = adapter.probe(&terms, &wanted, &shown).await;
        assert_eq!(probed.as_str(), expected, "{scope} on {pool}: {probed:?}");
        // Beyond its scope the same credential is refused.
        if scope.ends_with("releases/") {
            let beyond = scope.replace("releases/", "other/");
            let probed = adapter
                .probe(&terms, &stage.wish(&beyond, pool), &shown)
                .await;
            assert_eq!(probed, Probed::Refused, "{beyond} on {pool}");
        }
    }
    assert_eq!(everything_there(&stage).await, before);
}

#[tokio::test]
async fn the_times_to_effect_are_measured() {
    let lags = Lags {
        grant_seconds: 60,
        ..LAGS
    };
    let stage = GcpStage::new(lags).await;
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let report = rehearse(&stage, &core, PAUSE).await.unwrap();
    assert_eq!(report.conclusion, Some(Conclusion::Kept), "{report:?}");
    let about = |seen: Duration, lag: i64| {
        let (seen, lag) = (seen.as_secs_f64(), f64::from(i32::try_from(lag).unwrap()));
        assert!(
            (lag - 2.0..lag + 6.0).contains(&seen),
            "{seen} for {lag}: {report:?}"
        );
    };
    about(report.accepted_after.unwrap(), lags.grant_seconds);
    about(report.refused_after.unwrap(), lags.disable_seconds);
    let proposed = i64::from(report.proposed_settle_seconds.unwrap());
    assert!(proposed >= lags.disable_seconds + 9, "{report:?}");
}

#[tokio::test]
async fn a_removal_that_does_not_take_effect_is_red() {
    let lags = Lags {
        revoke_seconds: 3_000,
        ..LAGS
    };
    let stage = GcpStage::new(lags).await;
    stage.sandbox.set_ignore_disabling(true);
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let rehearsal = begin_rehearsal(&stage, &core).await.unwrap();
    let report = watch_rehearsal(&stage, &core, rehearsal, PAUSE)
        .await
        .unwrap();
    let Some(Conclusion::Broken(why)) = &report.conclusion else {
        panic!("{report:?}");
    };
    let why = why.join("; ");
    assert!(
        why.contains("after the ledger said that the lease was over"),
        "{why}"
    );
    assert!(why.contains("the removal did not take effect"), "{why}");
}
