//! Managed policies: sizes, versions, attachments, boundaries.

use aws_sdk_iam::Client;
use jitney_sandbox::aws::AwsSandbox;

use crate::cloud::*;
use crate::iam::of_length;

const ARN: &str = "arn:aws:iam::111122223333:policy/rules";

async fn with_policy() -> (AwsSandbox, Client) {
    let sandbox = start().await;
    let client = iam(&sandbox, root(&sandbox));
    let made = client
        .create_policy()
        .policy_name("rules")
        .policy_document(of_length(200))
        .send()
        .await
        .unwrap();
    assert_eq!(made.policy().unwrap().arn(), Some(ARN));
    (sandbox, client)
}

#[tokio::test]
async fn a_managed_policy_has_a_size() {
    let (_sandbox, client) = with_policy().await;
    let create = |name: &str, length| {
        client
            .create_policy()
            .policy_name(name)
            .policy_document(of_length(length))
            .send()
    };
    assert!(create("fits", 6_144).await.is_ok());
    assert_eq!(code(create("large", 6_145).await), "LimitExceeded");
    assert_eq!(code(create("Rules", 200).await), "EntityAlreadyExists");
    let version = client
        .create_policy_version()
        .policy_arn(ARN)
        .policy_document(of_length(6_145));
    assert_eq!(code(version.send().await), "LimitExceeded");
}

#[tokio::test]
async fn there_are_at_most_five_versions_and_numbers_are_not_used_twice() {
    let (_sandbox, client) = with_policy().await;
    let create = |length| {
        client
            .create_policy_version()
            .policy_arn(ARN)
            .policy_document(of_length(length))
            .send()
    };
    for length in 201..205 {
        create(length).await.unwrap();
    }
    assert_eq!(code(create(205).await), "LimitExceeded");
    let delete = |id: &str| {
        client
            .delete_policy_version()
            .policy_arn(ARN)
            .version_id(id)
            .send()
    };
    assert_eq!(code(delete("v1").await), "DeleteConflict");
    assert_eq!(code(delete("v9").await), "NoSuchEntity");
    assert_eq!(code(delete("9").await), "ValidationError");
    delete("v5").await.unwrap();
    let made = create(205).await.unwrap();
    assert_eq!(made.policy_version().unwrap().version_id(), Some("v6"));
    let listed = client
        .list_policy_versions()
        .policy_arn(ARN)
        .send()
        .await
        .unwrap();
    let ids: Vec<&str> = listed
        .versions()
        .iter()
        .filter_map(|version| version.version_id())
        .collect();
    assert_eq!(ids, ["v6", "v4", "v3", "v2", "v1"]);
}

#[tokio::test]
async fn a_version_is_read_back_and_made_the_default() {
    let (_sandbox, client) = with_policy().await;
    let document = of_length(300);
    client
        .create_policy_version()
        .policy_arn(ARN)
        .policy_document(&document)
        .send()
        .await
        .unwrap();
    let read = client
        .get_policy_version()
        .policy_arn(ARN)
        .version_id("v2")
        .send()
        .await
        .unwrap();
    let version = read.policy_version().unwrap();
    assert!(!version.is_default_version());
    let decoded = percent_encoding::percent_decode_str(version.document().unwrap())
        .decode_utf8()
        .unwrap();
    assert_eq!(decoded, document);
    client
        .set_default_policy_version()
        .policy_arn(ARN)
        .version_id("v2")
        .send()
        .await
        .unwrap();
    let policy = client.get_policy().policy_arn(ARN).send().await.unwrap();
    assert_eq!(policy.policy().unwrap().default_version_id(), Some("v2"));
    let set = client
        .set_default_policy_version()
        .policy_arn(ARN)
        .version_id("v7");
    assert_eq!(code(set.send().await), "NoSuchEntity");
}

#[tokio::test]
async fn an_attached_policy_grants_and_cannot_be_deleted() {
    let (sandbox, client) = with_policy().await;
    let delete_inline = client
        .delete_role_policy()
        .role_name("deploy")
        .policy_name("base");
    delete_inline.send().await.unwrap();
    let lease = lease(&sandbox, "lease-1").await;
    assert!(!may_put(&sandbox, &lease).await);
    let all = allow(&["s3:*"], &["*"]);
    let version = client
        .create_policy_version()
        .policy_arn(ARN)
        .policy_document(all)
        .set_as_default(true);
    version.send().await.unwrap();
    let attach = || {
        client
            .attach_role_policy()
            .role_name("deploy")
            .policy_arn(ARN)
            .send()
    };
    attach().await.unwrap();
    attach().await.unwrap();
    assert!(may_put(&sandbox, &lease).await);
    let listed = client
        .list_attached_role_policies()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.attached_policies().len(), 1);
    assert_eq!(listed.attached_policies()[0].policy_arn(), Some(ARN));
    assert_eq!(
        client
            .get_policy()
            .policy_arn(ARN)
            .send()
            .await
            .unwrap()
            .policy()
            .unwrap()
            .attachment_count(),
        Some(1)
    );

    assert_eq!(
        code(client.delete_policy().policy_arn(ARN).send().await),
        "DeleteConflict"
    );
    assert_eq!(
        code(client.delete_role().role_name("deploy").send().await),
        "DeleteConflict"
    );
    let detach = || {
        client
            .detach_role_policy()
            .role_name("deploy")
            .policy_arn(ARN)
            .send()
    };
    detach().await.unwrap();
    assert_eq!(code(detach().await), "NoSuchEntity");
    assert!(!may_put(&sandbox, &lease).await);
    assert_eq!(
        code(client.delete_policy().policy_arn(ARN).send().await),
        "DeleteConflict",
        "two versions"
    );
    client
        .delete_policy_version()
        .policy_arn(ARN)
        .version_id("v1")
        .send()
        .await
        .unwrap();
    client.delete_policy().policy_arn(ARN).send().await.unwrap();
    assert_eq!(
        code(client.get_policy().policy_arn(ARN).send().await),
        "NoSuchEntity"
    );
}

#[tokio::test]
async fn ten_policies_can_be_attached_and_an_eleventh_cannot() {
    let (_sandbox, client) = with_policy().await;
    for number in 0..11 {
        let name = format!("p{number}");
        client
            .create_policy()
            .policy_name(&name)
            .policy_document(of_length(200))
            .send()
            .await
            .unwrap();
        let arn = format!("arn:aws:iam::111122223333:policy/{name}");
        let attached = client
            .attach_role_policy()
            .role_name("deploy")
            .policy_arn(arn)
            .send()
            .await;
        match number {
            10 => assert_eq!(code(attached), "LimitExceeded"),
            _ => assert!(attached.is_ok()),
        }
    }
    let missing = client
        .attach_role_policy()
        .role_name("deploy")
        .policy_arn("arn:aws:iam::111122223333:policy/none");
    assert_eq!(code(missing.send().await), "NoSuchEntity");
}

#[tokio::test]
async fn a_boundary_takes_away_and_never_grants() {
    let (sandbox, client) = with_policy().await;
    let lease = lease(&sandbox, "lease-1").await;
    let put = |arn: &str| {
        client
            .put_role_permissions_boundary()
            .role_name("deploy")
            .permissions_boundary(arn)
            .send()
    };
    assert_eq!(
        code(put("arn:aws:iam::111122223333:policy/none").await),
        "NoSuchEntity"
    );
    put(ARN).await.unwrap();
    assert!(
        !may_put(&sandbox, &lease).await,
        "the boundary is silent about it"
    );
    let role = client.get_role().role_name("deploy").send().await.unwrap();
    let boundary = role.role().unwrap().permissions_boundary().unwrap();
    assert_eq!(boundary.permissions_boundary_arn(), Some(ARN));
    assert_eq!(
        code(client.delete_policy().policy_arn(ARN).send().await),
        "DeleteConflict"
    );
    // The boundary allows everything, the role's own policy nothing: still nothing.
    let all = allow(&["*"], &["*"]);
    let version = client
        .create_policy_version()
        .policy_arn(ARN)
        .policy_document(all)
        .set_as_default(true);
    version.send().await.unwrap();
    assert!(may_put(&sandbox, &lease).await);
    client
        .delete_role_policy()
        .role_name("deploy")
        .policy_name("base")
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &lease).await);
    let delete = || {
        client
            .delete_role_permissions_boundary()
            .role_name("deploy")
            .send()
    };
    delete().await.unwrap();
    assert_eq!(code(delete().await), "NoSuchEntity");
}

#[tokio::test]
async fn policies_are_listed() {
    let (_sandbox, client) = with_policy().await;
    let listed = client
        .list_policies()
        .scope(aws_sdk_iam::types::PolicyScopeType::Local)
        .send()
        .await
        .unwrap();
    assert_eq!(listed.policies().len(), 1);
    let attached = client
        .list_policies()
        .only_attached(true)
        .send()
        .await
        .unwrap();
    assert!(attached.policies().is_empty());
}
