//! The controls over HTTPS, estates from files, and starting and stopping.

use std::io::Write;
use std::net::SocketAddr;

use jitney_sandbox::azure::estate::{Estate, StorageAccount};
use jitney_sandbox::azure::estate::{PolicyRules, ResourceGroup, Subscription};
use jitney_sandbox::azure::{AzureOptions, AzureSandbox, EstateError, builtin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

impl Bench {
    async fn ask(&self, method: Method, command: &str, body: Value) -> Answered {
        let url = format!("{}/_sandbox/{command}", self.sandbox.url());
        let request = self.http.request(method.clone(), url);
        answered(if method == Method::GET {
            request
        } else {
            request.json(&body)
        })
        .await
    }

    async fn order(&self, command: &str, body: Value) -> Answered {
        self.ask(Method::POST, command, body).await
    }
}

#[tokio::test]
async fn another_process_can_steer_everything() {
    let bench = start().await;
    let (_, status) = bench
        .order("settings", json!({ "effect_lag_seconds": 60 }))
        .await;
    assert_eq!(status["settings"]["effect_lag_seconds"], 60);
    assert_eq!(
        status["settings"]["pim_floor_seconds"], 300,
        "what is not named stays"
    );
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(!bench.may_read(&token, "releases/v1/a.txt").await);
    bench.order("clock", json!({ "advance_seconds": 60 })).await;
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);

    let (_, keeps) = bench.order("keeps", json!({ "principal": SLOT })).await;
    assert_eq!(keeps["grants"][0]["name"], json!(name(1)));
    let read = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
    let wish = json!({ "principal": SLOT, "action": read, "scope": container() });
    assert_eq!(
        bench.order("would-allow", wish).await.1,
        json!({ "allowed": true })
    );
    let (_, tokens) = bench.ask(Method::GET, "tokens", Value::Null).await;
    assert!(
        tokens["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .all(|token| token.get("access_token").is_none())
    );
    let (_, journal) = bench.ask(Method::GET, "journal", Value::Null).await;
    assert!(
        journal["entries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["action"] == "GetBlob")
    );
    assert_eq!(
        bench.ask(Method::GET, "grants", Value::Null).await.1["grants"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let fault = json!({ "service": "blob", "action": "*", "fault": { "kind": "throttle" } });
    bench.order("faults", fault.clone()).await;
    assert_eq!(
        bench
            .blob(&token, Method::GET, "releases/x")
            .send()
            .await
            .unwrap()
            .status()
            .as_u16(),
        503
    );
    let (_, status) = bench.ask(Method::PUT, "faults", json!([fault])).await;
    assert_eq!(status["faults"].as_array().unwrap().len(), 1);
    let (_, status) = bench.ask(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(status["faults"], json!([]));

    bench
        .order(
            "app",
            json!({ "client_id": client_id(SLOT), "disabled": true }),
        )
        .await;
    assert_ne!(bench.exchange(&bench.form(SLOT, ARM)).await.0, 200);
    bench.order("reset", json!({})).await;
    assert_eq!(bench.exchange(&bench.form(SLOT, ARM)).await.0, 200);
    assert_eq!(bench.sandbox.keeps(SLOT), Vec::new());
}

#[tokio::test]
async fn trust_is_added_while_it_runs() {
    let bench = start().await;
    let mut claims = bench.claims(SLOT);
    claims["sub"] = json!("another");
    let mut form = bench.form(SLOT, ARM);
    form[3].1 = bench.sign(&claims);
    assert_eq!(bench.exchange(&form).await.0, 400);
    let trust =
        json!({ "client_id": client_id(SLOT), "issuer": bench.issuer.url(), "subject": "another" });
    assert_eq!(bench.order("trust", trust).await.0, 200);
    assert_eq!(bench.exchange(&form).await.0, 200);
    let stranger = json!({ "client_id": name(1), "issuer": "x", "subject": "y" });
    assert_eq!(bench.order("trust", stranger).await.0, 400);
}

#[tokio::test]
async fn an_order_that_is_mistyped_is_refused() {
    let bench = start().await;
    for (command, order) in [
        ("clock", json!({ "advance": 1 })),
        ("settings", json!({ "effect_lag": 1 })),
        ("limits", json!({ "writes": 1 })),
        ("keeps", json!({})),
        (
            "would-allow",
            json!({ "principal": SLOT, "action": "a", "scope": "nowhere" }),
        ),
    ] {
        assert_eq!(bench.order(command, order).await.0, 400, "{command}");
    }
    assert_eq!(bench.order("everything", json!({})).await.0, 404);
}

/// A page in a browser may reach the port under a name of its own; the controls are not for it.
#[tokio::test]
async fn the_controls_answer_to_a_loopback_name_only() {
    let bench = start().await;
    let url = format!("{}/_sandbox/status", bench.sandbox.url());
    let rebound = bench.http.get(url).header("host", "attacker.example");
    assert_eq!(rebound.send().await.unwrap().status().as_u16(), 403);
}

#[test]
fn an_estate_is_read_from_a_file() {
    let text = format!(
        r#"
        tenant_id = "{TENANT}"
        [[subscriptions]]
        id = "{SUBSCRIPTION}"
        name = "prod"
        [[subscriptions.groups]]
        name = "artifacts"
        [[subscriptions.groups.accounts]]
        name = "{ACCOUNT}"
        containers = {{ releases = {{ "v1/a.txt" = "one" }}, other = {{}} }}
        [[subscriptions.groups]]
        name = "empty"
        [[apps]]
        client_id = "{}"
        object_id = "{BROKER}"
        name = "broker"
        [[apps.federated]]
        issuer = "http://127.0.0.1:1"
        subject = "s"
        [[assignments]]
        scope = "{}"
        role = "{}"
        principal = "{BROKER}"
        "#,
        client_id(BROKER),
        subscription(),
        builtin::USER_ACCESS_ADMINISTRATOR,
    );
    let folder = std::env::temp_dir().join(format!("azure-estate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("estate.toml");
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let read = Estate::read(&path).unwrap();
    let mut built = estate();
    built.people.clear();
    built.apps.truncate(1);
    built.apps[0] = built.apps[0].clone().trusts("http://127.0.0.1:1", "s");
    assert_eq!(read, built);
    std::fs::write(&path, text.replace("name =", "nam =")).unwrap();
    assert!(Estate::read(&path).unwrap_err().to_string().contains("nam"));
    std::fs::remove_dir_all(folder).unwrap();
}

async fn refused(estate: Estate) -> EstateError {
    match AzureSandbox::start(AzureOptions::new(estate)).await {
        Err(jitney_sandbox::azure::StartError::Estate(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn an_estate_holds_together_or_does_not_start() {
    let nowhere = "/subscriptions/00000000-0000-0000-0000-000000000001";
    let reader = builtin::READER;
    assert!(matches!(
        refused(estate().assignment(nowhere, reader, SLOT, None)).await,
        EstateError::Scope(_)
    ));
    let at = subscription();
    assert!(matches!(
        refused(estate().assignment(&at, name(1), SLOT, None)).await,
        EstateError::Role(_)
    ));
    assert!(matches!(
        refused(estate().assignment(&at, reader, name(1), None)).await,
        EstateError::Principal(_)
    ));
    let unread = estate().assignment(&at, builtin::OWNER, SLOT, Some("true"));
    assert!(matches!(
        refused(unread).await,
        EstateError::Condition { .. }
    ));
    let twice = estate().app(estate().apps[0].clone());
    assert!(matches!(refused(twice).await, EstateError::Twice(_)));
    let rules = PolicyRules {
        maximum_duration: "long".to_owned(),
        ..PolicyRules::default()
    };
    assert!(matches!(
        refused(estate().management_policy(&at, reader, rules)).await,
        EstateError::Duration(_)
    ));
    for account in ["subscriptions", "Upper", "ab"] {
        let group = ResourceGroup::new("g").account(StorageAccount::new(account));
        let estate =
            Estate::new(TENANT).subscription(Subscription::new(SUBSCRIPTION, "s").group(group));
        assert!(
            matches!(refused(estate).await, EstateError::AccountName(_)),
            "{account}"
        );
    }
}

#[tokio::test]
async fn it_listens_on_loopback_with_tls_and_stops_when_dropped() {
    let options = AzureOptions {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..AzureOptions::new(estate())
    };
    assert!(AzureSandbox::start(options).await.is_err());
    let bench = start().await;
    let url = bench.sandbox.url();
    let plain = url.replace("https://", "http://");
    assert!(
        bench
            .http
            .get(format!("{plain}/tenants"))
            .send()
            .await
            .is_err()
    );
    let unknowing = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(
        unknowing
            .get(format!("{url}/tenants"))
            .send()
            .await
            .is_err(),
        "nobody else trusts its authority"
    );
    let numbered = url.replace("localhost", "127.0.0.1");
    assert!(
        bench
            .http
            .get(format!("{numbered}/tenants"))
            .send()
            .await
            .is_ok()
    );
    let http = client(&bench.sandbox);
    drop(bench);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while http.get(format!("{url}/tenants")).send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
