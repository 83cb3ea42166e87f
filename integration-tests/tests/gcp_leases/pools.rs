//! The ways of carrying a lease beside the usual one.

use core::time::Duration;

use jitney_core::adapter::Revoke as _;
use jitney_core::evidence::{Evidence, Revocation};
use jitney_core::guarantee::Recall;
use jitney_integration_tests::adapter_laws::Stage as _;

use crate::estate::{BUCKET, email};
use crate::stage::{GcpStage, LAGS};
use crate::steps::{FIRST, adapter, calls, revoked};

#[tokio::test(flavor = "multi_thread")]
async fn where_bindings_stand_only_the_account_is_switched() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("object-storage:read@artifacts-prod", "fast");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    stage.clock.set_on(Duration::from_secs(2));
    assert!(stage.works(&taken.credential).await.unwrap());
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let lane = lease.terms().plan.lane.clone();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert!(!stage.works(&taken.credential).await.unwrap());
    assert_eq!(calls(&stage, "SetIamPolicy"), 0);
    // It rests, and is lent again when its token is dead.
    stage
        .scribe
        .until_free(&adapter, FIRST, &lane)
        .await
        .unwrap();
    let wanted = stage.wish("object-storage:read@artifacts-prod", "fast");
    stage
        .scribe
        .take_on(&adapter, &[wanted], &lane)
        .await
        .unwrap();
    stage.clock.set_on(Duration::from_secs(2));
    assert!(!stage.works(&taken.credential).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_account_loses_the_bindings_of_one_lease_and_keeps_those_of_the_others() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let wanted = |path: &str| stage.wish(&format!("object-storage:read@{path}"), "shared");
    let one = [wanted("artifacts-prod/releases/")];
    let other = [wanted("reports-prod/releases/")];
    let one = stage.scribe.take(&adapter, &one).await.unwrap();
    let other = stage.scribe.take(&adapter, &other).await.unwrap();
    assert_eq!(one.lease.terms().plan.lane, other.lease.terms().plan.lane);
    stage.clock.set_on(Duration::from_secs(3));
    // What its guarantees say that this costs: each token does what any lease of the account may.
    assert!(
        stage
            .job(&one.credential)
            .reads("reports-prod", "releases/seed")
            .await
            .unwrap()
    );
    assert!(matches!(
        one.lease.terms().plan.guarantees.recall,
        Recall::Lapses { .. }
    ));
    let lease = stage.scribe.ending(one.lease).await.unwrap();
    let id = lease.terms().id;
    let found = revoked(&adapter, lease).await.unwrap();
    let end = match found {
        Revocation::NotYet {
            written: true,
            exposed_until,
            ..
        } => exposed_until,
        other => panic!("{other:?}"),
    };
    assert_eq!(stage.bindings(BUCKET).await.unwrap().0.len(), 0);
    stage.clock.set_on(Duration::from_secs(41));
    assert!(!stage.works(&one.credential).await.unwrap());
    assert!(
        stage
            .job(&other.credential)
            .reads("reports-prod", "releases/seed")
            .await
            .unwrap()
    );
    assert_eq!(calls(&stage, "DisableServiceAccount"), 0);
    // Over it is when its token is.
    stage
        .clock
        .set_on(end.since(stage.scribe.now()) + Duration::from_secs(62));
    let lease = stage.scribe.found(id).await.unwrap();
    let found = revoked(&adapter, lease).await.unwrap();
    assert!(
        matches!(
            found,
            Revocation::Evident {
                evidence: Evidence::Expired { .. },
                ..
            }
        ),
        "{found:?}"
    );
}

/// An operator's cut of a whole lane disables even an account that many leases share, and gives it
/// back when the cut is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_disables_a_shared_account_until_it_is_over() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("object-storage:read@artifacts-prod/releases/", "shared");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    let lane = taken.lease.terms().plan.lane.clone();
    let now = stage.scribe.now();
    let cut = jitney_core::evidence::Hold {
        lane: lane.clone(),
        held: jitney_core::evidence::Held::IssuedBefore(now),
        lease: None,
        until: now.plus(Duration::from_secs(4_000)),
        issued_by: Some(now),
    };
    let pass = adapter.revoke(&lane, FIRST, &[], &[cut]).await.unwrap();
    assert!(!pass.unreached);
    stage.clock.set_on(Duration::from_secs(21));
    assert!(!stage.works(&taken.credential).await.unwrap());
    // Not before its time, and not by a hand that knows less than the one that cut.
    adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
    assert_eq!(
        stage.account(&email("jitney-shared")).await.unwrap()["disabled"],
        true
    );
    stage.clock.set_on(Duration::from_secs(4_000));
    adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap();
    let account = stage.account(&email("jitney-shared")).await.unwrap();
    assert_ne!(account["disabled"], true);
    assert_eq!(account["description"].as_str().unwrap_or_default(), "");
}

/// Its account may do more than it, on more than the lease's bucket, and is never switched.
#[tokio::test(flavor = "multi_thread")]
async fn a_boundary_narrows_a_token_and_nothing_ends_it_but_its_time() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("object-storage:write@artifacts-prod/releases/", "bounded");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    let job = stage.job(&taken.credential);
    assert!(job.writes(BUCKET, "releases/new").await.unwrap());
    assert!(!job.writes(BUCKET, "other/new").await.unwrap());
    assert!(!job.reads(BUCKET, "releases/seed").await.unwrap());
    let renewed = stage.scribe.renew(&adapter, taken).await.unwrap();
    let job = stage.job(&renewed.credential);
    assert!(job.writes(BUCKET, "releases/newer").await.unwrap());
    assert!(!job.writes(BUCKET, "other/new").await.unwrap());
    let lease = stage.scribe.ending(renewed.lease).await.unwrap();
    let id = lease.terms().id;
    let found = revoked(&adapter, lease).await.unwrap();
    let end = match found {
        Revocation::NotYet {
            written: false,
            exposed_until,
            ..
        } => exposed_until,
        other => panic!("{other:?}"),
    };
    // A week, for what an upload's address opens.
    assert!(end.since(stage.scribe.now()) > Duration::from_secs(604_800));
    stage.clock.set_on(Duration::from_secs(3_100));
    assert!(!job.writes(BUCKET, "releases/late").await.unwrap());
    stage
        .clock
        .set_on(end.since(stage.scribe.now()) + Duration::from_secs(62));
    let lease = stage.scribe.found(id).await.unwrap();
    let found = revoked(&adapter, lease).await.unwrap();
    assert!(
        matches!(
            found,
            Revocation::Evident {
                evidence: Evidence::Expired { .. },
                ..
            }
        ),
        "{found:?}"
    );
    for action in [
        "SetIamPolicy",
        "PatchServiceAccount",
        "DisableServiceAccount",
    ] {
        assert_eq!(calls(&stage, action), 0, "{action}");
    }
}
