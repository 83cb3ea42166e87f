//! Clients at work, and what it took them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

/// What one cycle took.
#[derive(Clone, Copy)]
pub struct Cycle {
    /// From the CI token to the credential.
    pub grant: Duration,
    /// Giving it back.
    pub release: Duration,
}

impl Cycle {
    pub fn whole(&self) -> Duration {
        self.grant + self.release
    }
}

/// A broker with jobs that wait for it.
pub trait Side: Send + Sync + 'static {
    type Job: Send + 'static;

    /// A job that has not run yet; none once all have.
    fn next(&self) -> Option<Self::Job>;

    /// Runs a job. Whatever goes wrong ends the bench: a broker that refuses is fast.
    fn cycle(&self, job: Self::Job) -> impl Future<Output = Cycle> + Send;
}

/// A round's cycles.
pub struct Round {
    pub cycles: Vec<Cycle>,
    pub elapsed: Duration,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.cycles.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// So many clients, each with the next job as soon as its last one is over.
pub async fn clients<S: Side>(side: &Arc<S>, clients: usize, length: Duration) -> Round {
    let began = Instant::now();
    let client = |side: Arc<S>| async move {
        let mut cycles = Vec::new();
        while began.elapsed() < length
            && let Some(job) = side.next()
        {
            cycles.push(side.cycle(job).await);
        }
        cycles
    };
    let at_work: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(Arc::clone(side))))
        .collect();
    let cycles = all_of(at_work).await.into_iter().flatten().collect();
    let elapsed = began.elapsed();
    Round { cycles, elapsed }
}

/// Waits for all of them before one that failed ends the bench: what they work on goes with it,
/// and the others would fail for that, louder than the first.
pub async fn all_of<T>(at_work: Vec<JoinHandle<T>>) -> Vec<T> {
    let over = join_all(at_work).await;
    over.into_iter().map(Result::unwrap).collect()
}

/// So many jobs a second, whether or not the ones before are over.
pub async fn arrivals<S: Side>(side: &Arc<S>, per_second: f64, length: Duration) -> Round {
    let began = Instant::now();
    let mut at_work = Vec::new();
    let mut due = began;
    while began.elapsed() < length
        && let Some(job) = side.next()
    {
        tokio::time::sleep_until(due.into()).await;
        let side = Arc::clone(side);
        at_work.push(tokio::spawn(async move { side.cycle(job).await }));
        due += Duration::from_secs_f64(1.0 / per_second);
    }
    let elapsed = began.elapsed();
    let cycles = all_of(at_work).await;
    Round { cycles, elapsed }
}

/// The time within which this share of all came to their end, in milliseconds.
pub fn quantile(mut times: Vec<Duration>, share: f64) -> f64 {
    times.sort();
    let last = times.len().saturating_sub(1);
    times
        .get((last as f64 * share).round() as usize)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
