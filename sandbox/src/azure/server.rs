//! The port: reads a call, finds its service and operation, lets faults happen, and writes the journal.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;

use crate::call::{Answer, Call};
use crate::connection::Wire;
use crate::controls;
use crate::journal::{Entry, Stay, UnderWay};
use crate::visit::{Ordered, Visit, suffer};

use super::access_token::Caller;
use super::blob::{self, BlobError};
use super::cloud::Cloud;
use super::entra::{self, EntraError};
use super::errors::ArmError;
use super::vault::{self, VaultError};
use super::{arm, limits};

/// The most a request's body may have.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The service of a call, and what it is there.
enum Service {
    Entra(entra::Operation),
    Arm(Result<arm::Route, ArmError>),
    Blob(blob::Route),
    Vault(vault::Route),
}

/// An error in the words of its service.
enum Failure {
    Entra(EntraError),
    Arm(ArmError),
    Blob(BlobError),
    Vault(VaultError),
}

impl Failure {
    fn code(&self) -> String {
        match self {
            Failure::Entra(error) => format!("AADSTS{}", error.code),
            Failure::Arm(error) => error.code.to_string(),
            Failure::Blob(error) => error.code.clone(),
            Failure::Vault(error) => error.code.clone(),
        }
    }

    fn as_answer(&self, cloud: &Cloud, request_id: &str) -> Answer {
        match self {
            Failure::Entra(error) => error.as_answer(cloud, request_id),
            Failure::Arm(error) => error.as_answer(),
            Failure::Blob(error) => error.as_answer(request_id, cloud.clock.wire_now()),
            Failure::Vault(error) => error.as_answer(),
        }
    }
}

impl Service {
    fn of(cloud: &Cloud, call: &Call) -> Service {
        if let Some(operation) = entra::Operation::of(call) {
            return Service::Entra(operation);
        }
        if let Some(route) = vault::Route::of(cloud, call) {
            return Service::Vault(route);
        }
        match blob::Route::of(cloud, call) {
            Some(route) => Service::Blob(route),
            None => Service::Arm(arm::Route::of(&call.method, &call.path)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Service::Entra(_) => "entra",
            Service::Arm(_) => "arm",
            Service::Blob(_) => "blob",
            Service::Vault(_) => "vault",
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Service::Entra(operation) => operation.name(),
            Service::Arm(Ok(route)) => route.operation.name(),
            Service::Arm(Err(_)) => "-",
            Service::Blob(route) => route.operation.name(),
            Service::Vault(route) => route.operation.name(),
        }
    }

    /// What a fault makes of a call, in the words of its service.
    fn refused(&self, refusal: Ordered) -> Failure {
        match refusal {
            Ordered::Throttled => self.throttled(),
            Ordered::ServerError(status) => self.broken(status),
            Ordered::Told { status, code } => self.told(status, &code),
        }
    }

    fn throttled(&self) -> Failure {
        match self {
            Service::Entra(_) => Failure::Entra(EntraError::throttled()),
            Service::Arm(route) => {
                let route = route.as_ref().ok();
                let kind = route.map_or(limits::Kind::Read, |route| route.operation.kind());
                let subscription = route.and_then(|route| route.scope.subscription_id());
                Failure::Arm(limits::throttled(subscription, kind))
            }
            Service::Blob(_) => {
                Failure::Blob(BlobError::new(503, "ServerBusy", "The server is busy."))
            }
            Service::Vault(_) => Failure::Vault(VaultError::throttled()),
        }
    }

    fn broken(&self, status: u16) -> Failure {
        let message = "The server encountered an internal error. Please retry the request.";
        match self {
            Service::Entra(_) => Failure::Entra(EntraError::unavailable(status)),
            Service::Arm(_) => Failure::Arm(ArmError::new(status, "InternalServerError", message)),
            Service::Blob(_) => Failure::Blob(BlobError::new(status, "InternalError", message)),
            Service::Vault(_) => {
                Failure::Vault(VaultError::new(status, "InternalServerError", message))
            }
        }
    }

    fn told(&self, status: u16, code: &str) -> Failure {
        let message = "The sandbox was told to refuse this call.";
        match self {
            Service::Entra(_) => Failure::Entra(EntraError::chosen(status, code)),
            Service::Arm(_) => Failure::Arm(ArmError::new(status, code.to_owned(), message)),
            Service::Blob(_) => Failure::Blob(BlobError::new(status, code, message)),
            Service::Vault(_) => Failure::Vault(VaultError::new(status, code, message)),
        }
    }
}

/// A call on its way to its service.
struct Arrived {
    cloud: Arc<Cloud>,
    call: Call,
    service: Service,
    arrived: Timestamp,
    /// How long its answer is held back once it is handled.
    answer_after: Duration,
    request_id: String,
    /// Shows the call as under way for as long as anything is still to be done about it.
    _stay: Stay,
}

/// Answers one HTTP request.
pub(crate) async fn handle(
    State(cloud): State<Arc<Cloud>>,
    Extension(wire): Extension<Wire>,
    request: axum::extract::Request,
) -> Response {
    let arrived = Timestamp::now();
    let Ok(call) = Call::read(request, &wire, BODY_BYTES_MAX).await else {
        let error = ArmError::new(413, "RequestTooLarge", "The request body is too large.");
        return written(&cloud, error.as_answer(), "");
    };
    if let Some(answer) = controls::answer(&*cloud, &call) {
        return written(&cloud, answer, "");
    }
    let visit = Arrived::new(&cloud, call, arrived);
    let request_id = visit.request_id.clone();
    let fault = cloud
        .faults
        .take(visit.service.name(), visit.service.action());
    match suffer(visit, fault, &wire).await {
        Some(answer) => written(&cloud, answer, &request_id),
        None => {
            wire.cut();
            Response::new(Body::empty())
        }
    }
}

impl Visit for Arrived {
    async fn finish(&self, fault: Option<&'static str>) -> Answer {
        let (caller, answered) = self.serve().await;
        let (outcome, answer) = match answered {
            Ok(answer) => ("ok".to_owned(), answer),
            Err(failure) => (
                failure.code(),
                failure.as_answer(&self.cloud, &self.request_id),
            ),
        };
        self.journal(caller.as_ref(), &outcome, answer.status, fault);
        answer
    }

    fn refuse(&self, refusal: Ordered, fault: &'static str) -> Answer {
        let failure = self.service.refused(refusal);
        let answer = failure.as_answer(&self.cloud, &self.request_id);
        self.journal(None, &failure.code(), answer.status, Some(fault));
        answer
    }

    fn lose(&self, fault: &'static str) {
        self.journal(None, "lost", 0, Some(fault));
    }

    fn hold_answer(&mut self, after: Duration) {
        self.answer_after = after;
    }
}

impl Arrived {
    fn new(cloud: &Arc<Cloud>, call: Call, arrived: Timestamp) -> Arrived {
        let service = Service::of(cloud, &call);
        let stay = cloud.journal.arrives(UnderWay {
            service: service.name().to_owned(),
            action: service.action().to_owned(),
            resource: call.path.clone(),
            arrived,
        });
        Arrived {
            cloud: Arc::clone(cloud),
            call,
            service,
            arrived,
            answer_after: Duration::ZERO,
            request_id: cloud.identifiers.guid().to_string(),
            _stay: stay,
        }
    }

    async fn serve(&self) -> (Option<Caller>, Result<Answer, Failure>) {
        let cloud = &self.cloud;
        match &self.service {
            Service::Entra(entra::Operation::Token { tenant }) => {
                let (caller, answer) = entra::serve_token(cloud, &self.call, tenant).await;
                (caller, answer.map_err(Failure::Entra))
            }
            Service::Entra(operation) => (None, Ok(entra::document(cloud, &self.call, operation))),
            Service::Arm(route) => {
                let served = arm::serve(cloud, &self.call, route);
                (served.caller, served.answer.map_err(Failure::Arm))
            }
            Service::Blob(route) => {
                let served = blob::serve(cloud, &self.call, route);
                (served.caller, served.answer.map_err(Failure::Blob))
            }
            Service::Vault(route) => {
                let (caller, answer) = vault::serve(cloud, &self.call, route);
                (caller, answer.map_err(Failure::Vault))
            }
        }
    }

    fn journal(
        &self,
        caller: Option<&Caller>,
        outcome: &str,
        status: u16,
        fault: Option<&'static str>,
    ) {
        let finished = Timestamp::now();
        let unknown = || "unknown".to_owned();
        self.cloud.journal.write(Entry {
            number: 0,
            at: self.cloud.clock.now(),
            arrived: self.arrived,
            finished,
            answered: finished
                .saturating_add(self.answer_after)
                .unwrap_or(finished),
            service: self.service.name().to_owned(),
            action: self.service.action().to_owned(),
            caller: caller.map_or_else(unknown, |caller| caller.object_id.to_string()),
            access_key_id: caller.map(|caller| caller.token_id.clone()),
            resource: self.call.path.clone(),
            outcome: outcome.to_owned(),
            status,
            fault: fault.map(str::to_owned),
            request_id: self.request_id.clone(),
        });
    }
}

/// The HTTP response; its `Date` is the wire clock's, so that clients can see how far off they are.
fn written(cloud: &Cloud, answer: Answer, request_id: &str) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let date = cloud
        .clock
        .wire_now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let mut builder = Response::builder()
        .status(status)
        .header("date", date)
        .header("x-ms-request-id", request_id)
        .header("x-ms-correlation-request-id", request_id);
    for (name, value) in answer.headers {
        builder = builder.header(name.as_ref(), value);
    }
    builder.body(Body::from(answer.body)).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
