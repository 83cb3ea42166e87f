#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const CONTAINER: &str = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]";
const PATH: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]";
const ROLE: &str = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]";

fn condition(text: &str) -> Condition {
    Condition::read(text, Some("2.0")).unwrap_or_else(|error| panic!("{text}: {}", error.message))
}

fn blob<'a>(action: &'a str, container: &str, path: &str) -> Asked<'a> {
    Asked {
        action,
        sub_operation: None,
        attributes: vec![
            (Attribute::ContainerName, container.to_owned()),
            (Attribute::BlobPath, path.to_owned()),
        ],
    }
}

fn path_holds(comparison: &str, path: &str) -> bool {
    condition(&format!("{PATH} {comparison}")).holds(&blob("x", "c", path))
}

#[test]
fn a_container_is_named_exactly() {
    let only = condition(&format!("{CONTAINER} StringEquals 'artifacts'"));
    assert!(only.holds(&blob("x", "artifacts", "a")));
    assert!(!only.holds(&blob("x", "artifacts-prod", "a")));
    assert!(!only.holds(&blob("x", "Artifacts", "a")));
    assert!(
        !only.holds(&Asked::default()),
        "an absent attribute is no match"
    );
    let not = condition(&format!("{CONTAINER} StringNotEquals 'artifacts'"));
    assert!(
        !not.holds(&Asked::default()),
        "not even for a negated operator"
    );
}

#[test]
fn strings_are_compared_as_the_operator_says() {
    assert!(path_holds("StringStartsWith 'releases/'", "releases/1"));
    assert!(!path_holds(
        "StringStartsWith 'releases/'",
        "releases-old/1"
    ));
    assert!(
        !path_holds("StringStartsWith 'rel*'", "releases/1"),
        "no wildcard here"
    );
    assert!(path_holds(
        "StringLike 'releases/*.tgz'",
        "releases/a/b.tgz"
    ));
    assert!(path_holds("StringLike 'v?'", "v1"));
    assert!(!path_holds("StringLike 'v?'", "v12"));
    assert!(
        !path_holds(r"StringLike 'a\*'", "ab"),
        "an escaped star is a star"
    );
    assert!(path_holds(r"StringLike 'a\*'", "a*"));
    assert!(path_holds("StringEqualsIgnoreCase 'A'", "a"));
    assert!(path_holds("StringNotLike 'a*'", "b"));
    assert!(path_holds(r"StringEquals 'it\'s'", "it's"));
}

#[test]
fn the_usual_guard_leaves_other_actions_alone() {
    let guarded = condition(&format!(
        "((!(ActionMatches{{'{BLOBS}/read'}} AND NOT SubOperationMatches{{'Blob.List'}})) OR ({CONTAINER} StringEquals 'a'))"
    ));
    let read = format!("{BLOBS}/read");
    let write = format!("{BLOBS}/write");
    assert!(guarded.holds(&blob(&read, "a", "x")));
    assert!(!guarded.holds(&blob(&read, "b", "x")));
    assert!(
        guarded.holds(&blob(&write, "b", "x")),
        "the hole that a condition has to close"
    );
    let listing = Asked {
        sub_operation: Some("Blob.List"),
        ..blob(&read, "b", "x")
    };
    assert!(guarded.holds(&listing));
}

#[test]
fn and_binds_tighter_than_or_and_not_tighter_than_both() {
    let yes = format!("{CONTAINER} StringEquals 'c'");
    let no = format!("{CONTAINER} StringEquals 'd'");
    let here = blob("x", "c", "p");
    assert!(condition(&format!("{yes} || {no} && {no}")).holds(&here));
    assert!(!condition(&format!("({yes} OR {no}) AND {no}")).holds(&here));
    assert!(!condition(&format!("NOT {yes} OR {no}")).holds(&here));
    assert!(!condition(&format!("!{yes} || {no}")).holds(&here));
}

#[test]
fn a_broker_is_held_to_roles_and_principals() {
    let (reader, owner) = (
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    );
    let limited = condition(&format!(
        "(!(ActionMatches{{'Microsoft.Authorization/roleAssignments/write'}})) OR ({ROLE} ForAnyOfAnyValues:GuidEquals {{{reader}, 2a2b9908-6ea1-4ae2-8e65-a410df84e7d1}})"
    ));
    let write = |role: &str| Asked {
        action: "Microsoft.Authorization/roleAssignments/write",
        sub_operation: None,
        attributes: vec![(Attribute::NewRole, role.to_owned())],
    };
    assert!(limited.holds(&write(&reader.to_uppercase())));
    assert!(!limited.holds(&write(owner)));
    let all_but = condition(&format!(
        "{ROLE} ForAnyOfAllValues:GuidNotEquals {{{owner}, {reader}}}"
    ));
    assert!(!all_but.holds(&write(owner)));
}

#[test]
fn what_is_not_understood_is_refused() {
    let deep = format!(
        "{}{CONTAINER} StringEquals 'a'{}",
        "(".repeat(40),
        ")".repeat(40)
    );
    for text in [
        "",
        "true",
        "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:ContainerName] StringEquals 'a'",
        "@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:a_b] StringEquals 'a'",
        "@Environment[UtcNow] DateTimeGreaterThan '2026-01-01'",
        &format!("{CONTAINER} Equals 'a'"),
        &format!("{CONTAINER} StringEquals a"),
        &format!("{CONTAINER} StringEquals 'a"),
        &format!("{CONTAINER} StringEquals 'a' {CONTAINER} StringEquals 'a'"),
        &format!("{CONTAINER} StringEquals {{'a', 'b'}}"),
        &format!("{CONTAINER} StringEquals \"a\""),
        &format!("({CONTAINER} StringEquals 'a'"),
        &format!("{ROLE} GuidEquals 'reader'"),
        &format!(r"{CONTAINER} StringEquals 'a\n'"),
        "ActionMatches{'Microsoft.Compute/virtualMachines/read'}",
        "SubOperationMatches{'Blob.Everything'}",
        &deep,
    ] {
        let error = Condition::read(text, Some("2.0")).expect_err(text);
        assert_eq!(error.status, 400);
        assert!(
            error
                .message
                .starts_with("The given role assignment condition is invalid."),
            "{}",
            error.message
        );
    }
    let good = format!("{CONTAINER} StringEquals 'a'");
    assert!(Condition::read(&good, Some("1.0")).is_err());
    assert!(Condition::read(&good, None).is_err());
}
