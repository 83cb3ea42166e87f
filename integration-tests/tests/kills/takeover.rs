//! How long a lease that is due waits when the broker that was ending it dies.

use std::time::{Duration, Instant};

use jitney_integration_tests::kills::{
    Broker, Cloud, Installation, Job, LeaseSeen, Ledger, Tempo, Vendor,
};
use jitney_sandbox::{Fault, FaultKind};

const ROUNDS: usize = 2;
const LANE: usize = 0;
const WORKS: Duration = Duration::from_millis(200);
/// The promise: from the kill to the end of the lease, with all that the other broker must do for
/// it. It waits for the dead one's claim (6 s), writes the Deny anew and sees it stand (2 s).
const RELIEVED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a Deny is under way, so that the kill finds it so.
const SLOW: FaultKind = FaultKind::Delay { millis: 600 };
const UNDER_WAY_WITHIN: Duration = Duration::from_secs(20);

/// Waits until the broker writes the Deny of a lease: it owns the lane, and the lease is due.
async fn until_it_denies(cloud: &Cloud) {
    let since = Instant::now();
    let is_deny = |call: &jitney_sandbox::UnderWay| call.action == "PutRolePolicy";
    while !cloud
        .under_way()
        .await
        .iter()
        .any(|(_, call)| is_deny(call))
    {
        assert!(since.elapsed() < UNDER_WAY_WITHIN, "nothing is denied");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_over(installation: &Installation) {
    while !Ledger(installation).leases().iter().all(LeaseSeen::is_over) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_broker_was_ending_another_ends_within_ten_seconds() {
    let Some(kind) = crate::postgres("a takeover").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&Installation::estate(folder.path())).await;
    let one = Installation::lay_out(folder.path(), kind, Tempo::HASTY, &cloud);
    let beside = one.beside();
    let (mut dies, mut stays) = (Broker::start(&one), Broker::start(&beside));
    dies.ready().await;
    stays.ready().await;
    for _ in 0..ROUNDS {
        let slow = Fault {
            service: "iam".to_owned(),
            action: "PutRolePolicy".to_owned(),
            skip: 0,
            count: 1,
            fault: SLOW,
        };
        cloud.suffers(&[(Vendor::Aws, slow)]).await;
        let ci = cloud.start_job().await;
        let mut job = Job::start(&one, &ci, LANE, WORKS, &[]);
        // The other one sees none of it before the kill, so the lane is the dead one's.
        stays.freeze();
        until_it_denies(&cloud).await;
        let since = Instant::now();
        dies.dies().await;
        stays.thaw();
        until_over(&beside).await;
        println!("relieved within {:?}", since.elapsed());
        assert!(since.elapsed() <= RELIEVED_WITHIN, "{:?}", since.elapsed());
        job.ended().await;
        dies = Broker::start(&one);
        dies.ready().await;
    }
    dies.stop_in_order().await;
    stays.stop_in_order().await;
}
