//! Slots whose ledger has forgotten them, whose lease was written off, or to which a stranger gave
//! something back: none carries the next lease before nothing is left of the last.

use jitney_core::adapter::Mark;
use jitney_core::audit::{Entry, Event};
use jitney_core::standing::Seen;
use jitney_core::time::Timestamp;
use jitney_core::usecase::{Ask, Core, Signed};
use jitney_integration_tests::fake_cloud::{
    FLOOR, MintMishap, SLOT_LAG, SLOT_SETTLE, Style, TOKEN_LIFE,
};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, World, ask, proof};
use tempfile::TempDir;

use crate::recovering::{backup, restored, signed, turn};
use crate::{refused, seconds, submit, world_that};

const POOL: u32 = 2;

fn world() -> (World, TempDir) {
    let (world, folder) = world_that(Style::Slots);
    world.cloud(PROD).set_pool(POOL);
    (world, folder)
}

fn asks(world: &World, job: &str) -> Ask {
    let mut wish = ask(job, job, job, &[PROD_SCOPE]);
    wish.principal.token.issued_at = world.now();
    wish
}

/// What no slot may have at the moment it carries a new lease: a credential of an earlier one that
/// works, or a right of an earlier one in force.
fn must_be_at_rest(world: &World, since: Timestamp) {
    let cloud = world.cloud(PROD);
    for session in cloud.sessions() {
        if session.minted_at < since {
            assert!(!cloud.would_allow(&session.credential), "{session:?}");
        } else {
            assert_eq!(cloud.rights_of_others(&session), [], "{session:?}");
        }
    }
}

/// Lets time pass minute by minute until a job can be granted something, and gives how long.
async fn until_granted(world: &World, core: &Core) -> core::time::Duration {
    let began = world.now();
    for minute in 0..600 {
        turn(world, core).await;
        let before = world.now();
        let wish = asks(world, &format!("late-{minute}"));
        if core.submit(wish).await.is_ok() {
            must_be_at_rest(world, before);
            return world.now().since(began);
        }
        world.clock.pass(seconds(60));
    }
    panic!("no slot ever frees");
}

#[tokio::test]
async fn a_recovery_quarantines_every_slot_until_nothing_issued_can_live() {
    let (world, folder) = world();
    let copy = backup(folder.path());
    let lost = world.broker("a");
    // After the backup: one lease whose slot is in quarantine, one that lives on unknown.
    let ended = submit(&lost, asks(&world, "1")).await.only().0;
    lost.release(ended, &proof("1")).await.unwrap();
    world.live(&lost, FLOOR + SLOT_SETTLE + seconds(60)).await;
    assert_eq!(world.lease(ended).await.state(), "ended");
    submit(&lost, asks(&world, "2")).await;
    drop(lost);
    let (core, ledger) = restored(&world, &copy, "b");
    assert!(core.look_back().await.is_empty());
    assert_eq!(refused(&core, asks(&world, "3")).await.code, "halted");
    let began = world.now();
    let planned = core.recover(&signed()).await.unwrap();
    let here = planned
        .lanes
        .iter()
        .filter(|lane| lane.target.to_string() == PROD);
    assert_eq!(here.count(), 2, "{planned:?}");
    let waited = until_granted(&world, &core).await;
    assert!(waited >= TOKEN_LIFE, "a slot was free after {waited:?}");
    // What lived on unknown was taken away long before.
    let unknown = world.cloud(PROD).given();
    assert!(
        unknown.iter().all(|right| right.given_at > began),
        "{unknown:?}"
    );
    drop(ledger);
}

/// Nothing is left in the cloud that would tell, and a person does.
#[tokio::test]
async fn a_recovery_by_a_persons_word_quarantines_every_slot_too() {
    let (world, folder) = world();
    let copy = backup(folder.path());
    let lost = world.broker("a");
    let ended = submit(&lost, asks(&world, "1")).await.only().0;
    lost.release(ended, &proof("1")).await.unwrap();
    world.live(&lost, FLOOR + SLOT_SETTLE + seconds(60)).await;
    drop(lost);
    let (core, ledger) = restored(&world, &copy, "b");
    assert_eq!(
        core.recover(&signed()).await.unwrap_err().code,
        "bad_request"
    );
    core.declare_restored(&signed()).await.unwrap();
    assert_eq!(refused(&core, asks(&world, "2")).await.code, "halted");
    // Said twice is said once.
    core.declare_restored(&signed()).await.unwrap();
    let planned = core.recover(&signed()).await.unwrap();
    let here = planned
        .lanes
        .iter()
        .filter(|lane| lane.target.to_string() == PROD);
    assert_eq!(here.count(), 2, "{planned:?}");
    let waited = until_granted(&world, &core).await;
    assert!(waited >= TOKEN_LIFE, "a slot was free after {waited:?}");
    let entries = ledger.entries(0, 10_000).await.unwrap();
    let of = |bytes: &[u8]| Entry::decode(bytes).unwrap().event();
    let halts = entries.iter().filter(|it| of(&it.bytes) == Event::Halted);
    assert_eq!(halts.count(), 1);
    let unsigned = Signed {
        reason: String::new(),
        ..signed()
    };
    assert!(core.declare_restored(&unsigned).await.is_err());
}

#[tokio::test]
async fn a_slot_that_a_restored_ledger_thinks_free_is_given_to_nobody() {
    let (world, folder) = world();
    world.cloud(PROD).set_pool(1);
    let copy = backup(folder.path());
    let lost = world.broker("a");
    submit(&lost, asks(&world, "1")).await;
    drop(lost);
    // Before anybody has looked back.
    let (core, _ledger) = restored(&world, &copy, "b");
    let refusal = refused(&core, asks(&world, "2")).await;
    assert_eq!(refusal.cause, Some("fake_slot_in_use"));
    assert_eq!(world.cloud(PROD).sessions().len(), 1);
}

/// A running broker whose ledger was exchanged beneath it does not look back. What stops it is the
/// first slot that says so.
#[tokio::test]
async fn an_elevation_that_finds_the_mark_of_a_later_ledger_stops_all_others() {
    let (world, _folder) = world();
    let core = world.broker("a");
    submit(&core, asks(&world, "1")).await;
    let known = core.books.mark_now().await.unwrap();
    let later = Mark {
        sequence: known.sequence + 1_000,
        ..known
    };
    // One that this ledger has reached meanwhile is no sign of anything.
    let halt = async |bears, job: &str| {
        world.cloud(PROD).next_mint(MintMishap::LedgerBehind(bears));
        let refusal = refused(&core, asks(&world, job)).await;
        assert_eq!(refusal.cause, Some("fake_ledger_behind"));
        core.books.standing().await.unwrap().says.halt
    };
    assert!(halt(known, "2").await.is_none());
    let halt = halt(later, "3").await.unwrap();
    assert_eq!(halt.seen, Seen::Mark(later));
    assert_eq!(refused(&core, asks(&world, "4")).await.code, "halted");
}

/// A cloud that lets nothing be taken away for hours, and a person who has lost patience.
#[tokio::test]
async fn a_slot_whose_lease_was_written_off_waits_until_its_right_is_seen_to_be_gone() {
    let (world, _folder) = world();
    world.cloud(PROD).set_pool(1);
    let core = world.broker("a");
    let lease = submit(&core, asks(&world, "1")).await.only().0;
    world.cloud(PROD).set_revoking_down(true);
    core.release(lease, &proof("1")).await.unwrap();
    world.live(&core, seconds(60)).await;
    core.write_off(lease, &signed()).await.unwrap();
    // Every credential is dead by then, and the right is still there.
    world.live(&core, TOKEN_LIFE + seconds(300)).await;
    assert_eq!(world.cloud(PROD).given().len(), 1);
    let refusal = refused(&core, asks(&world, "2")).await;
    assert_eq!(refusal.cause, Some("pool_exhausted"));
    world.cloud(PROD).set_revoking_down(false);
    let waited = until_granted(&world, &core).await;
    assert!(waited >= SLOT_LAG, "a slot was free after {waited:?}");
    world.live_out(&core).await;
}

/// So late that what was given back outlasts the quarantine, because it cannot be taken away yet or
/// because it still works when it is.
#[tokio::test]
async fn a_slot_that_a_stranger_gave_something_back_waits_until_that_is_out_of_force() {
    for floor in [FLOOR, seconds(0)] {
        let (world, _folder) = world();
        world.cloud(PROD).set_pool(1);
        world.cloud(PROD).set_floor(floor);
        let core = world.broker("a");
        let lease = submit(&core, asks(&world, "1")).await.only().0;
        core.release(lease, &proof("1")).await.unwrap();
        world.live(&core, FLOOR + SLOT_SETTLE + seconds(60)).await;
        let hold = world.holds(PROD, "slot-00").await.remove(0);
        let soon = hold.until.since(world.now()) - seconds(120);
        world.live(&core, soon).await;
        world.cloud(PROD).stranger_gives_back(&hold.lane);
        let waited = until_granted(&world, &core).await;
        assert!(
            waited >= floor + SLOT_LAG,
            "a slot was free after {waited:?}"
        );
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn a_slot_that_is_cut_by_an_order_is_in_quarantine() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, asks(&world, "1")).await;
    let aim = jitney_core::standing::Aim {
        target: Some(PROD.parse().unwrap()),
        ..Default::default()
    };
    core.order_kill(aim, true, &signed()).await.unwrap();
    let began = world.now();
    world.live(&core, FLOOR + SLOT_SETTLE + seconds(120)).await;
    assert!(!world.cloud(PROD).would_allow(grant.only().1));
    let other = submit(&core, asks(&world, "2")).await.only().0;
    assert_eq!(world.lease(other).await.terms().plan.lane.name, "slot-01");
    let refusal = refused(&core, asks(&world, "3")).await;
    assert_eq!(refusal.cause, Some("pool_exhausted"));
    let hold = world.holds(PROD, "slot-00").await;
    assert!(hold.iter().any(|hold| hold.until >= began.plus(TOKEN_LIFE)));
    world.live_out(&core).await;
}
