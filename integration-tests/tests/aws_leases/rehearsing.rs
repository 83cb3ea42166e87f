//! Probes and rehearsals on AWS: what is asked changes nothing, and what is measured is the
//! sandbox's own lag.

use core::time::Duration;
use std::sync::Arc;

use jitney_core::credential::{Credential, Shown};
use jitney_core::probe::{Probe as _, Probed};
use jitney_core::time::{Clock as _, Timestamp};
use jitney_core::usecase::{Conclusion, Core, Report, Signed};
use jitney_integration_tests::adapter_laws::{
    Revealed, SetClock, Stage as _, SystemClock, rehearse,
};

use crate::stage::{AwsStage, ours};
use crate::steps::adapter;

const SECOND: Duration = Duration::from_secs(1);

fn shown(credential: &Revealed) -> Shown {
    let fields = credential
        .iter()
        .map(|(name, value)| (*name, value.clone()));
    Credential::new("aws-session", fields, Timestamp::FAR_FUTURE).kept()
}

async fn everything_there(stage: &AwsStage) -> Vec<String> {
    let mut keys = stage.keys().await.unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn probes_tell_what_works_and_change_nothing() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let before = everything_there(&stage).await;
    for (capability, path, expected) in [
        ("object-storage:read", "artifacts-prod", "accepted"),
        (
            "object-storage:read",
            "artifacts-prod/releases/",
            "accepted",
        ),
        ("object-storage:read", "artifacts-prod/a=b+c/", "accepted"),
        (
            "object-storage:read",
            "artifacts-prod/releases/seed",
            "accepted",
        ),
        // Not there, and it may not be listed: S3 says the same as when it is forbidden.
        (
            "object-storage:read",
            "artifacts-prod/releases/none",
            "unknown",
        ),
        ("object-storage:write", "artifacts-prod", "accepted"),
        (
            "object-storage:write",
            "artifacts-prod/releases/",
            "accepted",
        ),
        (
            "object-storage:write",
            "artifacts-prod/releases/seed",
            "accepted",
        ),
        ("object-storage:write", "artifacts-prod/a=b+c/", "accepted"),
        (
            "object-storage:delete",
            "artifacts-prod/releases/",
            "cannot-tell",
        ),
        ("infra:apply", "deploy-role", "cannot-tell"),
    ] {
        let wanted = stage.wish(capability, path);
        let taken = stage
            .scribe
            .take(&adapter, std::slice::from_ref(&wanted))
            .await;
        let taken = taken.unwrap();
        let probed = adapter
            .probe(taken.lease.terms(), &wanted, &shown(&taken.credential))
            .await;
        assert_eq!(probed.as_str(), expected, "{capability}@{path}: {probed:?}");
    }
    // Shown with a lease on one path, a credential of another one is refused.
    let narrow = stage.wish("object-storage:read", "artifacts-prod/releases/");
    let wide = stage.wish("object-storage:read", "artifacts-prod");
    let taken = stage.scribe.take(&adapter, &[narrow]).await.unwrap();
    let probed = adapter
        .probe(taken.lease.terms(), &wide, &shown(&taken.credential))
        .await;
    assert_eq!(probed, Probed::Refused);
    assert_eq!(everything_there(&stage).await, before);
}

#[tokio::test]
async fn the_time_to_a_denys_effect_is_measured() {
    let lag = 4;
    let stage = ours(lag, 7).await;
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let report = rehearse(&stage, &core, SECOND / 2).await.unwrap();
    assert_eq!(report.conclusion, Some(Conclusion::Kept), "{report:?}");
    let refused = report.refused_after.unwrap().as_secs_f64();
    // The sandbox counts whole seconds.
    let lag = f64::from(u32::try_from(lag).unwrap());
    assert!((lag - 1.0..lag + 2.5).contains(&refused), "{report:?}");
    assert!(report.proposed_settle_seconds >= Some(8), "{report:?}");
}

#[tokio::test]
async fn a_settle_time_that_is_too_short_is_red_and_says_what_would_do() {
    let stage = ours(6, 1).await;
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let report = rehearse(&stage, &core, SECOND / 2).await.unwrap();
    let Some(Conclusion::Broken(why)) = &report.conclusion else {
        panic!("{report:?}");
    };
    assert!(
        why.join(";").contains("`settle_seconds` is too short"),
        "{why:?}"
    );
    assert!(report.proposed_settle_seconds >= Some(10), "{report:?}");
}

/// A rehearsal by a clock of its own, which passes twenty seconds from one look to the next.
async fn hurried(stage: &AwsStage) -> Report {
    let clock = Arc::new(SetClock::with(|_| ()));
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let core = Core {
        clock: clock.clone(),
        ..core
    };
    let wanted = stage.wanted();
    let signed = Signed {
        person: "ada".to_owned(),
        reason: "rehearsal".to_owned(),
    };
    let target = &wanted.resource.target;
    let begun = core.begin_rehearsal(target, Some(&wanted.scope), &signed);
    let mut rehearsal = begun.await.unwrap();
    while !rehearsal.is_over() {
        rehearsal.look(&core).await;
        core.turn(clock.now(), 8).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if rehearsal.report().evidence.is_some() {
            clock.set_on(SECOND * 20);
        }
        assert!(clock.now().since(SystemClock.now()) < SECOND * 3_600);
    }
    rehearsal.report()
}

#[tokio::test]
async fn a_cloud_that_ignores_every_deny_is_red() {
    let stage = ours(0, 0).await;
    stage.sandbox.as_ref().unwrap().set_ignore_deny(true);
    let report = hurried(&stage).await;
    let Some(Conclusion::Broken(why)) = &report.conclusion else {
        panic!("{report:?}");
    };
    assert!(
        why.join(";").contains("the removal did not take effect"),
        "{why:?}"
    );
    assert_eq!(report.proposed_settle_seconds, None);
    // The control: the same, in a cloud that denies.
    let stage = ours(0, 0).await;
    assert_eq!(hurried(&stage).await.conclusion, Some(Conclusion::Kept));
}
