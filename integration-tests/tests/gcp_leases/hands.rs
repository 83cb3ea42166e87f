//! Two identities that share the work: one gives, the other takes back, and neither can do the
//! other's half.

use jitney_core::adapter::{Elevate as _, Revoke as _};
use jitney_integration_tests::adapter_laws::Stage as _;
use std::collections::BTreeSet;

use crate::estate::{BROKER, BUCKET, GRANTER, REVOKER, member};
use crate::stage::{GcpStage, LAGS};
use crate::steps::{FIRST, calls, wish};

/// Who made calls of an action, the stage's own operator left out.
fn callers(stage: &GcpStage, action: &str) -> BTreeSet<String> {
    let journal = stage.sandbox.journal().into_iter();
    let made = journal.filter(|it| it.action == action && !it.caller.contains(BROKER));
    made.map(|it| it.caller).collect()
}

fn only(who: &str) -> BTreeSet<String> {
    BTreeSet::from([member(who)])
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_back_is_not_who_gave() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = stage.adapter_of_two(GRANTER, REVOKER);
    let taken = stage.scribe.take(&adapter, &[wish(&stage)]).await.unwrap();
    for action in [
        "EnableServiceAccount",
        "GenerateAccessToken",
        "SetIamPolicy",
    ] {
        assert_eq!(callers(&stage, action), only(GRANTER), "{action}");
    }
    let given = calls(&stage, "SetIamPolicy");
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    assert!(!stage.works(&taken.credential).await.unwrap());
    assert_eq!(callers(&stage, "DisableServiceAccount"), only(REVOKER));
    let journal = stage.sandbox.journal();
    let removed = journal.iter().filter(|it| it.action == "SetIamPolicy");
    let removed: Vec<&str> = removed.skip(given).map(|it| it.caller.as_str()).collect();
    assert_eq!(removed, [member(REVOKER)]);
    assert_eq!(stage.bindings(BUCKET).await.unwrap().0.len(), 0);
    // Each has what it needs, and `doctor` sees it.
    let looks = adapter.examine().await.looks;
    assert!(looks.iter().all(|it| it.1.is_ok()), "{looks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_can_do_what_is_the_others() {
    let stage = GcpStage::new(LAGS).await;
    let swapped = stage.adapter_of_two(REVOKER, GRANTER);
    let intent = stage.scribe.intend(&swapped, &[wish(&stage)]).await;
    assert!(swapped.elevate(&intent.unwrap()).await.is_err());
    let right = stage.adapter_of_two(GRANTER, REVOKER);
    let taken = stage.scribe.take(&right, &[wish(&stage)]).await.unwrap();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let lane = lease.terms().plan.lane.clone();
    assert!(swapped.revoke(&lane, FIRST, &[lease], &[]).await.is_err());
    assert_eq!(calls(&stage, "DisableServiceAccount"), 0);
    let looks = swapped.examine().await.looks;
    let told = |what: &str| {
        let told = looks.iter().filter_map(|it| it.1.as_ref().err());
        told.filter(|it| it.contains(what)).count()
    };
    assert!(
        told("the granter lacks `iam.serviceAccounts.enable`") > 0,
        "{looks:?}"
    );
}
