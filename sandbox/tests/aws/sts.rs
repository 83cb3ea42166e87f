//! `AssumeRole` and `GetCallerIdentity`: who may, with which parameters.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::PolicyDescriptorType;
use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::aws::estate::{ManagedPolicy, Role};
use serde_json::json;

use crate::cloud::*;

fn assume(sandbox: &AwsSandbox, who: &str) -> AssumeRoleFluentBuilder {
    sts(sandbox, user(sandbox, who))
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1")
}

#[tokio::test]
async fn a_session_is_what_was_asked_for() {
    let sandbox = start().await;
    let answer = assume(&sandbox, "broker")
        .duration_seconds(900)
        .source_identity("lease-1")
        .tags(tag("jl", "lease-1"))
        .policy(allow(&["s3:GetObject"], &["arn:aws:s3:::artifacts-prod/*"]))
        .send()
        .await
        .unwrap();
    let who = answer.assumed_role_user().unwrap();
    assert_eq!(
        who.arn(),
        "arn:aws:sts::111122223333:assumed-role/deploy/lease-1"
    );
    assert!(
        who.assumed_role_id().starts_with("AROA") && who.assumed_role_id().ends_with(":lease-1")
    );
    assert_eq!(answer.source_identity(), Some("lease-1"));
    let token_bytes = answer.credentials().unwrap().session_token().len();
    assert_eq!(
        answer.session_token_size(),
        Some(i32::try_from(token_bytes).unwrap())
    );
    assert!((1..=100).contains(&answer.session_token_utilization().unwrap()));

    let info = sandbox.sessions().pop().unwrap();
    assert_eq!(
        (info.session_name.as_str(), info.role_arn.as_str()),
        ("lease-1", DEPLOY)
    );
    assert_eq!(info.tags.get("jl").map(String::as_str), Some("lease-1"));
    assert_eq!(info.caller_arn, BROKER);
    assert_eq!(info.expires.duration_since(info.issued).as_secs(), 900);
    assert_eq!(
        answer.credentials().unwrap().expiration().secs(),
        info.expires.as_second()
    );

    let session = temporary(answer.credentials().unwrap());
    let identity = sts(&sandbox, session)
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(identity.arn(), Some(info.session_arn.as_str()));
    assert_eq!(identity.user_id(), Some(who.assumed_role_id()));
    assert_eq!(identity.account(), Some(ACCOUNT));
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_and_gets_nothing() {
    let sandbox = start().await;
    assert_eq!(
        code(assume(&sandbox, "nobody").send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(assume(&sandbox, "revoker").send().await),
        "AccessDenied"
    );
    let unknown = assume(&sandbox, "broker").role_arn("arn:aws:iam::111122223333:role/unknown");
    assert_eq!(code(unknown.send().await), "AccessDenied");
    let as_root = sts(&sandbox, root(&sandbox))
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1");
    assert_eq!(code(as_root.send().await), "AccessDenied");
    let guest = long_lived(&sandbox.user_key(OTHER_ACCOUNT, "guest").unwrap());
    let across = sts(&sandbox, guest)
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1");
    assert_eq!(code(across.send().await), "AccessDenied");
    assert_eq!(sandbox.sessions(), Vec::new());
}

#[tokio::test]
async fn the_callers_own_identity_cannot_be_denied() {
    let mut estate = estate();
    let deny = policy(json!({ "Effect": "Deny", "Action": "*", "Resource": "*" }));
    estate.accounts[0].users[2]
        .inline
        .insert("nothing".into(), deny.into());
    let sandbox = start_with(estate).await;
    let client = sts(&sandbox, user(&sandbox, "nobody"));
    assert!(client.get_caller_identity().send().await.is_ok());
    assert_eq!(
        code(
            client
                .assume_role()
                .role_arn(DEPLOY)
                .role_session_name("xx")
                .send()
                .await
        ),
        "AccessDenied"
    );
}

/// A role whose trust policy has one condition.
async fn conditioned(actions: &[&str], condition: serde_json::Value) -> AwsSandbox {
    let mut estate = estate();
    let statement = json!({ "Effect": "Allow", "Action": actions, "Principal": { "AWS": BROKER }, "Condition": condition });
    estate.accounts[0].roles[0].trust = policy(statement).into();
    start_with(estate).await
}

#[tokio::test]
async fn the_external_id_must_be_the_agreed_one() {
    let sandbox = conditioned(
        &["sts:AssumeRole"],
        json!({ "StringEquals": { "sts:ExternalId": "agreed" } }),
    )
    .await;
    assert_eq!(
        code(assume(&sandbox, "broker").send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .external_id("another")
                .send()
                .await
        ),
        "AccessDenied"
    );
    assert!(
        assume(&sandbox, "broker")
            .external_id("agreed")
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_trust_policy_can_demand_the_lease_tag() {
    let both = ["sts:AssumeRole", "sts:TagSession"];
    let sandbox = conditioned(&both, json!({ "Null": { "aws:RequestTag/jl": "false" } })).await;
    assert_eq!(
        code(assume(&sandbox, "broker").send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(assume(&sandbox, "broker").tags(tag("jx", "1")).send().await),
        "AccessDenied"
    );
    assert!(
        assume(&sandbox, "broker")
            .tags(tag("jl", "1"))
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_trust_policy_can_limit_the_tag_keys() {
    let both = ["sts:AssumeRole", "sts:TagSession"];
    let sandbox = conditioned(
        &both,
        json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["jl"] } }),
    )
    .await;
    assert!(
        assume(&sandbox, "broker")
            .tags(tag("jl", "1"))
            .send()
            .await
            .is_ok()
    );
    let more = assume(&sandbox, "broker")
        .tags(tag("jl", "1"))
        .tags(tag("admin", "1"));
    assert_eq!(code(more.send().await), "AccessDenied");
}

#[tokio::test]
async fn tags_and_source_identity_need_actions_of_their_own() {
    let sandbox = conditioned(&["sts:AssumeRole"], json!({})).await;
    assert!(assume(&sandbox, "broker").send().await.is_ok());
    assert_eq!(
        code(assume(&sandbox, "broker").tags(tag("jl", "1")).send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .source_identity("anna")
                .send()
                .await
        ),
        "AccessDenied"
    );
}

#[tokio::test]
async fn a_trust_policy_can_demand_session_name_and_source_identity() {
    let all = ["sts:AssumeRole", "sts:SetSourceIdentity"];
    let condition = json!({ "StringLike": { "sts:RoleSessionName": "lease-*", "sts:SourceIdentity": "lease-*" } });
    let sandbox = conditioned(&all, condition).await;
    assert!(
        assume(&sandbox, "broker")
            .source_identity("lease-1")
            .send()
            .await
            .is_ok()
    );
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .source_identity("anna")
                .send()
                .await
        ),
        "AccessDenied"
    );
    let other_name = assume(&sandbox, "broker")
        .source_identity("lease-1")
        .role_session_name("anna");
    assert_eq!(code(other_name.send().await), "AccessDenied");
}

#[tokio::test]
async fn durations_have_a_floor_and_a_ceiling() {
    let sandbox = start().await;
    for (seconds, expected) in [
        (899, false),
        (900, true),
        (7_200, true),
        (7_201, false),
        (43_201, false),
        (0, false),
    ] {
        let result = assume(&sandbox, "broker")
            .duration_seconds(seconds)
            .send()
            .await;
        match expected {
            true => assert!(result.is_ok(), "{seconds}"),
            false => assert_eq!(code(result), "ValidationError", "{seconds}"),
        }
    }
    assume(&sandbox, "broker").send().await.unwrap();
    let info = sandbox.sessions().pop().unwrap();
    assert_eq!(info.expires.duration_since(info.issued).as_secs(), 3_600);
}

#[tokio::test]
async fn names_have_lengths_and_characters() {
    let sandbox = start().await;
    for (name, expected) in [
        ("a", false),
        ("ab", true),
        ("a+b=c,d.e@f-g_h", true),
        ("repo:acme/shop", false),
        ("a b", false),
        ("ü-lease", false),
        (&"x".repeat(64), true),
        (&"x".repeat(65), false),
    ] {
        for result in [
            assume(&sandbox, "broker")
                .role_session_name(name)
                .send()
                .await,
            assume(&sandbox, "broker")
                .source_identity(name)
                .send()
                .await,
        ] {
            match expected {
                true => assert!(result.is_ok(), "{name}"),
                false => assert_eq!(code(result), "ValidationError", "{name}"),
            }
        }
    }
    assert_eq!(
        code(assume(&sandbox, "broker").external_id("a").send().await),
        "ValidationError"
    );
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .role_arn("role/deploy")
                .send()
                .await
        ),
        "ValidationError"
    );
}

#[tokio::test]
async fn tags_have_limits() {
    let sandbox = start().await;
    let with = |tags: Vec<(String, String)>| {
        let tags = tags.iter().map(|(key, value)| tag(key, value)).collect();
        assume(&sandbox, "broker").set_tags(Some(tags)).send()
    };
    let one = |key: &str, value: &str| with(vec![(key.to_owned(), value.to_owned())]);
    let many = |count: usize| {
        (0..count)
            .map(|number| (format!("k{number}"), "v".to_owned()))
            .collect::<Vec<_>>()
    };
    assert!(with(many(50)).await.is_ok());
    assert_eq!(code(with(many(51)).await), "ValidationError");
    assert!(one(&"k".repeat(128), &"v".repeat(256)).await.is_ok());
    assert_eq!(code(one(&"k".repeat(129), "v").await), "ValidationError");
    assert_eq!(code(one("k", &"v".repeat(257)).await), "ValidationError");
    assert_eq!(code(one("", "v").await), "ValidationError");
    assert_eq!(code(one("k", "a*b").await), "ValidationError");
    assert_eq!(code(one("aws:k", "v").await), "ValidationError");
    let twice = vec![
        ("jl".to_owned(), "1".to_owned()),
        ("JL".to_owned(), "2".to_owned()),
    ];
    assert_eq!(code(with(twice).await), "InvalidInput");
    let packed = (0..40)
        .map(|number| (format!("k{number}"), "v".repeat(200)))
        .collect();
    assert_eq!(code(with(packed).await), "PackedPolicyTooLarge");
}

#[tokio::test]
async fn session_policies_have_limits() {
    let sandbox = start().await;
    let with = |policy: String| assume(&sandbox, "broker").policy(policy).send();
    let of_length = |length: usize| {
        let base = allow(&["s3:GetObject"], &[""]).len() + "arn:aws:s3:::artifacts-prod/".len();
        allow(
            &["s3:GetObject"],
            &[&format!(
                "arn:aws:s3:::artifacts-prod/{}",
                "k".repeat(length - base)
            )],
        )
    };
    assert_eq!(of_length(2_048).len(), 2_048);
    assert!(with(of_length(2_048)).await.is_ok());
    assert_eq!(code(with(of_length(2_049)).await), "ValidationError");
    for malformed in [
        "{}",
        "not json",
        r#"{"Version":"2012-10-17","Statement":[]}"#,
    ] {
        assert_eq!(
            code(with(malformed.to_owned()).await),
            "MalformedPolicyDocument",
            "{malformed}"
        );
    }
    let with_principal =
        policy(json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*" }));
    assert_eq!(code(with(with_principal).await), "MalformedPolicyDocument");
}

#[tokio::test]
async fn managed_session_policies_narrow_and_have_limits() {
    let mut estate = estate();
    let reads = ManagedPolicy::new("reads", allow(&["s3:GetObject"], &["*"]));
    estate.accounts[0].managed_policies.push(reads.clone());
    estate.accounts[1].managed_policies.push(reads);
    let sandbox = start_with(estate).await;
    let arn = |account: &str, name: &str| {
        PolicyDescriptorType::builder()
            .arn(format!("arn:aws:iam::{account}:policy/{name}"))
            .build()
    };
    let with = |arns: Vec<PolicyDescriptorType>| {
        assume(&sandbox, "broker")
            .set_policy_arns(Some(arns))
            .send()
    };
    assert_eq!(
        code(with(vec![arn(OTHER_ACCOUNT, "reads")]).await),
        "MalformedPolicyDocument"
    );
    assert_eq!(
        code(with(vec![arn(ACCOUNT, "missing")]).await),
        "MalformedPolicyDocument"
    );
    assert_eq!(
        code(with(vec![arn(ACCOUNT, "reads"); 11]).await),
        "ValidationError"
    );
    let narrowed = temporary(
        with(vec![arn(ACCOUNT, "reads")])
            .await
            .unwrap()
            .credentials()
            .unwrap(),
    );
    assert!(!may_put(&sandbox, &narrowed).await);
    let read = s3(&sandbox, narrowed)
        .get_object()
        .bucket(BUCKET)
        .key("releases/old.txt")
        .send()
        .await;
    assert!(read.is_ok());
}

#[tokio::test]
async fn a_token_can_be_asked_to_be_large() {
    let sandbox = start().await;
    let answer = assume(&sandbox, "broker")
        .minimum_session_token_size(4_096)
        .send()
        .await
        .unwrap();
    assert!(answer.session_token_size().unwrap() >= 4_096);
    assert!(answer.packed_policy_size_is_absent());
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .minimum_session_token_size(4_097)
                .send()
                .await
        ),
        "ValidationError"
    );
}

trait PackedPolicySize {
    fn packed_policy_size_is_absent(&self) -> bool;
}

impl PackedPolicySize for aws_sdk_sts::operation::assume_role::AssumeRoleOutput {
    #[allow(deprecated)]
    fn packed_policy_size_is_absent(&self) -> bool {
        self.packed_policy_size().is_none()
    }
}

#[tokio::test]
async fn operations_that_are_not_here_say_so() {
    let sandbox = start().await;
    let client = sts(&sandbox, user(&sandbox, "broker"));
    assert_eq!(
        code(client.get_session_token().send().await),
        "InvalidAction"
    );
    assert_eq!(
        code(client.get_federation_token().name("x1").send().await),
        "InvalidAction"
    );
    let web = client
        .assume_role_with_web_identity()
        .role_arn(DEPLOY)
        .role_session_name("x1");
    assert_eq!(
        code(web.web_identity_token("a.b.c").send().await),
        "InvalidAction"
    );
}

#[tokio::test]
async fn a_role_in_another_account_needs_both_sides() {
    let mut estate = estate();
    estate.accounts[1]
        .roles
        .push(Role::new("member", trust(BROKER)));
    estate.accounts[1]
        .roles
        .push(Role::new("closed", trust(OTHER_ACCOUNT)));
    let sandbox = start_with(estate).await;
    let arn = |name: &str| format!("arn:aws:iam::{OTHER_ACCOUNT}:role/{name}");
    assert!(
        assume(&sandbox, "broker")
            .role_arn(arn("member"))
            .send()
            .await
            .is_ok()
    );
    assert_eq!(
        code(
            assume(&sandbox, "broker")
                .role_arn(arn("closed"))
                .send()
                .await
        ),
        "AccessDenied"
    );
    assert_eq!(
        code(
            assume(&sandbox, "nobody")
                .role_arn(arn("member"))
                .send()
                .await
        ),
        "AccessDenied"
    );
}
