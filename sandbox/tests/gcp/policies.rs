//! Policies: etags, versions and limits, each with what it guards against.

use serde_json::{Value, json};

use crate::cloud::*;

/// The three places a policy can be, with their calls.
#[derive(Clone, Copy, Debug)]
enum Place {
    ProjectV1,
    ProjectV3,
    Account,
    Bucket,
}

const PLACES: [Place; 4] = [
    Place::ProjectV1,
    Place::ProjectV3,
    Place::Account,
    Place::Bucket,
];

impl Cloud {
    async fn policy(&self, place: Place, version: i32) -> Answered {
        let broker = self.token(BROKER);
        let options = json!({ "options": { "requestedPolicyVersion": version } });
        match place {
            Place::ProjectV1 => {
                self.post(
                    &broker,
                    &format!("/v1/projects/{PROJECT}:getIamPolicy"),
                    options,
                )
                .await
            }
            Place::ProjectV3 => {
                self.post(
                    &broker,
                    &format!("/v3/projects/{NUMBER}:getIamPolicy"),
                    options,
                )
                .await
            }
            Place::Account => {
                let query = format!("options.requestedPolicyVersion={version}");
                let path =
                    format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}:getIamPolicy?{query}");
                self.post(&broker, &path, Value::Null).await
            }
            Place::Bucket => {
                let query = format!("optionsRequestedPolicyVersion={version}");
                self.get(&broker, &format!("/storage/v1/b/{BUCKET}/iam?{query}"))
                    .await
            }
        }
    }

    async fn set(&self, place: Place, policy: Value) -> Answered {
        let broker = self.token(BROKER);
        let body = json!({ "policy": policy });
        match place {
            Place::ProjectV1 => {
                self.post(
                    &broker,
                    &format!("/v1/projects/{PROJECT}:setIamPolicy"),
                    body,
                )
                .await
            }
            Place::ProjectV3 => {
                self.post(
                    &broker,
                    &format!("/v3/projects/{PROJECT}:setIamPolicy"),
                    body,
                )
                .await
            }
            Place::Account => {
                let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}:setIamPolicy");
                self.post(&broker, &path, body).await
            }
            Place::Bucket => self.set_bucket_policy(policy).await,
        }
    }

    /// The policy with one more binding, ready to be set.
    async fn with_binding(&self, place: Place, binding: Value) -> Value {
        let mut policy = self.policy(place, 3).await.ok();
        policy["version"] = json!(3);
        let bindings = policy
            .as_object_mut()
            .unwrap()
            .entry("bindings")
            .or_insert(json!([]));
        bindings.as_array_mut().unwrap().push(binding);
        policy
    }
}

fn viewer(member: &str) -> Value {
    json!({ "role": "roles/storage.objectViewer", "members": [member] })
}

fn conditional(member: &str, expression: &str) -> Value {
    let mut binding = viewer(member);
    binding["condition"] = json!({ "title": "jitney:lease-1", "expression": expression });
    binding
}

fn has_condition(policy: &Value) -> bool {
    policy["bindings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|binding| binding.get("condition").is_some())
}

#[tokio::test]
async fn of_two_writers_with_the_same_etag_one_loses() {
    let cloud = start().await;
    for place in PLACES {
        let mine = cloud.with_binding(place, viewer(&member(SLOT))).await;
        let theirs = cloud
            .with_binding(place, viewer("user:bob@example.com"))
            .await;
        cloud.set(place, theirs).await.ok();
        let lost = cloud.set(place, mine).await;
        match place {
            Place::Bucket => assert_eq!(lost.error(), (412, "conditionNotMet")),
            _ => {
                assert_eq!(lost.error(), (409, "ABORTED"), "{place:?}");
                assert!(
                    lost.message()
                        .starts_with("There were concurrent policy changes.")
                );
            }
        }
        let standing = cloud.policy(place, 3).await.ok().to_string();
        assert!(
            standing.contains("bob@example.com")
                && !standing.contains(&format!("[\"{}\"]", member(SLOT)))
        );
    }
}

#[tokio::test]
async fn without_an_etag_everything_is_overwritten_also_conditions() {
    let cloud = start().await;
    for place in PLACES {
        let policy = cloud
            .with_binding(
                place,
                conditional(
                    &member(SLOT),
                    "request.time < timestamp('2999-01-01T00:00:00Z')",
                ),
            )
            .await;
        cloud.set(place, policy).await.ok();
        assert!(
            has_condition(&cloud.policy(place, 3).await.ok()),
            "{place:?}"
        );
        // What somebody does who does not know of conditions and etags; the broker stays in.
        let mut blind = json!({ "bindings": [] });
        for role in [
            "roles/resourcemanager.projectIamAdmin",
            "roles/iam.serviceAccountAdmin",
            "roles/storage.admin",
        ] {
            blind["bindings"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "role": role, "members": [member(BROKER)] }));
        }
        cloud.set(place, blind).await.ok();
        assert!(
            !has_condition(&cloud.policy(place, 3).await.ok()),
            "{place:?}"
        );
    }
}

#[tokio::test]
async fn conditions_are_written_and_read_as_version_three_or_not_at_all() {
    let cloud = start().await;
    for place in PLACES {
        for version in [0, 1] {
            let mut policy = cloud
                .with_binding(place, conditional(&member(SLOT), "true"))
                .await;
            policy["version"] = json!(version);
            assert_eq!(
                cloud.set(place, policy).await.status,
                400,
                "{place:?} {version}"
            );
        }
        let policy = cloud
            .with_binding(place, conditional(&member(SLOT), "true"))
            .await;
        assert_eq!(cloud.set(place, policy).await.ok()["version"], json!(3));
        // Even without a condition of its own, an older version would lose those that are there.
        let mut older = cloud.policy(place, 3).await.ok();
        older["version"] = json!(1);
        older["bindings"] = json!([]);
        let refused = cloud.set(place, older).await;
        assert_eq!(refused.status, 400, "{place:?}");
        assert!(
            refused
                .message()
                .contains("cannot be less than the existing policy version (3)")
        );
        for odd in [2, 4, -1] {
            assert_eq!(
                cloud.policy(place, odd).await.status,
                400,
                "{place:?} {odd}"
            );
        }
    }
}

#[tokio::test]
async fn who_does_not_ask_for_conditions_does_not_see_them() {
    let cloud = start().await;
    for place in PLACES {
        let policy = cloud
            .with_binding(place, conditional(&member(SLOT), "true"))
            .await;
        cloud.set(place, policy).await.ok();
        let shown = cloud.policy(place, 1).await;
        if let Place::Bucket = place {
            assert_eq!(shown.error(), (400, "invalid"));
            continue;
        }
        let shown = shown.ok();
        assert!(
            !has_condition(&shown) && shown["version"] == json!(1),
            "{place:?}"
        );
        assert!(
            shown
                .to_string()
                .contains("roles/storage.objectViewer_withcond_"),
            "{place:?}"
        );
        // And who writes that back is stopped.
        assert_eq!(cloud.set(place, shown).await.status, 400, "{place:?}");
    }
}

#[tokio::test]
async fn limits_hold_at_their_edges() {
    let cloud = start().await;
    let members = |count: usize| {
        (0..count)
            .map(|n| format!("user:u{n}@example.com"))
            .collect::<Vec<_>>()
    };
    let policy = |bindings: Vec<Value>| json!({ "version": 3, "bindings": bindings });
    // The bucket's broker is one of them.
    let broker = json!({ "role": "roles/storage.admin", "members": [member(BROKER)] });
    let many = |count| {
        let binding = json!({ "role": "roles/storage.objectViewer", "members": members(count) });
        policy(vec![broker.clone(), binding])
    };
    cloud.set_bucket_policy(many(1_499)).await.ok();
    let refused = cloud.set_bucket_policy(many(1_500)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        "The number of members in the policy (1,501) is larger than the maximum allowed size 1,500."
    );
    let leases = |count: usize| {
        let binding = |n| {
            conditional(
                &member(SLOT),
                &format!("request.time < timestamp('2999-01-01T00:00:{n:02}Z')"),
            )
        };
        policy(
            std::iter::once(broker.clone())
                .chain((0..count).map(binding))
                .collect(),
        )
    };
    cloud.set_bucket_policy(leases(20)).await.ok();
    assert_eq!(cloud.set_bucket_policy(leases(21)).await.status, 400);
    // Few members, whose names are long.
    let large = |count: usize| {
        let members = (0..count).map(|n| format!("user:{}{n:03}@example.com", "x".repeat(200)));
        let binding =
            json!({ "role": "roles/storage.objectViewer", "members": members.collect::<Vec<_>>() });
        policy(vec![broker.clone(), binding])
    };
    cloud.set_bucket_policy(large(250)).await.ok();
    let refused = cloud.set_bucket_policy(large(350)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("64 KB"));
    let operators = |count: usize| {
        let expression = vec!["true"; count + 1].join(" && ");
        policy(vec![
            broker.clone(),
            conditional(&member(SLOT), &expression),
        ])
    };
    cloud.set_bucket_policy(operators(12)).await.ok();
    assert_eq!(cloud.set_bucket_policy(operators(13)).await.status, 400);
}

#[tokio::test]
async fn what_does_not_hold_together_is_refused() {
    let cloud = start().await;
    let mut on_basic = conditional(&member(SLOT), "true");
    on_basic["role"] = json!("roles/viewer");
    let mut untitled = conditional(&member(SLOT), "true");
    untitled["condition"]["title"] = json!("");
    for (what, binding) in [
        (
            "no such role",
            json!({ "role": "roles/storage.objectviewer", "members": [member(SLOT)] }),
        ),
        (
            "no members",
            json!({ "role": "roles/storage.objectViewer", "members": [] }),
        ),
        (
            "no such account",
            viewer("serviceAccount:ghost@acme-prod.iam.gserviceaccount.com"),
        ),
        ("no kind of member", viewer(SLOT)),
        ("a condition on a basic role", on_basic),
        ("a condition for everybody", conditional("allUsers", "true")),
        ("a condition without a title", untitled),
        (
            "a condition that does not parse",
            conditional(&member(SLOT), "request.time <"),
        ),
        (
            "a condition about nothing there is",
            conditional(&member(SLOT), "principal.email == ''"),
        ),
        (
            "a field there is not",
            json!({ "role": "roles/viewer", "members": [member(SLOT)], "conditions": {} }),
        ),
    ] {
        for place in PLACES {
            let policy = cloud.with_binding(place, binding.clone()).await;
            assert_eq!(
                cloud.set(place, policy).await.status,
                400,
                "{what} at {place:?}"
            );
        }
    }
    let custom = json!({ "role": "projects/acme-prod/roles/reader", "members": [member(SLOT)] });
    let policy = cloud.with_binding(Place::Bucket, custom).await;
    cloud.set(Place::Bucket, policy).await.ok();
    assert_eq!(
        cloud.read(&cloud.lease().await, "private/key.txt").await,
        200
    );
}

#[tokio::test]
async fn audit_configs_stay_unless_the_mask_names_them() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let set = format!("/v3/projects/{PROJECT}:setIamPolicy");
    let audit =
        json!([{ "service": "allServices", "auditLogConfigs": [{ "logType": "DATA_READ" }] }]);
    let mut policy = cloud.policy(Place::ProjectV3, 3).await.ok();
    policy["auditConfigs"] = audit.clone();
    let body = json!({ "policy": policy, "updateMask": "bindings,etag,auditConfigs" });
    cloud.post(&broker, &set, body).await.ok();
    let policy = cloud
        .with_binding(Place::ProjectV3, viewer(&member(SLOT)))
        .await;
    assert_eq!(policy["auditConfigs"], audit);
    let mut forgetful = policy;
    forgetful.as_object_mut().unwrap().remove("auditConfigs");
    cloud.set(Place::ProjectV3, forgetful).await.ok();
    assert_eq!(
        cloud.policy(Place::ProjectV3, 3).await.ok()["auditConfigs"],
        audit
    );
}

#[tokio::test]
async fn bindings_come_back_together_and_in_one_order() {
    let cloud = start().await;
    let mut policy = cloud
        .with_binding(Place::Bucket, viewer("user:b@example.com"))
        .await;
    policy["bindings"]
        .as_array_mut()
        .unwrap()
        .push(viewer("user:a@example.com"));
    cloud.set(Place::Bucket, policy).await.ok();
    let bindings = cloud.bucket_policy().await["bindings"].clone();
    assert_eq!(
        bindings,
        json!([
            { "role": "roles/storage.admin", "members": [member(BROKER)] },
            { "role": "roles/storage.objectViewer", "members": ["user:a@example.com", "user:b@example.com"] },
        ])
    );
}

#[tokio::test]
async fn who_may_not_is_told_so_whatever_is_wrong_with_the_policy() {
    let cloud = start().await;
    let nobody = cloud.token(NOBODY);
    for path in [
        format!("/v1/projects/{PROJECT}:setIamPolicy"),
        format!("/v3/projects/{PROJECT}:setIamPolicy"),
        "/v3/projects/no-such-project:setIamPolicy".to_owned(),
        format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}:setIamPolicy"),
    ] {
        let policy = json!({ "policy": { "bindings": [viewer(SLOT)], "etag": "ACAB" } });
        assert_eq!(
            cloud.post(&nobody, &path, policy).await.error(),
            (403, "PERMISSION_DENIED"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn one_is_told_which_of_the_asked_permissions_one_holds() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let token = cloud.lease().await;
    let query = "permissions=storage.objects.get&permissions=storage.objects.create";
    let path = format!("/storage/v1/b/{BUCKET}/iam/testPermissions?{query}");
    assert_eq!(
        cloud.get(&token, &path).await.ok()["permissions"],
        json!(["storage.objects.get"])
    );
    let asked = json!({ "permissions": ["resourcemanager.projects.setIamPolicy", "resourcemanager.projects.get"] });
    let path = format!("/v3/projects/{PROJECT}:testIamPermissions");
    assert_eq!(
        cloud.post(&token, &path, asked.clone()).await.ok(),
        json!({})
    );
    assert_eq!(
        cloud
            .post(&cloud.token(BROKER), &path, asked.clone())
            .await
            .ok(),
        asked
    );
    let unknown = json!({ "permissions": ["storage.*"] });
    assert_eq!(cloud.post(&token, &path, unknown).await.status, 400);
}
