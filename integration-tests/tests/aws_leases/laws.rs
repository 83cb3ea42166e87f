//! The laws, on both clouds. The numbers of laws that hold are written down: fewer is red.

use std::sync::Arc;

use jitney_integration_tests::adapter_laws::{Waiver, judge};

use crate::stage::{Ministack, Ours};

/// How many laws each judge has seen hold. Literals, so that a law that is lost or waived has to be
/// taken from a number here, where it is seen.
const HOLD_ON_OUR_SANDBOX: usize = 31;
const HOLD_ON_MINISTACK: usize = 31;

/// How many laws are about clouds that give to identities of ours, which AWS is not.
const ABOUT_SLOTS: usize = 5;

/// How many laws play at once. Most of their time they wait.
const AT_A_TIME: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_on_our_sandbox() {
    let verdict = judge(Arc::new(Ours), &[], AT_A_TIME).await;
    verdict
        .expect(HOLD_ON_OUR_SANDBOX, ABOUT_SLOTS)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// What MiniStack cannot show. It shares no code with our sandbox.
const ON_MINISTACK: &[Waiver] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_on_ministack() {
    // `./test` starts it. Away from there, this judge is not asked, and `./test` says so.
    let Ok(url) = std::env::var("JITNEY_MINISTACK_URL") else {
        assert!(
            std::env::var("CI").is_err(),
            "no MiniStack to judge the adapter"
        );
        return;
    };
    let verdict = judge(Arc::new(Ministack(url)), ON_MINISTACK, AT_A_TIME).await;
    verdict
        .expect(HOLD_ON_MINISTACK, ABOUT_SLOTS)
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}
