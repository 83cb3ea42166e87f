//! Resource Manager's front: tokens, versions, places, rates, headers.

use jitney_sandbox::azure::{RateLimits, builtin};
use reqwest::Method;
use serde_json::json;

use crate::cloud::*;

/// The status and code of a read of the subscription with this bearer.
async fn with_token(bench: &Bench, token: &str) -> (u16, String) {
    let answer = bench
        .arm(token, Method::GET, &subscription(), "2022-12-01", None)
        .await;
    (answer.0, refusal(&answer).1.to_owned())
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_call_shows_a_token_that_is_meant_for_it() {
    let bench = start().await;
    let good = bench.token(BROKER, ARM).await;
    assert_eq!(with_token(&bench, &good).await.0, 200);
    for audience in [
        "https://management.azure.com/",
        "https://management.core.windows.net",
    ] {
        let token = bench.token(BROKER, audience).await;
        assert_eq!(with_token(&bench, &token).await.0, 200, "{audience}");
    }
    let storage = bench.token(BROKER, STORAGE).await;
    assert_eq!(
        with_token(&bench, &storage).await,
        code(401, "InvalidAuthenticationTokenAudience")
    );
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = storage.rsplit_once('.').unwrap();
    for token in [
        format!("{signed}.{signature}"),
        format!("{signed}."),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(
            with_token(&bench, &token).await,
            code(401, "InvalidAuthenticationToken")
        );
    }
    let assertion = bench.sign(&bench.claims(BROKER));
    assert_eq!(
        with_token(&bench, &assertion).await,
        code(401, "InvalidAuthenticationToken")
    );
    bench.sandbox.clock().advance_seconds(5_401);
    assert_eq!(
        with_token(&bench, &good).await,
        code(401, "ExpiredAuthenticationToken")
    );
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge() {
    let bench = start().await;
    let url = format!(
        "{}{}?api-version=2022-12-01",
        bench.sandbox.url(),
        subscription()
    );
    let answer = bench.http.get(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains(&TENANT.to_string()), "{challenge}");
}

/// One key signs for all tenants of a process, so a good signature is not enough.
#[tokio::test]
async fn a_token_of_another_tenant_is_refused() {
    let mut elsewhere = estate();
    elsewhere.tenant_id = name(77);
    let other = start_with(elsewhere, Default::default()).await;
    let bench = start().await;
    let url = format!("{}/{}/oauth2/v2.0/token", other.sandbox.url(), name(77));
    let answer = answered(other.http.post(url).form(&other.form(BROKER, ARM))).await;
    let token = answer.1["access_token"].as_str().unwrap();
    assert_eq!(
        with_token(&bench, token).await,
        code(401, "InvalidAuthenticationTokenTenant")
    );
}

#[tokio::test]
async fn a_call_names_a_version_that_there_is() {
    let bench = start().await;
    let token = bench.token(BROKER, ARM).await;
    let url = format!("{}{}", bench.sandbox.url(), subscription());
    let none = answered(bench.http.get(url).bearer_auth(&token)).await;
    assert_eq!(refusal(&none), (400, "MissingApiVersionParameter"));
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments",
        subscription()
    );
    let pims = bench.get(&path, PIM).await;
    assert_eq!(refusal(&pims), (400, "InvalidApiVersionParameter"));
    let nothing = bench.get("/subscriptions/x/y", RBAC).await;
    assert_eq!(refusal(&nothing), (404, "InvalidResourceType"));
}

#[tokio::test]
async fn a_place_must_be_there() {
    let bench = start().await;
    let stranger = format!("/subscriptions/{}", name(1));
    for (scope, expected) in [
        (stranger.clone(), "SubscriptionNotFound"),
        (
            format!("{stranger}/resourceGroups/artifacts"),
            "SubscriptionNotFound",
        ),
        (
            format!("{}/resourceGroups/none", subscription()),
            "ResourceGroupNotFound",
        ),
        (
            format!("{}/providers/Microsoft.KeyVault/vaults/none", group()),
            "ResourceNotFound",
        ),
    ] {
        let answer = bench.assign(&scope, name(2), builtin::READER, SLOT).await;
        assert_eq!(refusal(&answer), (404, expected), "{scope}");
    }
    let upper = container()
        .to_uppercase()
        .replace("/SUBSCRIPTIONS", "/subscriptions");
    assert_eq!(
        bench.assign(&upper, name(2), builtin::READER, SLOT).await.0,
        201,
        "case does not count"
    );
}

#[tokio::test]
async fn too_many_calls_are_told_when_to_come_again() {
    let bench = start().await;
    let token = bench.token(BROKER, ARM).await;
    let slow = RateLimits {
        writes_burst: 2,
        writes_per_second: 1,
        ..RateLimits::default()
    };
    bench.sandbox.set_limits(slow);
    let put = async |number: u128, role| {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            group(),
            name(number)
        );
        let url = format!("{}{path}?api-version={RBAC}", bench.sandbox.url());
        let body = assignment(role, SLOT);
        bench
            .http
            .put(url)
            .bearer_auth(&token)
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let first = put(1, builtin::READER).await;
    assert_eq!(
        first.headers()["x-ms-ratelimit-remaining-subscription-writes"],
        "1"
    );
    assert_eq!(first.headers()["x-ms-request-id"].len(), 36);
    put(2, builtin::ACR_PULL).await;
    let third = put(3, builtin::ACR_PUSH).await;
    assert_eq!(
        (third.status().as_u16(), &third.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    let body: serde_json::Value = third.json().await.unwrap();
    assert_eq!(
        body["error"]["code"],
        json!("SubscriptionRequestsThrottled")
    );
    assert_eq!(bench.sandbox.keeps(SLOT).len(), 2, "nothing came of it");
    let read = bench
        .arm(&token, Method::GET, &subscription(), "2022-12-01", None)
        .await;
    assert_eq!(read.0, 200, "reads have their own");
}
