//! What a rehearsal finds of the open questions about Google Cloud: each answer both ways, with
//! both promises kept, since the sandbox may be either.

use core::time::Duration;
use std::sync::Arc;

use jitney_core::question::{Answer, Finding};
use jitney_core::usecase::{Core, Rehearsal, Report, Signed};
use jitney_integration_tests::adapter_laws::{Stage as _, watch_rehearsal};
use jitney_sandbox::gcp::{Habits, Lags, Origin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::estate::BUCKET;
use crate::stage::{Carried, GcpStage, LAGS};
use crate::steps::{account, calls};

/// One look each so often: less than a lapsing lease is watched for takes a few hundred of them.
const PAUSE: Duration = Duration::from_secs(5);
const WRITE: &str = "object-storage:write@artifacts-prod/releases/";
const READ: &str = "object-storage:read@artifacts-prod/releases/";

async fn stage(habits: Habits) -> GcpStage {
    let stage = GcpStage::new(LAGS).await;
    stage.sandbox.set_habits(habits);
    stage
}

async fn begin(stage: &GcpStage, scope: &str, pool: &str) -> (Core, Rehearsal) {
    let wanted = stage.wish(scope, pool);
    let adapter = Arc::new(stage.adapter_at(&stage.sandbox.url(), &json!({})));
    let core = stage.scribe().core(adapter, &wanted).unwrap();
    let signed = Signed {
        person: "a stage".to_owned(),
        reason: "rehearsal".to_owned(),
    };
    let begun = core.begin_rehearsal(&wanted.resource.target, Some(&wanted.scope), &signed);
    let rehearsal = begun.await.unwrap();
    (core, rehearsal)
}

async fn rehearsed(stage: &GcpStage, scope: &str, pool: &str) -> Report {
    let (core, rehearsal) = begin(stage, scope, pool).await;
    let report = watch_rehearsal(stage, &core, rehearsal, PAUSE)
        .await
        .unwrap();
    nothing_is_left(stage, &core, &report).await;
    report
}

/// What was asked left nothing: no binding, no upload, no object, and no token beside the lease's
/// own and what was narrowed from it.
async fn nothing_is_left(stage: &GcpStage, core: &Core, report: &Report) {
    let lease = core.books.lease(report.lease).await.unwrap().unwrap();
    let lane = lease.terms().plan.lane.clone();
    let email = account(&lane);
    let standing = stage.sandbox.standing(email);
    assert!(standing.uploads.is_empty(), "{standing:?}");
    assert_eq!(
        stage.left_behind(&lane).await.unwrap(),
        Vec::<String>::new()
    );
    assert!(stage.others_are_intact(&lane).await.unwrap());
    assert_eq!(objects(stage).await, ["other/seed", "releases/seed"]);
    let tokens = stage.sandbox.tokens();
    let of = |origin: Origin| {
        let its = tokens.iter().filter(|it| it.origin == origin);
        its.filter(|it| it.principal.ends_with(email)).count()
    };
    assert!(of(Origin::Impersonation) <= 2, "{tokens:?}");
}

async fn objects(stage: &GcpStage) -> Vec<String> {
    let path = format!("/storage/v1/b/{BUCKET}/o");
    let listed = stage.admin(Method::GET, &path, &Value::Null).await.unwrap();
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    let names = items.iter().filter_map(|item| item["name"].as_str());
    names.map(str::to_owned).collect()
}

fn finding<'a>(report: &'a Report, id: &str) -> &'a Finding {
    let mut answered = report.questions.iter();
    let it = answered.find(|it| it.question.id == id);
    &it.unwrap_or_else(|| panic!("no `{id}` in {report:?}"))
        .finding
}

fn answer<'a>(report: &'a Report, id: &str) -> &'a str {
    finding(report, id).answer.as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_upload_outlives_its_account_is_tried_and_broken_off() {
    for (ends, expected, set) in [(true, "yes", "ends_with_grant"), (false, "no", "cab")] {
        let habits = Habits {
            uploads_end_with_account: ends,
            ..Habits::default()
        };
        let stage = stage(habits).await;
        let report = rehearsed(&stage, WRITE, "deploy").await;
        let upload = finding(&report, "upload-outlives");
        assert_eq!(upload.answer.as_str(), expected, "{report:?}");
        assert!(upload.set.as_ref().unwrap().contains(set), "{upload:?}");
        assert!(
            upload.seen.contains("broken off, and nothing"),
            "{upload:?}"
        );
        if ends {
            // While the disabling was on its way pieces were taken.
            assert!(upload.seen.starts_with("a piece was taken"), "{upload:?}");
        }
        let pieces = calls(&stage, "ContinueUpload");
        assert!((2..60).contains(&pieces), "{pieces}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_rehearsal_began_is_broken_off_when_it_is_stopped() {
    let stage = GcpStage::new(Lags {
        grant_seconds: 0,
        ..LAGS
    })
    .await;
    let (core, mut rehearsal) = begin(&stage, WRITE, "deploy").await;
    stage.scribe().pass(Duration::from_secs(2)).await;
    rehearsal.look(&core).await;
    let lease = core.books.lease(rehearsal.lease()).await.unwrap().unwrap();
    let lane = lease.terms().plan.lane.clone();
    let uploads = || stage.sandbox.standing(account(&lane)).uploads;
    assert_eq!(uploads().len(), 1);
    rehearsal.stop();
    rehearsal.look(&core).await;
    assert!(rehearsal.is_over());
    assert!(uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_carries_many_leases_is_not_disabled_and_so_not_asked_about() {
    let stage = stage(Habits::default()).await;
    for (scope, pool) in [(WRITE, "bounded"), (READ, "shared")] {
        let wanted = stage.wish(scope, pool);
        let (core, mut rehearsal) = begin(&stage, scope, pool).await;
        for _ in 0..10 {
            rehearsal.look(&core).await;
            stage.scribe().pass(PAUSE).await;
            core.turn(core.clock.now(), 8).await;
        }
        let report = rehearsal.report();
        for id in ["upload-outlives", "narrowed-token", "mint-when-disabled"] {
            assert_eq!(
                answer(&report, id),
                "unanswered",
                "{wanted:?} {id} {report:?}"
            );
        }
        assert_eq!(calls(&stage, "ContinueUpload"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mint_met_is_told_from_the_elevation_itself() {
    for (precondition, enable_seconds, told) in [
        (false, 2, "generateAccessToken: 403"),
        (true, 2, "generateAccessToken: 400"),
        (false, 0, "the first try"),
    ] {
        let lags = Lags {
            enable_seconds,
            ..LAGS
        };
        let stage = GcpStage::new(lags).await;
        stage.sandbox.set_habits(Habits {
            disabled_is_precondition: precondition,
            ..Habits::default()
        });
        let report = rehearsed(&stage, READ, "deploy").await;
        let mint = finding(&report, "mint-when-disabled");
        assert_eq!(mint.answer.as_str(), "measured", "{report:?}");
        // Google's own word for it is in what the log says of the fault.
        assert!(
            mint.seen.contains(told) || told == "PERMISSION_DENIED" && mint.seen.contains("403"),
            "{mint:?}"
        );
        let Answer::Measured(after) = mint.answer else {
            panic!("{mint:?}");
        };
        let (least, most) = match enable_seconds {
            0 => (Duration::ZERO, Duration::from_secs(1)),
            _ => (Duration::from_secs(1), Duration::from_secs(6)),
        };
        assert!((least..most).contains(&after), "{mint:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_written_back_as_it_was_and_its_etag_is_compared() {
    for (stay, expected) in [(false, "yes"), (true, "no")] {
        let habits = Habits {
            etags_stay: stay,
            ..Habits::default()
        };
        let stage = stage(habits).await;
        let report = rehearsed(&stage, READ, "deploy").await;
        assert_eq!(answer(&report, "etag-unchanged"), expected, "{report:?}");
        // The binding, its removal, and what was written back in between.
        assert_eq!(calls(&stage, "SetIamPolicy"), 3);
        let length = finding(&report, "condition-length");
        assert!(length.seen.contains("characters were taken"), "{length:?}");
        assert_eq!(length.answer.as_str(), "unanswered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_narrowed_token_ends_with_its_account_is_tried() {
    for (outlive, expected) in [(false, "yes"), (true, "no")] {
        let habits = Habits {
            narrowed_outlive_account: outlive,
            ..Habits::default()
        };
        let stage = stage(habits).await;
        let report = rehearsed(&stage, READ, "deploy").await;
        let narrowed = finding(&report, "narrowed-token");
        assert_eq!(narrowed.answer.as_str(), expected, "{report:?}");
        assert_eq!(
            answer(&report, "disabling-in-force"),
            "measured",
            "{report:?}"
        );
    }
}

async fn managed(habits: Habits) -> GcpStage {
    let lags = Lags {
        grant_seconds: 2,
        enable_seconds: 0,
        ..LAGS
    };
    let stage = GcpStage::carried(Carried::Entitled, lags).await;
    stage.sandbox.set_habits(habits);
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_watched_on_its_way_and_as_it_goes() {
    for (early, expected) in [(true, "yes"), (false, "no")] {
        let stage = managed(Habits {
            revoked_before_removed: early,
            ..Habits::default()
        })
        .await;
        let report = rehearsed(&stage, READ, "managed").await;
        assert_eq!(answer(&report, "pam-revoked-first"), expected, "{report:?}");
        let Answer::Measured(way) = finding(&report, "pam-on-its-way").answer else {
            panic!("{report:?}");
        };
        assert!((1..5).contains(&way.as_secs()), "{way:?}");
        let shortest = finding(&report, "pam-shortest");
        assert_eq!(shortest.answer.as_str(), "unanswered");
        assert!(shortest.seen.contains("were asked for and given"));
        // One grant, asked for by the elevation.
        assert_eq!(calls(&stage, "CreateGrant"), 1);
        assert_eq!(calls(&stage, "SetIamPolicy"), 0);
        assert_eq!(answer(&report, "etag-unchanged"), "unanswered");
    }
}
