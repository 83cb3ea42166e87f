//! What a rehearsal finds of the open questions about Azure: each answer both ways, with both
//! promises kept, since the sandbox may be either.

use core::time::Duration;

use jitney_azure::Mode;
use jitney_core::plan::LaneId;
use jitney_core::question::{Answer, Finding};
use jitney_core::usecase::{Conclusion, Report, Signed};
use jitney_integration_tests::adapter_laws::{
    Stage as _, begin_rehearsal, rehearse, watch_rehearsal,
};
use jitney_sandbox::azure::estate::{EnabledRule, PolicyRules};
use jitney_sandbox::azure::{PimConditions, PimDeletion, Settings};
use jitney_sandbox::journal::Entry;

use crate::estate::{blob_slots, object};
use crate::stage::AzureStage;

/// One look each so often.
const PAUSE: Duration = Duration::from_secs(5);

async fn stage(mode: Mode, change: impl FnOnce(&mut Settings)) -> AzureStage {
    let stage = AzureStage::new(mode).await;
    stage.set(change);
    stage
}

async fn rehearsed(stage: &AzureStage) -> Report {
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    rehearse(stage, &core, PAUSE).await.unwrap()
}

/// Why there is no lease to rehearse with, as the operator reads it. What may have been given is
/// ended as any lease is.
async fn refused(stage: &AzureStage) -> String {
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let refused = begin_rehearsal(stage, &core).await.err().unwrap();
    for _ in 0..100 {
        stage.scribe().pass(Duration::from_secs(10)).await;
        core.turn(core.clock.now(), 8).await;
    }
    both_promises_hold(stage).await;
    refused
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

/// Nothing was given but the lease's one role, nothing of it is left, and others are as they were.
async fn both_promises_hold(stage: &AzureStage) {
    assert!(stage.grants_made().await.unwrap() <= 1);
    for (_, number) in blob_slots() {
        let kept = stage.sandbox.keeps(object(number));
        let left: Vec<_> = kept.iter().filter(|it| it.ended_by.is_none()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let lane = LaneId {
        target: crate::stage::TARGET.parse().unwrap(),
        name: "slot/any".to_owned(),
    };
    assert!(stage.others_are_intact(&lane).await.unwrap());
}

fn calls(stage: &AzureStage, action: &str) -> Vec<Entry> {
    let journal = stage.sandbox.journal().into_iter();
    journal.filter(|entry| entry.action == action).collect()
}

#[tokio::test]
async fn pims_floor_is_seen_by_its_own_refusal() {
    // As the sandbox is otherwise: hidden for a minute, and too young for four more.
    let refuses = stage(Mode::Pim, |_| {}).await;
    let report = rehearsed(&refuses).await;
    assert_eq!(answer(&report, "pim-floor"), "yes", "{report:?}");
    both_promises_hold(&refuses).await;
    // What PIM does not see yet is no answer, and is asked again.
    let hides = stage(Mode::Pim, |settings| settings.effect_lag_seconds = 0).await;
    let report = rehearsed(&hides).await;
    let floor = finding(&report, "pim-floor");
    assert_eq!(floor.answer, Answer::Yes, "{report:?}");
    assert!(floor.seen.starts_with("PIM did not see it"), "{floor:?}");
    both_promises_hold(&hides).await;
    let has_none = stage(Mode::Pim, |settings| {
        (settings.pim_hidden_seconds, settings.pim_floor_seconds) = (0, 0);
    });
    let has_none = has_none.await;
    let report = rehearsed(&has_none).await;
    let floor = finding(&report, "pim-floor");
    assert_eq!(floor.answer, Answer::No, "{report:?}");
    // Nothing was refused, so nothing was deleted behind PIM's back.
    assert_eq!(answer(&report, "pim-delete"), "unanswered");
    assert!(calls(&has_none, "RoleAssignments_Delete").is_empty());
    both_promises_hold(&has_none).await;
}

#[tokio::test]
async fn a_role_that_only_stood_for_longer_tells_nothing_of_the_floor() {
    let slow = stage(Mode::Pim, |settings| settings.effect_lag_seconds = 310).await;
    let more = serde_json::json!({ "settle_seconds": 330 });
    let adapter = std::sync::Arc::new(slow.adapter_with(&slow.sandbox.url(), &more));
    let core = slow.scribe().core(adapter, &slow.wanted()).unwrap();
    let report = rehearse(&slow, &core, PAUSE).await.unwrap();
    let Answer::Unanswered { why } = &finding(&report, "pim-floor").answer else {
        panic!("{report:?}");
    };
    assert!(why.contains("the five minutes were over"), "{why}");
    both_promises_hold(&slow).await;
}

#[tokio::test]
async fn the_assignment_behind_pims_is_deleted_once_and_the_evidence_is_what_the_lists_say() {
    for (deletion, expected, tells) in [
        (PimDeletion::Taken, "yes", "neither list has it"),
        (PimDeletion::Refused, "no", "RoleAssignmentManagedByPim"),
        (PimDeletion::Unnoticed, "yes", "neither list has it"),
    ] {
        let stage = stage(Mode::Pim, |settings| settings.pim_deletion = deletion).await;
        let report = rehearsed(&stage).await;
        assert_eq!(
            report.conclusion,
            Some(Conclusion::Kept),
            "{deletion:?} {report:?}"
        );
        let delete = finding(&report, "pim-delete");
        assert_eq!(delete.answer.as_str(), expected, "{deletion:?} {report:?}");
        assert!(delete.seen.contains(tells), "{deletion:?} {delete:?}");
        assert_eq!(answer(&report, "pim-floor"), "yes", "{deletion:?}");
        assert_eq!(calls(&stage, "RoleAssignments_Delete").len(), 1);
        // What PIM goes on listing counts as there until PIM lists it no more.
        let removed = (report.removed_after.unwrap() + report.accepted_after.unwrap()).as_secs();
        match deletion {
            PimDeletion::Taken => assert!(removed < 200, "{report:?}"),
            PimDeletion::Refused | PimDeletion::Unnoticed => {
                assert!((290..340).contains(&removed), "{deletion:?} {report:?}");
            }
        }
        both_promises_hold(&stage).await;
    }
}

#[tokio::test]
async fn a_deletion_that_is_not_answered_clearly_is_no_answer() {
    let stage = stage(Mode::Pim, |_| {}).await;
    let (arm, error) = ("RoleAssignments_Delete", 503);
    let fault = jitney_sandbox::FaultKind::ServerError { status: error };
    stage.sandbox.faults().inject("arm", arm, fault, 10);
    let report = rehearsed(&stage).await;
    assert_eq!(answer(&report, "pim-delete"), "unanswered", "{report:?}");
    assert!((1..=3).contains(&calls(&stage, arm).len()));
    assert_eq!(report.conclusion, Some(Conclusion::Kept), "{report:?}");
    both_promises_hold(&stage).await;
}

#[tokio::test]
async fn conditions_are_looked_at_byte_for_byte_where_they_stand() {
    for mode in [Mode::Pim, Mode::Rbac] {
        for (respaced, expected) in [(false, "yes"), (true, "no")] {
            let stage = stage(mode, |settings| settings.conditions_respaced = respaced).await;
            let report = rehearsed(&stage).await;
            let told = format!("{mode:?} {report:?}");
            assert_eq!(answer(&report, "condition-as-written"), expected, "{told}");
            let narrows = match mode {
                Mode::Pim => "yes",
                Mode::Rbac => "unanswered",
            };
            assert_eq!(answer(&report, "pim-narrows"), narrows, "{told}");
            assert_eq!(report.conclusion, Some(Conclusion::Kept), "{told}");
            both_promises_hold(&stage).await;
        }
    }
}

#[tokio::test]
async fn a_condition_that_pim_does_not_keep_is_no_lease_and_says_which_question_that_answers() {
    for conditions in [PimConditions::Dropped, PimConditions::Refused] {
        let stage = stage(Mode::Pim, |settings| settings.pim_conditions = conditions).await;
        let told = refused(&stage).await;
        assert!(told.contains("`pim-narrows`: no"), "{conditions:?} {told}");
    }
}

#[tokio::test]
async fn a_second_factor_holds_applications_up_or_does_not() {
    let demanding = || PolicyRules {
        required: vec![EnabledRule::MultiFactorAuthentication],
        ..PolicyRules::default()
    };
    let strict = AzureStage::with_policy(demanding()).await;
    let told = refused(&strict).await;
    assert!(told.contains("`mfa-rule`: yes"), "{told}");
    let lax = AzureStage::with_policy(demanding()).await;
    lax.set(|settings| settings.mfa_spares_apps = true);
    let report = rehearsed(&lax).await;
    assert_eq!(answer(&report, "mfa-rule"), "no", "{report:?}");
    assert!(finding(&report, "mfa-rule").set.is_some());
    both_promises_hold(&lax).await;
    // Where nothing demands it nothing can be held up.
    let plain = stage(Mode::Pim, |_| {}).await;
    let report = rehearsed(&plain).await;
    assert_eq!(answer(&report, "mfa-rule"), "unanswered", "{report:?}");
}

#[tokio::test]
async fn a_target_without_pim_is_not_asked_about_it() {
    let stage = stage(Mode::Rbac, |_| {}).await;
    let report = rehearsed(&stage).await;
    for id in ["pim-floor", "pim-delete", "pim-narrows", "mfa-rule"] {
        let Answer::Unanswered { why } = &finding(&report, id).answer else {
            panic!("{id} {report:?}");
        };
        assert!(why.contains("`mode = \"pim\"`"), "{id} {why}");
    }
    assert!(calls(&stage, "RoleAssignmentScheduleRequests_Create").is_empty());
    // How soon a removal is in force is what every rehearsal measures.
    assert_eq!(answer(&report, "removal-in-force"), "measured");
    assert_eq!(answer(&report, "late-calls"), "unanswered");
}

#[tokio::test]
async fn a_role_that_is_built_in_says_nothing_of_others() {
    let stage = stage(Mode::Pim, |_| {}).await;
    let wanted = stage.wish("object-storage:read@artifacts-prod/releases/");
    let core = stage.scribe().core(stage.adapter(), &wanted).unwrap();
    let signed = Signed {
        person: "a stage".to_owned(),
        reason: "rehearsal".to_owned(),
    };
    let begun = core.begin_rehearsal(&wanted.resource.target, Some(&wanted.scope), &signed);
    let rehearsal = begun.await.unwrap();
    let report = watch_rehearsal(&stage, &core, rehearsal, PAUSE)
        .await
        .unwrap();
    let narrows = finding(&report, "pim-narrows");
    assert_eq!(narrows.answer.as_str(), "unanswered", "{report:?}");
    assert!(narrows.seen.contains("BuiltInRole"), "{narrows:?}");
    assert_eq!(answer(&report, "condition-as-written"), "yes");
}
