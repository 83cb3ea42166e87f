//! A broker in memory that behaves: it believes proofs that verify, binds leases to keys, knows a
//! repeated request, ends what is released and mints on renewal. Beside it, GitHub's token
//! service. What can go wrong on the way is a [`Fault`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jitney_api::{Problem, ProblemCode, RequestBody, paths};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use crate::world::{ACCOUNT, CLIENT, PROJECT, SUBSCRIPTION, TENANT};
pub use crate::world::{CANARY, Fault, RUNNER_BEARER};
use crate::world::{Request, World, bearer, no};

/// A running broker.
#[derive(Clone)]
pub struct Broker {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
}

type Known = State<Broker>;

impl Broker {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = Self {
            world: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route(paths::REQUESTS, post(ask))
            .route(paths::REQUEST, get(request_state))
            .route(paths::REQUEST_RELEASE, post(release))
            .route(paths::LEASE, get(lease))
            .route(paths::LEASE_HEARTBEAT, post(heartbeat))
            .route(paths::LEASE_RENEW, post(renew))
            .route(paths::LEASE_PROBE, post(probe))
            .route("/github/token", get(mint_token))
            .with_state(broker.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        broker
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a runner sets for a job that may ask for tokens.
    pub fn runner(&self) -> Vec<(&'static str, String)> {
        let url = format!("{}/github/token?api-version=2.0", self.url());
        vec![
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RUNNER_BEARER.to_owned()),
            ("ACTIONS_RUNTIME_TOKEN", RUNNER_BEARER.to_owned()),
        ]
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn fault(&self, call: &'static str, fault: Fault) {
        self.world()
            .faults
            .entry(call)
            .or_default()
            .push_back(fault);
    }

    /// Waits until the world is so, at most ten seconds.
    pub async fn until(&self, so: impl Fn(&World) -> bool) {
        for _ in 0..1000 {
            if so(&self.world()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that: {:#?}", self.world());
    }

    /// Everything that happens before a call is looked at, and what then happens to its answer.
    async fn handle(
        &self,
        call: &'static str,
        act: impl FnOnce(&mut World) -> Result<Response, Box<Problem>>,
    ) -> Response {
        let fault = {
            let mut world = self.world();
            world.calls.push(call.to_owned());
            match (world.away, world.faults.get_mut(call)) {
                (true, _) => Some(Fault::Gateway),
                (false, Some(faults)) => faults.pop_front(),
                (false, None) => None,
            }
        };
        if let Some(Fault::Slow(wait)) = &fault {
            tokio::time::sleep(*wait).await;
        }
        match &fault {
            Some(Fault::Gateway) => {
                return (StatusCode::BAD_GATEWAY, "<html>no broker</html>").into_response();
            }
            Some(Fault::Say(problem)) => return said(problem),
            Some(Fault::LoseAnswer | Fault::Undelivered | Fault::Slow(_) | Fault::CloudBusy)
            | None => {}
        }
        let mut answer = {
            let mut world = self.world();
            let mut answer = act(&mut world).unwrap_or_else(|problem| said(&problem));
            let date = world
                .now()
                .strftime("%a, %d %b %Y %H:%M:%S GMT")
                .to_string();
            answer.headers_mut().insert("date", date.parse().unwrap());
            answer
        };
        if matches!(fault, Some(Fault::CloudBusy)) {
            let mut world = self.world();
            world.end("peer-failed");
            let mut busy = Problem::new(ProblemCode::TryAgain, "the cloud is busy");
            busy.request = world.requests.keys().next_back().cloned();
            busy.retry_after_seconds = Some(1);
            return said(&busy);
        }
        if matches!(fault, Some(Fault::Undelivered)) {
            self.world().end("undelivered");
        }
        if matches!(fault, Some(Fault::LoseAnswer | Fault::Undelivered)) {
            let broken = std::io::Error::other("the line is cut");
            let cut = futures_util::stream::once(async { Err::<bytes::Bytes, _>(broken) });
            *answer.body_mut() = Body::from_stream(cut);
        }
        answer
    }
}

fn said(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    (status, serde_json::to_string(problem).unwrap()).into_response()
}

fn done(status: StatusCode, body: &Value) -> Result<Response, Box<Problem>> {
    Ok((status, body.to_string()).into_response())
}

async fn ask(
    State(broker): Known,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        let token = bearer(&headers).ok_or(no(ProblemCode::MissingToken))?;
        if !token.starts_with("ci-token-") {
            return Err(no(ProblemCode::BadToken));
        }
        let used = world
            .tokens_used
            .entry(token)
            .or_insert_with(|| key.clone());
        if *used != key {
            return Err(no(ProblemCode::TokenReplayed));
        }
        let parsed: RequestBody = serde_json::from_str(&body).unwrap();
        parsed.check().map_err(|_| no(ProblemCode::BadRequest))?;
        let body: Value = serde_json::from_str(&body).unwrap();
        let name = headers["idempotency-key"].to_str().unwrap().to_owned();
        let same = |request: &Request| request.key == key && request.idempotency_key == name;
        let known = world.requests.iter().find(|(_, request)| same(request));
        if let Some((id, request)) = known {
            if request.body != body {
                return Err(no(ProblemCode::IdempotencyConflict));
            }
            return done(StatusCode::OK, &world.request_view(&id.clone(), false));
        }
        let id = world.grant(key, name, body);
        done(StatusCode::CREATED, &world.request_view(&id, true))
    };
    broker.handle("POST /v1/requests", act).await
}

async fn request_state(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        world.prove(&broker.url(), &method, &uri, &headers)?;
        done(StatusCode::OK, &world.request_view(&id, false))
    };
    broker.handle("GET /v1/requests/{id}", act).await
}

async fn release(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        let request = world.requests.get(&id).filter(|request| request.key == key);
        let leases = request.ok_or(no(ProblemCode::NotFound))?.leases.clone();
        for lease in leases {
            let lease = world.leases.get_mut(&lease).unwrap();
            if lease.state == "active" {
                lease.state = "ended";
                lease.why = Some("released");
            }
        }
        done(StatusCode::ACCEPTED, &world.request_view(&id, false))
    };
    broker.handle("POST /v1/requests/{id}/release", act).await
}

async fn lease(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        world.own_lease(&id, &key)?;
        done(StatusCode::OK, &world.lease_view(&id))
    };
    broker.handle("GET /v1/leases/{id}", act).await
}

async fn heartbeat(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        let within = world.next_within_seconds;
        let proves_life = world.proves_life(&headers)?;
        let lease = world.own_lease(&id, &key)?;
        lease.beats += 1;
        lease.beats_with_token += u32::from(proves_life);
        let view = json!({
            "state": lease.state, "ends_at": lease.ends_at.to_string(),
            "next_within_seconds": within,
        });
        done(StatusCode::OK, &view)
    };
    broker.handle("POST /v1/leases/{id}/heartbeat", act).await
}

async fn renew(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        if world.at_absolute_end {
            return Err(no(ProblemCode::AtAbsoluteEnd));
        }
        let proves_life = world.proves_life(&headers)?;
        let (now, ttl, unproved) = (world.now(), world.ttl, world.unproved);
        let lease = world.own_lease(&id, &key)?;
        if lease.state != "active" {
            return Err(no(ProblemCode::LeaseEnded));
        }
        lease.renewals += 1;
        lease.renewals_with_token += u32::from(proves_life);
        lease.ends_at = match unproved {
            Some(unproved) if !proves_life => lease.granted_at + unproved,
            _ => now + ttl,
        };
        let view = json!({
            "lease": world.lease_view(&id), "credential": world.credential_view(&id),
        });
        done(StatusCode::OK, &view)
    };
    broker.handle("POST /v1/leases/{id}/renew", act).await
}

async fn probe(
    State(broker): Known,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let act = |world: &mut World| {
        let key = world.prove(&broker.url(), &method, &uri, &headers)?;
        if world.own_lease(&id, &key)?.state != "active" {
            return Err(no(ProblemCode::LeaseEnded));
        }
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(shown["fields"], world.credential_view(&id)["fields"]);
        let answer = world.probes.pop_front().unwrap_or(world.probes_end_with);
        let mut view = json!({
            "answer": answer, "in_force_within_seconds": world.in_force_within_seconds,
            "in_force_says": "the cloud says up to 2 minutes",
        });
        if !["accepted", "refused"].contains(&answer) {
            view["why"] = json!("because of the weather");
        }
        done(StatusCode::OK, &view)
    };
    broker.handle("POST /v1/leases/{id}/probe", act).await
}

async fn mint_token(
    State(broker): Known,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let act = |world: &mut World| {
        let shown = bearer(&headers).unwrap_or_default();
        if shown != RUNNER_BEARER || query.get("api-version").map(String::as_str) != Some("2.0") {
            return Err(no(ProblemCode::MissingToken));
        }
        // One is exchanged, the other proves life; neither does for the other's purpose.
        let kind = match query["audience"].strip_prefix(&broker.url()) {
            Some("") => "ci",
            Some("/beat") => "beat",
            _ => panic!("a token for somebody else: {query:?}"),
        };
        world.tokens_minted += 1;
        let value = format!("{kind}-token-{}", world.tokens_minted);
        done(StatusCode::OK, &json!({ "value": value }))
    };
    broker.handle("GET /github/token", act).await
}
