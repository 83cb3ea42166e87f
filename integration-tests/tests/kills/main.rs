//! Kill for real: the real binary as broker and as jobs, a real ledger, and three clouds. Whatever
//! is killed, frozen, cut off or out of disk, afterwards the clouds' own books agree with the
//! ledger.
//!
//! By itself it kills two hundred times. `JITNEY_KILLS` says how many instead, for nights; then the
//! last world of each share waits for every lease, also for minutes. `JITNEY_KILLS_SEED` says with
//! which seed to begin:
//!
//! ```console
//! $ JITNEY_KILLS=10000 cargo test --release --workspace --test kills -- killed
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod disk;
mod frozen;
mod kill;
mod rolling;
mod story;
mod takeover;
mod trouble;
mod world;

use jitney_integration_tests::kills::LedgerKind;
use jitney_integration_tests::postgres::Server;
use kill::Tally;
use world::World;

/// How many kills there are in all, shared by the tests below.
const KILLS: usize = 208;
/// How many of them one world sees.
const KILLS_PER_WORLD: usize = 52;
const SHARES: usize = 4;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("`{variable}` is `{text}`: expected a number")),
    )
}

/// Lives through one share of the kills, world by world.
async fn live_through(kind: LedgerKind, share: usize) {
    let wanted = number("JITNEY_KILLS");
    let kills = wanted.map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let share_of_kills = kills.div_ceil(SHARES);
    let mut seed = number("JITNEY_KILLS_SEED").unwrap_or(1) + share as u64 * 1_000_000;
    let mut tally = Tally::default();
    while tally.kills() < share_of_kills {
        let mut world = World::begin(kind, seed).await;
        let is_last = tally.kills() + KILLS_PER_WORLD >= share_of_kills;
        if wanted.is_some() && is_last {
            world = world.patient();
        }
        let of_world = world.lives_through(KILLS_PER_WORLD).await;
        println!("seed {seed}: {of_world}");
        tally.add(&of_world);
        seed += 1;
    }
    println!("in all: {tally}");
    tally.must_be_worth_it();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_left_one() {
    live_through(LedgerKind::Sqlite, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_left_two() {
    live_through(LedgerKind::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_left_three() {
    live_through(LedgerKind::Sqlite, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_left_four() {
    live_through(LedgerKind::Sqlite, 3).await;
}

/// PostgreSQL as the ledger; nothing where it is not installed, which is said aloud and red in CI.
async fn postgres(what: &str) -> Option<LedgerKind> {
    let server = Server::shared_or_said(what).await.unwrap();
    server.map(LedgerKind::Postgres)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_left_on_postgres() {
    if let Some(kind) = postgres("kills on PostgreSQL").await {
        live_through(kind, 4).await;
    }
}
