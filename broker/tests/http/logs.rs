//! What the log says: enough to know who did what, and nothing that opens anything.

use std::io::Write;
use std::sync::{Mutex, OnceLock};

use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cloud::CANARY;
use crate::world::{SCOPE, World};

/// Everything that this process has logged.
#[derive(Clone, Copy)]
struct Kept;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        *self
    }
}

fn start() {
    STARTED.get_or_init(|| {
        let filter = "info,jitney_broker=trace,jitney_core=trace,jitney_identity=trace,\
                      jitney_ledger_sqlite=trace";
        tracing_subscriber::fmt()
            .json()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(Kept)
            .init();
    });
}

#[tokio::test]
async fn the_log_names_calls_and_holds_no_token_proof_or_credential() {
    start();
    let world = World::start().await;
    let token = world.token();
    let body = json!({ "scopes": [SCOPE] });
    let granted = world
        .call("POST", "/v1/requests", Some(&token), Some(body))
        .await;
    let (lease, request) = (granted.lease(), granted.request());
    let secret = granted.body["credentials"][0]["fields"]["secret_access_key"].clone();
    let secret = secret.as_str().unwrap();
    let renew = format!("/v1/leases/{lease}/renew");
    assert_eq!(world.call("POST", &renew, None, None).await.status, 200);
    let probe = format!("/v1/leases/{lease}/probe");
    let shown = json!({ "fields": granted.body["credentials"][0]["fields"] });
    for (body, status) in [(shown, 200), (json!({ "fields": secret }), 400)] {
        let probed = world.call("POST", &probe, None, Some(body)).await;
        assert_eq!(probed.status, status);
    }
    let denied = world
        .submit("object-storage:write@artifacts/forbidden/")
        .await;
    assert_eq!(denied.status, 403);
    let refused = world.call("POST", "/v1/requests", Some("not.a.token"), None);
    assert_eq!(refused.await.status, 401);

    let lines = String::from_utf8_lossy(&LINES.lock().unwrap()).into_owned();
    let signature = token.rsplit('.').next().unwrap();
    for hidden in [secret, &token, signature, "not.a.token", "dpop+jwt"] {
        assert!(!lines.contains(hidden), "the log holds `{hidden}`");
    }
    assert!(secret.starts_with(CANARY));
    // The control: the calls are there, with their ids and who made them.
    for shown in [
        request.as_str(),
        &lease,
        "\"code\":\"denied\"",
        "/v1/leases/{id}/renew",
        "acme/shop run",
    ] {
        assert!(lines.contains(shown), "the log lacks `{shown}`");
    }
}
