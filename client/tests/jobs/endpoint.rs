//! The endpoint on loopback, asked by whoever might ask.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broker::{Broker, CANARY};
use crate::environment::environment;
use crate::wrapper::{Job, Run, WAIT};

/// Where a command's credential is, and what one must show.
pub struct Endpoint {
    pub host: String,
    pub path: String,
    pub secret: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Endpoint {
    pub async fn of(run: &Run) -> Self {
        let seen = environment(run).await;
        let file = &seen["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        let secret = std::fs::read_to_string(file).unwrap();
        Self::at(&seen["AWS_CONTAINER_CREDENTIALS_FULL_URI"], secret)
    }

    pub fn at(url: &str, secret: String) -> Self {
        let there = url.strip_prefix("http://").unwrap();
        let (host, path) = there.split_once('/').unwrap();
        Self {
            host: host.to_owned(),
            path: format!("/{path}"),
            secret,
        }
    }

    /// Sends exactly these lines.
    pub async fn send(&self, lines: &[&str]) -> Answer {
        self.send_with(lines, "").await
    }

    /// Sends a form, after these lines.
    pub async fn post(&self, lines: &[&str], form: &str) -> Answer {
        let host = format!("Host: {}", self.host);
        let length = format!("Content-Length: {}", form.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let lines = [lines, &[&host, &length, kind]].concat();
        self.send_with(&lines, form).await
    }

    async fn send_with(&self, lines: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let head = lines.join("\r\n");
        let request = format!("{head}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Asks as an SDK does.
    pub async fn ask(&self) -> Answer {
        let request = format!("GET {} HTTP/1.1", self.path);
        let host = format!("Host: {}", self.host);
        let secret = format!("Authorization: {}", self.secret);
        self.send(&[&request, &host, &secret]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_secret_gets_the_credential() {
    let broker = Broker::start().await;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    let answer = endpoint.ask().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.contains("cache-control: no-store"));
    assert!(!answer.head.contains("access-control"));
    let body = answer.json();
    assert_eq!(body["AccessKeyId"], "ASIA0");
    assert_eq!(body["SecretAccessKey"], format!("{CANARY}-secret-0"));
    assert_eq!(body["Token"], format!("{CANARY}-token-0"));
    assert_eq!(body["AccountId"], "123456789012");
    let end: jiff::Timestamp = body["Expiration"].as_str().unwrap().parse().unwrap();
    assert!(end > jiff::Timestamp::now());
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_does() {
    let broker = Broker::start().await;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    let get = format!("GET {} HTTP/1.1", endpoint.path);
    let post = format!("POST {} HTTP/1.1", endpoint.path);
    let elsewhere = "GET /aws/lease_other HTTP/1.1".to_owned();
    let host = format!("Host: {}", endpoint.host);
    let named = format!(
        "Host: localhost:{}",
        endpoint.host.rsplit(':').next().unwrap()
    );
    let secret = format!("Authorization: {}", endpoint.secret);
    let mut shorter = secret.clone();
    shorter.pop();
    let bearer = format!("Authorization: Bearer {}", endpoint.secret);
    let s = |text: &str| text.to_owned();
    // Each differs from an accepted request in one thing.
    let hostile = [
        ("no secret", vec![get.clone(), host.clone()], 401),
        (
            "empty secret",
            vec![get.clone(), host.clone(), s("Authorization:")],
            401,
        ),
        (
            "a secret cut short",
            vec![get.clone(), host.clone(), shorter],
            401,
        ),
        (
            "a scheme before it",
            vec![get.clone(), host.clone(), bearer],
            401,
        ),
        (
            "two secrets",
            vec![
                get.clone(),
                host.clone(),
                secret.clone(),
                s("Authorization: x"),
            ],
            401,
        ),
        (
            "another path",
            vec![elsewhere, host.clone(), secret.clone()],
            401,
        ),
        (
            "the host as the secret",
            vec![
                s("GET /nothing HTTP/1.1"),
                host.clone(),
                format!("Authorization: {}", endpoint.host),
            ],
            401,
        ),
        (
            "a rebound name",
            vec![get.clone(), s("Host: evil.example"), secret.clone()],
            403,
        ),
        (
            "a name for loopback",
            vec![get.clone(), named, secret.clone()],
            403,
        ),
        (
            "two hosts",
            vec![
                get.clone(),
                host.clone(),
                s("Host: evil.example"),
                secret.clone(),
            ],
            403,
        ),
        (
            "a proxy",
            vec![
                get.clone(),
                host.clone(),
                secret.clone(),
                s("X-Forwarded-For: 10.0.0.1"),
            ],
            403,
        ),
        (
            "a newer proxy",
            vec![
                get.clone(),
                host.clone(),
                secret.clone(),
                s("Forwarded: for=10.0.0.1"),
            ],
            403,
        ),
        (
            "another proxy",
            vec![
                get.clone(),
                host.clone(),
                secret.clone(),
                s("Via: 1.1 squid"),
            ],
            403,
        ),
        (
            "a web page",
            vec![
                get.clone(),
                host.clone(),
                secret.clone(),
                s("Origin: https://evil.example"),
            ],
            403,
        ),
        (
            "another method",
            vec![post, host.clone(), secret.clone(), s("Content-Length: 0")],
            405,
        ),
    ];
    for (what, lines, status) in hostile {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let answer = endpoint.send(&lines).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(!answer.body.contains(CANARY), "{what}");
        let said = answer.json();
        assert!(
            said["code"].is_string() && said["message"].is_string(),
            "{what}"
        );
    }
    // The control: the unchanged request is still served.
    assert_eq!(endpoint.ask().await.status, 200);
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_the_reason_is_told_in_place_of_a_credential() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 6"));
    let endpoint = Endpoint::of(&run).await;
    assert_eq!(endpoint.ask().await.status, 200);
    broker.world().end("killed");
    let mut answer = endpoint.ask().await;
    for _ in 0..300 {
        if answer.status != 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        answer = endpoint.ask().await;
    }
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["code"], "LeaseEnded");
    assert!(!answer.body.contains(CANARY));
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.stderr.contains("an operator ended it"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_is_gone_before_the_lease_is_released() {
    let broker = Broker::start().await;
    let call = "POST /v1/requests/{id}/release";
    let slow = std::time::Duration::from_millis(500);
    broker.fault(call, crate::broker::Fault::Slow(slow));
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    run.touch("go");
    broker.until(|world| world.count(call) == 1).await;
    assert!(TcpStream::connect(&endpoint.host).await.is_err());
    assert_eq!(run.end().await.code, Some(0));
}
