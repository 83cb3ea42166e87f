//! The port: reads a call, finds its service and operation, lets faults happen, and writes the journal.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;

use crate::connection::Wire;
use crate::journal::{Entry, Stay, UnderWay};
use crate::visit::{Ordered, Visit, suffer};

use super::authenticate::refused_signature;
use super::authority::Standing;
use super::cloud::Cloud;
use super::credentials::Principal;
use super::errors::AwsError;
use super::limits::throttled;
use super::query_protocol::Params;
use super::sigv4::{self, ClaimedSignature};
use super::{iam, s3, sts};
use crate::call::{Answer, Call, TooLong};
use crate::controls;

/// The most a request's body may have: an upload part of the usual clients is 8 MiB.
pub(crate) const BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The services behind the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Sts,
    Iam,
    S3,
}

impl Service {
    fn of_scope(name: &str) -> Option<Service> {
        match name {
            "sts" => Some(Service::Sts),
            "iam" => Some(Service::Iam),
            "s3" => Some(Service::S3),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Service::Sts => "sts",
            Service::Iam => "iam",
            Service::S3 => "s3",
        }
    }

    /// A refusal that a fault orders, in the service's words.
    fn refused(self, refusal: Ordered) -> AwsError {
        match (self, refusal) {
            (Service::S3, Ordered::Throttled) => {
                AwsError::new(503, "SlowDown", "Please reduce your request rate.")
            }
            (Service::Sts | Service::Iam, Ordered::Throttled) => throttled(),
            (_, Ordered::ServerError(status)) => {
                let code = match self {
                    Service::Iam => "ServiceFailure",
                    Service::Sts | Service::S3 => "InternalError",
                };
                AwsError::new(status, code, "We encountered an internal error.")
            }
            (_, Ordered::Told { status, code }) => {
                AwsError::new(status, code, "The sandbox was told to refuse this call.")
            }
        }
    }

    fn error(self, error: &AwsError, call: &Call, request_id: &str) -> Answer {
        match self {
            Service::Sts => error.as_query_answer(sts::NAMESPACE, request_id),
            Service::Iam => error.as_query_answer(iam::NAMESPACE, request_id),
            Service::S3 => error.as_s3_answer(&call.path, request_id),
        }
    }
}

/// A call on its way to its service.
struct Arrived {
    cloud: Arc<Cloud>,
    call: Call,
    service: Service,
    action: String,
    claimed: Result<Option<ClaimedSignature>, sigv4::Refusal>,
    arrived: Timestamp,
    /// How long its answer is held back once it is handled.
    answer_after: Duration,
    request_id: String,
    /// Shows the call as under way for as long as anything is still to be done about it.
    _stay: Stay,
}

/// A call whose caller is known.
pub(crate) struct Incoming<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) call: &'a Call,
    pub(crate) standing: Standing,
    pub(crate) region: String,
    pub(crate) request_id: String,
    /// What the service says the call was about, for the journal.
    pub(crate) now: Timestamp,
}

/// Answers one HTTP request.
pub(crate) async fn handle(
    State(cloud): State<Arc<Cloud>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: axum::extract::Request,
) -> Response {
    let arrived = Timestamp::now();
    let call = match Call::read(request, &wire, BODY_BYTES_MAX).await {
        Ok(call) => call,
        Err(TooLong { path }) => {
            let error = AwsError::new(
                400,
                "EntityTooLarge",
                "Your proposed upload exceeds the maximum allowed object size.",
            );
            return written(&cloud, error.as_s3_answer(&path, "unread"));
        }
    };
    if let Some(answer) = controls::answer(&*cloud, &call) {
        return written(&cloud, answer);
    }
    let visit = Arrived::new(&cloud, call, arrived);
    let fault = cloud.faults.take(visit.service.name(), &visit.action);
    match suffer(visit, fault, &wire).await {
        Some(answer) => written(&cloud, answer),
        None => {
            wire.cut();
            Response::new(Body::empty())
        }
    }
}

impl Visit for Arrived {
    async fn finish(&self, fault: Option<&'static str>) -> Answer {
        let access_key_id = match &self.claimed {
            Ok(Some(claimed)) => Some(claimed.access_key_id.clone()),
            _ => None,
        };
        let (caller, answered) = self.serve();
        let (outcome, answer) = match answered {
            Ok(answer) => ("ok".to_owned(), answer),
            Err(error) => (
                error.code.to_string(),
                self.service.error(&error, &self.call, &self.request_id),
            ),
        };
        self.journal(&caller, access_key_id, &outcome, answer.status, fault);
        answer
    }

    fn refuse(&self, refusal: Ordered, fault: &'static str) -> Answer {
        let error = self.service.refused(refusal);
        self.journal("unknown", None, &error.code, error.status, Some(fault));
        self.service.error(&error, &self.call, &self.request_id)
    }

    fn lose(&self, fault: &'static str) {
        self.journal("unknown", None, "lost", 0, Some(fault));
    }

    fn hold_answer(&mut self, after: Duration) {
        self.answer_after = after;
    }
}

impl Arrived {
    /// The service is the one in the signature's scope; an unsigned form is for STS, anything else for S3.
    fn new(cloud: &Arc<Cloud>, call: Call, arrived: Timestamp) -> Arrived {
        let claimed = sigv4::claimed(&call);
        let is_form = call
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let service = match &claimed {
            Ok(Some(claimed)) => Service::of_scope(&claimed.service).unwrap_or(Service::S3),
            _ if is_form => Service::Sts,
            _ => Service::S3,
        };
        let action = match service {
            Service::Sts | Service::Iam => Params::of(&call)
                .optional("Action")
                .unwrap_or("-")
                .to_owned(),
            Service::S3 => s3::operation_name(&call).to_owned(),
        };
        let stay = cloud.journal.arrives(UnderWay {
            service: service.name().to_owned(),
            action: action.clone(),
            resource: resource(service, &call),
            arrived,
        });
        Arrived {
            cloud: Arc::clone(cloud),
            call,
            service,
            action,
            claimed,
            arrived,
            answer_after: Duration::ZERO,
            request_id: cloud.identifiers.request_id(),
            _stay: stay,
        }
    }

    /// The caller's ARN for the journal, and the answer.
    fn serve(&self) -> (String, Result<Answer, AwsError>) {
        let cloud = &self.cloud;
        let unknown = |error| ("unknown".to_owned(), Err(error));
        let claimed = match &self.claimed {
            Ok(claimed) => claimed,
            Err(refusal) => return unknown(refused_signature(self.service, refusal.clone())),
        };
        if let Some(claimed) = claimed
            && Service::of_scope(&claimed.service).is_none()
        {
            let message = format!(
                "the sandbox has no service `{}`; it has sts, iam and s3",
                claimed.service
            );
            return unknown(AwsError::new(501, "NotImplemented", message));
        }
        let (principal, signed, region) = match claimed {
            None => (Principal::Anonymous, None, cloud.estate.region.clone()),
            Some(claimed) => match cloud.authenticate(self.service, &self.call, claimed) {
                Ok(authenticated) => (
                    authenticated.principal,
                    Some(authenticated.signed),
                    claimed.region.clone(),
                ),
                Err(error) => return unknown(error),
            },
        };
        let incoming = Incoming {
            cloud,
            call: &self.call,
            standing: cloud.standing(principal, self.call.peer, &region),
            region,
            request_id: self.request_id.clone(),
            now: cloud.clock.now(),
        };
        let presigned = claimed.as_ref().is_some_and(ClaimedSignature::is_presigned);
        let answer = match self.service {
            Service::Sts => sts::serve(&incoming, &self.action),
            Service::Iam => iam::serve(&incoming, &self.action),
            Service::S3 => s3::serve(&incoming, signed.as_ref(), presigned),
        };
        (incoming.standing.caller.arn(), answer)
    }

    fn journal(
        &self,
        caller: &str,
        access_key_id: Option<String>,
        outcome: &str,
        status: u16,
        fault: Option<&'static str>,
    ) {
        let finished = Timestamp::now();
        self.cloud.journal.write(Entry {
            number: 0,
            at: self.cloud.clock.now(),
            arrived: self.arrived,
            finished,
            answered: finished
                .saturating_add(self.answer_after)
                .unwrap_or(finished),
            service: self.service.name().to_owned(),
            action: self.action.clone(),
            caller: caller.to_owned(),
            access_key_id,
            resource: resource(self.service, &self.call),
            outcome: outcome.to_owned(),
            status,
            fault: fault.map(str::to_owned),
            request_id: self.request_id.clone(),
        });
    }
}

/// What a call is about.
fn resource(service: Service, call: &Call) -> String {
    match service {
        Service::S3 => call.path.clone(),
        Service::Sts | Service::Iam => {
            let params = Params::of(call);
            ["RoleArn", "RoleName", "PolicyArn", "PolicyName"]
                .iter()
                .find_map(|name| params.optional(name))
                .unwrap_or("*")
                .to_owned()
        }
    }
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
    builder.body(Body::from(answer.body)).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
