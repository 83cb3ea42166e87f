//! Renewal: raised in the ledger first, minted under the same handle, never past the request's
//! absolute end, and never against a policy that has changed.

use jitney_core::audit::Event;
use jitney_core::books::FoundLease;
use jitney_core::decision::Verdict;
use jitney_core::id::LeaseId;
use jitney_core::lease::End;
use jitney_core::ledger::CommitError;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use jitney_core::usecase::{Ask, Core, ShownProof};
use jitney_integration_tests::fake_cloud::{MintMishap, SESSION_LIFE, SETTLE};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, START, World, ask, proof};
use std::sync::Arc;

use crate::ports::{Around, BadCommit, broker_with};
use crate::{events, seconds, secret, submit, wish, world};

/// A wish that outlives one window.
fn long_wish() -> Ask {
    Ask {
        ttl_seconds: Some(1000),
        ..wish()
    }
}

async fn ends_at(world: &World, lease: LeaseId) -> Timestamp {
    match world.lease(lease).await {
        FoundLease::Active(active) => active.ends_at(),
        other => panic!("expected an active lease, got {other:?}"),
    }
}

#[tokio::test]
async fn a_renewal_is_in_the_ledger_first_and_one_release_ends_both_credentials() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, long_wish()).await;
    let (lease, first) = grant.only();
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(900)));
    world.clock.pass(seconds(30));
    prove_life(&world, &core, lease).await;
    // The cloud asked the ledger when it minted: `must_keep_promises` would see a late raise.
    let (_, second) = secret(core.renew(lease, &proof("key")).await.unwrap());
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(930)));
    let cloud = world.cloud(PROD);
    assert!(cloud.would_allow(first) && cloud.would_allow(&second));
    assert_eq!(cloud.sessions()[0].handle, cloud.sessions()[1].handle);
    assert!(events(&world).await.contains(&Event::LeaseRenewed));

    core.release(lease, &proof("key")).await.unwrap();
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    assert!(!cloud.would_allow(first) && !cloud.would_allow(&second));
    world.live_out(&core).await;
}

/// The job `1`'s CI mints a token for it now.
async fn prove_life(world: &World, core: &Core, lease: LeaseId) {
    let job = ask("1", "1", "key", &[PROD_SCOPE]).principal.job.key;
    core.prove_life(lease, &job, world.now()).await.unwrap();
}

#[tokio::test]
async fn without_proof_of_life_a_lease_is_renewed_to_15_minutes_after_its_grant() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(
        &core,
        Ask {
            ttl_seconds: Some(3600),
            ..wish()
        },
    )
    .await;
    let (lease, _) = grant.only();
    let bound = START.plus(seconds(900));
    world.clock.pass(seconds(600));
    // An answer may have been lost, so there is another credential; no more time.
    core.renew(lease, &proof("key")).await.unwrap();
    assert_eq!(ends_at(&world, lease).await, bound);
    assert_eq!(world.cloud(PROD).mint_calls(), 2);

    prove_life(&world, &core, lease).await;
    core.renew(lease, &proof("key")).await.unwrap();
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(1500)));
    // What was given is not taken back when the next proof is late.
    world.clock.pass(seconds(60));
    core.renew(lease, &proof("key")).await.unwrap();
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(1500)));
    world.clock.set(bound);
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "needs_proof_of_life");
    assert_eq!(world.cloud(PROD).mint_calls(), 4);
    prove_life(&world, &core, lease).await;
    core.renew(lease, &proof("key")).await.unwrap();
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(1800)));
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_proof_of_life_counts_from_its_minting_for_a_minute_and_for_its_own_job() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(
        &core,
        Ask {
            ttl_seconds: Some(3600),
            ..wish()
        },
    )
    .await;
    let (lease, _) = grant.only();
    world.clock.pass(seconds(880));
    let job = |id: &str| ask(id, "1", "key", &[PROD_SCOPE]).principal.job.key;
    let foreign = core.prove_life(lease, &job("2"), world.now()).await;
    assert_eq!(foreign.unwrap_err().code, "not_found");
    let code = async |minted_at: Timestamp| {
        core.prove_life(lease, &job("1"), minted_at).await.unwrap();
        let end = ends_at(&world, lease).await;
        core.renew(lease, &proof("key")).await.unwrap();
        ends_at(&world, lease).await > end
    };
    // A token that was kept, however often it is shown, and one of a clock that is ahead.
    assert!(!code(world.now().minus(seconds(60))).await);
    assert!(!code(world.now().minus(seconds(60))).await);
    assert!(code(world.now().plus(seconds(3000))).await);
    let end = ends_at(&world, lease).await;
    world.clock.pass(seconds(60));
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "needs_proof_of_life");
    assert_eq!(ends_at(&world, lease).await, end);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_renewal_never_passes_the_absolute_end() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, long_wish()).await;
    let (lease, _) = grant.only();
    world.clock.pass(seconds(600));
    prove_life(&world, &core, lease).await;
    core.renew(lease, &proof("key")).await.unwrap();
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(1000)));
    world.clock.set(START.plus(seconds(1000)));
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "at_absolute_end");
    assert_eq!(world.cloud(PROD).mint_calls(), 2);
    // The second credential would live on until 1500.
    world.live(&core, SETTLE + seconds(1)).await;
    assert!(world.cloud(PROD).working().is_empty());
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_is_covered_and_ends_with_the_lease() {
    let lost = [MintMishap::LostAfter, MintMishap::LandsLater(seconds(200))];
    for mishap in lost {
        let (world, _folder) = world();
        let core = world.broker("a");
        let grant = submit(&core, long_wish()).await;
        let (lease, _) = grant.only();
        world.clock.pass(seconds(800));
        world.cloud(PROD).next_mint(mishap);
        let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
        assert_eq!(refusal.code, "not_granted");
        assert_eq!(world.lease(lease).await.state(), "active");
        core.release(lease, &proof("key")).await.unwrap();
        world.live(&core, SETTLE + seconds(1)).await;
        assert_eq!(world.lease(lease).await.state(), "ended");
        // The lost one lives much longer than the first, and so does its hold.
        for _ in 0..SESSION_LIFE.as_secs() / 20 {
            world.clock.pass(seconds(20));
            world.turn(&core).await;
            assert!(world.cloud(PROD).working().is_empty(), "{mishap:?}");
        }
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn nothing_is_minted_when_the_raise_is_not_recorded() {
    for (outcome, applied) in [
        (CommitError::Unavailable("full".to_owned()), false),
        (CommitError::Unknown("lost".to_owned()), false),
        (CommitError::Unknown("lost".to_owned()), true),
    ] {
        let (world, _folder) = world();
        // Commits 0 and 1 are the intent and the grant.
        let around: Arc<dyn Around> = BadCommit::new(2, outcome, applied);
        let core = broker_with(&world, "a", &around);
        let grant = submit(&core, long_wish()).await;
        let (lease, secret) = grant.only();
        let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
        assert_eq!(refusal.code, "ledger_unavailable");
        assert_eq!(world.cloud(PROD).mint_calls(), 1);
        assert!(world.cloud(PROD).would_allow(secret));
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn a_policy_that_has_changed_stops_renewals() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, long_wish()).await;
    let (lease, _) = grant.only();
    world.policy.say(Verdict::Deny);
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "denied");
    assert_eq!(refusal.reasons, ["the test's policy denies it"]);
    // Nobody approved this request, so a policy that now wants approval stops it too.
    world.policy.say(Verdict::NeedsApproval);
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "denied");
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    assert_eq!(ends_at(&world, lease).await, START.plus(seconds(900)));
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_credential_that_outlives_what_the_ledger_knows_is_not_handed_over() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, long_wish()).await;
    let (lease, _) = grant.only();
    let longer = MintMishap::LivesLonger(seconds(3600));
    world.cloud(PROD).next_mint(longer);
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "not_granted");
    assert!(refusal.logged.contains("the credential expires at"));
    // Dropped, it is still alive in the cloud: the lease ends, and is exposed for as long as that.
    let FoundLease::Revoking(ending) = core.lease(lease, &proof("key")).await.unwrap() else {
        panic!("a lease with a credential nobody knows of goes on");
    };
    assert_eq!(ending.why(), End::Undelivered);
    assert_eq!(
        ending.exposed_until(),
        world.now().plus(SESSION_LIFE + seconds(3600))
    );
}

#[tokio::test]
async fn only_the_holder_renews_and_only_while_it_lives() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, long_wish()).await;
    let (lease, _) = grant.only();
    let refusal = core.renew(lease, &proof("thief")).await.unwrap_err();
    assert_eq!(refusal.code, "not_found");
    let refusal = core.release(lease, &proof("thief")).await.unwrap_err();
    assert_eq!(refusal.code, "not_found");
    let refusal = core.beat(lease, &proof("thief")).await.unwrap_err();
    assert_eq!(refusal.code, "not_found");
    core.release(lease, &proof("key")).await.unwrap();
    let refusal = core.renew(lease, &proof("key")).await.unwrap_err();
    assert_eq!(refusal.code, "lease_ended");
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_proof_that_was_used_at_one_broker_renews_nothing_at_another() {
    let (world, _folder) = world();
    let (one, other) = (world.broker("a"), world.broker("b"));
    let (lease, _) = submit(&one, long_wish()).await.leases.remove(0);
    let shown = |jti: &str| ShownProof {
        once: OnceKey(format!("proof {jti}")),
        remember_until: world.now().plus(seconds(65)),
    };
    let (by, first) = (proof("key"), shown("1"));
    one.renew_once(lease, &by, &first).await.unwrap();
    let before = format!("{:?}", world.lease(lease).await);
    let refusal = other.renew_once(lease, &by, &first).await.unwrap_err();
    assert_eq!(refusal.code, "proof_replayed");
    assert_eq!(format!("{:?}", world.lease(lease).await), before);
    assert_eq!(world.cloud(PROD).mint_calls(), 2);
    other.renew_once(lease, &by, &shown("2")).await.unwrap();
    one.release(lease, &by).await.unwrap();
    world.live_out(&other).await;
}
