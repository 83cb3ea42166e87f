//! The laws. The numbers of laws that hold are written down: fewer is red.

use std::sync::Arc;

use jitney_integration_tests::adapter_laws::{Law, Stages as _, judge};

use crate::stage::{Carried, Ours};

/// How many laws have been seen to hold. A literal, so that a law that is lost or waived has to be
/// taken from a number here, where it is seen.
const HOLD: usize = 35;

/// How many laws are about clouds in which leases share a lane.
const ABOUT_SHARED_LANES: usize = 1;

/// How many laws play at once. Most of their time they wait.
const AT_A_TIME: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_on_our_sandbox() {
    hold(Carried::Bound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_where_privileged_access_manager_gives() {
    hold(Carried::Entitled).await;
}

async fn hold(carried: Carried) {
    let verdict = judge(Arc::new(Ours(carried)), &[], AT_A_TIME).await;
    verdict
        .expect(HOLD, ABOUT_SHARED_LANES)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// The judge of the one promise that everything here leans on: in a cloud where disabling an
/// account stops nothing, the laws that say so are red.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_in_which_disabling_stops_nothing_is_found_out() {
    for name in ["ends-within-its-promise", "evidence-is-true"] {
        let stage = crate::stage::GcpStage::new(crate::stage::LAGS).await;
        stage.sandbox.set_ignore_disabling(true);
        let law = Law::named(name).unwrap();
        assert!(law.holds_on(&stage).await.is_err(), "{name} holds");
    }
    let stage = Ours(Carried::Bound).stage().await.unwrap();
    let law = Law::named("evidence-is-true").unwrap();
    law.holds_on(stage.as_ref()).await.unwrap();
}
