//! `generateAccessToken`: who gets a token, for how long, and what everybody else is told.

use serde_json::{Value, json};

use crate::cloud::*;

fn wish() -> Value {
    json!({ "scope": [CLOUD_PLATFORM], "lifetime": "600s" })
}

fn with(name: &str, value: Value) -> Value {
    let mut wish = wish();
    wish[name] = value;
    wish
}

#[tokio::test]
async fn the_time_told_is_the_time_it_ends() {
    let cloud = start().await;
    let minted = cloud.mint(SLOT, wish()).await.ok();
    let token = minted["accessToken"].as_str().unwrap();
    let told: jiff::Timestamp = minted["expireTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        told.subsec_nanosecond(),
        0,
        "clients read whole seconds only"
    );
    assert_eq!(cloud.sandbox.tokens().last().unwrap().expires, told);
    let left = told.duration_since(cloud.sandbox.clock().now()).as_secs();
    assert!((598..=600).contains(&left), "{left}");
    let path =
        format!("/storage/v1/b/{BUCKET}/iam/testPermissions?permissions=storage.objects.get");
    assert_eq!(cloud.get(token, &path).await.status, 200);
    cloud.sandbox.clock().advance_seconds(left - 2);
    assert_eq!(cloud.get(token, &path).await.status, 200);
    cloud.sandbox.clock().advance_seconds(3);
    assert_eq!(cloud.get(token, &path).await.status, 401);
}

#[tokio::test]
async fn a_missing_right_a_missing_account_and_a_disabled_one_look_the_same() {
    let cloud = start().await;
    let missing = "slot-9@acme-prod.iam.gserviceaccount.com";
    let disabled = "slot-2@acme-prod.iam.gserviceaccount.com";
    for account in [NOBODY, missing, disabled] {
        let refused = cloud.mint(account, wish()).await;
        assert_eq!(refused.error(), (403, "PERMISSION_DENIED"), "{account}");
        assert_eq!(
            refused.message(),
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
        );
        assert_eq!(refused.reason(), "IAM_PERMISSION_DENIED");
    }
    assert_eq!(
        cloud
            .sandbox
            .tokens()
            .iter()
            .filter(|token| token.principal != member(BROKER))
            .count(),
        0
    );
    let owner = cloud.mint_as(&cloud.token(OWNER), SLOT, wish()).await;
    assert_eq!(
        owner.error(),
        (403, "PERMISSION_DENIED"),
        "an owner is no token creator"
    );
}

#[tokio::test]
async fn an_account_is_named_by_address_or_unique_id_and_never_under_its_project() {
    let cloud = start().await;
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}");
    let account = cloud.get(&cloud.token(BROKER), &path).await.ok();
    let unique_id = account["uniqueId"].as_str().unwrap();
    assert_eq!(unique_id.len(), 21);
    cloud.mint(unique_id, wish()).await.ok();
    cloud.mint(&SLOT.replace('@', "%40"), wish()).await.ok();
    let under_project = cloud
        .post(
            &cloud.token(BROKER),
            &format!("{path}:generateAccessToken"),
            wish(),
        )
        .await;
    assert_eq!(under_project.error(), (400, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn lifetimes_have_their_bounds() {
    let cloud = start().await;
    let long = "slot-long@acme-prod.iam.gserviceaccount.com";
    cloud
        .mint(SLOT, with("lifetime", json!("3600s")))
        .await
        .ok();
    let refused = cloud.mint(SLOT, with("lifetime", json!("3601s"))).await;
    assert_eq!(refused.error(), (400, "INVALID_ARGUMENT"));
    assert!(
        refused.message().contains("more than 1 hour"),
        "{}",
        refused.message()
    );
    cloud
        .mint(long, with("lifetime", json!("43200s")))
        .await
        .ok();
    for lifetime in ["43201s", "43200.000000001s"] {
        assert_eq!(
            cloud
                .mint(long, with("lifetime", json!(lifetime)))
                .await
                .status,
            400,
            "{lifetime}"
        );
    }
    for lifetime in ["0s", "-1s", "600", "10m", "1.0000000001s"] {
        assert_eq!(
            cloud
                .mint(SLOT, with("lifetime", json!(lifetime)))
                .await
                .status,
            400,
            "{lifetime}"
        );
    }
    let unsaid = cloud
        .mint(
            SLOT,
            json!({ "scope": [CLOUD_PLATFORM], "lifetime": null, "delegates": null }),
        )
        .await
        .ok();
    let told: jiff::Timestamp = unsaid["expireTime"].as_str().unwrap().parse().unwrap();
    let left = told.duration_since(cloud.sandbox.clock().now()).as_secs();
    assert!((3_598..=3_600).contains(&left), "{left}");
}

#[tokio::test]
async fn what_the_api_does_not_describe_is_refused_by_name() {
    let cloud = start().await;
    for (body, said) in [
        (
            with("scopes", json!([])),
            "Unknown name \"scopes\": Cannot find field.",
        ),
        (with("lifetime", json!(600)), "'lifetime'"),
        (with("scope", json!("a")), "'scope'"),
        (with("scope", json!([])), "Scope required"),
        (with("scope", json!(["cloud-platform"])), "Invalid scope"),
        (with("delegates", json!([NOBODY])), "Invalid delegate"),
        (
            with(
                "delegates",
                json!([format!("projects/{PROJECT}/serviceAccounts/{NOBODY}")]),
            ),
            "Invalid delegate",
        ),
    ] {
        let refused = cloud.mint(SLOT, body).await;
        assert_eq!(refused.error(), (400, "INVALID_ARGUMENT"), "{said}");
        assert!(
            refused.message().contains(said),
            "{} without {said}",
            refused.message()
        );
    }
    let path = format!("/v1/projects/-/serviceAccounts/{SLOT}:generateAccessToken?force=1");
    let refused = cloud.post(&cloud.token(BROKER), &path, wish()).await;
    assert!(
        refused.message().contains("Cannot bind query parameter"),
        "{}",
        refused.message()
    );
    let path = format!(
        "/v1/projects/-/serviceAccounts/{SLOT}:generateAccessToken?$alt=json;enum-encoding=int"
    );
    cloud.post(&cloud.token(BROKER), &path, wish()).await.ok();
}

#[tokio::test]
async fn a_chain_needs_a_right_at_every_step() {
    let cloud = start().await;
    let middle = "slot-long@acme-prod.iam.gserviceaccount.com";
    let delegate = json!([format!("projects/-/serviceAccounts/{middle}")]);
    let refused = cloud
        .mint(NOBODY, with("delegates", delegate.clone()))
        .await;
    assert_eq!(
        refused.status, 403,
        "the delegate has no right on the account"
    );
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{NOBODY}:setIamPolicy");
    let binding =
        json!({ "role": "roles/iam.serviceAccountTokenCreator", "members": [member(middle)] });
    let policy = json!({ "policy": { "bindings": [binding] } });
    cloud.post(&cloud.token(BROKER), &path, policy).await.ok();
    cloud
        .mint(NOBODY, with("delegates", delegate.clone()))
        .await
        .ok();
    assert_eq!(
        cloud.mint(NOBODY, wish()).await.status,
        403,
        "not without the delegate"
    );
    let stranger = cloud.token("guest@other.iam.gserviceaccount.com");
    assert_eq!(
        cloud
            .mint_as(&stranger, NOBODY, with("delegates", delegate))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_token_that_does_not_count_is_told_why() {
    let cloud = start().await;
    let nobody = cloud.mint_as("", SLOT, wish()).await;
    assert_eq!(
        (nobody.error(), nobody.reason()),
        ((401, "UNAUTHENTICATED"), "CREDENTIALS_MISSING")
    );
    let unknown = cloud.mint_as("ya29.guessed", SLOT, wish()).await;
    assert_eq!(
        (unknown.error(), unknown.reason()),
        ((401, "UNAUTHENTICATED"), "ACCESS_TOKEN_TYPE_UNSUPPORTED")
    );
    let old = cloud
        .sandbox
        .token_with(BROKER, &[CLOUD_PLATFORM], 60)
        .unwrap();
    cloud.sandbox.clock().advance_seconds(61);
    let expired = cloud.mint_as(&old, SLOT, wish()).await;
    assert_eq!(
        (expired.error(), expired.reason()),
        ((401, "UNAUTHENTICATED"), "ACCESS_TOKEN_EXPIRED")
    );
    let narrow = "https://www.googleapis.com/auth/devstorage.read_only";
    let narrow = cloud.sandbox.token_with(BROKER, &[narrow], 60).unwrap();
    let refused = cloud.mint_as(&narrow, SLOT, wish()).await;
    assert_eq!(
        (refused.error(), refused.reason()),
        (
            (403, "PERMISSION_DENIED"),
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
        )
    );
}

#[tokio::test]
async fn nobody_signs() {
    let cloud = start().await;
    for (verb, body) in [
        ("signBlob", json!({ "payload": "e30=" })),
        ("signJwt", json!({ "payload": "{}" })),
        (
            "generateIdToken",
            json!({ "audience": "https://example.com", "includeEmail": true }),
        ),
    ] {
        let path = format!("/v1/projects/-/serviceAccounts/{SLOT}:{verb}");
        let refused = cloud.post(&cloud.token(BROKER), &path, body).await;
        assert_eq!(refused.error(), (403, "PERMISSION_DENIED"));
    }
}

#[tokio::test]
async fn the_metadata_server_speaks_to_workloads_only() {
    let cloud = start().await;
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(cloud.get("", path).await.status, 403);
    let request = cloud
        .http
        .get(format!("{}{path}", cloud.sandbox.url()))
        .header("Metadata-Flavor", "Google");
    let answer = answered(request.send().await.unwrap()).await.ok();
    let token = answer["access_token"].as_str().unwrap();
    cloud.mint_as(token, SLOT, wish()).await.ok();
}
