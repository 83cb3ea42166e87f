//! The controls over HTTP, the journal, and starting and stopping.

use std::io::Write;
use std::net::SocketAddr;

use jitney_sandbox::aws::estate::{Account, Bucket, Estate, ManagedPolicy, Role, User};
use jitney_sandbox::aws::{AwsOptions, AwsSandbox, EstateError, RateLimits, StartError};
use jitney_sandbox::{CannotListen, FaultKind};
use serde_json::{Value, json};

use crate::cloud::*;

async fn get(sandbox: &AwsSandbox, path: &str) -> Value {
    http()
        .get(format!("{}/_sandbox/{path}", sandbox.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

async fn post(sandbox: &AwsSandbox, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/_sandbox/{path}", sandbox.url());
    let answer = http().post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn another_process_can_steer_clock_faults_and_options() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    post(
        &sandbox,
        "faults",
        json!({ "service": "s3", "action": "PutObject", "fault": { "kind": "throttle" } }),
    )
    .await;
    let put = s3(&sandbox, one.clone())
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    assert_eq!(code(put), "SlowDown");
    post(&sandbox, "options", json!({ "iam_lag_seconds": 30 })).await;
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    assert!(may_put(&sandbox, &one).await);
    let (_, status) = post(&sandbox, "clock", json!({ "advance_seconds": 31 })).await;
    assert_eq!(status["clock"]["offset_seconds"], 31);
    assert!(!may_put(&sandbox, &one).await);
    post(&sandbox, "options", json!({ "ignore_deny": true })).await;
    assert!(may_put(&sandbox, &one).await);
    let (status, _) = post(&sandbox, "options", json!({ "ignore_denny": true })).await;
    assert_eq!(status, 400, "what is not known is refused");
    let throttle = json!({ "service": "sts", "action": "*", "fault": { "kind": "throttle" } });
    for list in [json!([throttle, throttle]), json!([throttle]), json!([])] {
        let put = http().put(format!("{}/_sandbox/faults", sandbox.url()));
        assert!(put.json(&list).send().await.unwrap().status().is_success());
        let armed = get(&sandbox, "status").await["faults"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(
            armed,
            list.as_array().unwrap().len(),
            "in place of what was armed"
        );
    }
    let (status, _) = post(
        &sandbox,
        "faults",
        json!({ "service": "s3", "action": "*", "fault": { "kind": "explode" } }),
    )
    .await;
    assert_eq!(status, 400);
    assert_eq!(
        http()
            .get(format!("{}/_sandbox/unknown", sandbox.url()))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn another_process_sees_which_calls_are_under_way() {
    let sandbox = start().await;
    let actions = async || -> Vec<String> {
        let calls = get(&sandbox, "under-way").await["calls"].clone();
        let calls = calls.as_array().unwrap().iter();
        calls
            .map(|call| call["action"].as_str().unwrap().to_owned())
            .collect()
    };
    let millis = 1_000;
    for (fault, hangs_up) in [
        (FaultKind::Delay { millis }, true),
        (
            FaultKind::Late {
                after_millis: millis,
            },
            true,
        ),
        (FaultKind::SlowAnswer { millis }, false),
    ] {
        sandbox.faults().inject("sts", "AssumeRole", fault, 1);
        let call = tokio::spawn({
            let sts = sts(&sandbox, user(&sandbox, "broker"));
            async move {
                sts.assume_role()
                    .role_arn(DEPLOY)
                    .role_session_name("one")
                    .send()
                    .await
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        if hangs_up {
            call.abort();
        }
        assert_eq!(actions().await, ["AssumeRole"]);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(actions().await, [""; 0], "what is over is not under way");
    }
    let may = lease(&sandbox, "lease-1").await;
    may_put(&sandbox, &may).await;
    assert_eq!(actions().await, [""; 0]);
}

#[tokio::test]
async fn another_process_can_read_sessions_journal_and_decisions() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    may_put(&sandbox, &one).await;
    let sessions = get(&sandbox, "sessions").await;
    assert_eq!(sessions["sessions"][0]["session_name"], "lease-1");
    assert_eq!(sessions["sessions"][0]["tags"]["jl"], "lease-1");
    let text = sessions.to_string();
    assert!(
        !text.contains(one.secret_access_key()) && !text.contains(one.session_token().unwrap())
    );
    let journal = get(&sandbox, "journal").await;
    let actions: Vec<&str> = journal["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    assert_eq!(actions, ["AssumeRole", "PutObject"]);
    assert_eq!(
        journal["entries"][1]["caller"],
        "arn:aws:sts::111122223333:assumed-role/deploy/lease-1"
    );
    assert_eq!(journal["entries"][1]["outcome"], "ok");
    let session = one.access_key_id();
    let ask = json!({ "session": session, "action": "s3:PutObject", "resource": "arn:aws:s3:::artifacts-prod/a" });
    let (_, answer) = post(&sandbox, "would-allow", ask).await;
    assert_eq!(
        answer,
        json!({ "allowed": true, "verdict": "allowed", "layer": "identity" })
    );
    let ask = json!({ "session": "ASIANOBODY", "action": "s3:PutObject", "resource": "*" });
    assert_eq!(post(&sandbox, "would-allow", ask).await.0, 400);
}

#[tokio::test]
async fn a_page_under_another_name_cannot_steer() {
    let sandbox = start().await;
    let url = format!("{}/_sandbox/status", sandbox.url());
    let rebound = http()
        .get(&url)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
    for host in ["localhost", "localhost:80", "127.0.0.1:1", "[::1]:1"] {
        let named = http().get(&url).header("host", host).send().await.unwrap();
        assert_eq!(named.status(), 200, "{host}");
    }
}

#[tokio::test]
async fn a_reset_goes_back_to_the_estate_and_keeps_its_keys() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    let broker = user(&sandbox, "broker");
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    sandbox.clock().advance_seconds(100);
    let (status, _) = post(&sandbox, "reset", json!({})).await;
    assert_eq!(status, 200);
    assert!(sandbox.sessions().is_empty() && sandbox.journal().is_empty());
    assert_eq!(sandbox.clock().offset_seconds(), 0);
    let put = s3(&sandbox, one)
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    assert_eq!(code(put), "InvalidAccessKeyId");
    assert!(
        sts(&sandbox, broker)
            .get_caller_identity()
            .send()
            .await
            .is_ok()
    );
    let names = iam(&sandbox, root(&sandbox))
        .list_role_policies()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    assert_eq!(names.policy_names(), ["base"]);
}

#[tokio::test]
async fn a_refused_call_is_in_the_journal_with_its_reason() {
    let sandbox = start().await;
    let client = sts(&sandbox, user(&sandbox, "nobody"));
    let _ = client
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1")
        .send()
        .await;
    let entry = sandbox.journal().pop().unwrap();
    assert_eq!(
        (entry.outcome.as_str(), entry.status),
        ("AccessDenied", 403)
    );
    assert_eq!(entry.caller, "arn:aws:iam::111122223333:user/nobody");
    assert_eq!(entry.resource, DEPLOY);
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    for outside in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let listen: SocketAddr = outside.parse().unwrap();
        let started = AwsSandbox::start(AwsOptions {
            listen,
            ..AwsOptions::default()
        })
        .await;
        assert!(
            matches!(
                started,
                Err(StartError::Listen(CannotListen::NotLoopback(_)))
            ),
            "{outside}"
        );
    }
}

#[tokio::test]
async fn dropping_it_stops_it_and_frees_the_port() {
    let sandbox = start().await;
    let url = sandbox.url();
    let client = http();
    assert!(
        client
            .get(format!("{url}/_sandbox/status"))
            .send()
            .await
            .is_ok()
    );
    drop(sandbox);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while client
        .get(format!("{url}/_sandbox/status"))
        .send()
        .await
        .is_ok()
    {
        assert!(std::time::Instant::now() < deadline, "it still answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let listen: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    assert!(
        AwsSandbox::start(AwsOptions {
            listen,
            ..AwsOptions::default()
        })
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn estates_that_do_not_hold_together_are_refused() {
    let refused = |account: Account| async {
        match AwsSandbox::start(AwsOptions::new(Estate::new().account(account))).await {
            Err(StartError::Estate(error)) => error,
            _ => panic!("the estate should have been refused"),
        }
    };
    let role = |trust: String| Role::new("deploy", trust);
    let own = trust(ACCOUNT);
    assert!(matches!(
        refused(Account::new("12")).await,
        EstateError::AccountId(_)
    ));
    let twice = Account::new(ACCOUNT)
        .role(role(own.clone()))
        .role(role(own.clone()));
    assert!(matches!(refused(twice).await, EstateError::Twice(_)));
    let twice = Account::new(ACCOUNT)
        .bucket(Bucket::new("b"))
        .bucket(Bucket::new("b"));
    assert!(matches!(refused(twice).await, EstateError::Twice(_)));
    let malformed = Account::new(ACCOUNT).user(User::new("u").inline("p", "{}"));
    assert!(matches!(
        refused(malformed).await,
        EstateError::Policy { .. }
    ));
    let nobody = Account::new(ACCOUNT).role(role(trust("arn:aws:iam::111122223333:role/none")));
    assert!(matches!(
        refused(nobody).await,
        EstateError::Principal { .. }
    ));
    let missing = Account::new(ACCOUNT)
        .role(role(own.clone()).boundary("arn:aws:iam::111122223333:policy/none"));
    assert!(matches!(
        refused(missing).await,
        EstateError::Attachment { .. }
    ));
    let long = Account::new(ACCOUNT).role(role(own).max_session_seconds(43_201));
    assert!(matches!(refused(long).await, EstateError::MaxSession(_)));
}

#[tokio::test]
async fn an_estate_reads_from_toml_and_json() {
    let estate = Estate::new().organization_id("o-1").account(
        Account::new(ACCOUNT)
            .root_key("AKIAROOT", "secret")
            .user(User::new("broker").access_key("AKIABROKER", "secret"))
            .managed_policy(ManagedPolicy::new("boundary", allow(&["*"], &["*"])))
            .role(Role::new("deploy", trust(BROKER)).tag("team", "blue"))
            .bucket(Bucket::new(BUCKET).object("a", "b")),
    );
    let toml = r#"
        organization_id = "o-1"
        [[accounts]]
        id = "111122223333"
        root = { access_key_id = "AKIAROOT", secret_access_key = "secret" }
        users = [{ name = "broker", access_keys = [{ access_key_id = "AKIABROKER", secret_access_key = "secret" }] }]
        [[accounts.managed_policies]]
        name = "boundary"
        document = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["*"], Resource = ["*"] }] }
        [[accounts.roles]]
        name = "deploy"
        trust = '''TRUST'''
        tags = { team = "blue" }
        [[accounts.buckets]]
        name = "artifacts-prod"
        objects = { a = "b" }
    "#;
    let directory = std::env::temp_dir().join(format!("jitney-estate-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        Estate::read(&path)
    };
    let json = serde_json::to_string(&estate).unwrap();
    assert_eq!(write("estate.json", &json).unwrap(), estate);
    let read = write("estate.toml", &toml.replace("TRUST", &trust(BROKER))).unwrap();
    assert_eq!(read.accounts[0].roles, estate.accounts[0].roles);
    let options = AwsOptions {
        limits: RateLimits::unlimited(),
        ..AwsOptions::new(read)
    };
    let sandbox = AwsSandbox::start(options).await.unwrap();
    assert_eq!(sandbox.root_key(ACCOUNT).unwrap().access_key_id, "AKIAROOT");
    assert!(
        sts(&sandbox, user(&sandbox, "broker"))
            .get_caller_identity()
            .send()
            .await
            .is_ok()
    );
    let mistyped = write("mistyped.toml", "regionn = 'x'")
        .unwrap_err()
        .to_string();
    assert!(
        mistyped.contains("mistyped.toml") && mistyped.contains("regionn"),
        "{mistyped}"
    );
    assert!(Estate::read(&directory.join("none.toml")).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn keys_do_not_show_in_debug() {
    let account = Account::new(ACCOUNT).root_key("AKIAROOT", "canary-secret");
    let shown = format!("{account:?}");
    assert!(shown.contains("AKIAROOT") && !shown.contains("canary-secret"));
}
