//! A request that is granted, one that is denied, and several targets that succeed or fail as one.

use jitney_core::audit::Event;
use jitney_core::books::FoundRequest;
use jitney_core::decision::Verdict;
use jitney_core::evidence::{Evidence, Held};
use jitney_core::lease::{End, Outcome};
use jitney_core::request;
use jitney_integration_tests::fake_cloud::{LAG, MintMishap, SESSION_LIFE, SETTLE};
use jitney_integration_tests::fixtures::{BACKUP, BACKUP_SCOPE, PROD, PROD_SCOPE, ask, proof};

use crate::{events, outcome, refused, seconds, submit, wish, world};

#[tokio::test]
async fn a_lease_works_until_it_is_released_and_what_it_needs_afterwards_goes_too() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, secret) = grant.only();
    let cloud = world.cloud(PROD);
    assert!(cloud.would_allow(secret));

    core.release(lease, &proof("key")).await.unwrap();
    let (_, stumbles) = world.turn(&core).await;
    assert_eq!(stumbles, []);
    world.clock.pass(LAG);
    assert!(!cloud.would_allow(secret));
    assert_eq!(world.lease(lease).await.state(), "revoking");

    world.clock.pass(SETTLE);
    world.turn(&core).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked {
        why: End::Released,
        evidence: Evidence::Settled { .. },
    }) = outcome(&ended)
    else {
        panic!("{ended:?}");
    };
    assert_closed(&world.request(grant.request).await, &request::Outcome::Done);
    let lane = &ended.terms().plan.lane;
    assert_eq!(
        cloud.denied(lane),
        [Held::Grant(ended.terms().handle.clone())]
    );

    // Its hold lasts as long as the credential could, and not longer.
    let hold = world.ledger.lane(lane, world.now()).await.unwrap();
    let until = hold.holds[0].until;
    assert!(until >= cloud.sessions()[0].expires_at);
    world.clock.set(until);
    world.turn(&core).await;
    assert!(cloud.is_bare());
    world.must_be_over(&core).await;
    assert_eq!(
        events(&world).await,
        [
            Event::RequestSubmitted,
            Event::RequestDecided,
            Event::LeaseIntended,
            Event::LeaseGranted,
            Event::LeaseEnding,
            Event::LeaseWritten,
            Event::LeaseEnded,
            Event::RequestClosed,
            Event::HoldDropped,
        ]
    );
}

#[track_caller]
fn assert_closed(request: &FoundRequest, outcome: &request::Outcome) {
    let FoundRequest::Closed(closed) = request else {
        panic!("{request:?}");
    };
    assert_eq!(closed.outcome(), outcome);
}

#[tokio::test]
async fn a_denied_job_learns_why_and_nothing_is_made() {
    let (world, _folder) = world();
    let core = world.broker("a");
    world.policy.say(Verdict::Deny);
    let refusal = refused(&core, wish()).await;
    assert_eq!(refusal.code, "denied");
    assert_eq!(refusal.reasons, ["the test's policy denies it"]);
    assert_eq!(refusal.rules, ["denies"]);
    // What the operator may know is not for the job.
    assert!(!refusal.told.contains("operator"));
    let request = world.request(refusal.request.unwrap()).await;
    assert_closed(&request, &request::Outcome::Denied);
    assert!(world.leases().await.is_empty());
    assert_eq!(world.cloud(PROD).mint_calls(), 0);
    assert_eq!(
        events(&world).await,
        [
            Event::RequestSubmitted,
            Event::RequestDecided,
            Event::RequestClosed,
        ]
    );
    world.must_be_over(&core).await;
}

#[tokio::test]
async fn a_request_for_what_a_person_must_allow_mints_nothing() {
    let (world, _folder) = world();
    let core = world.broker("a");
    world.policy.say(Verdict::NeedsApproval);
    core.submit(wish()).await.unwrap();
    assert_eq!(world.cloud(PROD).mint_calls(), 0);
    world.live_out(&core).await;
    assert_eq!(world.cloud(PROD).mint_calls(), 0);
    assert!(events(&world).await.contains(&Event::RequestPending));
}

#[tokio::test]
async fn two_targets_are_granted_together_and_end_apart() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let both = ask("1", "1", "key", &[PROD_SCOPE, BACKUP_SCOPE]);
    let grant = submit(&core, both).await;
    assert_eq!(grant.leases.len(), 2);
    let (prod, backup) = (world.cloud(PROD), world.cloud(BACKUP));
    assert_eq!((prod.working().len(), backup.working().len()), (1, 1));

    let (first, _) = &grant.leases[0];
    core.release(*first, &proof("key")).await.unwrap();
    world.turn(&core).await;
    world.clock.pass(SETTLE);
    world.turn(&core).await;
    assert_eq!(prod.working().len() + backup.working().len(), 1);
    assert_eq!(world.request(grant.request).await.state(), "granted");
    world.live_out(&core).await;
    let request = world.request(grant.request).await;
    assert_closed(&request, &request::Outcome::Done);
}

/// What one of two targets does while the other grants, and how its own lease ends.
async fn one_of_two_fails(mishap: MintMishap, code: &str, expected: fn(&Outcome) -> bool) {
    let (world, _folder) = world();
    let core = world.broker("a");
    world.cloud(BACKUP).next_mint(mishap);
    let both = ask("1", "1", "key", &[PROD_SCOPE, BACKUP_SCOPE]);
    let refusal = refused(&core, both).await;
    assert_eq!(refusal.code, code, "{mishap:?}");
    let request = world.request(refusal.request.unwrap()).await;
    let FoundRequest::Closed(closed) = &request else {
        panic!("{request:?}");
    };
    assert!(matches!(
        closed.outcome(),
        request::Outcome::NotGranted { .. }
    ));
    // The other target did grant: that is taken back, and at once.
    assert_eq!(world.cloud(PROD).working().len(), 1);
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.cloud(PROD).working().len(), 0);
    world.live_out(&core).await;
    for lease in world.leases().await {
        let outcome = outcome(&lease).unwrap();
        if lease.terms().plan.lane.target.as_str() == BACKUP {
            assert!(expected(outcome), "{mishap:?}: {outcome:?}");
        } else {
            assert!(is_revoked(outcome, End::PeerFailed), "{outcome:?}");
        }
    }
}

fn is_revoked(outcome: &Outcome, because: End) -> bool {
    matches!(outcome, Outcome::Revoked { why, .. } if *why == because)
}

#[tokio::test]
async fn when_one_target_refuses_the_other_is_taken_back_and_nothing_is_handed_out() {
    let never = |outcome: &Outcome| matches!(outcome, Outcome::NeverGranted { .. });
    one_of_two_fails(MintMishap::Permanent, "not_granted", never).await;
    one_of_two_fails(MintMishap::Retryable, "try_again", never).await;
}

#[tokio::test]
async fn when_one_target_does_not_answer_both_are_taken_back() {
    let doubted = |outcome: &Outcome| is_revoked(outcome, End::Doubted);
    one_of_two_fails(MintMishap::LostBefore, "not_granted", doubted).await;
    one_of_two_fails(MintMishap::LostAfter, "not_granted", doubted).await;
    let late = MintMishap::LandsLater(seconds(100));
    one_of_two_fails(late, "not_granted", doubted).await;
}

#[tokio::test]
async fn a_lease_that_nobody_releases_ends_with_its_time() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    for _ in 0..SESSION_LIFE.as_secs() / 30 {
        core.beat(lease, &proof("key")).await.unwrap();
        world.turn(&core).await;
        assert_eq!(world.lease(lease).await.state(), "active");
        world.clock.pass(seconds(30));
    }
    world.live_out(&core).await;
    let ended = world.lease(lease).await;
    assert!(is_revoked(outcome(&ended).unwrap(), End::Expired));
}
