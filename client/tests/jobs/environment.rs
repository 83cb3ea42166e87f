//! What a command finds in its environment, and what it does not.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use crate::broker::{Broker, CANARY, RUNNER_BEARER};
use crate::wrapper::{Job, Run, WAIT};

/// The environment of a command that runs.
pub async fn environment(run: &Run) -> BTreeMap<String, String> {
    let text = run.file("env").await;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_the_lease_and_nothing_that_makes_tokens() {
    let broker = Broker::start().await;
    let run = Job::new(&broker)
        .env("AWS_ACCESS_KEY_ID", "AKIA-of-the-runner")
        .env("AWS_PROFILE", "admin")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")
        .env("AWS_REGION", "us-east-1")
        .env("NO_PROXY", "internal.example")
        .env("KEPT", "as it was")
        .sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    for gone in [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    let all = format!("{seen:?}");
    assert!(!all.contains(RUNNER_BEARER) && !all.contains(CANARY));
    assert_eq!(seen["KEPT"], "as it was");
    assert_eq!(seen["AWS_REGION"], "eu-west-1");
    assert_eq!(seen["AWS_DEFAULT_REGION"], "eu-west-1");
    assert_eq!(seen["AWS_EC2_METADATA_DISABLED"], "true");
    assert_eq!(seen["NO_PROXY"], "internal.example,127.0.0.1,localhost");
    assert_eq!(seen["no_proxy"], "127.0.0.1,localhost");
    assert_eq!(seen["JITNEY_REQUEST"], "req_0");
    let uri = &seen["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    assert!(uri.starts_with("http://127.0.0.1:"), "{uri}");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_variable_gets_the_lease_and_is_kept_from_the_command() {
    let broker = Broker::start().await;
    let token = "ci-token-of-the-whole-job";
    let run = Job::without_runner(&broker.url())
        .args(&["--token-env", "ID_TOKEN"])
        .env("ID_TOKEN", token)
        .env("KEPT", "as it was")
        .sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    assert!(!format!("{seen:?}").contains(token));
    assert_eq!(seen["KEPT"], "as it was");
    assert!(seen.contains_key("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
    assert!(broker.world().tokens_used.contains_key(token));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_private_hold_no_credential_and_are_gone_afterwards() {
    let broker = Broker::start().await;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    for name in [
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ] {
        let path = std::path::Path::new(&seen[name]);
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path), 0o600, "{name}");
        assert_eq!(mode(path.parent().unwrap()), 0o700, "{name}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains(CANARY), "{name}");
        let is_token = name.ends_with("TOKEN_FILE");
        assert_eq!(text.is_empty(), !is_token, "{name}");
        if is_token {
            // 256 bits in base64url, and no line's end: SDKs refuse one in a header.
            assert_eq!(text.len(), 43);
            assert!(!text.contains('\n'));
        }
    }
    let file = std::path::PathBuf::from(&seen["AWS_CONFIG_FILE"]);
    run.touch("go");
    let directory = run.directory();
    assert!(file.starts_with(&directory));
    // Looked at while the test's own directory still stands.
    broker.until(|world| world.only_lease().why.is_some()).await;
    assert!(!file.parent().unwrap().exists());
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn static_variables_are_there_when_asked_for_and_say_when_they_end() {
    let broker = Broker::start().await;
    let run = Job::new(&broker)
        .args(&["--env"])
        .sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    assert_eq!(seen["AWS_ACCESS_KEY_ID"], "ASIA0");
    assert_eq!(seen["AWS_SECRET_ACCESS_KEY"], format!("{CANARY}-secret-0"));
    assert_eq!(seen["AWS_SESSION_TOKEN"], format!("{CANARY}-token-0"));
    let end: jiff::Timestamp = seen["AWS_CREDENTIAL_EXPIRATION"].parse().unwrap();
    let left = end.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((880..=900).contains(&left), "{left}");
    assert_eq!(seen.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"), None);
    run.touch("go");
    let ended = run.end().await;
    assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn pristine_means_nearly_nothing() {
    let broker = Broker::start().await;
    let run = Job::new(&broker)
        .env("SECRET_OF_ANOTHER_STEP", "x")
        .args(&["--pristine", "--keep-env", "DIR"])
        .sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    assert_eq!(seen.get("SECRET_OF_ANOTHER_STEP"), None);
    assert!(seen.contains_key("PATH") && seen.contains_key("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_is_nowhere_but_where_it_belongs() {
    let broker = Broker::start().await;
    let script = "cat /proc/$PPID/cmdline | tr '\\0' ' '; cat /proc/$PPID/environ | tr '\\0' ' '";
    let ended = Job::new(&broker)
        .env("RUST_LOG", "trace")
        .sh(script)
        .end()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains(CANARY), "{ended:?}");
    assert!(!ended.stderr.contains(CANARY), "{ended:?}");
    assert!(
        ended.stdout.contains("object-storage:write"),
        "it was our command line"
    );
    // The control: a command that gives it away is found out by the same search.
    let broker = Broker::start().await;
    let job = Job::new(&broker).args(&["--env"]);
    let ended = job.sh("echo $AWS_SESSION_TOKEN >&2").end().await;
    assert!(ended.stderr.contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_hears_nothing_of_loopback() {
    let broker = Broker::start().await;
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let job = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let job = job
        .iter()
        .fold(Job::new(&broker), |job, name| job.env(name, &url));
    assert_eq!(job.sh("exit 0").end().await.code, Some(0));
    let heard = tokio::time::timeout(std::time::Duration::ZERO, proxy.accept()).await;
    assert!(heard.is_err(), "the token went to a proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_inside_of_a_run_is_told_so() {
    let broker = Broker::start().await;
    let inner = "\"$RUN\" --broker $BROKER --scope object-storage:read@a -- true";
    let job = Job::new(&broker).env("BROKER", &broker.url());
    let ended = job
        .env("RUN", &crate::wrapper::path())
        .sh(inner)
        .end()
        .await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("nested_run"), "{ended:?}");
    assert!(ended.stderr.contains("outer call"), "{ended:?}");
}
