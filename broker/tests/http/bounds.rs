//! How much the broker takes on, how long it waits, and what it says then.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{SCOPE, World, read};

const CALLS_MAX: usize = 1024;

async fn connected(world: &World) -> TcpStream {
    let authority = world.url.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await;
    stream.expect("a socket; this test needs some 2,100: `ulimit -n 4096`")
}

/// One call on a connection that stays; gives whether it was answered.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let call = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut answer = [0; 1024];
    stream.write_all(call).await.is_ok()
        && matches!(stream.read(&mut answer).await, Ok(read) if answer[..read].starts_with(b"HTTP/1.1 200 "))
}

/// A call that has its place and waits for the rest of its body.
async fn waiting_call(world: &World, head: &[u8]) -> TcpStream {
    let mut stream = connected(world).await;
    stream.write_all(head).await.unwrap();
    stream
}

#[tokio::test]
async fn a_call_too_many_is_told_to_come_again_and_is_served_once_there_is_room() {
    let world = World::start().await;
    let token = world.token();
    let proof = world
        .key
        .proof("POST", &format!("{}/v1/requests", world.url), Some(&token));
    let head = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ndpop: {proof}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    let mut waiting = Vec::new();
    for _ in 0..CALLS_MAX {
        waiting.push(waiting_call(&world, head.as_bytes()).await);
    }
    let told = || async { read(world.raw("GET", "/v1/leases/lease_0")).await };
    let mut busy = told().await;
    // The last of those before may still be on their way in.
    for _ in 0..100 {
        if busy.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        busy = told().await;
    }
    assert_eq!((busy.status, busy.problem()), (503, "try_again"));
    assert_eq!(busy.headers["retry-after"], "1");
    drop(waiting.pop());
    for _ in 0..100 {
        if told().await.status != 503 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a place that was given back is not used");
}

#[tokio::test]
async fn a_connection_outlives_the_pause_between_two_beats() {
    let world = World::start().await;
    let mut beating = connected(&world).await;
    assert!(is_answered(&mut beating).await);
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert!(is_answered(&mut beating).await);
}

#[tokio::test]
async fn a_connection_that_sends_its_next_head_slowly_is_cut_too() {
    let world = World::start().await;
    let mut slow = connected(&world).await;
    assert!(is_answered(&mut slow).await);
    let since = Instant::now();
    let mut byte = [0];
    while slow.write_all(b"x").await.is_ok() {
        let read = tokio::time::timeout(Duration::from_millis(500), slow.read(&mut byte)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(45), "it is never cut");
    }
    assert!(since.elapsed() > Duration::from_secs(25));
}

#[tokio::test]
async fn a_broker_that_no_longer_looks_at_what_is_due_is_not_ready() {
    let world = World::start().await;
    assert_eq!(read(world.raw("GET", "/readyz")).await.status, 200);
    world.watch.stick();
    let since = Instant::now();
    loop {
        let ready = read(world.raw("GET", "/readyz")).await;
        if ready.status != 200 {
            assert_eq!((ready.status, ready.problem()), (503, "try_again"));
            let detail = ready.body["detail"].as_str().unwrap();
            assert!(detail.contains("not looking at what is due"), "{detail}");
            break;
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "it says it is ready"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The process is well: whoever supervises it by that alone must not restart it in a loop.
    assert_eq!(read(world.raw("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
async fn many_ends_at_once_are_few_looks() {
    let world = World::start().await;
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(world.submit(SCOPE).await.lease());
    }
    let (before, since) = (world.watch.looks(), Instant::now());
    for lease in leases.iter().cycle().take(100) {
        let path = format!("/v1/leases/{lease}/release");
        assert_eq!(world.call("POST", &path, None, None).await.status, 202);
    }
    let looks = u128::from(world.watch.looks() - before);
    let most = since.elapsed().as_millis() / 20 + 2;
    assert!(looks <= most, "{looks} looks where {most} are enough");
    assert!(looks > 0);
}
