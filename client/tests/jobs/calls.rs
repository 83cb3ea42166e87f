//! The client alone, call by call.

use std::time::Duration;

use jiff::SignedDuration;
use jitney_api::{LeaseState, ProblemCode, RequestBody, RequestView};
use jitney_client::{CallError, Client, Environment, TokenSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::broker::{Broker, CANARY, Fault};

const PATIENCE: Duration = Duration::from_secs(5);

fn client(broker: &str) -> Client {
    Client::new(broker.parse().unwrap(), None).unwrap()
}

fn body() -> RequestBody {
    RequestBody {
        scopes: vec!["object-storage:write@artifacts/".to_owned()],
        ttl_seconds: Some(900),
        reason: Some("a release".to_owned()),
    }
}

fn tokens(broker: &Broker) -> TokenSource {
    let mut environment = Environment::default();
    for (name, value) in broker.runner() {
        environment.set(name, value);
    }
    TokenSource::find(&environment, None).unwrap()
}

/// Asks as a job of this broker does.
async fn asked(
    client: &Client,
    broker: &Broker,
    body: &RequestBody,
) -> Result<RequestView, CallError> {
    let audience = broker.url();
    client
        .request(body, &tokens(broker), &audience, PATIENCE)
        .await
}

/// The request that failed is over. Asked again under its name, it would be answered with itself,
/// and without a credential.
#[tokio::test]
async fn a_busy_cloud_is_asked_again_by_another_request() {
    let broker = Broker::start().await;
    broker.fault("POST /v1/requests", Fault::CloudBusy);
    let client = client(&broker.url());
    let view = asked(&client, &broker, &body()).await.unwrap();
    assert_eq!(view.credentials.len(), 1);
    assert_eq!(view.leases[0].state, LeaseState::Active);
    assert_eq!(broker.world().requests.len(), 2);
}

/// Another request would need another token: the cloud's answer is worth more than being told that
/// the token was used.
#[tokio::test]
async fn the_one_token_of_a_job_is_not_shown_for_another_request() {
    let broker = Broker::start().await;
    broker.fault("POST /v1/requests", Fault::CloudBusy);
    let mut environment = Environment::default();
    environment.set("ID_TOKEN", "ci-token-of-the-whole-job");
    let audience = broker.url();
    let tokens = TokenSource::in_variable(&environment, "ID_TOKEN", &audience).unwrap();
    let client = client(&audience);
    let asked = client.request(&body(), &tokens, &audience, PATIENCE).await;
    assert_eq!(asked.unwrap_err().problem(), Some(ProblemCode::TryAgain));
    assert_eq!(broker.world().requests.len(), 1);
}

#[tokio::test]
async fn a_lease_lives_its_life() {
    let broker = Broker::start().await;
    let client = client(&broker.url());
    let view = asked(&client, &broker, &body()).await.unwrap();
    assert!(
        !format!("{view:?}").contains(CANARY),
        "no credential in Debug"
    );
    let id = view.leases[0].id.clone();
    let secret = view.credentials[0].fields["secret_access_key"].reveal();
    assert_eq!(secret, format!("{CANARY}-secret-0"));

    let beat = client.heartbeat(&id, None).await.unwrap();
    assert_eq!(
        (beat.state, beat.next_within_seconds),
        (LeaseState::Active, 45)
    );
    let renewal = client.renew(&id, None).await.unwrap();
    assert!(!format!("{renewal:?}").contains(CANARY));
    let secret = renewal.credential.fields["secret_access_key"].reveal();
    assert_eq!(secret, format!("{CANARY}-secret-1"));

    client.release_request(&view.id, None).await.unwrap();
    let lease = client.lease(&id).await.unwrap();
    assert_eq!(
        (lease.state, lease.why.as_deref()),
        (LeaseState::Ended, Some("released"))
    );
    let refusal = client.renew(&id, None).await.unwrap_err();
    assert_eq!(refusal.problem(), Some(ProblemCode::LeaseEnded));
}

#[tokio::test]
async fn another_key_can_do_nothing_with_a_lease() {
    let broker = Broker::start().await;
    let (owner, thief) = (client(&broker.url()), client(&broker.url()));
    let view = asked(&owner, &broker, &body()).await.unwrap();
    let id = &view.leases[0].id;
    for refusal in [
        thief.heartbeat(id, None).await.err(),
        thief.renew(id, None).await.err(),
        thief.lease(id).await.err(),
        thief.release_request(&view.id, None).await.err(),
    ] {
        assert_eq!(refusal.unwrap().problem(), Some(ProblemCode::NotFound));
    }
    assert_eq!(broker.world().only_lease().state, "active");
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_the_brokers() {
    for ahead in [
        SignedDuration::from_mins(10),
        SignedDuration::from_mins(-10),
    ] {
        let broker = Broker::start().await;
        broker.world().clock_ahead = ahead;
        let client = client(&broker.url());
        let view = asked(&client, &broker, &body()).await.unwrap();
        // One refusal taught it; from then on every proof is right at once.
        assert_eq!(broker.world().broker_calls(), 2);
        client.heartbeat(&view.leases[0].id, None).await.unwrap();
        assert_eq!(broker.world().broker_calls(), 3);
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let broker = Broker::start().await;
    let denied = jitney_api::Problem::new(ProblemCode::Denied, "no");
    broker.fault("POST /v1/requests", Fault::Say(denied));
    let client = client(&broker.url());
    let refusal = asked(&client, &broker, &body()).await.unwrap_err();
    assert_eq!(refusal.problem(), Some(ProblemCode::Denied));
    assert_eq!(broker.world().broker_calls(), 1);
}

#[tokio::test]
async fn a_body_beyond_a_limit_is_not_sent() {
    let broker = Broker::start().await;
    let mut body = body();
    body.scopes.clear();
    let client = client(&broker.url());
    let refusal = asked(&client, &broker, &body).await;
    assert!(matches!(refusal, Err(CallError::Body(_))));
    let world = broker.world();
    assert_eq!((world.calls.len(), world.tokens_minted), (0, 0));
}

/// Something that answers every call with these bytes; gives its address.
async fn impostor(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0_u8; 8192];
                let _read = stream.read(&mut request).await;
                let _written = stream.write_all(answer.as_bytes()).await;
                let _closed = stream.shutdown().await;
            });
        }
    });
    address
}

fn answer(head: &str, body: &str) -> String {
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_is_no_broker_is_told_apart() {
    let huge = "x".repeat(jitney_api::ANSWER_BYTES_MAX + 1);
    let credential = format!(r#"{{"lease":"{CANARY}","credential":"{CANARY}"}}"#);
    for body in [huge.as_str(), "<html>", "{}", "", &credential] {
        let address = impostor(answer("HTTP/1.1 200 OK", body)).await;
        let error = client(&address).renew("lease_1", None).await.unwrap_err();
        assert!(matches!(error, CallError::NotABroker { .. }), "{error:?}");
        assert!(!error.to_string().contains(CANARY), "{error}");
        assert!(!error.may_pass());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let broker = Broker::start().await;
    let head = format!(
        "HTTP/1.1 307 Go\r\nLocation: {}/v1/leases/lease_1",
        broker.url()
    );
    let address = impostor(answer(&head, "")).await;
    let error = client(&address).lease("lease_1").await.unwrap_err();
    assert!(matches!(error, CallError::NotABroker { .. }), "{error:?}");
    assert!(broker.world().calls.is_empty());
}

#[tokio::test]
async fn an_id_from_a_broker_cannot_lead_elsewhere() {
    let broker = Broker::start().await;
    let client = client(&broker.url());
    for id in ["../requests", "lease_1/../../x", "lease_1?x=y", ""] {
        let error = client.heartbeat(id, None).await.unwrap_err();
        assert!(matches!(error, CallError::NotABroker { .. }), "{id}");
    }
    assert!(broker.world().calls.is_empty());
}

#[tokio::test]
async fn a_job_that_is_over_gets_no_token_and_the_issuers_words_are_kept() {
    let words = r#"{"message":"Can't issue ID_TOKEN for job in 'Completed' state.\u001b[2J"}"#;
    let address = impostor(answer("HTTP/1.1 400 Bad Request", words)).await;
    let mut environment = Environment::default();
    environment.set("ACTIONS_ID_TOKEN_REQUEST_URL", address);
    environment.set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary-of-the-runner");
    let source = TokenSource::find(&environment, None).unwrap();
    let refusal = source.token("https://broker.example").await.unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.may_pass()),
        ("token_service_refused", false)
    );
    let text = refusal.to_string();
    assert!(
        text.contains("'Completed' state") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(!text.contains("canary-of-the-runner"));
}
