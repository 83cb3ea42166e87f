//! OpenBao as it is meant to be run on one machine: raft on disk, an audit device, its JWT login,
//! and the engine for RabbitMQ, whose credentials are made and removed by calls to a server.
//! That server is a stand-in here which answers at once, so that OpenBao alone is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use reqwest::Client;
use serde_json::{Value, json};

use crate::estate::AUDIENCE;
use crate::measure::{Cycle, Side};
use crate::process::{Process, answered, free_port};

/// A running OpenBao, unsealed and set up.
pub struct OpenBao {
    pub process: Process,
    http: Client,
    url: String,
    root: String,
    users: Arc<Users>,
    job_token: String,
}

/// What the stand-in saw.
#[derive(Default)]
struct Users {
    made: AtomicU64,
    removed: AtomicU64,
}

impl OpenBao {
    pub async fn start(program: &Path, folder: &Path, issuer: &str) -> Self {
        let raft = folder.join("raft");
        fs::create_dir_all(&raft).unwrap();
        let (port, cluster) = (free_port(), free_port());
        let file = write_configuration(folder, port, cluster);
        let log = folder.join("openbao.log");
        let mut command = Command::new(program);
        command.arg("server").arg("-config").arg(file);
        let process = Process::start(&mut command, &[], &log);
        let mut bao = Self {
            process,
            http: Client::builder().no_proxy().build().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            root: String::new(),
            users: Arc::default(),
            job_token: String::new(),
        };
        let health = format!("{}/v1/sys/seal-status", bao.url);
        answered(&bao.http, &health, &log).await;
        bao.unseal().await;
        bao.set_up(issuer).await;
        bao
    }

    async fn unseal(&mut self) {
        let wish = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = self.call(Method::PUT, "sys/init", "", Some(wish)).await;
        self.root = text(&made["root_token"]);
        let key = json!({"key": made["keys_base64"][0]});
        self.call(Method::PUT, "sys/unseal", "", Some(key)).await;
        let active = format!("{}/v1/sys/health", self.url);
        answered(&self.http, &active, Path::new("")).await;
    }

    async fn set_up(&self, issuer: &str) {
        let management = stand_in(Arc::clone(&self.users)).await;
        let policy = r#"path "rabbitmq/creds/deploy" { capabilities = ["read"] }"#;
        let connection = json!({"connection_uri": management, "username": "u", "password": "p",
            "verify_connection": false});
        let believed = json!({"jwks_url": format!("{issuer}/.well-known/jwks"),
            "bound_issuer": issuer});
        let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE],
            "bound_claims_type": "glob",
            "bound_claims": {"repository": "acme/*", "ref": "refs/heads/main"},
            "token_policies": ["ci"], "token_ttl": "15m"});
        let vhosts = json!({"vhosts": r#"{"/":{"write":".*","read":".*"}}"#});
        for (path, body) in [
            ("sys/auth/jwt", json!({"type": "jwt"})),
            ("auth/jwt/config", believed),
            ("sys/policies/acl/ci", json!({"policy": policy})),
            ("auth/jwt/role/ci", role),
            ("sys/mounts/rabbitmq", json!({"type": "rabbitmq"})),
            ("rabbitmq/config/connection", connection),
            (
                "rabbitmq/config/lease",
                json!({"ttl": 900, "max_ttl": 3600}),
            ),
            ("rabbitmq/roles/deploy", vhosts),
        ] {
            self.call(Method::POST, path, &self.root, Some(body)).await;
        }
    }

    /// The token that jobs log in with. OpenBao takes one as often as it is shown.
    pub fn log_in_with(&mut self, token: String) {
        self.job_token = token;
    }

    /// How many entries its log has: each is one durable commit.
    pub async fn commits(&self) -> u64 {
        let leader = self.call(Method::GET, "sys/leader", "", None).await;
        leader["raft_applied_index"].as_u64().unwrap()
    }

    /// How many users the stand-in was told to make, and to remove.
    pub fn users(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.users.made), read(&self.users.removed))
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Value {
        let mut call = self.http.request(method, format!("{}/v1/{path}", self.url));
        if !token.is_empty() {
            call = call.header("X-Vault-Token", token);
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        let answer = call.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "OpenBao's {path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

impl Side for OpenBao {
    type Job = ();

    fn next(&self) -> Option<()> {
        Some(())
    }

    async fn cycle(&self, (): ()) -> Cycle {
        let began = Instant::now();
        let login = json!({"role": "ci", "jwt": self.job_token});
        let session = self
            .call(Method::POST, "auth/jwt/login", "", Some(login))
            .await;
        let session = text(&session["auth"]["client_token"]);
        let given = self
            .call(Method::GET, "rabbitmq/creds/deploy", &session, None)
            .await;
        let _ = text(&given["data"]["password"]);
        let granted = Instant::now();
        self.call(Method::POST, "auth/token/revoke-self", &session, None)
            .await;
        Cycle {
            grant: granted - began,
            release: granted.elapsed(),
        }
    }
}

impl OpenBao {
    /// Waits until every user that was made is removed again.
    pub async fn settle(&self, within: Duration) {
        let since = Instant::now();
        while self.users().0 > self.users().1 {
            assert!(
                since.elapsed() < within,
                "users are left: {:?}",
                self.users()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .expect("a text in OpenBao's answer")
        .to_owned()
}

fn write_configuration(folder: &Path, port: u16, cluster: u16) -> PathBuf {
    let shown = folder.display();
    let text = format!(
        r#"
storage "raft" {{
  path = "{shown}/raft"
  node_id = "n1"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable = true
}}
audit "file" "file" {{
  options = {{ file_path = "{shown}/audit.log" }}
}}
cluster_addr = "https://127.0.0.1:{cluster}"
api_addr = "http://127.0.0.1:{port}"
disable_mlock = true
"#
    );
    let file = folder.join("openbao.hcl");
    fs::write(&file, text).unwrap();
    file
}

/// RabbitMQ's management API as far as the engine calls it.
async fn stand_in(users: Arc<Users>) -> String {
    async fn answer(State(users): State<Arc<Users>>, method: Method, path: Uri) -> StatusCode {
        let count = if method == Method::DELETE {
            Some(&users.removed)
        } else {
            path.path()
                .starts_with("/api/users/")
                .then_some(&users.made)
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        StatusCode::NO_CONTENT
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(users);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}
