//! A broker that is stopped where it stands for longer than it owns its lanes and longer than a
//! job may be silent, and then goes on.

use std::time::{Duration, Instant};

use jitney_integration_tests::kills::{
    BUSY_LANES, Broker, Job, Ledger, LedgerKind, PROMPT_LANES, bucket_of,
};

use crate::trouble;
use crate::world::World;

/// Longer than the claim of a lane (6 s) and than the silence that the world allows (5 s).
const FROZEN: Duration = Duration::from_millis(9_500);
const ROUNDS: usize = 2;
/// The lane of the job that lives through all of it.
const PATIENT: usize = 0;

/// What was under way when it stopped is done or taken back, and no job is blamed for a silence
/// that was the broker's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_past_its_claims_it_goes_on_and_blames_nobody() {
    let mut world = World::begin(LedgerKind::Sqlite, 41).await;
    let lanes = world.busy(BUSY_LANES.into_iter().filter(|lane| *lane != PATIENT), 0);
    let ci = world.stage.cloud.start_job().await;
    let works = Duration::from_secs(25);
    let mut patient = Job::start(&world.stage.installation, &ci, PATIENT, works, &[]);
    for _ in 0..ROUNDS {
        let slow = trouble::slowness(&mut world.chance);
        world.stage.cloud.suffers(&slow).await;
        let moment = world.chance.millis(700..1_500);
        tokio::time::sleep(moment).await;
        world.stage.story.tell("frozen");
        world.broker.freeze();
        tokio::time::sleep(FROZEN).await;
        world.broker.thaw();
        world.stage.story.tell("thawed");
        world.look().await;
    }
    patient.ended().await;
    let installation = &world.stage.installation;
    let its_own = |scope: &String| scope.contains(&bucket_of(PATIENT));
    let leases = Ledger(installation).leases();
    let leases: Vec<_> = leases
        .iter()
        .filter(|lease| lease.scopes.iter().any(its_own))
        .collect();
    let ends: Vec<_> = leases.iter().map(|lease| lease.why.as_deref()).collect();
    assert_eq!(
        ends,
        [Some("released")],
        "the job in lane {PATIENT} was alive all the time"
    );
    println!("{}", world.comes_to_its_end(lanes).await);
}

/// How many of a hundred jobs lose their wrapper, so that there is always something to take back.
const DOOMED_PERCENT: u64 = 40;
/// The claim of a lane, the time of a Deny to settle, and what it takes to get there.
const RELIEVED_WITHIN: Duration = Duration::from_secs(15);

fn revoking(world: &World) -> Vec<String> {
    let open = Ledger(&world.stage.installation).open_leases();
    let revoking = open.into_iter().filter(|lease| lease.state == "revoking");
    revoking.map(|lease| lease.id).collect()
}

/// A broker beside it takes its lanes over and ends what it was ending. Woken, it writes what it
/// was about to write, and that revives nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_past_its_claims_it_is_relieved_and_woken_it_revives_nobody() {
    let Some(kind) = crate::postgres("a broker that is relieved by another").await else {
        return;
    };
    let mut world = World::begin(kind, 43).await;
    let beside = world.stage.installation.beside();
    let mut other = Broker::start(&beside);
    other.ready().await;
    let lanes = world.busy(PROMPT_LANES, DOOMED_PERCENT);
    for _ in 0..ROUNDS {
        let slow = trouble::slowness(&mut world.chance);
        world.stage.cloud.suffers(&slow).await;
        let moment = world.chance.millis(700..1_500);
        tokio::time::sleep(moment).await;
        let mut ending = revoking(&world);
        while ending.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ending = revoking(&world);
        }
        world.broker.freeze();
        world
            .stage
            .story
            .tell(format!("frozen while {ending:?} were ending"));
        let since = Instant::now();
        while revoking(&world).iter().any(|lease| ending.contains(lease)) {
            assert!(since.elapsed() < RELIEVED_WITHIN, "nobody ended {ending:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("relieved within {:?}", since.elapsed());
        tokio::time::sleep(FROZEN.saturating_sub(since.elapsed())).await;
        world.broker.thaw();
        world.stage.story.tell("thawed");
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.look().await;
        }
    }
    other.stop_in_order().await;
    println!("{}", world.comes_to_its_end(lanes).await);
}
