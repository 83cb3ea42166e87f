//! The same token or the same wish, presented again by whoever.

use jitney_core::audit::Event;
use jitney_core::decision::Verdict;
use jitney_core::id::RequestId;
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Ask, Core, Submission};
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD, PROD_SCOPE, World, ask};

use crate::{events, refused, submit, wish, world};

async fn repeated(core: &Core, ask: Ask) -> RequestId {
    match core.submit(ask).await.unwrap() {
        Submission::Repeated { request } => request,
        other => panic!("expected a repetition, got {other:?}"),
    }
}

/// The refusal of one more submission, which may neither mint nor make a request.
async fn turned_away(world: &World, core: &Core, ask: Ask) -> Refusal {
    let leases = world.leases().await.len();
    let mints = world.cloud(PROD).mint_calls();
    let refusal = refused(core, ask).await;
    assert_eq!(world.leases().await.len(), leases);
    assert_eq!(world.cloud(PROD).mint_calls(), mints);
    refusal
}

async fn replays_told(world: &World) -> usize {
    let events = events(world).await;
    let replayed = events.iter().filter(|it| **it == Event::TokenReplayed);
    replayed.count()
}

#[tokio::test]
async fn the_same_wish_with_the_same_token_and_key_is_the_same_request() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    assert_eq!(repeated(&core, wish()).await, grant.request);
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    world.live_out(&core).await;
    // Also when it is long over: it does not begin again.
    assert_eq!(repeated(&core, wish()).await, grant.request);
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    assert_eq!(replays_told(&world).await, 0);
}

#[tokio::test]
async fn a_token_in_other_hands_is_refused_and_the_log_says_so() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let thief = ask("1", "1", "thief", &[PROD_SCOPE]);
    let refusal = turned_away(&world, &core, thief).await;
    assert_eq!(refusal.code, "token_replayed");
    // A thief does not learn what the token was used for.
    assert_eq!(refusal.request, None);
    let entries = world.entries().await;
    let told = entries.last().unwrap();
    assert_eq!(told.event(), Event::TokenReplayed);
    assert_eq!(told.request_id(), Some(grant.request));
    assert_eq!(told.fields()["presented_by"], "thief");
    assert_eq!(told.fields()["bound_to"], "key");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_used_token_does_not_buy_another_wish() {
    let (world, _folder) = world();
    let core = world.broker("a");
    submit(&core, wish()).await;
    let mut other_name = wish();
    other_name.idempotency_key = "another-wish".to_owned();
    let mut longer = other_name.clone();
    longer.ttl_seconds = Some(60);
    let mut elsewhere = other_name.clone();
    elsewhere.scopes = ask("1", "1", "key", &[BACKUP_SCOPE]).scopes;
    for again in [other_name, longer, elsewhere] {
        let refusal = turned_away(&world, &core, again).await;
        assert_eq!(refusal.code, "token_replayed");
    }
    assert_eq!(replays_told(&world).await, 3);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_fresh_token_with_the_same_wish_is_the_same_request() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let mut fresh = ask("1", "2", "key", &[PROD_SCOPE]);
    fresh.idempotency_key = wish().idempotency_key;
    assert_eq!(repeated(&core, fresh.clone()).await, grant.request);
    // The name of a wish belongs to its job: another job may use the same.
    let mut other_job = ask("2", "3", "key-2", &[PROD_SCOPE]);
    other_job.idempotency_key = wish().idempotency_key;
    assert_ne!(submit(&core, other_job).await.request, grant.request);
    world.live_out(&core).await;
}

#[tokio::test]
async fn one_name_for_two_wishes_is_refused() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let mut other = ask("1", "2", "key", &[BACKUP_SCOPE]);
    other.idempotency_key = wish().idempotency_key;
    let refusal = turned_away(&world, &core, other).await;
    assert_eq!(refusal.code, "idempotency_conflict");
    assert_eq!(refusal.request, Some(grant.request));
    // Another process of the same job has another key. No token was presented twice.
    let mut other_process = ask("1", "3", "key-2", &[PROD_SCOPE]);
    other_process.idempotency_key = wish().idempotency_key;
    let refusal = turned_away(&world, &core, other_process).await;
    assert_eq!(refusal.code, "idempotency_conflict");
    assert_eq!(replays_told(&world).await, 0);
    world.live_out(&core).await;
}

#[tokio::test]
async fn of_two_submissions_at_once_one_is_granted() {
    let (world, _folder) = world();
    let (a, b) = (world.broker("a"), world.broker("b"));
    let (one, other) = tokio::join!(a.submit(wish()), b.submit(wish()));
    let granted = [&one, &other]
        .into_iter()
        .filter(|it| matches!(it, Ok(Submission::Granted { .. })))
        .count();
    assert_eq!(granted, 1, "{one:?} {other:?}");
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    assert_eq!(world.leases().await.len(), 1);
    world.live_out(&a).await;
}

/// Whoever loses the race is answered as if it had come a moment later.
#[tokio::test]
async fn of_two_submissions_at_once_that_are_not_granted_the_other_is_the_same_request() {
    for verdict in [Verdict::Deny, Verdict::NeedsApproval] {
        let (world, _folder) = world();
        world.policy.say(verdict);
        let (a, b) = (world.broker("a"), world.broker("b"));
        let answers = tokio::join!(a.submit(wish()), b.submit(wish()));
        let answers = [answers.0, answers.1];
        let repeated = answers.iter().find_map(|it| match it {
            Ok(Submission::Repeated { request }) => Some(*request),
            _ => None,
        });
        let first = answers.iter().find_map(|it| match it {
            Ok(Submission::Pending { request, .. }) => Some(*request),
            Err(refusal) if refusal.code == "denied" => refusal.request,
            _ => None,
        });
        assert!(first.is_some() && first == repeated, "{answers:?}");
        assert_eq!(replays_told(&world).await, 0);
    }
}

#[tokio::test]
async fn of_two_thieves_at_once_at_most_one_is_granted() {
    let (world, _folder) = world();
    let (a, b) = (world.broker("a"), world.broker("b"));
    let thief = ask("1", "1", "thief", &[PROD_SCOPE]);
    let (one, other) = tokio::join!(a.submit(wish()), b.submit(thief));
    let refusals: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].code, "token_replayed");
    assert_eq!(replays_told(&world).await, 1);
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    world.live_out(&a).await;
}
