//! Kill orders: what an operator ends, and what cannot begin meanwhile.

use std::sync::Arc;

use jitney_core::audit::Event;
use jitney_core::id::{LeaseId, OrderId};
use jitney_core::lease::End;
use jitney_core::ledger::{CommitError, Row, RowId, Transaction};
use jitney_core::standing::Aim;
use jitney_core::usecase::{Core, Signed};
use jitney_integration_tests::fake_cloud::{LAG, SETTLE};
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD, PROD_SCOPE, World, ask, proof};

use crate::outage::{Health, Spool};
use crate::ports::{Around, broker_with};
use crate::{outcome, refused, seconds, submit, times, why, world};

fn signed() -> Signed {
    Signed {
        person: "ada@example.org".to_owned(),
        reason: "the CI was broken into".to_owned(),
    }
}

fn on_target(name: &str) -> Aim {
    Aim {
        target: Some(name.parse().unwrap()),
        ..Aim::default()
    }
}

async fn lease_of(core: &Core, job: &str, scope: &str) -> LeaseId {
    submit(core, ask(job, job, job, &[scope])).await.only().0
}

async fn carried_out(world: &World, core: &Core, order: OrderId) {
    world.turn(core).await;
    let progress = core.order(order).await.unwrap();
    assert!(progress.order.done_at.is_some(), "{progress:?}");
}

#[tokio::test]
async fn an_order_ends_what_it_is_about_and_nothing_else() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let prod = lease_of(&core, "1", PROD_SCOPE).await;
    let backup = lease_of(&core, "2", BACKUP_SCOPE).await;
    let aimed = core.aim(&on_target(PROD)).await.unwrap();
    assert_eq!(aimed.leases, [prod]);
    // To look is not to act.
    assert_eq!(world.lease(prod).await.state(), "active");
    let order = core
        .order_kill(on_target(PROD), false, &signed())
        .await
        .unwrap();
    carried_out(&world, &core, order).await;
    assert_eq!(why(&world.lease(prod).await), Some(End::Killed));
    assert_eq!(world.lease(backup).await.state(), "active");
    let progress = core.order(order).await.unwrap();
    assert_eq!((progress.order.looked_at, progress.order.ended), (2, 1));
    assert_eq!(progress.revoking, 1);
    assert!(progress.exposed_until.is_some());
    world.live(&core, SETTLE + seconds(2)).await;
    let over = core.order(order).await.unwrap();
    assert_eq!((over.revoking, over.exposed_until), (0, None));
    for event in [Event::KillOrdered, Event::KillDone] {
        assert_eq!(times(&world, event).await, 1, "{event}");
    }
    world.live_out(&core).await;
}

#[tokio::test]
async fn each_part_of_an_aim_narrows_it() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let first = lease_of(&core, "1", PROD_SCOPE).await;
    world.clock.pass(seconds(10));
    let later = world.now();
    let second = lease_of(&core, "2", PROD_SCOPE).await;
    let terms = world
        .request(world.lease(first).await.terms().request)
        .await;
    let job = terms.terms().principal.job.clone();
    let everywhere = Aim {
        issuer: Some(job.issuer.clone()),
        repository: Some(job.repository.id.clone()),
        target: Some(PROD.parse().unwrap()),
        ..Aim::default()
    };
    let by_path = Aim {
        repository: Some(job.repository.path.clone()),
        ..Aim::default()
    };
    let resource = world.lease(first).await.terms().scopes[0].resource.clone();
    let by_resource = Aim {
        resource: Some(resource),
        ..Aim::default()
    };
    for aim in [&everywhere, &by_path, &by_resource] {
        assert_eq!(core.aim(aim).await.unwrap().leases.len(), 2, "{aim:?}");
    }
    let only = |aim: Aim, expected: Vec<LeaseId>| {
        let core = &core;
        async move { assert_eq!(core.aim(&aim).await.unwrap().leases, expected, "{aim:?}") }
    };
    only(
        Aim {
            since: Some(later),
            ..everywhere.clone()
        },
        vec![second],
    )
    .await;
    only(
        Aim {
            lease: Some(first),
            ..everywhere.clone()
        },
        vec![first],
    )
    .await;
    only(
        Aim {
            issuer: Some("https://elsewhere".to_owned()),
            ..Aim::default()
        },
        vec![],
    )
    .await;
    only(
        Aim {
            repository: Some("0".to_owned()),
            ..Aim::default()
        },
        vec![],
    )
    .await;
    only(
        Aim {
            target: Some("nowhere".parse().unwrap()),
            ..Aim::default()
        },
        vec![],
    )
    .await;
    only(
        Aim {
            resource: Some("nothing".parse().unwrap()),
            ..Aim::default()
        },
        vec![],
    )
    .await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn nothing_an_order_is_about_begins_before_it_is_carried_out() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let other = world.broker("b");
    // The other broker has read the standing orders as they were before.
    lease_of(&other, "1", BACKUP_SCOPE).await;
    core.order_kill(on_target(PROD), false, &signed())
        .await
        .unwrap();
    let mints = world.cloud(PROD).mint_calls();
    let asks = || ask("2", "2", "2", &[PROD_SCOPE]);
    // It is turned away although it did not know: the sheet has moved.
    assert_eq!(refused(&other, asks()).await.code, "try_again");
    assert_eq!(refused(&other, asks()).await.code, "stopped");
    assert_eq!(refused(&core, asks()).await.code, "stopped");
    assert_eq!(world.cloud(PROD).mint_calls(), mints);
    // What it is not about goes on, and so does this once the order is done.
    lease_of(&core, "3", BACKUP_SCOPE).await;
    world.turn(&core).await;
    submit(&core, asks()).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn an_intent_that_is_out_is_ended_too() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = lease_of(&core, "1", PROD_SCOPE).await;
    let order = core
        .order_kill(on_target(PROD), false, &signed())
        .await
        .unwrap();
    // A renewal comes at the same moment: it is turned away, or undone.
    let renewed = core.renew(lease, &proof("1")).await;
    carried_out(&world, &core, order).await;
    drop(renewed);
    assert_eq!(why(&world.lease(lease).await), Some(End::Killed));
    world.live_out(&core).await;
}

#[tokio::test]
async fn an_order_goes_on_where_a_broker_left_it() {
    let (world, _folder) = world();
    let first = world.broker("a");
    let leases = [
        lease_of(&first, "1", PROD_SCOPE).await,
        lease_of(&first, "2", PROD_SCOPE).await,
    ];
    let order = first
        .order_kill(on_target(PROD), false, &signed())
        .await
        .unwrap();
    drop(first);
    let second = world.broker("b");
    carried_out(&world, &second, order).await;
    for lease in leases {
        assert_ne!(world.lease(lease).await.state(), "active");
    }
    world.live_out(&second).await;
}

#[tokio::test]
async fn a_cut_lane_takes_siblings_with_it_by_one_entry() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let aimed_at = lease_of(&core, "1", PROD_SCOPE).await;
    let sibling = lease_of(&core, "2", PROD_SCOPE).await;
    let aim = Aim {
        lease: Some(aimed_at),
        ..Aim::default()
    };
    let order = core.order_kill(aim, true, &signed()).await.unwrap();
    carried_out(&world, &core, order).await;
    for lease in [aimed_at, sibling] {
        assert_eq!(why(&world.lease(lease).await), Some(End::Cut));
    }
    // What is minted before every clock is past the cut would be dead on arrival.
    assert_eq!(
        refused(&core, ask("3", "3", "3", &[PROD_SCOPE])).await.code,
        "try_again"
    );
    world.live(&core, SETTLE + seconds(2)).await;
    assert_eq!(world.cloud(PROD).working(), Vec::new());
    world.live(&core, seconds(180)).await;
    let (_, credential) = submit(&core, ask("3", "3", "3", &[PROD_SCOPE]))
        .await
        .leases
        .remove(0);
    assert!(world.cloud(PROD).would_allow(&credential));
    world.live_out(&core).await;
}

#[tokio::test]
async fn an_order_needs_a_person_a_reason_and_an_aim() {
    let (world, _folder) = world();
    let core = world.broker("a");
    for (person, reason) in [("", "reason"), ("ada", " "), ("ada", &"x".repeat(257))] {
        let signed = Signed {
            person: person.to_owned(),
            reason: reason.to_owned(),
        };
        let refusal = core
            .order_kill(on_target(PROD), false, &signed)
            .await
            .unwrap_err();
        assert_eq!(refusal.code, "bad_request");
    }
    let everything = core.order_kill(Aim::default(), false, &signed()).await;
    assert_eq!(everything.unwrap_err().code, "bad_request");
    assert_eq!(world.ledger.sheets("").await.unwrap(), Vec::new());
}

#[tokio::test]
async fn a_lease_is_written_off_only_while_it_is_being_revoked_and_keeps_its_hold() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = lease_of(&core, "1", PROD_SCOPE).await;
    assert_eq!(
        core.write_off(lease, &signed()).await.unwrap_err().code,
        "bad_request"
    );
    world.cloud(PROD).set_revoking_down(true);
    core.release(lease, &proof("1")).await.unwrap();
    world.turn(&core).await;
    core.write_off(lease, &signed()).await.unwrap();
    assert!(outcome(&world.lease(lease).await).is_some());
    assert_eq!(times(&world, Event::LeaseWrittenOff).await, 1);
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    let holds = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    assert_eq!(holds.len(), 1);
    // When the cloud is back, what was written off is ended all the same.
    world.cloud(PROD).set_revoking_down(false);
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_is_stuck_is_named_with_what_it_exposes() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = lease_of(&core, "1", PROD_SCOPE).await;
    world.cloud(PROD).set_revoking_down(true);
    core.release(lease, &proof("1")).await.unwrap();
    world.live(&core, seconds(50)).await;
    assert_eq!(core.stuck().await.unwrap(), Vec::new());
    world.live(&core, seconds(30)).await;
    let stuck = core.stuck().await.unwrap();
    assert_eq!(stuck.len(), 1);
    assert_eq!((stuck[0].lease, stuck[0].written), (lease, false));
    assert!(stuck[0].attempts > 1);
    assert!(stuck[0].exposed_until > world.now());
    world.cloud(PROD).set_revoking_down(false);
    world.live(&core, seconds(120)).await;
    assert_eq!(core.stuck().await.unwrap(), Vec::new());
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_keeps_no_other_alive() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let spoilt = lease_of(&core, "1", PROD_SCOPE).await;
    let other = lease_of(&core, "2", PROD_SCOPE).await;
    let row = world
        .ledger
        .row(RowId::Lease(spoilt))
        .await
        .unwrap()
        .unwrap();
    let spoil = Row {
        version: row.version + 1,
        body: "{}".to_owned(),
        ..row
    };
    let spoil = Transaction {
        rows: vec![spoil],
        ..Transaction::default()
    };
    world.ledger.commit(spoil).await.unwrap();
    let aimed = core.aim(&on_target(PROD)).await.unwrap();
    assert_eq!(aimed.leases, [other]);
    let order = core
        .order_kill(on_target(PROD), false, &signed())
        .await
        .unwrap();
    core.obey().await.unwrap();
    let order = core.order(order).await.unwrap().order;
    assert!(order.done_at.is_some(), "{order:?}");
    assert_eq!((order.looked_at, order.ended, order.unreadable), (2, 1, 1));
    assert_eq!(why(&world.lease(other).await), Some(End::Killed));
}

/// More than two pages, on a ledger that stops taking anything once the order is given.
#[tokio::test]
async fn an_order_reaches_every_lease_while_the_ledger_takes_nothing() {
    const LEASES: u32 = 620;
    for health in [Health::Full, Health::AnswersLost] {
        let (mut world, _folder) = world();
        world.limits.leases_per_repository_max = LEASES;
        world.cloud(PROD).set_lane_capacity(LEASES);
        let spool = Spool::new();
        let core = spool.broker(&world, "a");
        for job in 0..LEASES {
            lease_of(&core, &job.to_string(), PROD_SCOPE).await;
        }
        let given = core.order_kill(on_target(PROD), false, &signed()).await;
        let order = given.unwrap();
        spool.illness.set(health);
        core.obey().await.unwrap_err();
        let noted = core.order(order).await.unwrap();
        assert_eq!((noted.order.ended, noted.to_end), (LEASES, 0), "{health:?}");
        assert_eq!(noted.order.done_at, None);
        world.live(&core, LAG + seconds(1)).await;
        assert!(world.cloud(PROD).working().is_empty(), "{health:?}");
        // Nothing like them is granted before the ledger knows that all are seen.
        spool.illness.set(Health::Well);
        assert_eq!(
            refused(&core, ask("late", "late", "late", &[PROD_SCOPE]))
                .await
                .code,
            "stopped"
        );
        carried_out(&world, &core, order).await;
        let told = core.order(order).await.unwrap().order;
        assert_eq!((told.looked_at, told.ended), (LEASES, LEASES));
        world.live_out(&core).await;
    }
}

/// A ledger that never hears how far an order is.
struct NoSheets;

impl Around for NoSheets {
    fn instead_of_commit(&self, commit: &Transaction) -> Option<(CommitError, bool)> {
        let tells = !commit.sheets.is_empty();
        tells.then(|| (CommitError::Unavailable("full".to_owned()), false))
    }
}

/// A process that died between ending leases and saying so counts them when it comes back.
#[tokio::test]
async fn what_an_order_ended_before_a_crash_is_counted_once() {
    let (world, _folder) = world();
    let core = world.broker("a");
    for job in ["1", "2", "3"] {
        lease_of(&core, job, PROD_SCOPE).await;
    }
    let given = core.order_kill(on_target(PROD), false, &signed()).await;
    let order = given.unwrap();
    drop(core);
    let around: Arc<dyn Around> = Arc::new(NoSheets);
    let died = broker_with(&world, "b", &around);
    died.obey().await.unwrap_err();
    drop(died);
    let core = world.broker("c");
    carried_out(&world, &core, order).await;
    let told = core.order(order).await.unwrap();
    assert_eq!((told.order.looked_at, told.order.ended), (3, 3));
    assert_eq!((told.to_end, told.revoking, told.over), (0, 3, 0));
    world.live(&core, SETTLE + seconds(2)).await;
    assert_eq!(core.order(order).await.unwrap().over, 3);
    world.live_out(&core).await;
}
