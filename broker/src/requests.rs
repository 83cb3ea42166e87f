//! Calls about requests: submit one, look at it, give all of it back.

use core::time::Duration;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jitney_api::{
    IDEMPOTENCY_KEY, ProblemCode, RequestBody, RequestState, RequestView, WAIT_SECONDS_MAX,
};
use jitney_core::books::{FoundLease, FoundRequest};
use jitney_core::decision::Decision;
use jitney_core::id::RequestId;
use jitney_core::principal::Principal;
use jitney_core::refusal::Refusal;
use jitney_core::scope::Scope;
use jitney_core::usecase::{Ask, Proof, Submission};
use serde::Deserialize;

use crate::authenticate::single;
use crate::body;
use crate::crew::Crew;
use crate::delivery::Delivery;
use crate::edge::Line;
use crate::looking_back::once_looked_back;
use crate::problem::Declined;
use crate::service::Service;
use crate::view;

/// How often a request is looked at while somebody waits for it to change.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// `POST /v1/requests`.
pub(crate) async fn submit(
    State(service): State<Arc<Service>>,
    line: Line,
    call: axum::extract::Request,
) -> Result<Response, Declined> {
    let (parts, body) = call.into_parts();
    let (principal, proof) = service.principal(&parts).await?;
    line.principal(&principal.job.describe());
    let asked: RequestBody = body::json(&parts.headers, body).await?;
    let idempotency_key = single(&parts.headers, IDEMPOTENCY_KEY)?.ok_or_else(|| {
        Declined::new(
            ProblemCode::BadRequest,
            format!(
                "a request has a header `{IDEMPOTENCY_KEY}`: a name for this wish, new each time"
            ),
        )
    })?;
    let ask = ask_of(asked, principal, idempotency_key)?;
    service.admit(Some(&proof))?;
    let wish = Wish::of(&ask, &service);
    let outcome = under_way(&service.crew, submitted(Arc::clone(&service), ask)).await?;
    let (submission, delivery) = outcome?;
    answer(&service, &line, wish, submission, delivery).await
}

/// What an answer repeats of the request, kept while core works on it.
struct Wish {
    scopes: Vec<String>,
    reason: String,
    ttl_seconds: u32,
    key: Proof,
}

impl Wish {
    fn of(ask: &Ask, service: &Service) -> Self {
        Self {
            scopes: ask.scopes.iter().map(Scope::to_string).collect(),
            reason: ask.reason.clone(),
            ttl_seconds: ask
                .ttl_seconds
                .unwrap_or(service.core.limits.ttl_seconds_default),
            key: Proof::Key(ask.principal.key.clone()),
        }
    }

    fn view(self, id: RequestId, state: RequestState, decision: &Decision) -> RequestView {
        RequestView {
            id: id.to_string(),
            state,
            outcome: None,
            scopes: self.scopes,
            reason: self.reason,
            ttl_seconds: self.ttl_seconds,
            decision: view::decision(decision),
            leases: Vec::new(),
            credentials: Vec::new(),
        }
    }
}

fn ask_of(
    asked: RequestBody,
    principal: Principal,
    idempotency_key: &str,
) -> Result<Ask, Declined> {
    asked
        .check()
        .map_err(|bad| Declined::new(ProblemCode::BadRequest, bad.to_string()))?;
    let scopes = asked
        .scopes
        .iter()
        .map(|text| text.parse::<Scope>())
        .collect::<Result<_, _>>()
        .map_err(|bad| Declined::new(ProblemCode::BadScope, bad.to_string()))?;
    Ok(Ask {
        principal,
        scopes,
        ttl_seconds: asked.ttl_seconds,
        reason: asked.reason.unwrap_or_default(),
        idempotency_key: idempotency_key.to_owned(),
    })
}

type Submitted = Result<(Submission, Option<Delivery>), Refusal>;

/// The use case with its way back: whatever was granted and finds nobody is taken back.
async fn submitted(service: Arc<Service>, ask: Ask) -> Submitted {
    let submission = once_looked_back(|| service.core.submit(ask.clone())).await;
    if submission.is_err() {
        // What may be there is due now.
        service.driver.nudge();
    }
    let submission = submission?;
    let delivery = match &submission {
        Submission::Granted { request, .. } => Some(Delivery::of(Arc::clone(&service), *request)),
        Submission::Pending { .. } | Submission::Repeated { .. } => None,
    };
    Ok((submission, delivery))
}

async fn answer(
    service: &Service,
    line: &Line,
    wish: Wish,
    submission: Submission,
    delivery: Option<Delivery>,
) -> Result<Response, Declined> {
    match submission {
        Submission::Granted {
            request,
            decision,
            leases,
        } => {
            line.request(request);
            let mut view = wish.view(request, RequestState::Granted, &decision);
            for (lease, credential) in leases {
                let id = lease.terms().id;
                view.leases.push(service.show(&FoundLease::Active(lease)));
                view.credentials.push(view::credential(id, credential));
            }
            let json = serde_json::to_vec(&view)
                .map_err(|error| Declined::internal(format!("an answer has no JSON: {error}")))?;
            Ok(match delivery {
                Some(delivery) => delivery.answer(StatusCode::CREATED, json),
                None => return Err(Declined::internal("a grant came without its delivery")),
            })
        }
        Submission::Pending { request, decision } => {
            line.request(request);
            let view = wish.view(request, RequestState::Pending, &decision);
            Ok((StatusCode::CREATED, Json(view)).into_response())
        }
        Submission::Repeated { request } => {
            line.request(request);
            let view = look(service, request, &wish.key).await?;
            Ok((StatusCode::OK, Json(view)).into_response())
        }
    }
}

/// Waits for work in the crew.
pub(crate) async fn under_way<T: Send + 'static>(
    crew: &Crew,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Declined> {
    crew.run(work)
        .await
        .map_err(|_| Declined::internal("a use case did not come to its end"))
}

async fn look(service: &Service, id: RequestId, proof: &Proof) -> Result<RequestView, Declined> {
    let (request, leases) = service.core.request(id, proof).await?;
    Ok(shown(service, &request, &leases))
}

fn shown(service: &Service, request: &FoundRequest, leases: &[FoundLease]) -> RequestView {
    let leases = leases.iter().map(|lease| service.show(lease)).collect();
    view::request(request, leases)
}

/// How long a caller is willing to wait for a change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    #[serde(default)]
    wait_seconds: u32,
}

/// `GET /v1/requests/{id}?wait_seconds=N`.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, axum::extract::rejection::QueryRejection>,
    call: axum::extract::Request,
) -> Result<Json<RequestView>, Declined> {
    let (parts, _) = call.into_parts();
    let id = request_id(&id)?;
    line.request(id);
    let Query(wait) = wait.map_err(|_| {
        Declined::new(
            ProblemCode::BadRequest,
            "the query is not `wait_seconds=` and a whole number",
        )
    })?;
    let holder = service.holder(&parts).await?;
    let proof = holder.proof();
    let first = look(&service, id, &proof).await?;
    service.admit(Some(&holder.key))?;
    let most = Duration::from_secs(u64::from(wait.wait_seconds.min(WAIT_SECONDS_MAX)));
    let changed = tokio::time::timeout(most, changed(&service, id, &proof, &first)).await;
    changed.unwrap_or(Ok(first)).map(Json)
}

/// Waits until a request, or a lease of it, is in another state, or the broker is about to stop.
async fn changed(
    service: &Service,
    id: RequestId,
    proof: &Proof,
    first: &RequestView,
) -> Result<RequestView, Declined> {
    let states = |view: &RequestView| {
        let leases: Vec<_> = view.leases.iter().map(|lease| lease.state).collect();
        (view.state, leases)
    };
    let mut closing = service.closing.subscribe();
    loop {
        let closes = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            _ = closing.wait_for(|closing| *closing) => true,
        };
        let now = look(service, id, proof).await?;
        if closes || states(&now) != states(first) {
            return Ok(now);
        }
    }
}

/// `POST /v1/requests/{id}/release`.
pub(crate) async fn release(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<(StatusCode, Json<RequestView>), Declined> {
    let (parts, _) = call.into_parts();
    let id = request_id(&id)?;
    line.request(id);
    let caller = service.caller(&parts).await?;
    let (request, leases) = service.request_of(&caller, id).await?;
    service.admit(caller.key())?;
    let worker = Arc::clone(&service);
    let released = under_way(&service.crew, async move {
        let released = worker.core.release_all(leases).await;
        worker.driver.nudge();
        released
    });
    let leases = released.await??;
    Ok((
        StatusCode::ACCEPTED,
        Json(shown(&service, &request, &leases)),
    ))
}

/// An id that is no id names nothing: the answer is the same as for somebody else's.
fn request_id(text: &str) -> Result<RequestId, Declined> {
    text.parse().map_err(|_| Refusal::not_found().into())
}
