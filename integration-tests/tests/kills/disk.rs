//! A disk that is full in the middle of everything, and has room again or not before the broker
//! dies of something else.

use std::fs;
use std::time::{Duration, Instant};

use jitney_integration_tests::kills::{BUSY_LANES, LedgerKind};

use crate::trouble;
use crate::world::World;

const ROUNDS: usize = 8;
const DOOMED_PERCENT: u64 = 20;
/// What the broker's log says of a batch that the ledger could not write.
const REFUSED: &str = "the ledger did not take a batch";
/// How long it may take until somebody wants to write.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

/// How large files may become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// The ledger as large as it is and a little larger; there is room for the broker's log.
    ForTheLog,
    /// None at all.
    None,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_given_that_is_not_taken_back() {
    let mut world = World::begin(LedgerKind::Sqlite, 42).await;
    let lanes = world.busy(BUSY_LANES, DOOMED_PERCENT);
    for round in 0..ROUNDS {
        let slow = trouble::slowness(&mut world.chance);
        world.stage.cloud.suffers(&slow).await;
        let moment = world.chance.millis(300..900);
        tokio::time::sleep(moment).await;
        let rooms = [Room::ForTheLog, Room::None];
        fill(&mut world, rooms[round / 2 % 2]).await;
        if round % 2 == 0 {
            world.broker.free_disk();
            world.stage.story.tell("the disk has room again");
        } else {
            world.kill_broker().await;
        }
        world.broker.ready().await;
        world.look().await;
    }
    println!("{}", world.comes_to_its_end(lanes).await);
}

/// Fills the disk, and lets the broker live with that for a while.
async fn fill(world: &mut World, room: Room) {
    let before = refused(world);
    let bytes = match room {
        Room::None => 0,
        Room::ForTheLog => {
            let written = fs::metadata(world.stage.installation.folder().join("jitney.db-wal"));
            written.unwrap().len() + world.chance.within(0..40_000)
        }
    };
    world.broker.fill_disk(bytes);
    let told = format!("no file may be larger than {bytes} bytes");
    world.stage.story.tell(told);
    let since = Instant::now();
    while room == Room::ForTheLog && refused(world) == before {
        assert!(since.elapsed() < REFUSED_WITHIN, "the disk is not full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stays_full = world.chance.millis(300..1_300);
    tokio::time::sleep(stays_full).await;
}

/// How many batches were refused so far, as far as the log could be written.
fn refused(world: &World) -> usize {
    let log = fs::read_to_string(world.stage.installation.folder().join("broker.log"));
    log.unwrap().matches(REFUSED).count()
}
