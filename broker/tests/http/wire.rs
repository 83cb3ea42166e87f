//! Calls by hand, where a client library would be too polite.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::world::World;

/// Submits a request and closes the connection before there is an answer.
pub async fn send_and_hang_up(world: &World, body: &Value, after: Duration) {
    let token = world.token();
    let url = format!("{}/v1/requests", world.url);
    let proof = world.key.proof("POST", &url, Some(&token));
    let body = body.to_string();
    let call = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         dpop: {proof}\r\nidempotency-key: w\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let authority = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(call.as_bytes()).await.unwrap();
    tokio::time::sleep(after).await;
    drop(stream);
    // Time for the broker to notice.
    tokio::time::sleep(Duration::from_millis(200)).await;
}
