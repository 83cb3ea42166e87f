//! What an account can be like, and what then becomes of a lease.

use core::time::Duration;

use jitney_core::adapter::{Adapter, Elevate as _, Mark, Revoke as _};
use jitney_core::evidence::{Evidence, Revocation};
use jitney_core::fault::FaultKind;
use jitney_gcp::{ACCESS_TOKEN, CREDENTIAL_KIND, PROJECT_ID, SERVICE_ACCOUNT};
use jitney_integration_tests::adapter_laws::{SetClock, Stage as _};
use jitney_sandbox::gcp::{Lags, Verdict, fingerprint};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;

use crate::estate::{BUCKET, PROJECT, member, slot};
use crate::stage::{GcpStage, LAGS};
use crate::steps::{FIRST, account, adapter, calls, ending, refused, revoked, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_a_token_of_an_account_that_says_for_whom() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let intent = stage
        .scribe
        .intend(&adapter, &[wish(&stage)])
        .await
        .unwrap();
    let elevation = adapter.elevate(&intent).await.unwrap();
    let email = account(&intent.terms().plan.lane);
    assert_eq!(elevation.credential.kind(), CREDENTIAL_KIND);
    let settings = elevation.credential.settings();
    assert_eq!(settings[PROJECT_ID], PROJECT);
    assert_eq!(settings[SERVICE_ACCOUNT], email);
    let described = stage.account(email).await.unwrap()["description"].clone();
    let described = described.as_str().unwrap();
    let expected = format!("jitney:acme lent {} e0 m", intent.terms().handle);
    assert!(described.starts_with(&expected), "{described}");
    let bindings = stage.bindings(BUCKET).await.unwrap().0;
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0]["members"], json!([member(email)]));
    let expression = bindings[0]["condition"]["expression"].as_str().unwrap();
    assert!(
        expression.starts_with("request.time < timestamp("),
        "{expression}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_deleted_beneath_a_path_and_nothing_else_is_done_to_them() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("object-storage:delete@artifacts-prod/releases/", "deploy");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    stage.clock.set_on(Duration::from_secs(3));
    let job = stage.job(&taken.credential);
    assert!(!job.deletes(BUCKET, "other/seed").await.unwrap());
    assert!(!job.deletes("reports-prod", "releases/seed").await.unwrap());
    assert!(!job.reads(BUCKET, "releases/seed").await.unwrap());
    assert!(!job.writes(BUCKET, "releases/seed").await.unwrap());
    assert!(!job.lists(BUCKET, "releases/").await.unwrap());
    assert!(job.deletes(BUCKET, "releases/seed").await.unwrap());
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert!(!job.deletes(BUCKET, "releases/seed").await.unwrap());
}

/// Nobody comes back: the binding ends by Google's own clock, even for a token that is minted
/// later by whoever may.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_ends_by_itself_when_nobody_comes_back() {
    let stage = GcpStage::new(LAGS).await;
    let taken = stage
        .scribe
        .take(&adapter(&stage), &[wish(&stage)])
        .await
        .unwrap();
    let email = account(&taken.lease.terms().plan.lane).to_owned();
    let allowed = || {
        let token = stage.sandbox.token_for(&email).unwrap();
        let object = format!("projects/_/buckets/{BUCKET}/objects/releases/seed");
        stage
            .sandbox
            .would_allow(&fingerprint(&token), "storage.objects.get", &object)
    };
    stage.clock.set_on(Duration::from_secs(3));
    assert_eq!(allowed(), Some(Verdict::Allowed));
    // Four times the lease's own time is all that renewals could have had, and a minute of margin.
    stage.clock.set_on(Duration::from_secs(12_070));
    assert_eq!(allowed(), Some(Verdict::NotGranted));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_it_for_ever_carries_no_lease() {
    let stage = GcpStage::new(LAGS).await;
    for number in 1..=crate::estate::SLOTS {
        let binding =
            json!({ "role": "roles/storage.objectViewer", "members": [member(&slot(number))] });
        stage.bind(BUCKET, &binding).await.unwrap();
    }
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_lease_is_moot", FaultKind::Permanent)
    );
    // It was seen before anything was written.
    assert_eq!(calls(&stage, "PatchServiceAccount"), 0);
    assert_eq!(calls(&stage, "EnableServiceAccount"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_another_installation_is_left_alone() {
    for described in [
        "jitney:other lent 0000000000000000001 e0 m0.1 until 2020-01-01T00:00:00Z",
        "jitney:acme lent 0000000000000000001 e0 m0.1 until tomorrow",
    ] {
        let stage = GcpStage::new(LAGS).await;
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{}", slot(1));
        let body = json!({ "serviceAccount": { "description": described },
                           "updateMask": "description" });
        stage.admin(Method::PATCH, &path, &body).await.unwrap();
        let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
        assert_eq!(
            (fault.code, fault.kind),
            ("gcp_account_not_ours", FaultKind::Permanent)
        );
        let account = stage.account(&slot(1)).await.unwrap();
        assert_eq!(
            (&account["disabled"], &account["description"]),
            (&json!(true), &json!(described))
        );
    }
}

/// Core stops elevations on a fault of this kind (`core_flows/slots_recovering.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_bears_a_later_mark_says_so_and_is_left_alone() {
    let stage = GcpStage::new(LAGS).await;
    let described = "jitney:acme rests 0000000000000000001 e1 m9.9 until 2020-01-01T00:00:00Z";
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{}", slot(1));
    let body = json!({ "serviceAccount": { "description": described },
                       "updateMask": "description" });
    stage.admin(Method::PATCH, &path, &body).await.unwrap();
    let fault = refused(&stage, &adapter(&stage), wish(&stage)).await;
    let bears = Mark {
        era: 9,
        sequence: 9,
    };
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_ledger_behind", FaultKind::LedgerBehind { bears })
    );
    assert_eq!(calls(&stage, "EnableServiceAccount"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_minted_while_the_clocks_disagree() {
    let stage = GcpStage::new(LAGS).await;
    for ahead in [70_u64, 0] {
        let clock = SetClock::with(|_| {});
        clock.set_on(Duration::from_secs(ahead));
        let adapter = stage.adapter_by(Arc::new(clock));
        let intent = stage
            .scribe
            .intend(&adapter, &[wish(&stage)])
            .await
            .unwrap();
        let answer = adapter.elevate(&intent).await;
        match ahead {
            0 => drop(answer.unwrap()),
            _ => {
                let fault = answer.unwrap_err();
                assert!(
                    matches!(fault.kind, FaultKind::Retryable { .. }),
                    "{fault:?}"
                );
                // 70 s ahead it is past `answer_by` by its own clock already.
                assert!(fault.code.starts_with("gcp_"), "{fault:?}");
                assert_eq!(calls(&stage, "PatchServiceAccount"), 0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_enabled_in_time_is_taken_back() {
    let stage = GcpStage::new(Lags {
        enable_seconds: 600,
        ..LAGS
    })
    .await;
    let adapter = stage.adapter_at(
        &stage.relay.url(),
        &json!({ "elevate_deadline_seconds": 2 }),
    );
    let by = stage.scribe.now().plus(Duration::from_secs(4));
    let intent = stage
        .scribe
        .intend_by(&adapter, &[wish(&stage)], by)
        .await
        .unwrap();
    let answer = adapter.elevate(&intent).await;
    let Err(fault) = answer else {
        // A sandbox that mints for an account that is not enabled everywhere yet.
        return;
    };
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_not_yet_effective", FaultKind::Ambiguous)
    );
    let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert_eq!(stage.bindings(BUCKET).await.unwrap().0.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_back_yet_is_not_written() {
    let stage = GcpStage::new(Lags {
        read_seconds: 5,
        ..LAGS
    })
    .await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    stage.clock.set_on(Duration::from_secs(10));
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let id = lease.terms().id;
    let lane = lease.terms().plan.lane.clone();
    let first = adapter.revoke(&lane, FIRST, &[lease], &[]).await;
    let is_written = |found: &Revocation| matches!(found, Revocation::NotYet { written: true, .. });
    let found = first
        .ok()
        .and_then(|mut pass| pass.leases.remove(&id))
        .and_then(Result::ok);
    assert!(!found.as_ref().is_some_and(is_written), "{found:?}");
    stage.clock.set_on(Duration::from_secs(6));
    let lease = stage.scribe.found(id).await.unwrap();
    let pass = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
    let found = pass.leases[&id].clone().unwrap();
    assert!(is_written(&found), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_may_not_is_told_so_and_a_refused_removal_is_not_gone() {
    let stage = GcpStage::new(LAGS).await;
    let nobody = stage.adapter_as("ann@example.com");
    let fault = refused(&stage, &nobody, wish(&stage)).await;
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_access_denied", FaultKind::Permanent)
    );
    let allowed = adapter(&stage);
    let taken = stage.scribe.take(&allowed, &[wish(&stage)]).await;
    // The first slot carries the intent above for ever, as far as the ledger knows.
    let taken = taken.unwrap();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let found = revoked(&nobody, lease).await;
    assert!(found.is_err(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_is_minted_only_while_the_account_carries_the_lease() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let email = account(&taken.lease.terms().plan.lane).to_owned();
    stage.clock.set_on(Duration::from_secs(3));
    let renewed = stage.scribe.renew(&adapter, taken).await.unwrap();
    assert!(stage.works(&renewed.credential).await.unwrap());
    assert_eq!(calls(&stage, "EnableServiceAccount"), 1);
    // Somebody disables the account: it is not enabled for a renewal.
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{email}:disable");
    stage.admin(Method::POST, &path, &json!({})).await.unwrap();
    let fault = stage
        .scribe
        .renew(&adapter, renewed)
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(fault.contains("does not carry"), "{fault}");
    assert_eq!(calls(&stage, "EnableServiceAccount"), 1);
}

/// Nobody comes back for what time has ended: it is cleared away with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_time_has_ended_leaves_nothing_behind() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let (lease, _) = ending(&stage, &adapter, wish(&stage)).await;
    let lane = lease.terms().plan.lane.clone();
    assert_eq!(stage.left_behind(&lane).await.unwrap().len(), 2);
    stage.clock.set_on(Duration::from_secs(3_700));
    let found = revoked(&adapter, lease).await.unwrap();
    assert!(
        matches!(
            found,
            Revocation::Evident {
                hold_until: Some(_),
                ..
            }
        ),
        "{found:?}"
    );
    assert_eq!(
        stage.left_behind(&lane).await.unwrap(),
        Vec::<String>::new()
    );
}

/// Google answers no more, but its clock has: what time has ended is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_time_is_up_needs_no_call_that_changes() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let (lease, credential) = ending(&stage, &adapter, wish(&stage)).await;
    assert!(credential.contains_key(ACCESS_TOKEN));
    stage.clock.set_on(Duration::from_secs(3_700));
    stage.relay.meddle(
        ":disable",
        jitney_integration_tests::adapter_laws::Meddling::AnswerInstead {
            status: "503 Service Unavailable",
            content_type: "application/json",
            body: "{}".to_owned(),
        },
    );
    let found = revoked(&adapter, lease).await.unwrap();
    assert!(
        matches!(
            found,
            Revocation::Evident {
                evidence: Evidence::Expired { .. },
                hold_until: Some(_)
            }
        ),
        "{found:?}"
    );
    assert!(!stage.works(&credential).await.unwrap());
}

/// Only what is under way or rests bears a stamp, and a sweep finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finds_accounts_and_bindings_and_changes_nothing() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    let before = stage.sandbox.journal().len();
    let page = (&adapter as &dyn Adapter).sweep(None).await.unwrap();
    assert_eq!(page.next, None);
    let natives: Vec<&str> = page.found.iter().map(|it| it.native.as_str()).collect();
    assert_eq!(natives.len(), 2, "{natives:?}");
    let lane = &taken.lease.terms().plan.lane;
    assert!(
        page.found
            .iter()
            .all(|it| it.lane == *lane && it.mark.is_some()),
        "{page:?}"
    );
    let journal = stage.sandbox.journal();
    assert!(
        journal[before..]
            .iter()
            .all(|it| it.action.starts_with("Get"))
    );
}
