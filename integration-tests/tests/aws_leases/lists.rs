//! The list of Denies on a role: full, lost, weakened, paced, and written by several hands.

use core::time::Duration;
use std::sync::Arc;

use jitney_core::adapter::Revoke;
use jitney_core::evidence::{Evidence, Revocation};
use jitney_core::fault::FaultKind;
use jitney_core::plan::LaneId;
use jitney_integration_tests::adapter_laws::{Meddling, Stage, writing_as};
use jitney_sandbox::FaultKind as Harm;
use serde_json::json;

use crate::estate::{ROLE, WORK};
use crate::stage::{TARGET, ours, percent_decoded};
use crate::steps::{FIRST, Hand, adapter, calls, ending, revoked};

#[tokio::test]
async fn many_leases_are_ended_by_one_write() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(ending(&stage, &adapter).await.0);
    }
    let (over, again) = stage
        .scribe
        .look(&adapter, FIRST, leases, &[])
        .await
        .unwrap();
    assert_eq!((over.len(), again.len()), (0, 5));
    let (over, _) = stage
        .scribe
        .look(&adapter, FIRST, again, &[])
        .await
        .unwrap();
    assert_eq!(over.len(), 5);
    // The second look found what the first had written, and wrote nothing.
    assert_eq!(calls(&stage, "PutRolePolicy"), 1);
}

#[tokio::test]
async fn writes_of_one_role_are_paced() {
    let stage = ours(0, 0).await;
    let paced = json!({ "write_interval_milliseconds": 700 });
    let adapter = stage.adapter_with(&stage.relay.url(), &paced);
    let (first, _) = ending(&stage, &adapter).await;
    let (second, _) = ending(&stage, &adapter).await;
    let began = std::time::Instant::now();
    revoked(&adapter, FIRST, first).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(600),
        "the first write waited"
    );
    revoked(&adapter, FIRST, second).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_throttled_write_is_asked_for_again() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let (lease, credential) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    let sandbox = stage.sandbox.as_ref().unwrap();
    sandbox
        .faults()
        .inject("iam", "PutRolePolicy", Harm::Throttle, 1);
    let fault = revoked(&adapter, FIRST, lease).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Retryable { after: None }, "aws_throttled")
    );
    assert_eq!(
        calls(&stage, "PutRolePolicy"),
        1,
        "the adapter tried again by itself"
    );
    let lease = stage.scribe.found(id).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert!(!stage.works(&credential).await.unwrap());
}

/// A policy of the operator's that leaves the role `left` characters.
pub fn filler(left: usize) -> String {
    let frame = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::"}]}"#;
    let others = crate::estate::everything().to_string().len();
    let length = 10_240 - others - left - frame.len();
    frame.replace(":::", &format!(":::{}", "x".repeat(length)))
}

#[tokio::test]
async fn a_full_role_is_said_aloud_and_nothing_is_lost() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let (lease, credential) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    let put = stage
        .iam()
        .put_role_policy()
        .role_name(ROLE)
        .policy_name("operator");
    put.policy_document(filler(100)).send().await.unwrap();
    let fault = revoked(&adapter, FIRST, lease).await.unwrap_err();
    assert_eq!(fault.code, "aws_deny_list_full", "{}", fault.logged);
    assert_eq!(fault.kind, FaultKind::Retryable { after: None });
    assert!(stage.works(&credential).await.unwrap());
    let removed = stage
        .iam()
        .delete_role_policy()
        .role_name(ROLE)
        .policy_name("operator");
    removed.send().await.unwrap();
    let lease = stage.scribe.found(id).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert!(!stage.works(&credential).await.unwrap());
}

#[tokio::test]
async fn lists_of_gone_hands_make_room_when_the_role_is_full() {
    // A settle time so long that nothing older is removed for its own sake.
    let stage = ours(0, 900).await;
    let mut leases = Vec::new();
    let mut credentials = Vec::new();
    for _ in 0..2 {
        let (lease, credential) = ending(&stage, &adapter(&stage)).await;
        leases.push(lease);
        credentials.push(credential);
    }
    let lane = leases[0].terms().plan.lane.clone();
    for epoch in [1, 2] {
        let hand = adapter(&stage);
        hand.revoke(&lane, writing_as(epoch), &leases, &[])
            .await
            .unwrap();
    }
    assert_eq!(stage.left_behind(&lane).await.unwrap().len(), 2);
    let put = stage
        .iam()
        .put_role_policy()
        .role_name(ROLE)
        .policy_name("operator");
    put.policy_document(filler(2 * 200 + 50))
        .send()
        .await
        .unwrap();
    let hand = adapter(&stage);
    hand.revoke(&lane, writing_as(3), &leases, &[])
        .await
        .unwrap();
    let left = stage.left_behind(&lane).await.unwrap();
    assert!(
        left.iter()
            .any(|name| name.contains("e00000000000000000003-")),
        "{left:?}"
    );
    for credential in &credentials {
        assert!(!stage.works(credential).await.unwrap());
    }
}

#[tokio::test]
async fn a_role_that_is_gone_ends_nothing_before_its_sessions_have() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let (lease, _) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    let iam = stage.iam();
    iam.delete_role_policy()
        .role_name(ROLE)
        .policy_name(WORK)
        .send()
        .await
        .unwrap();
    iam.delete_role().role_name(ROLE).send().await.unwrap();
    let found = revoked(&adapter, FIRST, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    let lease = stage.scribe.found(id).await.unwrap();
    let lane = lease.terms().plan.lane.clone();
    let nothing_due = adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
    assert!(nothing_due.leases.is_empty());
}

#[tokio::test]
async fn what_time_has_ended_needs_no_list_and_no_iam() {
    let stage = ours(0, 0).await;
    let clock = Arc::new(Hand::default());
    let adapter = stage.adapter_at(clock.clone());
    let (lease, _) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    let sandbox = stage.sandbox.as_ref().unwrap();
    let broken = Harm::ServerError { status: 503 };
    sandbox.faults().inject("iam", "*", broken, 1_000);
    // The session lives 900 s and the clocks may differ by 60; the cloud's clock goes along.
    for (passed, is_over) in [(0, false), (955, false), (970, true)] {
        clock.set(passed);
        sandbox.clock().set_wire_offset_seconds(passed);
        let lease = stage.scribe.found(id).await.unwrap();
        match (revoked(&adapter, FIRST, lease).await, is_over) {
            (Err(_), false) => {}
            (
                Ok(Revocation::Evident {
                    evidence: Evidence::Expired { .. },
                    hold_until: None,
                }),
                true,
            ) => {}
            (found, _) => panic!("after {passed} s: {found:?}"),
        }
    }
    assert_eq!(calls(&stage, "PutRolePolicy"), 0);
}

#[tokio::test]
async fn our_own_clock_alone_ends_nothing() {
    let stage = ours(0, 0).await;
    let clock = Arc::new(Hand::default());
    let adapter = stage.adapter_at(clock.clone());
    let (lease, _) = ending(&stage, &adapter).await;
    // Ours jumps an hour ahead; AWS's does not, and takes no call signed so.
    clock.set(3_600);
    let found = revoked(&adapter, FIRST, lease).await;
    assert!(
        !matches!(found, Ok(Revocation::Evident { .. })),
        "{found:?}"
    );
}

/// By a clock that jumped ahead, holds are over that are not. Core then asks for a list without
/// them, and AWS's own answers say that it is wrong.
#[tokio::test]
async fn a_clock_that_jumped_takes_nothing_off_a_list_and_still_adds() {
    let stage = ours(0, 0).await;
    let clock = Arc::new(Hand::default());
    let adapter = stage.adapter_at(clock.clone());
    let (one, one_credential) = ending(&stage, &adapter).await;
    let (other, other_credential) = ending(&stage, &adapter).await;
    let lane = one.terms().plan.lane.clone();
    revoked(&adapter, FIRST, one).await.unwrap();
    clock.set(120);
    let fault = revoked(&adapter, FIRST, other).await.unwrap_err();
    assert_eq!(fault.code, "aws_clock_disagrees", "{}", fault.logged);
    let nothing_held = adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
    assert!(nothing_held.clock_disagrees && !nothing_held.is_brought(FIRST));
    assert!(!stage.works(&one_credential).await.unwrap());
    assert!(!stage.works(&other_credential).await.unwrap());
    // Set right again, it does what it is asked.
    clock.set(0);
    let nothing_held = adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
    assert!(nothing_held.is_brought(FIRST));
    assert_eq!(
        stage.left_behind(&lane).await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_superseded_hand_takes_nothing_away_and_still_adds_its_denies() {
    let stage = ours(0, 0).await;
    let (one, one_credential) = ending(&stage, &adapter(&stage)).await;
    let (other, other_credential) = ending(&stage, &adapter(&stage)).await;
    let lane = one.terms().plan.lane.clone();
    adapter(&stage)
        .revoke(&lane, writing_as(7), &[one], &[])
        .await
        .unwrap();
    let fault = revoked(&adapter(&stage), writing_as(6), other)
        .await
        .unwrap_err();
    assert_eq!(fault.code, "aws_superseded");
    assert!(fault.logged.contains("epoch 7"), "{}", fault.logged);
    assert!(!stage.works(&one_credential).await.unwrap());
    assert!(!stage.works(&other_credential).await.unwrap());
}

#[tokio::test]
async fn two_installations_on_one_role_leave_each_others_lists_alone() {
    let stage = ours(0, 0).await;
    let (one, one_credential) = ending(&stage, &adapter(&stage)).await;
    let (other, other_credential) = ending(&stage, &adapter(&stage)).await;
    let lane = one.terms().plan.lane.clone();
    let neighbour = stage.adapter_named("acme-2");
    adapter(&stage)
        .revoke(&lane, FIRST, &[one], &[])
        .await
        .unwrap();
    neighbour
        .revoke(&lane, writing_as(9), &[other], &[])
        .await
        .unwrap();
    assert_eq!(stage.left_behind(&lane).await.unwrap().len(), 2);
    // Each clears its own.
    neighbour
        .revoke(&lane, writing_as(9), &[], &[])
        .await
        .unwrap();
    assert!(!stage.works(&one_credential).await.unwrap());
    assert!(stage.works(&other_credential).await.unwrap());
}

#[tokio::test]
async fn a_list_that_was_weakened_is_written_again_and_settles_anew() {
    let stage = ours(0, 1).await;
    let adapter = adapter(&stage);
    let (lease, credential) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    let lane = lease.terms().plan.lane.clone();
    stage
        .scribe
        .look(&adapter, FIRST, vec![lease], &[])
        .await
        .unwrap();
    let name = stage.left_behind(&lane).await.unwrap().pop().unwrap();
    let found = stage
        .iam()
        .get_role_policy()
        .role_name(ROLE)
        .policy_name(&name);
    let text = percent_decoded(found.send().await.unwrap().policy_document());
    let weak = text.replace("\"Action\":\"*\"", "\"Action\":\"s3:GetObject\"");
    assert_ne!(weak, text);
    let put = stage
        .iam()
        .put_role_policy()
        .role_name(ROLE)
        .policy_name(&name);
    put.policy_document(weak).send().await.unwrap();
    assert!(stage.works(&credential).await.unwrap());
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let lease = stage.scribe.found(id).await.unwrap();
    let found = revoked(&adapter, FIRST, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    assert!(!stage.works(&credential).await.unwrap());
}

#[tokio::test]
async fn a_lane_that_is_not_ours_is_refused() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    for (target, name) in [
        ("elsewhere", "role/deploy"),
        (TARGET, "deploy"),
        (TARGET, "role/"),
        (TARGET, "role/../deploy"),
        (TARGET, "user/deploy"),
    ] {
        let lane = LaneId {
            target: target.parse().unwrap(),
            name: name.to_owned(),
        };
        let fault = adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap_err();
        assert_eq!(fault.code, "aws_not_our_lane");
    }
    assert_eq!(calls(&stage, "ListRolePolicies"), 0);
}

#[tokio::test]
async fn a_write_that_is_not_read_back_was_not_written() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let (lease, credential) = ending(&stage, &adapter).await;
    // AWS says that it wrote the policy. It did not.
    let said = Meddling::AnswerInstead {
        status: "200 OK",
        content_type: "text/xml",
        body: "<PutRolePolicyResponse><ResponseMetadata><RequestId>r</RequestId>\
               </ResponseMetadata></PutRolePolicyResponse>"
            .to_owned(),
    };
    stage.relay.meddle("Action=PutRolePolicy&", said);
    let found = revoked(&adapter, FIRST, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    assert!(stage.works(&credential).await.unwrap());
}
