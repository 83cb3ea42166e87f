//! Calls to Google's APIs: one attempt each, bounded in time and size, and no redirects. What a
//! failed one means is said in `classify`.

use core::error::Error;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use jitney_core::cloud_clock::CloudClock;
use jitney_core::time::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::classify::{Answer, Call, Failed, named};
use crate::config::GcpTarget;
use crate::connect::{Identities, Identity, Purpose};
use crate::limits::ANSWER_BYTES_MAX;

/// How long a connection may take, and one call with it.
const CONNECT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(10);

/// One of Google's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Iam,
    IamCredentials,
    ResourceManager,
    Storage,
    Sts,
    PrivilegedAccess,
}

impl Service {
    const fn address(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.googleapis.com",
            Self::IamCredentials => "https://iamcredentials.googleapis.com",
            Self::ResourceManager => "https://cloudresourcemanager.googleapis.com",
            Self::Storage => "https://storage.googleapis.com",
            Self::Sts => "https://sts.googleapis.com",
            Self::PrivilegedAccess => "https://privilegedaccessmanager.googleapis.com",
        }
    }
}

/// What is sent with a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    Nothing,
    Json(&'a Value),
    /// A form, and no authorisation: the exchange of tokens takes none.
    Form(&'a [(&'a str, &'a str)]),
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) call: Call,
    /// Its name, for the log.
    pub(crate) operation: &'static str,
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// With its query. Made of names that were read whole.
    pub(crate) path: String,
    pub(crate) body: Body<'a>,
}

/// The ways to Google: as whoever gives, and as whoever takes back.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    giving: Rest,
    taking: Option<Rest>,
}

impl Clients {
    pub(crate) fn new(
        target: &GcpTarget,
        identities: Identities,
        clock: Arc<CloudClock>,
    ) -> Result<Self, reqwest::Error> {
        let giving = Rest::new(target, identities.granter, clock)?;
        let taking = identities.revoker.map(|identity| Rest {
            identity,
            ..giving.clone()
        });
        Ok(Self { giving, taking })
    }

    pub(crate) fn of(&self, purpose: Purpose) -> &Rest {
        match purpose {
            Purpose::Gives => &self.giving,
            Purpose::Takes => self.taking.as_ref().unwrap_or(&self.giving),
        }
    }

    /// Whether who gives and who takes back are two.
    pub(crate) const fn are_two(&self) -> bool {
        self.taking.is_some()
    }
}

/// A way to Google, as somebody.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    http: reqwest::Client,
    identity: Identity,
    endpoint: Option<String>,
    clock: Arc<CloudClock>,
}

impl Rest {
    fn new(
        target: &GcpTarget,
        identity: Identity,
        clock: Arc<CloudClock>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent("jitney")
            .connect_timeout(CONNECT)
            .timeout(CALL)
            // A redirect would let an answer choose to whom the broker's token is sent next.
            .redirect(Policy::none())
            // An attempt whose answer was lost may land after the next one, and the adapter must
            // know of it.
            .retry(reqwest::retry::never())
            .https_only(!target.is_plain_http());
        // Plain HTTP is for this machine's loopback alone, which a proxy cannot reach and must not
        // see.
        let http = match target.is_plain_http() {
            true => http.no_proxy(),
            false => http,
        };
        Ok(Self {
            http: http.build()?,
            identity,
            endpoint: target.endpoint_url.clone(),
            clock,
        })
    }

    /// Makes a call. Gives what Google answered.
    pub(crate) async fn send(&self, request: &Request<'_>) -> Result<Value, Failed> {
        let bearer = match request.body {
            Body::Form(_) => None,
            Body::Nothing | Body::Json(_) => match self.identity.bearer().await {
                Ok(bearer) => Some(bearer),
                Err(why) => {
                    let (call, operation) = (request.call, request.operation);
                    return Err(Failed::new(call, operation, Answer::NoCredentials, &why));
                }
            },
        };
        let bearer = bearer.as_ref().map(|it| it.as_str());
        self.send_as(bearer, request).await
    }

    /// Makes a call with somebody else's token.
    pub(crate) async fn send_with(
        &self,
        token: &str,
        request: &Request<'_>,
    ) -> Result<Value, Failed> {
        self.send_as(Some(token), request).await
    }

    async fn send_as(&self, bearer: Option<&str>, request: &Request<'_>) -> Result<Value, Failed> {
        let failed = |answer: Answer<'_>, said: &str| {
            Failed::new(request.call, request.operation, answer, said)
        };
        let prepared = self.prepare(bearer, request);
        let sent = self.clock.now();
        let response = match prepared.send().await {
            Ok(response) => response,
            Err(error) => return Err(failed(reached(&error), &chain(&error))),
        };
        self.look_at_clock(sent, response.headers());
        let (status, after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = match read(response).await {
            Ok(body) => body,
            Err(why) => return Err(failed(Answer::Lost, &format!("{status}, then {why}"))),
        };
        let json: Option<Value> = match body.as_slice() {
            [] => Some(Value::Null),
            bytes => serde_json::from_slice(bytes).ok(),
        };
        match (status, json) {
            (200..=299, Some(json)) => Ok(json),
            (200..=299, None) => Err(failed(Answer::Lost, &format!("{status} and no JSON"))),
            (_, json) => {
                let json = json.unwrap_or(Value::Null);
                let (name, said) = named(&json);
                let refused = Answer::Refused {
                    status,
                    name,
                    after,
                };
                Err(failed(refused, &format!("{status} {said}")))
            }
        }
    }

    /// Makes a call with a token that was handed out, which is the job's and not the broker's.
    /// Gives the status and what came with it; nothing is made of either here.
    pub(crate) async fn shown(
        &self,
        token: &str,
        service: Service,
        method: &Method,
        path: &str,
    ) -> Result<(u16, Value), String> {
        let call = self.to(service, method.clone(), path).bearer_auth(token);
        let call = match *method {
            Method::POST => call.body(Vec::new()),
            _ => call,
        };
        let answer = call.send().await.map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        let body = read(answer).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// A call as nobody.
    pub(crate) fn to(&self, service: Service, method: Method, path: &str) -> RequestBuilder {
        let base = self.endpoint.as_deref();
        let url = format!("{}{path}", base.unwrap_or(service.address()));
        self.http.request(method, url)
    }

    fn prepare(&self, bearer: Option<&str>, request: &Request<'_>) -> RequestBuilder {
        let prepared = self.to(request.service, request.method.clone(), &request.path);
        let prepared = match bearer {
            Some(token) => prepared.bearer_auth(token),
            None => prepared,
        };
        match request.body {
            Body::Form(form) => prepared.form(form),
            Body::Nothing => prepared,
            Body::Json(json) => prepared.json(json),
        }
    }

    fn look_at_clock(&self, sent: Timestamp, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        if let Some(date) = date.and_then(|date| parser.parse_timestamp(date).ok()) {
            let date = Timestamp::from_seconds(date.as_second());
            self.clock.looked(sent, date);
        }
    }
}

/// Whether a call without an answer has left. Only if nobody listens at the address it has not: a
/// connection that was made and then broke may have carried the whole request.
fn reached(error: &reqwest::Error) -> Answer<'static> {
    let mut causes = causes(error);
    let nobody = |cause: &(dyn Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
    };
    if error.is_builder() || error.is_connect() && causes.any(nobody) {
        Answer::NeverSent
    } else {
        Answer::Lost
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    core::iter::successors(Some(error), |&error| error.source())
}

pub(crate) fn chain(error: &reqwest::Error) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(format!("more than {ANSWER_BYTES_MAX} bytes")),
            Ok(None) => return Ok(body),
            Err(error) => return Err(chain(&error)),
        }
    }
}
