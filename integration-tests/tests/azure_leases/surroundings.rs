//! What stands in the environment of the process: only the machine's own identity is taken from
//! there. By the real program, since nothing else has an environment of its own.

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use jitney_azure::{AUDIENCE, BROKER_SUBJECT, Mode, SignAssertion as _};
use jitney_identity::assertions::AssertionKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::estate::{self, BROKER, CONTAINER, client};
use crate::stage::AzureStage;
use crate::vault::{Kept, OLD, VERSION};

const SECRET: &str = "the-machine-s-own";

/// The binary that the workspace built, beside this test.
fn jitney() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().parent().unwrap().join("jitney");
    assert!(
        binary.exists(),
        "{} is missing: build the workspace first",
        binary.display()
    );
    binary
}

/// An issuer with a key of its own.
fn with_a_file(stage: &AzureStage) -> Value {
    let key = stage.folder.path().join("issuer.pem");
    std::fs::write(&key, AssertionKey::generate_pem().unwrap().as_bytes()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    json!({ "url": stage.issuer.url(), "key_file": key })
}

/// A configuration whose target is the stage's, with these credentials and this issuer.
fn configuration(stage: &AzureStage, credentials: &Value, issuer: &Value) -> PathBuf {
    let folder = stage.folder.path();
    let more = json!({ "cloud": "azure", "mode": "rbac", "credentials": credentials });
    let url = stage.sandbox.url();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    let whole = json!({
        "installation": "acme",
        "broker": { "listen": "127.0.0.1:0" },
        "ledger": { "path": "jitney.db" },
        "keys": { "stamp_secret_file": "stamp.key", "audit_key_file": "audit.key" },
        "policies": { "directory": policies },
        "issuers": [{
            "name": "github", "url": "http://127.0.0.1:9", "provider": "github-actions",
            "audience": "https://jitney.acme.example", "allow_private": true,
        }],
        "issuer": issuer,
        "resources": { "artifacts-prod": {
            "target": "acme-azure", "native_id": estate::container(CONTAINER), "tier": "high",
            "owner": "platform",
        } },
        "targets": { "acme-azure": estate::target(&url, &stage.authorities, &more) },
    });
    let file = folder.join("jitney.toml");
    std::fs::write(&file, toml::to_string(&whole).unwrap()).unwrap();
    file
}

/// What `jitney doctor` says, in this environment.
async fn doctor(file: &Path, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(jitney());
    command.args(["doctor", "--config"]).arg(file);
    command.envs(environment.iter().copied());
    // The stage's servers are in this process.
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn is_the_broker(told: &str) -> bool {
    told.contains(&format!("granter is the application `{}`", client(BROKER)))
}

#[tokio::test]
async fn what_the_environment_says_of_azure_is_not_heard() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let token_file = stage.folder.path().join("token");
    let lives = Duration::from_secs(300);
    let token = stage
        .issuer
        .sign(BROKER_SUBJECT, AUDIENCE, lives)
        .await
        .unwrap();
    std::fs::write(&token_file, &*token.text).unwrap();
    let credentials = json!({
        "from": "workload-identity", "client_id": client(BROKER), "token_file": token_file,
    });
    let file = configuration(&stage, &credentials, &with_a_file(&stage));
    let nobody = "00000000-0000-4000-8000-000000000000";
    let told = doctor(
        &file,
        &[
            ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1"),
            ("AZURE_TENANT_ID", nobody),
            ("AZURE_CLIENT_ID", nobody),
            ("AZURE_CLIENT_SECRET", "SECRET-CANARY"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere"),
            ("AZURE_REGIONAL_AUTHORITY_NAME", "nowhere"),
            ("AZURE_CLOUD", "AzureUSGovernment"),
            ("AZURE_TOKEN_CREDENTIALS", "dev"),
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ],
    )
    .await;
    assert!(is_the_broker(&told), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

/// What App Service has on each of its machines, and what it was asked.
async fn machine(stage: &AzureStage) -> String {
    let token = stage
        .issuer
        .sign(BROKER_SUBJECT, AUDIENCE, Duration::from_secs(300));
    let token = stage
        .job
        .token(client(BROKER), &token.await.unwrap().text)
        .await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/msi/token", get(machines_token))
        .with_state(Arc::new(token));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn machines_token(
    State(token): State<Arc<String>>,
    Query(asked): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let is_ours = headers
        .get("x-identity-header")
        .is_some_and(|it| it == SECRET);
    let is_arms = asked.get("resource").map(String::as_str) == Some("https://management.azure.com");
    if !is_ours || !is_arms {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}"));
    }
    let ends = jiff::Timestamp::now().as_second() + 3_600;
    let answer = json!({
        "access_token": *token, "expires_on": ends.to_string(), "token_type": "Bearer",
        "resource": "https://management.azure.com", "client_id": asked.get("client_id"),
    });
    (StatusCode::OK, answer.to_string())
}

#[tokio::test]
async fn the_machines_identity_is_asked_on_the_machine_and_past_every_proxy() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let credentials = json!({ "from": "managed-identity", "client_id": client(BROKER) });
    let file = configuration(&stage, &credentials, &with_a_file(&stage));
    let url = machine(&stage).await;
    let nobodys = "http://127.0.0.1:1";
    let environment = [
        ("IDENTITY_ENDPOINT", url.as_str()),
        ("IDENTITY_HEADER", SECRET),
        ("HTTP_PROXY", nobodys),
        ("http_proxy", nobodys),
        ("HTTPS_PROXY", nobodys),
        ("ALL_PROXY", nobodys),
        ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1"),
        ("AZURE_CLIENT_ID", "00000000-0000-4000-8000-000000000000"),
    ];
    let told = doctor(&file, &environment).await;
    assert!(is_the_broker(&told), "{told}");
    assert!(!told.contains(SECRET), "{told}");
    // The control: by another secret the machine knows nobody.
    let mut strange = environment;
    strange[1].1 = "another";
    let told = doctor(&file, &strange).await;
    assert!(
        !is_the_broker(&told) && told.contains("the granter cannot log in"),
        "{told}"
    );
}

#[tokio::test]
async fn the_program_signs_by_its_vault_and_looks_at_the_key_there() {
    let kept = Kept::new().await;
    let credentials = json!({ "from": "issuer", "client_id": client(BROKER) });
    let configured = |vault: Value| {
        let issuer = json!({ "url": kept.stage.issuer.url(), "key_vault": vault });
        configuration(&kept.stage, &credentials, &issuer)
    };
    let told = doctor(&configured(kept.written()), &[]).await;
    assert!(is_the_broker(&told), "{told}");
    let (signs, is_there) = (kept.id(VERSION), kept.id(OLD));
    assert!(told.contains(&format!("the key `{signs}` signs")), "{told}");
    assert!(
        told.contains(&format!("the key `{is_there}` is there")),
        "{told}"
    );
    // Both are to be published, and one of them is.
    assert!(
        told.contains("jwks.json` is not what this broker publishes"),
        "{told}"
    );
    let mut alone = kept.written();
    alone["previous_keys"] = json!([]);
    let file = configured(alone);
    let told = doctor(&file, &[]).await;
    assert!(told.contains("clouds find"), "{told}");
    kept.stage
        .sandbox
        .set_key("jitney", VERSION, false)
        .unwrap();
    let told = doctor(&file, &[]).await;
    assert!(
        told.contains("is disabled") && !is_the_broker(&told),
        "{told}"
    );
}
