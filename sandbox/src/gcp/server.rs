//! The port: reads a call, finds its operation, lets faults happen, and writes the journal.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::errors::{ApiError, Code, Refusal};
use super::identifiers::fingerprint;
use super::route::{self, CallerBy, Failure, Incoming, Route, Service};
use crate::call::{Answer, Call};
use crate::connection::Wire;
use crate::controls;
use crate::journal::{Entry, Stay, UnderWay};
use crate::visit::{Ordered, Visit, suffer};

/// The most a request's body may have: an upload chunk of the usual clients is 100 MiB.
const BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A call on its way to its operation.
struct Arrived {
    cloud: Arc<Cloud>,
    call: Call,
    found: Option<(&'static Route, Vec<(&'static str, String)>)>,
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
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: axum::extract::Request,
) -> Response {
    let Ok(call) = Call::read(request, &wire, BODY_BYTES_MAX).await else {
        let error = ApiError::invalid("Request payload size exceeds the limit.");
        return written(&cloud, error.as_rpc().answer);
    };
    if let Some(answer) = controls::answer(&*cloud, &call) {
        return written(&cloud, answer);
    }
    let arrived = Arrived::new(&cloud, call);
    let fault = cloud.faults.take(arrived.service(), arrived.action());
    match suffer(arrived, fault, &wire).await {
        Some(answer) => written(&cloud, answer),
        None => {
            wire.cut();
            Response::new(HttpBody::empty())
        }
    }
}

impl Visit for Arrived {
    async fn finish(&self, fault: Option<&'static str>) -> Answer {
        self.cloud.pass_time_of_grants();
        let (caller, served) = self.serve();
        let (outcome, answer) = match served {
            Ok(answer) => ("ok".to_owned(), answer),
            Err(refusal) => (refusal.outcome, refusal.answer),
        };
        self.journal(&caller, &outcome, answer.status, fault);
        answer
    }

    fn refuse(&self, refusal: Ordered, fault: &'static str) -> Answer {
        let refusal = match refusal {
            Ordered::Throttled => self.refusal(&throttled().into()),
            Ordered::ServerError(503) => {
                let error =
                    ApiError::new(Code::Unavailable, "The service is currently unavailable.");
                self.refusal(&error.into())
            }
            Ordered::ServerError(status) => told(status, "INTERNAL", "Internal error encountered."),
            Ordered::Told { status, code } => {
                told(status, &code, "The sandbox was told to refuse this call.")
            }
        };
        self.journal(
            "unknown",
            &refusal.outcome,
            refusal.answer.status,
            Some(fault),
        );
        refusal.answer
    }

    fn lose(&self, fault: &'static str) {
        self.journal("unknown", "lost", 0, Some(fault));
    }

    fn hold_answer(&mut self, after: Duration) {
        self.answer_after = after;
    }
}

/// How a quota that is used up is told.
pub(crate) fn throttled() -> ApiError {
    ApiError::new(
        Code::Exhausted,
        "Quota exceeded. Please retry with exponential backoff.",
    )
    .because("RATE_LIMIT_EXCEEDED", "googleapis.com", json!({}))
}

fn told(status: u16, code: &str, message: &str) -> Refusal {
    let body: Value = json!({ "error": { "code": status, "message": message, "status": code,
        "errors": [{ "message": message, "domain": "global", "reason": code }] } });
    Refusal {
        outcome: code.to_owned(),
        answer: Answer::json(status, &body),
    }
}

impl Arrived {
    fn new(cloud: &Arc<Cloud>, call: Call) -> Arrived {
        let found = route::find(&call);
        let (service, action) = names(found.as_ref().map(|(route, _)| *route));
        let stay = cloud.journal.arrives(UnderWay {
            service: service.to_owned(),
            action: action.to_owned(),
            resource: call.path.clone(),
            arrived: Timestamp::now(),
        });
        Arrived {
            cloud: Arc::clone(cloud),
            call,
            found,
            arrived: Timestamp::now(),
            answer_after: Duration::ZERO,
            request_id: cloud.identifiers.uuid(),
            _stay: stay,
        }
    }

    fn route(&self) -> Option<&'static Route> {
        self.found.as_ref().map(|(route, _)| *route)
    }

    fn service(&self) -> &'static str {
        names(self.route()).0
    }

    fn action(&self) -> &'static str {
        names(self.route()).1
    }

    /// A failure in the shape of the API it happened in.
    fn refusal(&self, failure: &Failure) -> Refusal {
        let service = self.route().map_or(Service::Iam, |route| route.service);
        service.refusal(failure)
    }

    /// The caller for the journal, and the answer.
    fn serve(&self) -> (String, Result<Answer, Refusal>) {
        let refused = |error: ApiError| Err(self.refusal(&error.into()));
        let Some((route, captures)) = &self.found else {
            let message = format!(
                "The sandbox has no operation at {} {}.",
                self.call.method, self.call.path
            );
            return ("unknown".to_owned(), refused(ApiError::not_found(message)));
        };
        let token = match route.caller {
            CallerBy::Itself => Ok(None),
            CallerBy::Token => self.cloud.bearer(&self.call),
        };
        let token = match token {
            Ok(token) => token,
            Err(error) => return ("unknown".to_owned(), refused(error)),
        };
        let caller = token
            .as_ref()
            .map_or_else(|| "anonymous".to_owned(), |token| token.principal.member());
        let body = match route.read(&self.call) {
            Ok(body) => body,
            Err(error) => return (caller, refused(error)),
        };
        let incoming = Incoming {
            cloud: &self.cloud,
            call: &self.call,
            captures: captures.clone(),
            body,
            token,
            now: self.cloud.clock.now(),
        };
        let answer = (route.handler)(&incoming).map_err(|failure| self.refusal(&failure));
        (caller, answer)
    }

    fn journal(&self, caller: &str, outcome: &str, status: u16, fault: Option<&'static str>) {
        let finished = Timestamp::now();
        let bearer = self
            .call
            .header("authorization")
            .and_then(|header| header.split_once(' '));
        self.cloud.journal.write(Entry {
            number: 0,
            at: self.cloud.clock.now(),
            arrived: self.arrived,
            finished,
            answered: finished
                .saturating_add(self.answer_after)
                .unwrap_or(finished),
            service: self.service().to_owned(),
            action: self.action().to_owned(),
            caller: caller.to_owned(),
            access_key_id: bearer.map(|(_, token)| fingerprint(token.trim())),
            resource: self.call.path.clone(),
            outcome: outcome.to_owned(),
            status,
            fault: fault.map(str::to_owned),
            request_id: self.request_id.clone(),
        });
    }
}

fn names(route: Option<&'static Route>) -> (&'static str, &'static str) {
    route.map_or(("-", "-"), |route| (route.service.name(), route.action))
}

/// The HTTP response; its `Date` is the wire clock's, so that clients can see how far off they are.
fn written(cloud: &Cloud, answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let date = cloud
        .clock
        .wire_now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let mut builder = Response::builder().status(status).header("date", date);
    for (name, value) in answer.headers {
        builder = builder.header(name.as_ref(), value);
    }
    builder
        .body(HttpBody::from(answer.body))
        .unwrap_or_else(|_| {
            let mut response = Response::new(HttpBody::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
}
