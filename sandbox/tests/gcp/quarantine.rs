//! Disabling and enabling: what ends at once, and what wakes again.

use jitney_sandbox::gcp::AccountState;

use crate::cloud::*;

#[tokio::test]
async fn a_disabled_accounts_tokens_are_refused_and_wake_when_it_is_enabled() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let leaked = cloud.lease().await;
    assert_eq!(cloud.read(&leaked, "releases/old.txt").await, 200);
    cloud.disable(SLOT).await;
    let refused = cloud.get(&leaked, &format!("/v1/projects/{PROJECT}")).await;
    assert_eq!(
        (refused.error(), refused.reason()),
        ((401, "UNAUTHENTICATED"), "ACCOUNT_STATE_INVALID")
    );
    assert_eq!(cloud.read(&leaked, "releases/old.txt").await, 401);
    cloud.enable(SLOT).await;
    assert_eq!(
        cloud.read(&leaked, "releases/old.txt").await,
        200,
        "the leaked token lives again"
    );
}

#[tokio::test]
async fn an_expired_token_does_not_wake() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let leaked = cloud.lease().await;
    cloud.disable(SLOT).await;
    cloud.sandbox.clock().advance_seconds(601);
    cloud.enable(SLOT).await;
    assert_eq!(cloud.read(&leaked, "releases/old.txt").await, 401);
}

#[tokio::test]
async fn only_its_own_tokens_sleep() {
    let cloud = start().await;
    let other = "slot-long@acme-prod.iam.gserviceaccount.com";
    cloud.grant(other, "roles/storage.objectViewer", None).await;
    let minted = cloud
        .mint(other, serde_json::json!({ "scope": [CLOUD_PLATFORM] }))
        .await
        .ok();
    cloud.disable(SLOT).await;
    assert_eq!(
        cloud
            .read(minted["accessToken"].as_str().unwrap(), "releases/old.txt")
            .await,
        200
    );
}

#[tokio::test]
async fn the_books_tell_live_from_sleeping() {
    let cloud = start().await;
    cloud
        .grant(
            SLOT,
            "roles/storage.objectViewer",
            Some("request.time < timestamp('2999-01-01T00:00:00Z')"),
        )
        .await;
    cloud.lease().await;
    let standing = cloud.sandbox.standing(SLOT);
    assert_eq!(standing.account, Some(AccountState::Enabled));
    assert_eq!(
        (standing.live_tokens.len(), standing.sleeping_tokens.len()),
        (1, 0)
    );
    assert_eq!(standing.bindings.len(), 1);
    assert_eq!(
        standing.bindings[0].resource,
        format!("projects/_/buckets/{BUCKET}")
    );
    assert_eq!(
        standing.bindings[0].title.as_deref(),
        Some("jitney:lease-1")
    );
    cloud.disable(SLOT).await;
    cloud.ungrant(SLOT).await;
    let standing = cloud.sandbox.standing(&member(SLOT));
    assert_eq!(standing.account, Some(AccountState::Disabled));
    assert_eq!(
        (standing.live_tokens.len(), standing.sleeping_tokens.len()),
        (0, 1)
    );
    assert_eq!(standing.bindings, []);
}

#[tokio::test]
async fn a_cloud_that_ignores_disabling_can_be_told_from_one_that_does_not() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let leaked = cloud.lease().await;
    cloud.sandbox.set_ignore_disabling(true);
    cloud.disable(SLOT).await;
    assert_eq!(cloud.read(&leaked, "releases/old.txt").await, 200);
    cloud.sandbox.set_ignore_disabling(false);
    assert_eq!(cloud.read(&leaked, "releases/old.txt").await, 401);
}
