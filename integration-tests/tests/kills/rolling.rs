//! Two brokers that are restarted one after the other, as for a new version, while jobs come and
//! go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jitney_integration_tests::kills::{Balancer, Broker, Cloud, Installation, Job, Ledger, Tempo};

/// How long a job tries to get its lease, in seconds.
const PATIENCE: [&str; 2] = ["--patience", "5"];
const LANES: usize = 4;
const ROUNDS: usize = 2;
const BETWEEN: Duration = Duration::from_millis(500);
const WORKS: Duration = Duration::from_millis(50);
/// How long everything may take to end afterwards.
const OVER_WITHIN: Duration = Duration::from_secs(60);

/// One job after the other, each of which must succeed. Gives how many there were.
async fn keep_busy(
    installation: Arc<Installation>,
    cloud: Arc<Cloud>,
    lane: usize,
    closing: Arc<AtomicBool>,
) -> usize {
    let mut jobs = 0;
    while !closing.load(Ordering::SeqCst) {
        let ci = cloud.start_job().await;
        let mut job = Job::start(&installation, &ci, lane, WORKS, &PATIENCE);
        let status = job.ended().await;
        assert!(status.success(), "job {jobs} in lane {lane}: {status}");
        jobs += 1;
    }
    jobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_restarted_one_by_one_fail_no_job_that_tries_for_five_seconds() {
    let Some(kind) = crate::postgres("a rolling restart").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cloud = Arc::new(Cloud::start(&Installation::estate(folder.path())).await);
    let mut balancer = Balancer::bind().await;
    let mut one = Installation::lay_out(folder.path(), kind, Tempo::HASTY, &cloud);
    one.stand_behind(balancer.url());
    let (one, two) = (Arc::new(one.beside()), one);
    balancer.stand_before(vec![one.listens(), two.listens()]);
    let mut brokers = [(Broker::start(&one), &*one), (Broker::start(&two), &two)];
    for (broker, _) in &mut brokers {
        broker.ready().await;
    }
    let closing = Arc::new(AtomicBool::new(false));
    let busy = |lane| {
        let (one, cloud, closing) = (one.clone(), cloud.clone(), closing.clone());
        tokio::spawn(keep_busy(one, cloud, lane, closing))
    };
    let lanes: Vec<_> = (0..LANES).map(busy).collect();
    for _ in 0..ROUNDS {
        for (broker, installation) in &mut brokers {
            tokio::time::sleep(BETWEEN).await;
            broker.stop_in_order().await;
            *broker = Broker::start(installation);
            broker.ready().await;
        }
    }
    // Who wants to move the ledger meanwhile, from another machine, is told to stop them first.
    let spool = folder.path().join("elsewhere.spool");
    let mut export = one.command(&["ledger", "export"]);
    let export = export.env("JITNEY__SPOOL__PATH", spool).output().unwrap();
    let told = String::from_utf8_lossy(&export.stderr).into_owned();
    assert!(
        !export.status.success() && told.contains("stop all"),
        "{told}"
    );
    closing.store(true, Ordering::SeqCst);
    let mut jobs = 0;
    for lane in lanes {
        jobs += lane.await.unwrap();
    }
    println!("{jobs} jobs");
    assert!(jobs >= 2 * LANES, "{jobs} jobs say little");
    let ended = async {
        while !Ledger(&one).open_leases().is_empty() {
            tokio::time::sleep(BETWEEN).await;
        }
    };
    tokio::time::timeout(OVER_WITHIN, ended).await.unwrap();
}
