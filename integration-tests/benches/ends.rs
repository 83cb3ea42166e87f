//! How soon a lease is over, with the real binary, real jobs and the times that an operator gets
//! who sets none: `cargo build --release --workspace && cargo bench --workspace --bench ends`.
//!
//! *released*: from the job's release to the Deny that was written and read back. *silent*: from
//! the kill of a job's wrapper to the end of its lease, and on to the Deny. *expired*: from the
//! end that the job asked for to the end of its lease, and on to the Deny.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jitney_core::audit::{Entry, Event};
use jitney_integration_tests::kills::{
    AWS_LANES, Broker, Chance, Cloud, Installation, Job, Ledger, LedgerKind, Tempo, role_of,
};

/// The lanes that are measured.
const LANES: usize = AWS_LANES.end;
/// How many jobs each lane sees one after the other, and how many of such rows it has at a time.
const JOBS: usize = 12;
const ROWS: usize = 2;
/// The work of those jobs, in milliseconds.
const WORK: std::ops::Range<u64> = 100..1_500;
/// When the wrapper of a job that is to fall silent is killed.
const SILENT_AFTER: Duration = Duration::from_secs(8);
/// The time that a job asks for which overstays it, in seconds.
const TTL_SECONDS: i64 = 60;
const OVERSTAYS: Duration = Duration::from_secs(80);
const MICROS: i64 = 1_000_000;

struct Stage {
    cloud: Cloud,
    installation: Installation,
}

impl Stage {
    async fn job(&self, lane: usize, works: Duration, options: &[&str]) -> Job {
        let ci = self.cloud.start_job().await;
        Job::start(&self.installation, &ci, lane, works, options)
    }

    async fn wait_until_over(&self) {
        while !Ledger(&self.installation).open_leases().is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&Installation::estate(folder.path())).await;
    let installation =
        Installation::lay_out(folder.path(), LedgerKind::Sqlite, Tempo::USUAL, &cloud);
    let mut broker = Broker::start(&installation);
    broker.ready().await;
    let stage = Arc::new(Stage {
        cloud,
        installation,
    });
    release_many(&stage).await;
    stage.wait_until_over().await;
    let killed = fall_silent_and_overstay(&stage).await;
    stage.wait_until_over().await;
    broker.stop_in_order().await;
    let lives = lives(&Ledger(&stage.installation).audit_log());
    println!(
        "{:<34} {:>5} {:>8} {:>8} {:>8}",
        "seconds", "n", "p50", "p99", "most"
    );
    tell(
        "released to written",
        lives.iter().filter(|life| life.why == "released"),
        Life::written,
    );
    let silent = || lives.iter().filter(|life| life.why == "silent");
    tell("silent: killed to ending", silent(), |life| {
        life.ending - killed[&life.lane]
    });
    tell("silent: ending to written", silent(), Life::written);
    let expired = || lives.iter().filter(|life| life.why == "expired");
    let overstayed = |life: &Life| life.ending - life.intended - TTL_SECONDS * MICROS;
    tell("expired: time over to ending", expired(), overstayed);
    tell("expired: ending to written", expired(), Life::written);
}

async fn release_many(stage: &Arc<Stage>) {
    let mut chance = Chance::of(1);
    let rows = (0..LANES * ROWS).map(|row| {
        let (stage, mut chance) = (Arc::clone(stage), chance.branch());
        tokio::spawn(async move {
            for _ in 0..JOBS {
                let works = chance.millis(WORK);
                stage.job(row % LANES, works, &[]).await.ended().await;
            }
        })
    });
    for row in rows.collect::<Vec<_>>() {
        row.await.unwrap();
    }
}

/// In each lane one job: half of them lose their wrapper, the others overstay. Gives when the
/// wrappers were killed, by the name of the role.
async fn fall_silent_and_overstay(stage: &Arc<Stage>) -> BTreeMap<String, i64> {
    let jobs = (0..LANES).map(|lane| {
        let stage = Arc::clone(stage);
        tokio::spawn(async move {
            if lane % 2 == 1 {
                let ttl = TTL_SECONDS.to_string();
                stage
                    .job(lane, OVERSTAYS, &["--ttl", &ttl])
                    .await
                    .ended()
                    .await;
                return None;
            }
            let job = stage.job(lane, OVERSTAYS, &[]).await;
            tokio::time::sleep(SILENT_AFTER).await;
            let at = job.kill().await.expect("it works for longer");
            Some((role_of(lane), at.as_microsecond()))
        })
    });
    let mut killed = BTreeMap::new();
    for job in jobs.collect::<Vec<_>>() {
        killed.extend(job.await.unwrap());
    }
    killed
}

/// What the audit log says of one lease. Times in microseconds.
struct Life {
    lane: String,
    why: String,
    intended: i64,
    ending: i64,
    written: i64,
}

impl Life {
    const fn written(&self) -> i64 {
        self.written - self.ending
    }
}

/// The lives of all leases that were written to their role's list.
fn lives(log: &[Entry]) -> Vec<Life> {
    let mut entries: BTreeMap<_, BTreeMap<Event, &Entry>> = BTreeMap::new();
    for entry in log {
        if let Some(lease) = entry.lease_id() {
            entries
                .entry(lease)
                .or_default()
                .insert(entry.event(), entry);
        }
    }
    let life = |entries: &BTreeMap<Event, &Entry>| {
        let ending = entries.get(&Event::LeaseEnding)?;
        let lane = ending.fields().get("lane")?.rsplit('/').next()?;
        Some(Life {
            lane: lane.to_owned(),
            why: ending.fields().get("why")?.clone(),
            intended: entries.get(&Event::LeaseIntended)?.at().as_micros(),
            ending: ending.at().as_micros(),
            written: entries.get(&Event::LeaseWritten)?.at().as_micros(),
        })
    };
    entries.values().filter_map(life).collect()
}

fn tell<'a>(what: &str, lives: impl Iterator<Item = &'a Life>, measure: impl Fn(&Life) -> i64) {
    let mut micros: Vec<i64> = lives.map(measure).collect();
    micros.sort_unstable();
    let at = |percent: usize| {
        let place = (micros.len() * percent).div_ceil(100).max(1) - 1;
        micros
            .get(place)
            .map_or(f64::NAN, |micros| *micros as f64 / MICROS as f64)
    };
    let (p50, p99, most) = (at(50), at(99), at(100));
    println!(
        "{what:<34} {:>5} {p50:>8.2} {p99:>8.2} {most:>8.2}",
        micros.len()
    );
}
