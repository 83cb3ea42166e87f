//! What a broker's lease really does: rights come and go with the effect lag, and a kept token wakes again.

use jitney_sandbox::azure::{EndedBy, Settings, builtin};
use reqwest::Method;

use crate::cloud::*;

fn lagging() -> Settings {
    Settings {
        effect_lag_seconds: 600,
        ..Settings::default()
    }
}

const BLOB: &str = "releases/v1/a.txt";

#[tokio::test]
async fn rights_come_late_and_go_late() {
    let bench = start_with(estate(), lagging()).await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(!bench.may_read(&token, BLOB).await);
    assert_eq!(
        bench
            .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
            .await
            .0,
        201
    );
    assert!(
        !bench.may_read(&token, BLOB).await,
        "listed, and not yet enforced"
    );
    assert_eq!(bench.count("roleAssignments", "atScope()", RBAC).await, 2);
    bench.sandbox.clock().advance_seconds(600);
    assert!(bench.may_read(&token, BLOB).await);

    assert_eq!(bench.unassign(&container(), name(1)).await.0, 200);
    assert_eq!(
        bench.count("roleAssignments", "atScope()", RBAC).await,
        1,
        "gone from every list"
    );
    assert!(bench.may_read(&token, BLOB).await, "and still enforced");
    assert_eq!(
        bench.sandbox.keeps(SLOT).len(),
        1,
        "which the sandbox's own books know"
    );
    bench.sandbox.clock().advance_seconds(599);
    assert!(bench.may_read(&token, BLOB).await);
    bench.sandbox.clock().advance_seconds(1);
    assert!(!bench.may_read(&token, BLOB).await);
    assert_eq!(bench.sandbox.keeps(SLOT), Vec::new());
}

/// Why a slot is quarantined: the cloud cannot tell an old token from a new one.
#[tokio::test]
async fn a_kept_token_wakes_when_its_slot_gets_rights_again() {
    let bench = start().await;
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    let kept = bench.token(SLOT, STORAGE).await;
    bench.unassign(&container(), name(1)).await;
    assert!(!bench.may_read(&kept, BLOB).await);
    bench
        .assign(&container(), name(2), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert!(bench.may_read(&kept, BLOB).await);
    let other = bench.token(OTHER_SLOT, STORAGE).await;
    assert!(
        !bench.may_read(&other, BLOB).await,
        "another slot has nothing of it"
    );
    bench.sandbox.clock().advance_seconds(5_400);
    let answer = bench.blob(&kept, Method::GET, BLOB).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401, "until the token's own end");
}

#[tokio::test]
async fn the_books_tell_who_had_what_and_who_used_it() {
    let bench = start_with(estate(), lagging()).await;
    let granted = bench.sandbox.clock().now();
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    bench.sandbox.clock().advance_seconds(1_000);
    let token = bench.token(SLOT, STORAGE).await;
    assert!(bench.may_read(&token, BLOB).await);
    bench.unassign(&container(), name(1)).await;
    let grant = bench.sandbox.grants().pop().unwrap();
    assert_eq!(
        (grant.principal, grant.role, grant.name),
        (SLOT, builtin::BLOB_DATA_READER, name(1))
    );
    assert_eq!(
        (grant.created_by, grant.ended_by),
        (Some(BROKER), Some(EndedBy::Removal))
    );
    let later = |seconds| {
        granted
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap()
    };
    let had_at = |seconds| bench.sandbox.enforced_at(SLOT, later(seconds)).len();
    assert_eq!(
        (had_at(0), had_at(700), had_at(1_500), had_at(1_700)),
        (0, 1, 1, 0)
    );
    let read = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
    assert_eq!(
        bench.sandbox.would_allow(SLOT, read, &container()),
        Some(true)
    );
    assert_eq!(
        bench.sandbox.would_allow(OTHER_SLOT, read, &container()),
        Some(false)
    );
    let issued = bench.sandbox.tokens().pop().unwrap();
    let used = bench.sandbox.journal().into_iter().any(|entry| {
        entry.action == "GetBlob" && entry.outcome == "ok" && entry.caller == SLOT.to_string()
    });
    assert!(used);
    assert!(
        bench
            .sandbox
            .journal()
            .iter()
            .any(|entry| entry.action == "Token" && entry.outcome == "ok")
    );
    assert_eq!(issued.audience, ARM, "the broker's last one");
}
