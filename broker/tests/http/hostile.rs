//! Bad input at the edge: a clear answer, and the broker goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Answer, SCOPE, World, read};

/// A submission whose body and headers are as given, with a good token and proof.
async fn submit(world: &World, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let token = world.token();
    let url = format!("{}/v1/requests", world.url);
    let proof = world.key.proof("POST", &url, Some(&token));
    let mut call = world.raw("POST", "/v1/requests").bearer_auth(&token);
    call = call.header("dpop", proof);
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    read(call.body(body)).await
}

const JSON: (&str, &str) = ("content-type", "application/json");
const WISH: (&str, &str) = ("idempotency-key", "wish-1");

#[tokio::test]
async fn bodies_that_are_none_are_refused_in_plain_words() {
    let world = World::start().await;
    let good = json!({ "scopes": [SCOPE] }).to_string().into_bytes();
    for (body, part) in [
        (&b"{"[..], "not a request"),
        (b"", "not a request"),
        (b"[]", "not a request"),
        (b"\xff\xfe", "not a request"),
        (br#"{"scopes":[],"ttl":60}"#, "unknown field `ttl`"),
        (br#"{"scopes":"all"}"#, "invalid type"),
        (br#"{"scopes":[]}"#, "names 0 scopes"),
        (
            br#"{"scopes":["a:b@c"],"ttl_seconds":0}"#,
            "`ttl_seconds` is 0",
        ),
        (br#"{"scopes":["a:b@c"],"ttl_seconds":-1}"#, "not a request"),
    ] {
        let refused = submit(&world, &[JSON, WISH], body.to_vec()).await;
        assert_eq!((refused.status, refused.problem()), (400, "bad_request"));
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail}");
    }
    let untyped = submit(&world, &[WISH], good.clone()).await;
    assert_eq!(
        (untyped.status, untyped.problem()),
        (415, "unsupported_media_type")
    );
    let nameless = submit(&world, &[JSON], good.clone()).await;
    assert_eq!((nameless.status, nameless.problem()), (400, "bad_request"));
    let odd = submit(&world, &[JSON, ("idempotency-key", "a b")], good.clone()).await;
    assert_eq!((odd.status, odd.problem()), (400, "bad_request"));
    // After all that, the same world grants.
    assert_eq!(submit(&world, &[JSON, WISH], good).await.status, 201);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let world = World::start().await;
    let padded = |bytes: usize| {
        let mut body = json!({ "scopes": [SCOPE] }).to_string().into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let full = submit(&world, &[JSON, WISH], padded(64 * 1024)).await;
    assert_eq!(full.status, 201, "{full:?}");
    let over = submit(&world, &[JSON, WISH], padded(64 * 1024 + 1)).await;
    assert_eq!((over.status, over.problem()), (413, "too_large"));
}

#[tokio::test]
async fn a_body_of_unstated_length_is_limited_too() {
    let world = World::start().await;
    let token = world.token();
    let url = format!("{}/v1/requests", world.url);
    let proof = world.key.proof("POST", &url, Some(&token));
    let mut stream = TcpStream::connect(url_authority(&world)).await.unwrap();
    let head = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         dpop: {proof}\r\nidempotency-key: w\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    for _ in 0..5 {
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 413 "));
}

fn url_authority(world: &World) -> String {
    world.url.trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn callers_must_show_who_they_are_and_only_once() {
    let world = World::start().await;
    let naked = read(world.raw("POST", "/v1/requests").json(&json!({}))).await;
    assert_eq!((naked.status, naked.problem()), (401, "missing_token"));
    assert_eq!(naked.headers["www-authenticate"], "Bearer");
    let token = world.token();
    let proofless = world.raw("POST", "/v1/requests").bearer_auth(&token);
    let proofless = read(proofless.json(&json!({}))).await;
    assert_eq!(
        (proofless.status, proofless.problem()),
        (401, "missing_proof")
    );
    let basic = world
        .raw("POST", "/v1/requests")
        .header("authorization", "Basic YTpi");
    assert_eq!(read(basic).await.problem(), "missing_token");
    let twice = submit(&world, &[JSON, WISH, ("authorization", "Bearer x")], vec![]).await;
    assert_eq!((twice.status, twice.problem()), (400, "bad_request"));
    let two_proofs = submit(&world, &[JSON, WISH, ("dpop", "x")], vec![]).await;
    assert_eq!(
        (two_proofs.status, two_proofs.problem()),
        (400, "bad_request")
    );
    // The token stands in no answer.
    for answer in [&naked, &proofless, &twice] {
        assert!(!answer.body.to_string().contains(&token));
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_problems() {
    let world = World::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/requests/",
        "/v2/requests",
        "/v1/requests/%2e%2e/x",
    ] {
        let refused = read(world.raw("GET", path)).await;
        assert_eq!(refused.status, 404, "{path}");
        assert_eq!(refused.problem(), "not_found");
    }
    for (method, path) in [
        ("GET", "/v1/requests"),
        ("DELETE", "/v1/leases/lease_0"),
        ("PUT", "/v1/leases/lease_0/renew"),
        ("POST", "/healthz"),
    ] {
        let refused = read(world.raw(method, path)).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (405, "method_not_allowed")
        );
        assert!(refused.headers.contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut() {
    let world = World::start().await;
    let mut slow = TcpStream::connect(url_authority(&world)).await.unwrap();
    let since = Instant::now();
    let cut = async {
        loop {
            if slow.write_all(b"x").await.is_err() {
                return;
            }
            let mut byte = [0];
            let read = tokio::time::timeout(Duration::from_millis(500), slow.read(&mut byte)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), cut)
        .await
        .expect("the connection was cut");
    assert!(since.elapsed() > Duration::from_secs(5));
    assert_eq!(read(world.raw("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
async fn nonsense_on_the_wire_is_closed_and_forgotten() {
    let world = World::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(url_authority(&world)).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        drop(
            tokio::time::timeout(Duration::from_secs(15), ended)
                .await
                .unwrap(),
        );
    }
    let many: Value = read(world.raw("GET", "/readyz")).await.body;
    assert_eq!(many["status"], "ok");
}
