//! The laws, in both modes, and with a fast stop. The numbers of laws that hold are written down: fewer is red.

use std::sync::Arc;

use jitney_azure::Mode;
use jitney_integration_tests::adapter_laws::judge;

use crate::stage::{Ours, Stopping};

/// How many laws hold. A literal, so that a law that is lost or waived has to be taken from a number
/// here, where it is seen.
const HOLD: usize = 35;

/// How many laws are about clouds in which leases share a lane, which Azure is not.
const ABOUT_SHARED_LANES: usize = 1;

/// How many laws play at once.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_with_pim() {
    let verdict = judge(Arc::new(Ours(Mode::Pim)), &[], AT_A_TIME).await;
    verdict
        .expect(HOLD, ABOUT_SHARED_LANES)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_with_plain_assignments() {
    let verdict = judge(Arc::new(Ours(Mode::Rbac)), &[], AT_A_TIME).await;
    verdict
        .expect(HOLD, ABOUT_SHARED_LANES)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_with_a_fast_stop() {
    let verdict = judge(Arc::new(Stopping), &[], AT_A_TIME).await;
    verdict
        .expect(HOLD, ABOUT_SHARED_LANES)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}
