//! Leases of several clouds in one run, and the clouds' own SDKs, which find them there.

use std::path::PathBuf;

use jiff::SignedDuration;

use crate::broker::{Broker, CANARY};
use crate::environment::environment;
use crate::wrapper::{Job, WAIT};

async fn broker(azure: &'static str) -> Broker {
    let broker = Broker::start().await;
    let mut world = broker.world();
    world.targets = vec!["amazon", "azure", "google"];
    world.kinds.insert("azure", azure);
    world.kinds.insert("google", "gcp-token");
    drop(world);
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_three_clouds_stand_side_by_side() {
    for (azure, named) in [
        ("azure-token", "IDENTITY_ENDPOINT"),
        ("azure-assertion", "AZURE_FEDERATED_TOKEN_FILE"),
    ] {
        let broker = broker(azure).await;
        let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
        let seen = environment(&run).await;
        for name in [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "GOOGLE_APPLICATION_CREDENTIALS",
            named,
        ] {
            assert!(seen.contains_key(name), "{name}");
        }
        assert!(!format!("{seen:?}").contains(CANARY));
        run.touch("go");
        assert_eq!(run.end().await.code, Some(0));
        let world = broker.world();
        assert!(
            world
                .leases
                .values()
                .all(|lease| lease.why == Some("released"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_one_lease_of_a_cloud_however_it_is_used() {
    let broker = broker("azure-token").await;
    broker.world().kinds.insert("amazon", "azure-assertion");
    let ended = Job::new(&broker).sh("exit 0").end().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let told = "`amazon` and `azure`, but a command has room for one identity of Azure";
    assert!(ended.stderr.contains(told), "{ended:?}");
    let world = broker.world();
    assert!(
        world
            .leases
            .values()
            .all(|lease| lease.why == Some("released"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_of_any_cloud_is_in_an_argument_or_a_log() {
    for azure in ["azure-token", "azure-assertion"] {
        let broker = broker(azure).await;
        let script = "cat /proc/$$/cmdline /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' ' '; \
                      env";
        let job = Job::new(&broker).env("RUST_LOG", "trace");
        let ended = job.sh(script).end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let is_there = |text: &str| ended.stdout.contains(text) || ended.stderr.contains(text);
        assert!(!is_there(CANARY), "{ended:?}");
        // The control: it was our command line, and the command's environment.
        assert!(is_there("object-storage:write") && is_there("GOOGLE_APPLICATION_CREDENTIALS="));
    }
}

/// Boto3, azure-identity and google-auth, unmodified, as the command of a run: they find the lease
/// by the environment alone, and again after each renewal.
#[tokio::test(flavor = "multi_thread")]
async fn the_clouds_own_sdks_find_their_leases() {
    // `./test` installs them. Away from there, these judges are not asked, and `./test` says so.
    let Some(judges) = std::env::var_os("JITNEY_JUDGES").map(PathBuf::from) else {
        assert!(
            std::env::var("CI").is_err(),
            "no SDKs to judge the endpoint"
        );
        return;
    };
    let python = judges.join("python/bin/python");
    if !python.exists() && std::env::var("CI").is_err() {
        return;
    }
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/../judges/leased_clients.py");
    for azure in ["azure-token", "azure-assertion"] {
        let broker = broker(azure).await;
        broker.world().credential_ttl = SignedDuration::from_secs(6);
        let run = Job::new(&broker).start(&[python.to_str().unwrap(), "-EsB", judge, CANARY]);
        let ended = run.end().await;
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("broken 0"), "{}", ended.stdout);
    }
}
