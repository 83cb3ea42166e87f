//! Grants of Privileged Access Manager that Google answers for otherwise than was hoped, that a
//! configuration has forgotten, or that others asked for.

use core::time::Duration;

use jitney_core::adapter::{Adapter, Elevate as _, Revoke as _};
use jitney_core::evidence::Revocation;
use jitney_core::fault::FaultKind;
use jitney_integration_tests::adapter_laws::Meddling;
use jitney_sandbox::gcp::Lags;
use reqwest::Method;
use serde_json::{Value, json};

use crate::estate::{entitled, entitlement};
use crate::managed::{bind_on_project, pool_of, stage, states};
use crate::stage::GcpStage;
use crate::steps::{FIRST, account, adapter, calls, refused, wish};

fn answered(body: &Value) -> Meddling {
    Meddling::AnswerInstead {
        status: "200 OK",
        content_type: "application/json",
        body: body.to_string(),
    }
}

fn refusal(status: &'static str, name: &str) -> Meddling {
    let code: u16 = status.split(' ').next().unwrap().parse().unwrap();
    Meddling::AnswerInstead {
        status,
        content_type: "application/json",
        body: json!({ "error": { "code": code, "message": "test", "status": name } }).to_string(),
    }
}

fn list_of(id: &str) -> String {
    format!("{}/grants?", entitlement(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_to_asking_and_does_not_give_carries_no_lease() {
    let stage = stage().await;
    for (state, code) in [
        ("ACTIVE", None),
        ("APPROVAL_AWAITED", Some("gcp_grant_waits")),
        ("DENIED", Some("gcp_grant_not_given")),
        ("REVOKING", Some("gcp_grant_not_given")),
        ("ASCENDED", Some("gcp_grant_not_given")),
    ] {
        let name = format!("{}/grants/1", entitlement("release-readers"));
        let grant = answered(&json!({ "name": name, "state": state }));
        stage.relay.meddle("/grants?requestId", grant);
        let adapter = adapter(&stage);
        let intent = stage.scribe.intend(&adapter, &[wish(&stage)]).await;
        let fault = adapter.elevate(&intent.unwrap()).await.err();
        let seen = fault.map(|it| (it.code, it.kind));
        let expected = code.map(|code| (code, FaultKind::Ambiguous));
        assert_eq!(seen, expected, "{state}");
    }
}

/// Google may not know at once whose token it is. It is asked again, and not after the time.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_is_asked_for_once_the_time_for_it_is_over() {
    for (refusals, comes) in [(2, true), (14, false)] {
        let lags = Lags {
            grant_seconds: 0,
            enable_seconds: 0,
            ..Lags::default()
        };
        let stage = GcpStage::carried(crate::stage::Carried::Entitled, lags).await;
        for _ in 0..refusals {
            let unknown = refusal("401 Unauthorized", "UNAUTHENTICATED");
            stage.relay.meddle("/grants?requestId", unknown);
        }
        let adapter = adapter(&stage);
        let by = stage.scribe.now().plus(Duration::from_secs(5));
        let wanted = [wish(&stage)];
        let intent = stage.scribe.intend_by(&adapter, &wanted, by).await.unwrap();
        let fault = adapter.elevate(&intent).await.err();
        let expected = (!comes).then_some("gcp_not_asked_in_time");
        assert_eq!(fault.map(|it| it.code), expected, "{refusals}");
        assert_eq!(calls(&stage, "CreateGrant"), usize::from(comes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_of_an_entitlement_that_its_pool_no_longer_names() {
    let stage = stage().await;
    let before = pool_of(&stage, 1, &["release-readers"]);
    let taken = stage.scribe.take(&before, &[wish(&stage)]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let after = pool_of(&stage, 1, &["report-readers"]);
    after.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
    let grants = stage.grants_of(account(&lane)).await.unwrap();
    assert_eq!(states(&grants), ["REVOKING"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entitlement_that_cannot_be_looked_at_keeps_no_other_grant_alive() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("object-storage:read@reports-prod/releases/", "managed");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let denied = refusal("403 Forbidden", "PERMISSION_DENIED");
    stage.relay.meddle(&list_of("release-readers"), denied);
    let fault = adapter.revoke(&lane, FIRST, &[lease], &[]).await;
    // What was not seen is not said to be over.
    assert_eq!(fault.unwrap_err().code, "gcp_access_denied");
    let grants = stage.grants_of(account(&lane)).await.unwrap();
    assert_eq!(states(&grants), ["REVOKING"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_policy_still_names_is_not_free() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    for named in [false, true] {
        if named {
            bind_on_project(&stage, account(&lane)).await;
        }
        stage.clock.set_on(Duration::from_secs(61));
        let pass = adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
        assert_eq!(pass.unreached, named);
    }
}

/// A grant that cannot be revoked as it stands may have gone on by itself. How it stands is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_not_there_to_be_revoked_is_looked_at_again() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let id = taken.lease.terms().id;
    let mut lease = stage.scribe.ending(taken.lease).await.unwrap();
    let precondition = refusal("400 Bad Request", "FAILED_PRECONDITION");
    stage.relay.meddle(":revoke", precondition);
    for is_written in [false, true] {
        let mut pass = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
        let found = pass.leases.remove(&id).unwrap().unwrap();
        assert!(
            matches!(found, Revocation::NotYet { written, .. } if written == is_written),
            "{found:?}"
        );
        lease = stage.scribe.found(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_read_to_its_end_is_no_list() {
    let stage = stage().await;
    let list = list_of("release-readers");
    let stranger = json!({ "grants": [{ "name": "something/else", "state": "ENDED" }] });
    stage.relay.meddle(&list, answered(&stranger));
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(fault.code, "gcp_no_answer");
    for _ in 0..100 {
        let endless = json!({ "grants": [], "nextPageToken": "more" });
        stage.relay.meddle(&list, answered(&endless));
    }
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(fault.code, "gcp_too_many_pages");
    assert_eq!(calls(&stage, "PatchServiceAccount"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_tells_of_grants_that_give_and_whose_they_are() {
    let stage = stage().await;
    let email = entitled(2);
    stage.enable(&email).await.unwrap();
    stage.clock.set_on(Duration::from_secs(2));
    let token = stage.sandbox.token_for(&email).unwrap();
    let why = format!("jitney:acme:{:019}", 7);
    let grant = stage.ask_as(&token, "release-readers", &why).await.unwrap();
    let all = adapter(&stage);
    let swept = |adapter| async move {
        let adapter: &dyn Adapter = adapter;
        let page = adapter.sweep(None).await.unwrap();
        let lanes = page.found.into_iter().map(|it| it.lane.name);
        lanes.collect::<Vec<String>>()
    };
    let lane = format!("account/{email}");
    assert_eq!(swept(&all).await, std::slice::from_ref(&lane));
    // That of an account that is not the pool's is nobody's here.
    let others = pool_of(&stage, 1, &["release-readers"]);
    assert!(swept(&others).await.is_empty());
    // Whoever may not look could not have asked, either.
    let denied = refusal("403 Forbidden", "PERMISSION_DENIED");
    stage.relay.meddle(&list_of("release-readers"), denied);
    assert!(swept(&all).await.is_empty());
    assert_eq!(swept(&all).await, [lane]);
    let revoke = format!("/v1/{}:revoke", grant["name"].as_str().unwrap());
    stage
        .admin(Method::POST, &revoke, &json!({}))
        .await
        .unwrap();
    assert!(swept(&all).await.is_empty());
}
