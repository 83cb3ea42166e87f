//! Jobs that live: each lease is heard of every 15 seconds, as `jitney run` does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jitney_api::LeaseState;
use jitney_client::Client;
use tokio::task::JoinHandle;

use crate::measure::all_of;

/// How often a job is heard.
pub const BEAT_EVERY: Duration = Duration::from_secs(15);

/// Leases that are beaten for until [`stop`](Self::stop).
pub struct Beats {
    over: Arc<AtomicBool>,
    at_work: Vec<JoinHandle<Vec<Duration>>>,
}

impl Beats {
    /// Beats for all leases of every key, evenly over the time.
    pub fn start(keys: Vec<(Arc<Client>, Vec<String>)>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let count = u32::try_from(keys.len()).unwrap();
        let hand = |(number, (client, leases)): (u32, (Arc<Client>, Vec<String>))| {
            let every = BEAT_EVERY / u32::try_from(leases.len()).unwrap();
            let first = Instant::now() + every * number / count;
            tokio::spawn(beat(client, leases, (first, every), Arc::clone(&over)))
        };
        let at_work = (0..).zip(keys).map(hand).collect();
        Self { over, at_work }
    }

    /// Stops, and gives how long each beat took.
    pub async fn stop(self) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        all_of(self.at_work).await.into_iter().flatten().collect()
    }
}

async fn beat(
    client: Arc<Client>,
    leases: Vec<String>,
    (mut due, every): (Instant, Duration),
    over: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for lease in leases.iter().cycle() {
        tokio::time::sleep_until(due.into()).await;
        if over.load(Ordering::Relaxed) {
            break;
        }
        let sent = Instant::now();
        let heard = client.heartbeat(lease, None).await;
        if !matches!(&heard, Ok(heard) if heard.state == LeaseState::Active) {
            // The others need not fail as well.
            over.store(true, Ordering::Relaxed);
            panic!("a lease that beats ended, or a beat was not heard: {heard:?}");
        }
        times.push(sent.elapsed());
        due += every;
    }
    times
}
