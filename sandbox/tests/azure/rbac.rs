//! Role assignments: names and tuples, lists, rights of the caller, limits.

use jitney_sandbox::azure::{Permission, RoleDefinition, Settings, builtin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

#[tokio::test]
async fn a_name_belongs_to_a_tuple_and_a_tuple_to_a_name() {
    let bench = start().await;
    let first = bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert_eq!(first.0, 201);
    assert_eq!(first.1["properties"]["scope"], json!(container()));
    let again = bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert_eq!(again, (200, first.1.clone()));
    let other_role = bench
        .assign(&container(), name(1), builtin::BLOB_DATA_OWNER, SLOT)
        .await;
    assert_eq!(
        refusal(&other_role),
        (409, "RoleAssignmentUpdateNotPermitted")
    );
    let other_name = bench
        .assign(&container(), name(2), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert_eq!(refusal(&other_name), (409, "RoleAssignmentExists"));
    let elsewhere = bench
        .assign(&group(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert_eq!(
        refusal(&elsewhere),
        (409, "RoleAssignmentUpdateNotPermitted")
    );
    assert_eq!(bench.sandbox.keeps(SLOT).len(), 1);
}

#[tokio::test]
async fn deleting_answers_what_was_there_and_then_nothing() {
    let bench = start().await;
    let put = bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    let elsewhere = bench.unassign(&group(), name(1)).await;
    assert_eq!(elsewhere.0, 204, "a name at another scope is another one");
    let by_id = put.1["id"].as_str().unwrap();
    let deleted = bench.broker(Method::DELETE, by_id, RBAC, None).await;
    assert_eq!((deleted.0, &deleted.1["name"]), (200, &put.1["name"]));
    assert_eq!(
        bench.unassign(&container(), name(1)).await,
        (204, Value::Null)
    );
    assert_eq!(
        refusal(&bench.get(by_id, RBAC).await),
        (404, "RoleAssignmentNotFound")
    );
}

#[tokio::test]
async fn a_list_goes_up_and_down_and_a_filter_narrows_it() {
    let bench = start().await;
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    bench
        .assign(&subscription(), name(2), builtin::READER, OTHER_SLOT)
        .await;
    let names = async |scope: &str, filter: &str| {
        let path =
            format!("{scope}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}");
        let (status, body) = bench.get(&path, RBAC).await;
        assert_eq!(status, 200, "{body}");
        let all = body["value"].as_array().unwrap().iter();
        all.filter_map(|one| one["properties"]["principalId"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let text = |id: uuid::Uuid| id.to_string();
    assert_eq!(
        names(&group(), "").await,
        [text(BROKER), text(SLOT), text(OTHER_SLOT)]
    );
    assert_eq!(
        names(&group(), "atScope()").await,
        [text(BROKER), text(OTHER_SLOT)]
    );
    assert_eq!(
        names(&group(), &format!("principalId eq '{SLOT}'")).await,
        [text(SLOT)]
    );
    assert_eq!(
        names(&group(), &format!("atScope() and assignedTo('{SLOT}')")).await,
        [""; 0]
    );
    assert_eq!(
        names(&container(), &format!("assignedTo('{SLOT}')")).await,
        [text(SLOT)]
    );
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=everything()",
        group()
    );
    assert_eq!(
        refusal(&bench.get(&path, RBAC).await),
        (400, "UnsupportedQuery")
    );
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let settings = Settings {
        page_size: 2,
        ..Settings::default()
    };
    let bench = start_with(estate(), settings).await;
    for (number, role) in [
        (1, builtin::READER),
        (2, builtin::ACR_PULL),
        (3, builtin::ACR_PUSH),
        (4, builtin::BLOB_DATA_READER),
    ] {
        bench.assign(&group(), name(number), role, SLOT).await;
    }
    let token = bench.token(BROKER, ARM).await;
    let mut next = format!(
        "{}{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{SLOT}'&api-version={RBAC}",
        bench.sandbox.url(),
        group()
    );
    let mut sizes = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let (status, body) = answered(bench.http.get(&next).bearer_auth(&token)).await;
        assert_eq!(status, 200, "{body}");
        let page = body["value"].as_array().unwrap();
        sizes.push(page.len());
        seen.extend(page.iter().map(|one| one["name"].to_string()));
        match body["nextLink"].as_str() {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!((sizes, seen.len()), (vec![2, 2], 4));
}

#[tokio::test]
async fn principals_and_roles_must_be_there() {
    let bench = start().await;
    let stranger = name(99);
    let mut body = assignment(builtin::READER, stranger);
    assert_eq!(
        bench
            .put_assignment(&group(), name(1), body.clone())
            .await
            .0,
        201,
        "with a type it may be too new to be known"
    );
    body["properties"]
        .as_object_mut()
        .unwrap()
        .remove("principalType");
    let unknown = bench.put_assignment(&group(), name(2), body).await;
    assert_eq!(refusal(&unknown), (400, "PrincipalNotFound"));
    let mut body = assignment(builtin::READER, USER);
    let mistyped = bench.put_assignment(&group(), name(3), body.clone()).await;
    assert_eq!(refusal(&mistyped), (400, "UnmatchedPrincipalType"));
    body["properties"]["principalType"] = json!("User");
    assert_eq!(bench.put_assignment(&group(), name(3), body).await.0, 201);
    let no_role = bench.assign(&group(), name(4), name(98), SLOT).await;
    assert_eq!(refusal(&no_role), (404, "RoleDefinitionDoesNotExist"));
}

#[tokio::test]
async fn a_malformed_assignment_is_refused() {
    let bench = start().await;
    for (field, value, expected) in [
        ("principalId", Value::Null, "InvalidRequestContent"),
        ("principalId", json!("me"), "InvalidRequestContent"),
        ("roleDefinitionId", Value::Null, "InvalidRequestContent"),
        (
            "roleDefinitionId",
            json!(builtin::READER),
            "InvalidRoleDefinitionId",
        ),
        ("principalType", json!("Robot"), "InvalidRequestContent"),
        (
            "createdOn",
            json!("2026-01-01T00:00:00Z"),
            "UnwritableField",
        ),
        ("princpalType", json!("User"), "UnwritableField"),
    ] {
        let mut body = assignment(builtin::READER, SLOT);
        body["properties"][field] = value.clone();
        let answer = bench.put_assignment(&group(), name(1), body).await;
        assert_eq!(refusal(&answer), (400, expected), "{field}={value}");
    }
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/lease-1",
        group()
    );
    let answer = bench
        .broker(
            Method::PUT,
            &path,
            RBAC,
            Some(assignment(builtin::READER, SLOT)),
        )
        .await;
    assert_eq!(refusal(&answer), (400, "InvalidRoleAssignmentId"));
    let mut settings = bench.sandbox.settings();
    settings.strict_bodies = false;
    bench.sandbox.set_settings(settings);
    let mut body = assignment(builtin::READER, SLOT);
    body["properties"]["princpalType"] = json!("User");
    assert_eq!(
        bench.put_assignment(&group(), name(1), body).await.0,
        201,
        "as Azure does"
    );
}

#[tokio::test]
async fn a_subscription_takes_no_more_than_its_limit() {
    let bench = start_with(estate().role_assignments_max(3), Settings::default()).await;
    assert_eq!(
        bench
            .assign(&group(), name(1), builtin::READER, SLOT)
            .await
            .0,
        201
    );
    assert_eq!(
        bench
            .assign(&group(), name(2), builtin::ACR_PULL, SLOT)
            .await
            .0,
        201
    );
    let over = bench
        .assign(&container(), name(3), builtin::READER, SLOT)
        .await;
    assert_eq!(refusal(&over), (400, "RoleAssignmentLimitExceeded"));
    assert_eq!(
        bench
            .assign(&group(), name(1), builtin::READER, SLOT)
            .await
            .0,
        200,
        "what is there stays"
    );
    bench.unassign(&group(), name(2)).await;
    assert_eq!(
        bench
            .assign(&container(), name(3), builtin::READER, SLOT)
            .await
            .0,
        201
    );
}

#[tokio::test]
async fn nobody_gives_what_they_may_not() {
    let estate = estate().assignment(&group(), builtin::RBAC_ADMINISTRATOR, OTHER_SLOT, None);
    let bench = start_with(estate, Settings::default()).await;
    let at = |scope: &str| {
        format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
            name(1)
        )
    };
    let body = assignment(builtin::READER, SLOT);
    let slot = bench.token(SLOT, ARM).await;
    let refused = bench
        .arm(
            &slot,
            Method::PUT,
            &at(&container()),
            RBAC,
            Some(body.clone()),
        )
        .await;
    assert_eq!(refusal(&refused), (403, "AuthorizationFailed"));
    let other = bench.token(OTHER_SLOT, ARM).await;
    let above = bench
        .arm(
            &other,
            Method::PUT,
            &at(&subscription()),
            RBAC,
            Some(body.clone()),
        )
        .await;
    assert_eq!(refusal(&above), (403, "AuthorizationFailed"));
    let below = bench
        .arm(&other, Method::PUT, &at(&container()), RBAC, Some(body))
        .await;
    assert_eq!(below.0, 201);
    let delete = bench
        .arm(&slot, Method::DELETE, &at(&container()), RBAC, None)
        .await;
    assert_eq!(refusal(&delete), (403, "AuthorizationFailed"));
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments",
        group()
    );
    let read = bench.arm(&slot, Method::GET, &list, RBAC, None).await;
    assert_eq!(refusal(&read), (403, "AuthorizationFailed"));
}

#[tokio::test]
async fn roles_are_listed_by_name_and_kind() {
    let own = RoleDefinition::custom(
        name(50),
        "Deployer",
        Permission {
            actions: vec!["Microsoft.Web/sites/*".to_owned()],
            ..Permission::default()
        },
    );
    let bench = start_with(estate().role(own), Settings::default()).await;
    let list = async |filter: &str| {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions?$filter={filter}",
            subscription()
        );
        let (status, body) = bench.get(&path, RBAC).await;
        assert_eq!(status, 200, "{body}");
        body["value"].as_array().unwrap().clone()
    };
    let [reader] = list("roleName eq 'Storage Blob Data Reader'")
        .await
        .try_into()
        .unwrap();
    assert_eq!(reader["name"], json!(builtin::BLOB_DATA_READER));
    let [custom] = list("type eq 'CustomRole'").await.try_into().unwrap();
    assert_eq!(
        custom["properties"]["permissions"][0]["actions"],
        json!(["Microsoft.Web/sites/*"])
    );
    assert_eq!(
        list("").await.len(),
        list("type eq 'BuiltInRole'").await.len() + 1
    );
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions?$filter=colour eq 'red'",
        subscription()
    );
    assert_eq!(
        refusal(&bench.get(&path, RBAC).await),
        (400, "UnsupportedQuery")
    );
    let one = bench.get(&role(builtin::OWNER), RBAC).await;
    assert_eq!(one.1["properties"]["roleName"], "Owner");
    assert_eq!(refusal(&bench.get(&role(name(97)), RBAC).await).0, 404);
}

#[tokio::test]
async fn reading_a_resource_shows_whether_a_role_is_in_force() {
    let bench = start().await;
    let token = bench.token(SLOT, ARM).await;
    let account = container()
        .split("/blobServices")
        .next()
        .unwrap()
        .to_owned();
    let read = async |path: &str, version: &str| {
        bench.arm(&token, Method::GET, path, version, None).await.0
    };
    assert_eq!(read(&account, "2023-01-01").await, 403);
    assert_eq!(read(&group(), "2021-04-01").await, 403);
    let mine = bench
        .arm(&token, Method::GET, "/subscriptions", "2022-12-01", None)
        .await;
    assert_eq!(mine.1["value"], json!([]));
    bench.assign(&group(), name(1), builtin::READER, SLOT).await;
    assert_eq!(read(&account, "2023-01-01").await, 200);
    assert_eq!(read(&group(), "2021-04-01").await, 200);
    assert_eq!(
        read(&subscription(), "2021-04-01").await,
        403,
        "a role works at its scope and below"
    );
    let mine = bench
        .arm(&token, Method::GET, "/subscriptions", "2022-12-01", None)
        .await;
    assert_eq!(mine.1["value"][0]["subscriptionId"], json!(SUBSCRIPTION));
}
