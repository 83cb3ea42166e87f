//! Leases by grants of Privileged Access Manager: what is refused, what is waited for, and what ends
//! with a lease beside what was asked for it.

use core::time::Duration;

use jitney_core::adapter::{Adapter, Elevate as _, Revoke as _};
use jitney_core::catalogue::Wanted;
use jitney_core::evidence::Revocation;
use jitney_core::fault::FaultKind;
use jitney_gcp::{ACCESS_TOKEN, GcpAdapter};
use jitney_integration_tests::adapter_laws::{Meddling, Stage as _};
use jitney_sandbox::gcp::Lags;
use reqwest::Method;
use serde_json::{Value, json};

use crate::estate::{ASKS_FOR_THE_ODD, DEPLOYS, PROJECT, entitled, entitlement, member};
use crate::stage::{Carried, GcpStage, LAGS};
use crate::steps::{FIRST, account, adapter, calls, refused, wish};

pub async fn stage() -> GcpStage {
    GcpStage::carried(Carried::Entitled, LAGS).await
}

/// An adapter with one pool, of one account and these entitlements.
pub fn pool_of(stage: &GcpStage, number: usize, entitlements: &[&str]) -> GcpAdapter {
    let entitlements: Vec<String> = entitlements.iter().map(|id| entitlement(id)).collect();
    let pools = json!({ "managed": { "mode": "pam", "accounts": [entitled(number)],
                                     "entitlements": entitlements } });
    stage.adapter_at(&stage.relay.url(), &json!({ "pools": pools }))
}

fn deploys(stage: &GcpStage) -> Wanted {
    stage.wish("infra:apply@deployer", "managed")
}

pub fn states(grants: &[Value]) -> Vec<&str> {
    grants
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect()
}

/// A stranger gives an account a role on the project.
pub async fn bind_on_project(stage: &GcpStage, email: &str) {
    let path = format!("/v3/projects/{PROJECT}:getIamPolicy");
    let asked = json!({ "options": { "requestedPolicyVersion": 3 } });
    let mut policy = stage.admin(Method::POST, &path, &asked).await.unwrap();
    let binding = json!({ "role": "roles/logging.viewer", "members": [member(email)],
                          "condition": { "title": "mine", "expression": "true" } });
    policy["bindings"].as_array_mut().unwrap().push(binding);
    policy["version"] = json!(3);
    let path = format!("/v3/projects/{PROJECT}:setIamPolicy");
    let body = json!({ "policy": policy });
    stage.admin(Method::POST, &path, &body).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_a_grant_that_says_for_whom_and_no_policy_is_written() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let handle = taken.lease.terms().handle.clone();
    let grants = stage.grants_of(account(&lane)).await.unwrap();
    assert_eq!(states(&grants), ["ACTIVE"]);
    let why = grants[0]["justification"]["unstructuredJustification"].clone();
    assert_eq!(why, format!("jitney:acme:{handle}"));
    // Four times the lease's own time is all that renewals could have, and a minute of margin.
    let lasts = grants[0]["requestedDuration"].as_str().unwrap();
    let lasts: u64 = lasts.trim_end_matches('s').parse().unwrap();
    assert!((12_000..=12_061).contains(&lasts), "{lasts}");
    let page = (&adapter as &dyn Adapter).sweep(None).await.unwrap();
    let natives = page.found.iter().filter(|it| it.lane == lane);
    let natives: Vec<&str> = natives.map(|it| it.native.as_str()).collect();
    assert_eq!(natives.len(), 2, "{natives:?}");
    // What a job could have written tells nothing of the ledger.
    assert_eq!(page.found[1].mark, None);
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    stage.clock.set_on(Duration::from_secs(41));
    let grants = stage.grants_of(account(&lane)).await.unwrap();
    assert_eq!(states(&grants), ["REVOKED"]);
    assert_eq!(calls(&stage, "SetIamPolicy"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_waited_for_and_not_for_longer_than_there_is_time() {
    for (lag, comes) in [(3, true), (600, false)] {
        let lags = Lags {
            grant_seconds: lag,
            ..LAGS
        };
        let stage = GcpStage::carried(Carried::Entitled, lags).await;
        let more = json!({ "elevate_deadline_seconds": 5 });
        let adapter = stage.adapter_at(&stage.relay.url(), &more);
        let by = stage.scribe.now().plus(Duration::from_secs(5));
        let wanted = [wish(&stage)];
        let intent = stage.scribe.intend_by(&adapter, &wanted, by).await.unwrap();
        match adapter.elevate(&intent).await {
            Ok(_) => assert!(comes),
            Err(fault) => {
                assert!(!comes, "{fault:?}");
                let seen = (fault.code, fault.kind);
                assert_eq!(seen, ("gcp_grant_not_in_time", FaultKind::Ambiguous));
                let lane = intent.terms().plan.lane.clone();
                let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
                stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
                let grants = stage.grants_of(account(&lane)).await.unwrap();
                assert!(states(&grants)[0].starts_with("REVOK"), "{grants:?}");
            }
        }
        assert!(calls(&stage, "GetGrant") >= 1);
    }
}

/// What would wait for somebody, end too soon or give something else is seen before anything is
/// written, and what to change is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_entitlement_that_does_not_fit_is_refused_with_what_to_change() {
    let stage = stage().await;
    for (id, code, told) in [
        (
            "asks-first",
            "gcp_entitlement_unfit",
            "approval workflow off",
        ),
        ("too-short", "gcp_entitlement_unfit", "raise its longest"),
        ("too-wide", "gcp_entitlement_differs", "make one that does"),
    ] {
        let adapter = pool_of(&stage, ASKS_FOR_THE_ODD, &[id]);
        let wanted = [wish(&stage)];
        let slot = adapter.slots(&wanted)[0].clone();
        let intent = stage
            .scribe
            .intend_forgetting(&adapter, &wanted, &slot)
            .await;
        let fault = adapter.elevate(&intent.unwrap()).await.unwrap_err();
        assert_eq!(
            (fault.code, fault.kind),
            (code, FaultKind::Permanent),
            "{id}"
        );
        assert!(fault.logged.contains(told), "{}", fault.logged);
    }
    assert_eq!(calls(&stage, "PatchServiceAccount"), 0);
    assert_eq!(calls(&stage, "CreateGrant"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_something_already_carries_no_lease() {
    let stage = stage().await;
    let token = stage.sandbox.token_for(&entitled(1)).unwrap();
    stage.enable(&entitled(1)).await.unwrap();
    stage.clock.set_on(Duration::from_secs(2));
    stage
        .ask_as(&token, "report-readers", "mine")
        .await
        .unwrap();
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(fault.code, "gcp_grant_open");
    assert!(matches!(fault.kind, FaultKind::Retryable { .. }));
    bind_on_project(&stage, &entitled(2)).await;
    // The first slot carries the intent above for ever, as far as the ledger knows.
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_lease_is_moot", FaultKind::Permanent)
    );
    assert_eq!(calls(&stage, "PatchServiceAccount"), 0);
}

/// A token that is good for everything is good for asking, too: a job with one gets all that its
/// account may ask for, and what it asks for itself ends with its lease.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_asks_for_in_its_accounts_name_ends_with_its_lease() {
    let stage = stage().await;
    let both = pool_of(&stage, DEPLOYS, &["deployers", "log-readers"]);
    let slot = both.slots(&[deploys(&stage)])[0].clone();
    let wanted = [deploys(&stage)];
    let intent = stage.scribe.intend_forgetting(&both, &wanted, &slot).await;
    let fault = both.elevate(&intent.unwrap()).await.unwrap_err();
    assert_eq!(fault.code, "gcp_entitlement_differs");
    assert!(fault.logged.contains("another pool"), "{}", fault.logged);

    let adapter = pool_of(&stage, DEPLOYS, &["deployers"]);
    let intent = stage
        .scribe
        .intend_forgetting(&adapter, &wanted, &slot)
        .await;
    let intent = intent.unwrap();
    let elevation = adapter.elevate(&intent).await.unwrap();
    let fields = elevation.credential.reveal_to_job();
    let token = fields[ACCESS_TOKEN].as_str().to_owned();
    let grants = stage.grants_of(&entitled(DEPLOYS)).await.unwrap();
    let revoke = format!("/v1/{}:revoke", grants[0]["name"].as_str().unwrap());
    stage
        .admin(Method::POST, &revoke, &json!({}))
        .await
        .unwrap();
    stage.clock.set_on(Duration::from_secs(41));
    stage.ask_as(&token, "deployers", "more").await.unwrap();
    let fault = jitney_core::fault::Fault {
        kind: FaultKind::Ambiguous,
        code: "test",
        told: String::new(),
        logged: String::new(),
    };
    let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
    stage
        .scribe
        .look(&adapter, FIRST, vec![lease], &[])
        .await
        .unwrap();
    let grants = stage.grants_of(&entitled(DEPLOYS)).await.unwrap();
    assert_eq!(states(&grants), ["REVOKED", "REVOKING"]);
}

/// The answer is lost, the grant is there: one call, in doubt, and taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_answer_was_lost_is_asked_for_once_and_taken_back() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let intent = stage
        .scribe
        .intend(&adapter, &[wish(&stage)])
        .await
        .unwrap();
    stage
        .relay
        .meddle("/grants?requestId", Meddling::LoseAnswer);
    let fault = adapter.elevate(&intent).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Ambiguous);
    assert_eq!(calls(&stage, "CreateGrant"), 1);
    let lane = intent.terms().plan.lane.clone();
    let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert_eq!(
        stage.left_behind(&lane).await.unwrap(),
        Vec::<String>::new()
    );
    let grants = stage.grants_of(account(&lane)).await.unwrap();
    assert_eq!(grants.len(), 1);
}

/// A grant whose state nobody knows is not over, however often it is asked to end; and one that is
/// still being taken back keeps its account from the next lease, though nothing works any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_to_be_over_is_not_over() {
    let stage = stage().await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let mut grant = stage.grants_of(account(&lane)).await.unwrap()[0].clone();
    grant["state"] = json!("ASCENDED");
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let id = lease.terms().id;
    let list = format!("{}/grants?", entitlement("release-readers"));
    for _ in 0..2 {
        stage.relay.meddle(
            &list,
            Meddling::AnswerInstead {
                status: "200 OK",
                content_type: "application/json",
                body: json!({ "grants": [grant] }).to_string(),
            },
        );
    }
    let mut pass = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
    assert!(pass.unreached);
    let found = pass.leases.remove(&id).unwrap().unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    // As Google has it, it is on its way: the lease ends, and its account is not free.
    let lease = stage.scribe.found(id).await.unwrap();
    let mut pass = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
    assert!(pass.unreached);
    let found = pass.leases.remove(&id).unwrap().unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: true, .. }),
        "{found:?}"
    );
    stage.clock.set_on(Duration::from_secs(41));
    let lease = stage.scribe.found(id).await.unwrap();
    let pass = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
    assert!(!pass.unreached);
}

/// Privileged Access Manager keeps what is over for weeks, so what gives may stand on a later page.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_behind_many_that_are_over_is_found() {
    let stage = GcpStage::carried(Carried::Entitled, Lags::default()).await;
    let token = stage.sandbox.token_for(&entitled(1)).unwrap();
    stage.enable(&entitled(1)).await.unwrap();
    for _ in 0..200 {
        let grant = stage.ask_as(&token, "report-readers", "old").await.unwrap();
        let path = format!("/v1/{}:revoke", grant["name"].as_str().unwrap());
        stage.admin(Method::POST, &path, &json!({})).await.unwrap();
    }
    stage.ask_as(&token, "report-readers", "new").await.unwrap();
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(fault.code, "gcp_grant_open");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_what_entitlements_lack() {
    let stage = stage().await;
    let looks = adapter(&stage).examine().await.looks;
    assert!(looks.iter().all(|it| it.1.is_ok()), "{looks:?}");
    let told = |looks: &[(String, Result<String, String>)], about: &str, what: &str| {
        let look = looks.iter().find(|it| it.0.contains(about)).unwrap();
        assert!(
            look.1.as_ref().is_err_and(|why| why.contains(what)),
            "{looks:?}"
        );
    };
    let odd = pool_of(&stage, ASKS_FOR_THE_ODD, &["asks-first", "release-readers"]);
    let looks = odd.examine().await.looks;
    told(&looks, "asks-first", "approval workflow off");
    told(&looks, "release-readers", "among those who may ask");
    told(&looks, "what else", "a job could ask for it");
    let lacks = json!({ "findings": [{ "iamAccessDenied": {
        "missingPermissions": ["resourcemanager.projects.setIamPolicy"] } }] });
    stage.relay.meddle(
        ":checkOnboardingStatus",
        Meddling::AnswerInstead {
            status: "200 OK",
            content_type: "application/json",
            body: lacks.to_string(),
        },
    );
    let looks = adapter(&stage).examine().await.looks;
    told(
        &looks,
        "Privileged Access Manager",
        "its service agent lacks `resourcemanager.projects.setIamPolicy`",
    );
}
