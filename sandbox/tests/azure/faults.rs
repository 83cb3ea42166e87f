//! Faults: what the client sees, and what really happened.

use std::time::Duration;

use jitney_sandbox::FaultKind;
use jitney_sandbox::azure::builtin;
use reqwest::Method;

use crate::cloud::*;

/// Puts a role assignment and says what the client knows: a status, or nothing.
async fn put(bench: &Bench, token: &str, number: u128) -> Option<u16> {
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        group(),
        name(number)
    );
    let url = format!("{}{path}?api-version={RBAC}", bench.sandbox.url());
    let body = assignment(builtin::READER, SLOT);
    let answer = bench
        .http
        .put(url)
        .bearer_auth(token)
        .json(&body)
        .send()
        .await;
    answer.ok().map(|answer| answer.status().as_u16())
}

fn rights(bench: &Bench) -> usize {
    bench.sandbox.keeps(SLOT).len()
}

#[tokio::test]
async fn a_refused_call_did_nothing() {
    let bench = start().await;
    let token = bench.token(BROKER, ARM).await;
    for (fault, expected) in [
        (FaultKind::Throttle, 429),
        (FaultKind::ServerError { status: 503 }, 503),
        (
            FaultKind::Refuse {
                status: 409,
                code: "RoleAssignmentExists".to_owned(),
            },
            409,
        ),
    ] {
        bench
            .sandbox
            .faults()
            .inject("arm", "RoleAssignments_Create", fault, 1);
        assert_eq!(put(&bench, &token, 1).await, Some(expected));
        assert_eq!(rights(&bench), 0);
    }
    assert_eq!(
        put(&bench, &token, 1).await,
        Some(201),
        "faults are used up"
    );
}

#[tokio::test]
async fn dropped_before_and_dropped_after_look_the_same() {
    let bench = start().await;
    let token = bench.token(BROKER, ARM).await;
    bench
        .sandbox
        .faults()
        .inject("arm", "*", FaultKind::DropBefore, 1);
    assert_eq!(put(&bench, &token, 1).await, None);
    assert_eq!(rights(&bench), 0);
    bench
        .sandbox
        .faults()
        .inject("arm", "*", FaultKind::DropAfter, 1);
    assert_eq!(put(&bench, &token, 1).await, None);
    assert_eq!(rights(&bench), 1);
    let told: Vec<_> = bench
        .sandbox
        .journal()
        .into_iter()
        .filter_map(|entry| entry.fault)
        .collect();
    assert_eq!(told, ["drop_before", "drop_after"]);
}

#[tokio::test]
async fn a_late_call_is_handled_when_nobody_waits_any_more() {
    let bench = start().await;
    let token = bench.token(BROKER, ARM).await;
    bench
        .sandbox
        .faults()
        .inject("arm", "*", FaultKind::Late { after_millis: 300 }, 1);
    assert_eq!(put(&bench, &token, 1).await, None);
    assert_eq!(
        rights(&bench),
        0,
        "absence now is no evidence of absence later"
    );
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while rights(&bench) == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the call never landed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lost_token_was_given_out_all_the_same() {
    let bench = start().await;
    bench
        .sandbox
        .faults()
        .inject("entra", "Token", FaultKind::DropAfter, 1);
    let url = format!("{}/{TENANT}/oauth2/v2.0/token", bench.sandbox.url());
    assert!(
        bench
            .http
            .post(&url)
            .form(&bench.form(SLOT, ARM))
            .send()
            .await
            .is_err()
    );
    assert_eq!(bench.sandbox.tokens().len(), 1);
    let refuse = FaultKind::Refuse {
        status: 400,
        code: "AADSTS70021".to_owned(),
    };
    bench.sandbox.faults().inject("entra", "Token", refuse, 1);
    let answer = bench.exchange(&bench.form(SLOT, ARM)).await;
    assert_eq!(
        (answer.0, &answer.1["error_codes"][0]),
        (400, &70_021.into())
    );
    bench
        .sandbox
        .faults()
        .inject("entra", "Token", FaultKind::Throttle, 1);
    assert_eq!(bench.exchange(&bench.form(SLOT, ARM)).await.0, 429);
    bench
        .sandbox
        .faults()
        .inject("entra", "Token", FaultKind::ServerError { status: 503 }, 1);
    assert_eq!(bench.exchange(&bench.form(SLOT, ARM)).await.0, 503);
}

#[tokio::test]
async fn storage_is_busy_in_its_own_words() {
    let bench = start().await;
    let token = bench.token(SLOT, STORAGE).await;
    bench
        .sandbox
        .faults()
        .inject("blob", "GetBlob", FaultKind::Throttle, 1);
    let busy = bench
        .blob(&token, Method::GET, "releases/v1/a.txt")
        .send()
        .await
        .unwrap();
    assert_eq!(busy.headers()["x-ms-error-code"], "ServerBusy");
    bench
        .sandbox
        .faults()
        .inject("blob", "*", FaultKind::Delay { millis: 100 }, 1);
    let began = std::time::Instant::now();
    assert!(!bench.may_read(&token, "releases/v1/a.txt").await);
    assert!(began.elapsed() >= Duration::from_millis(100));
}
