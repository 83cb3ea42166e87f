//! Conditions at work: on blobs, and on a broker that gives roles.

use jitney_sandbox::azure::{Settings, builtin};
use reqwest::Method;
use uuid::Uuid;

use crate::cloud::*;

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const CONTAINER_NAME: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]";
const PATH: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]";
const PREFIX: &str =
    "@Request[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:prefix]";

async fn list(bench: &Bench, token: &str, query: &str) -> u16 {
    let path = format!("{CONTAINER}?restype=container&comp=list{query}");
    bench
        .blob(token, Method::GET, &path)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[tokio::test]
async fn a_role_on_the_account_is_narrowed_to_a_container_and_a_path() {
    let bench = start().await;
    let account = container()
        .split("/blobServices")
        .next()
        .unwrap()
        .to_owned();
    let condition =
        format!("{CONTAINER_NAME} StringEquals '{CONTAINER}' AND {PATH} StringStartsWith 'v1/'");
    let body = conditioned(builtin::BLOB_DATA_CONTRIBUTOR, SLOT, &condition);
    let put = bench.put_assignment(&account, name(1), body).await;
    assert_eq!(put.0, 201, "{}", put.1);
    assert_eq!(put.1["properties"]["conditionVersion"], "2.0");
    let token = bench.token(SLOT, STORAGE).await;
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);
    assert!(bench.may_write(&token, "releases/v1/b.txt").await);
    assert!(!bench.may_write(&token, "releases/v10/b.txt").await);
    assert!(!bench.may_write(&token, "releases/b.txt").await);
    assert!(!bench.may_write(&token, "other/v1/b.txt").await);
    assert_eq!(list(&bench, &token, "").await, 403, "a list has no path");
}

#[tokio::test]
async fn listing_is_reading_of_another_kind() {
    let bench = start().await;
    let condition = format!(
        "(!(ActionMatches{{'{BLOBS}/read'}} AND SubOperationMatches{{'Blob.List'}}) OR {PREFIX} StringStartsWith 'v1/')
         AND (!(ActionMatches{{'{BLOBS}/read'}} AND NOT SubOperationMatches{{'Blob.List'}}) OR {PATH} StringLike 'v1/*')"
    );
    let body = conditioned(builtin::BLOB_DATA_READER, SLOT, &condition);
    assert_eq!(
        bench.put_assignment(&container(), name(1), body).await.0,
        201
    );
    let token = bench.token(SLOT, STORAGE).await;
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);
    assert!(!bench.may_read(&token, "releases/v2/a.txt").await);
    assert_eq!(list(&bench, &token, "&prefix=v1/").await, 200);
    assert_eq!(list(&bench, &token, "&prefix=v").await, 403);
    assert_eq!(list(&bench, &token, "").await, 403);
}

/// The documented hole: a blob is created by `write` or by `add/action`, and a condition that names one guards
/// neither.
#[tokio::test]
async fn a_condition_that_forgets_an_action_holds_nothing_back() {
    let bench = start().await;
    let condition = format!("!(ActionMatches{{'{BLOBS}/write'}}) OR {PATH} StringStartsWith 'v1/'");
    let body = conditioned(builtin::BLOB_DATA_CONTRIBUTOR, SLOT, &condition);
    bench.put_assignment(&container(), name(1), body).await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(bench.may_write(&token, "releases/new.txt").await, "added");
    assert!(
        !bench.may_write(&token, "releases/new.txt").await,
        "and not written again"
    );
}

#[tokio::test]
async fn a_condition_is_understood_or_refused() {
    let bench = start().await;
    let put = async |role: Uuid, condition: &str, version: &str| {
        let mut body = conditioned(role, SLOT, condition);
        body["properties"]["conditionVersion"] = version.into();
        let answer = bench.put_assignment(&container(), name(1), body).await;
        (answer.0, refusal(&answer).1.to_owned())
    };
    let refused = || (400, "InvalidCondition".to_owned());
    let good = format!("{CONTAINER_NAME} StringEquals 'releases'");
    assert_eq!(
        put(builtin::BLOB_DATA_READER, "true", "2.0").await,
        refused()
    );
    assert_eq!(
        put(builtin::BLOB_DATA_READER, &good, "1.0").await,
        refused()
    );
    assert_eq!(
        put(builtin::READER, &good, "2.0").await,
        refused(),
        "a role without such actions"
    );
    assert_eq!(bench.sandbox.keeps(SLOT), Vec::new());
    assert_eq!(put(builtin::BLOB_DATA_READER, &good, "2.0").await.0, 201);
}

/// Two assignments: the one without a condition wins.
#[tokio::test]
async fn any_assignment_is_enough() {
    let bench = start().await;
    let never = format!("{CONTAINER_NAME} StringEquals 'elsewhere'");
    let body = conditioned(builtin::BLOB_DATA_READER, SLOT, &never);
    bench.put_assignment(&container(), name(1), body).await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(!bench.may_read(&token, "releases/v1/a.txt").await);
    bench
        .assign(&group(), name(2), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);
}

#[tokio::test]
async fn another_condition_under_the_same_name_replaces_it() {
    let bench = start().await;
    let only = |path: &str| {
        conditioned(
            builtin::BLOB_DATA_READER,
            SLOT,
            &format!("{PATH} StringStartsWith '{path}'"),
        )
    };
    bench
        .put_assignment(&container(), name(1), only("v2/"))
        .await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(!bench.may_read(&token, "releases/v1/a.txt").await);
    assert_eq!(
        bench
            .put_assignment(&container(), name(1), only("v1/"))
            .await
            .0,
        200
    );
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);
    assert_eq!(bench.sandbox.keeps(SLOT).len(), 1);
}

#[tokio::test]
async fn a_broker_is_held_to_its_roles_and_its_slots() {
    let ids = |field: &str, source: &str, list: &[Uuid]| {
        let list: Vec<String> = list.iter().map(Uuid::to_string).collect();
        format!(
            "@{source}[Microsoft.Authorization/roleAssignments:{field}] ForAnyOfAnyValues:GuidEquals {{{}}}",
            list.join(", ")
        )
    };
    let both = |source: &str| {
        let roles = ids(
            "RoleDefinitionId",
            source,
            &[builtin::BLOB_DATA_READER, builtin::READER],
        );
        format!("{roles} AND {}", ids("PrincipalId", source, &[SLOT]))
    };
    let action =
        |verb: &str| format!("ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}}");
    let condition = format!(
        "(!({}) OR ({})) AND (!({}) OR ({}))",
        action("write"),
        both("Request"),
        action("delete"),
        both("Resource")
    );
    let mut estate = estate().assignment(
        &subscription(),
        builtin::RBAC_ADMINISTRATOR,
        OTHER_SLOT,
        Some(&condition),
    );
    estate = estate.assignment(&container(), builtin::BLOB_DATA_OWNER, SLOT, None);
    let bench = start_with(estate, Settings::default()).await;
    let token = bench.token(OTHER_SLOT, ARM).await;
    let at = |name: Uuid| {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{name}",
            container()
        )
    };
    let put = async |number: u128, role: Uuid, principal: Uuid| {
        let body = assignment(role, principal);
        bench
            .arm(&token, Method::PUT, &at(name(number)), RBAC, Some(body))
            .await
            .0
    };
    assert_eq!(put(1, builtin::BLOB_DATA_READER, SLOT).await, 201);
    assert_eq!(
        put(2, builtin::BLOB_DATA_OWNER, SLOT).await,
        403,
        "another role"
    );
    assert_eq!(put(3, builtin::OWNER, OTHER_SLOT).await, 403, "itself");
    assert_eq!(
        put(4, builtin::READER, OTHER_SLOT).await,
        403,
        "another principal"
    );
    let delete = async |name: Uuid| {
        bench
            .arm(&token, Method::DELETE, &at(name), RBAC, None)
            .await
            .0
    };
    let owners = bench
        .sandbox
        .keeps(SLOT)
        .into_iter()
        .find(|grant| grant.role == builtin::BLOB_DATA_OWNER);
    assert_eq!(
        delete(owners.unwrap().name).await,
        403,
        "what it could not give it cannot take"
    );
    assert_eq!(delete(name(1)).await, 200);
}
