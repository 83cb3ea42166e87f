//! A CI issuer on loopback that can misbehave in every way a server can, and counts what is asked of
//! it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jitney_identity::{IssuerConfig, Issuers, Verifier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::mint::{AUDIENCE, SigningKey, rsa};

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const JWKS: &str = "/.well-known/jwks";

/// How a path is answered.
#[derive(Clone)]
pub enum Answer {
    /// 200 with this body.
    Body(String),
    /// 200 with this body and one more header line.
    BodyWith(String, String),
    /// This status and one more header line.
    Status(u16, String),
    /// 200 and a body without end.
    Endless,
    /// 200 and one byte of the body every 50 ms.
    Drip,
    /// The connection is taken and nothing is ever said.
    Silence,
    /// 200 with this body, after this long.
    Late(Duration, String),
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
    connections: usize,
}

/// The issuer. It stops when dropped.
pub struct FakeIssuer {
    pub url: String,
    state: Arc<Mutex<State>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeIssuer {
    /// An issuer that publishes the RSA key as `key-1`, for RS256.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        let issuer = Self {
            url,
            state,
            serving,
        };
        issuer.answer(DISCOVERY, Answer::Body(issuer.discovery().to_string()));
        issuer.publish(&[(rsa(), "key-1", Some("RS256"))]);
        issuer
    }

    /// Its honest discovery document.
    pub fn discovery(&self) -> Value {
        json!({"issuer": self.url, "jwks_uri": format!("{}{JWKS}", self.url),
               "id_token_signing_alg_values_supported": ["RS256"]})
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        let mut state = self.state.lock().unwrap();
        state.answers.insert(path.to_owned(), answer);
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[(&SigningKey, &str, Option<&str>)]) {
        self.answer(JWKS, Answer::Body(key_set(keys)));
    }

    /// Forgets what is answered at `path`: 404 from now on.
    pub fn withdraw(&self, path: &str) {
        self.state.lock().unwrap().answers.remove(path);
    }

    /// How often `path` was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|asked| *asked == path).count()
    }

    /// How often anyone connected at all.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The configuration under which its tokens are taken.
    pub fn config(&self) -> Value {
        json!({"name": "ci", "url": self.url, "provider": "github-actions", "audience": AUDIENCE,
               "algorithms": ["RS256", "ES256"], "allow_private": true})
    }

    /// A verifier that takes its tokens.
    pub fn verifier(&self) -> Verifier {
        verifier(&[self.config()])
    }
}

pub fn verifier(configs: &[Value]) -> Verifier {
    let configs: Vec<IssuerConfig> = configs
        .iter()
        .map(|config| serde_json::from_value(config.clone()).unwrap())
        .collect();
    Verifier::new(Issuers::new(configs).unwrap()).unwrap()
}

/// A key set in which each key has the `alg` that is given, if any.
pub fn key_set(keys: &[(&SigningKey, &str, Option<&str>)]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|(key, kid, alg)| {
            let mut jwk = key.jwk(kid);
            if let Some(alg) = alg {
                jwk["alg"] = json!(alg);
            }
            jwk
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        state.answers.get(&path).cloned()
    };
    let sent = respond(&mut stream, answer).await;
    // The verifier hangs up when it has had enough: that is what several tests want to see.
    drop(sent);
}

async fn respond(stream: &mut TcpStream, answer: Option<Answer>) -> std::io::Result<()> {
    let head = |status: u16, length: usize, line: &str| {
        format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{line}\r\n"
        )
    };
    match answer {
        None => stream.write_all(head(404, 0, "").as_bytes()).await,
        Some(Answer::Body(body)) => {
            let text = format!("{}{body}", head(200, body.len(), ""));
            stream.write_all(text.as_bytes()).await
        }
        Some(Answer::BodyWith(body, line)) => {
            let text = format!("{}{body}", head(200, body.len(), &format!("{line}\r\n")));
            stream.write_all(text.as_bytes()).await
        }
        Some(Answer::Status(status, line)) => {
            let text = head(status, 0, &format!("{line}\r\n"));
            stream.write_all(text.as_bytes()).await
        }
        Some(Answer::Endless) => {
            stream.write_all(head(200, 1 << 40, "").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 8192]).await?;
            }
        }
        Some(Answer::Drip) => {
            stream.write_all(head(200, 1 << 20, "").as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Some(Answer::Late(wait, body)) => {
            tokio::time::sleep(wait).await;
            let text = format!("{}{body}", head(200, body.len(), ""));
            stream.write_all(text.as_bytes()).await
        }
        Some(Answer::Silence) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
    }
}
