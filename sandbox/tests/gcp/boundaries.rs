//! Credential Access Boundaries: what is left of a token, and what a boundary may not be.

use serde_json::{Value, json};

use crate::cloud::*;

fn rule(bucket: &str, role: &str, expression: Option<&str>) -> Value {
    let mut rule = json!({
        "availableResource": format!("//storage.googleapis.com/projects/_/buckets/{bucket}"),
        "availablePermissions": [format!("inRole:{role}")],
    });
    if let Some(expression) = expression {
        rule["availabilityCondition"] = json!({ "expression": expression, "title": "narrowed" });
    }
    rule
}

fn options(rules: Value) -> String {
    json!({ "accessBoundary": { "accessBoundaryRules": rules } }).to_string()
}

/// Only reading, only under `releases/`.
fn narrow() -> Value {
    let expression =
        format!("resource.name.startsWith('projects/_/buckets/{BUCKET}/objects/releases/')");
    json!([rule(
        BUCKET,
        "roles/storage.objectViewer",
        Some(&expression)
    )])
}

impl Cloud {
    async fn narrowed(&self, token: &str, options: &str) -> Answered {
        let form = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("subject_token", token),
            ("options", options),
        ];
        let request = self
            .http
            .post(format!("{}/v1/token", self.sandbox.url()))
            .form(&form);
        answered(request.send().await.unwrap()).await
    }

    async fn wide(&self) -> String {
        self.grant(SLOT, "roles/storage.objectUser", None).await;
        self.lease().await
    }
}

#[tokio::test]
async fn a_boundary_narrows_and_gives_nothing() {
    let cloud = start().await;
    let wide = cloud.wide().await;
    let narrowed = cloud.narrowed(&wide, &options(narrow())).await.ok();
    let token = narrowed["access_token"].as_str().unwrap();
    assert_eq!(cloud.read(token, "releases/old.txt").await, 200);
    assert_eq!(cloud.read(token, "private/key.txt").await, 403);
    assert_eq!(
        cloud.upload(token, "releases/new.txt", "x").await.status,
        403
    );
    assert_eq!(
        cloud.would_allow(token, "storage.objects.get", "private/key.txt"),
        "out_of_bounds"
    );
    assert_eq!(
        cloud.read(&wide, "private/key.txt").await,
        200,
        "the wide token is as it was"
    );
    // What the account does not hold, a boundary does not give.
    let nobody = cloud
        .narrowed(&cloud.token(NOBODY), &options(narrow()))
        .await
        .ok();
    assert_eq!(
        cloud
            .read(nobody["access_token"].as_str().unwrap(), "releases/old.txt")
            .await,
        403
    );
}

#[tokio::test]
async fn rules_are_a_union_and_each_is_about_one_bucket() {
    let cloud = start().await;
    let wide = cloud.wide().await;
    let rules = json!([
        rule("other-bucket", "roles/storage.objectAdmin", None),
        rule(BUCKET, "roles/storage.objectCreator", None),
        rule(
            BUCKET,
            "roles/storage.objectViewer",
            Some("resource.name.endsWith('/old.txt')")
        ),
    ]);
    let narrowed = cloud.narrowed(&wide, &options(rules)).await.ok();
    let token = narrowed["access_token"].as_str().unwrap();
    assert_eq!(cloud.read(token, "releases/old.txt").await, 200);
    assert_eq!(cloud.read(token, "private/key.txt").await, 403);
    cloud.upload(token, "releases/new.txt", "x").await.ok();
    assert_eq!(
        cloud.upload(token, "releases/new.txt", "y").await.status,
        403,
        "no rule lets it overwrite"
    );
}

#[tokio::test]
async fn a_narrowed_token_is_good_for_cloud_storage_only() {
    let cloud = start().await;
    let rules = json!([rule(BUCKET, "roles/storage.admin", None)]);
    let narrowed = cloud
        .narrowed(&cloud.token(BROKER), &options(rules))
        .await
        .ok();
    let token = narrowed["access_token"].as_str().unwrap();
    assert_eq!(cloud.read(token, "private/key.txt").await, 200);
    assert_eq!(
        cloud
            .mint_as(token, SLOT, json!({ "scope": [CLOUD_PLATFORM] }))
            .await
            .status,
        403
    );
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}");
    assert_eq!(cloud.get(token, &path).await.status, 403);
    assert_eq!(
        cloud
            .get(token, &format!("/v3/projects/{PROJECT}"))
            .await
            .status,
        403
    );
    let policy = json!({ "policy": { "bindings": [] } });
    assert_eq!(
        cloud
            .post(
                token,
                &format!("/v3/projects/{PROJECT}:setIamPolicy"),
                policy
            )
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn it_lives_as_long_as_its_source_and_sleeps_with_its_account() {
    let cloud = start().await;
    let wide = cloud.wide().await;
    let narrowed = cloud.narrowed(&wide, &options(narrow())).await.ok();
    let seconds = narrowed["expires_in"].as_i64().unwrap();
    assert!((590..=600).contains(&seconds), "{seconds}");
    let token = narrowed["access_token"].as_str().unwrap();
    cloud.disable(SLOT).await;
    assert_eq!(cloud.read(token, "releases/old.txt").await, 401);
    assert_eq!(
        cloud.narrowed(&wide, &options(narrow())).await.error(),
        (400, "invalid_grant")
    );
    cloud.enable(SLOT).await;
    assert_eq!(cloud.read(token, "releases/old.txt").await, 200);
    cloud.sandbox.clock().advance_seconds(601);
    assert_eq!(cloud.read(token, "releases/old.txt").await, 401);
    let person = cloud
        .narrowed(&cloud.token(OWNER), &options(narrow()))
        .await
        .ok();
    assert_eq!(
        person.get("expires_in"),
        None,
        "not told for a person's token"
    );
}

#[tokio::test]
async fn both_encodings_of_the_options_are_read() {
    let cloud = start().await;
    let wide = cloud.wide().await;
    let encoded: String = url_encoded(&options(narrow()));
    let narrowed = cloud.narrowed(&wide, &encoded).await.ok();
    assert_eq!(
        cloud
            .read(
                narrowed["access_token"].as_str().unwrap(),
                "private/key.txt"
            )
            .await,
        403
    );
}

fn url_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[tokio::test]
async fn what_is_no_boundary_is_refused() {
    let cloud = start().await;
    let wide = cloud.wide().await;
    let good = rule(BUCKET, "roles/storage.objectViewer", None);
    let with = |name: &str, value: Value| {
        let mut rule = good.clone();
        rule[name] = value;
        options(json!([rule]))
    };
    cloud
        .narrowed(&wide, &options(json!(vec![good.clone(); 10])))
        .await
        .ok();
    for (what, options) in [
        ("no JSON", "{".to_owned()),
        ("no boundary", "{}".to_owned()),
        ("no rules", options(json!([]))),
        ("eleven rules", options(json!(vec![good.clone(); 11]))),
        ("an unknown field", with("availableRoles", json!([]))),
        (
            "another service",
            with(
                "availableResource",
                json!("//pubsub.googleapis.com/projects/p/topics/t"),
            ),
        ),
        (
            "an object",
            with(
                "availableResource",
                json!(format!(
                    "//storage.googleapis.com/projects/_/buckets/{BUCKET}/objects/a"
                )),
            ),
        ),
        ("no permissions", with("availablePermissions", json!([]))),
        (
            "a permission by itself",
            with("availablePermissions", json!(["storage.objects.get"])),
        ),
        (
            "no such role",
            with(
                "availablePermissions",
                json!(["inRole:roles/storage.nothing"]),
            ),
        ),
        (
            "a condition that does not parse",
            with(
                "availabilityCondition",
                json!({ "expression": "resource.name." }),
            ),
        ),
        (
            "a condition that is too long",
            with(
                "availabilityCondition",
                json!({ "expression": format!("resource.name != '{}'", "x".repeat(2_048)) }),
            ),
        ),
    ] {
        assert_eq!(
            cloud.narrowed(&wide, &options).await.error(),
            (400, "invalid_request"),
            "{what}"
        );
    }
    let narrowed = cloud.narrowed(&wide, &options(narrow())).await.ok();
    let again = cloud
        .narrowed(
            narrowed["access_token"].as_str().unwrap(),
            &options(narrow()),
        )
        .await;
    assert_eq!(
        again.error(),
        (400, "invalid_request"),
        "no boundary on a boundary"
    );
    assert_eq!(
        cloud
            .narrowed("ya29.guessed", &options(narrow()))
            .await
            .error(),
        (400, "invalid_grant")
    );
}
