//! One call and its answer: proved, bounded in time and size, never redirected.

use core::error::Error as _;
use core::time::Duration;

use jitney_api::{ANSWER_BYTES_MAX, DPOP, IDEMPOTENCY_KEY, Problem, ProblemCode};
use reqwest::{Certificate, Method, Response, StatusCode, header, redirect, retry};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::address::BrokerAddress;
use crate::clock::BrokerClock;
use crate::error::CallError;
use crate::key::Key;
use crate::token::CiToken;

/// The longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What an answer's buffer begins with. Growing leaves copies of a credential behind, so that it
/// should not need to.
const ANSWER_BYTES_USUAL: usize = 16 * 1024;

/// An HTTP client that goes where it is told and nowhere else.
pub(crate) fn http_client(
    loopback: bool,
    authorities: &[Certificate],
) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("jitney/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry the token to an address nobody configured.
        .redirect(redirect::Policy::none())
        // Each attempt needs a proof of its own.
        .retry(retry::never())
        .connect_timeout(CONNECT_PATIENCE)
        .tls_certs_merge(authorities.iter().cloned());
    if loopback {
        // A proxy cannot reach this machine's loopback and must not see what goes over it.
        builder = builder.no_proxy();
    }
    builder.build()
}

/// What there is to say in one call.
pub(crate) struct Call<'a> {
    pub method: Method,
    pub path: String,
    pub query: Option<(&'static str, String)>,
    pub token: Option<&'a CiToken>,
    pub idempotency_key: Option<&'a str>,
    pub body: Option<Vec<u8>>,
    pub patience: Duration,
}

impl Call<'_> {
    /// A call that shows nothing but its proof.
    pub(crate) fn new(method: Method, path: String, patience: Duration) -> Self {
        Self {
            method,
            path,
            query: None,
            token: None,
            idempotency_key: None,
            body: None,
            patience,
        }
    }
}

/// One broker, one key, one clock.
pub(crate) struct Exchange {
    pub http: reqwest::Client,
    pub broker: BrokerAddress,
    pub key: Key,
    pub clock: BrokerClock,
}

impl Exchange {
    /// Makes a call. A proof that was refused for its time is made again, once, by the clock that
    /// the refusal taught.
    pub(crate) async fn make<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, CallError> {
        match self.attempt(call).await {
            Err(error) if proof_time_is_off(&error) => self.attempt(call).await,
            other => other,
        }
    }

    async fn attempt<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, CallError> {
        let mut url = self.broker.at(&call.path);
        let issued_at = self.clock.now().as_second();
        let proof = self
            .key
            .prove(call.method.as_str(), &url, call.token, issued_at)?;
        if let Some((name, value)) = &call.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .timeout(call.patience)
            .header(header::ACCEPT, "application/json")
            .header(DPOP, proof);
        if let Some(token) = call.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = &call.body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let answer = request.send().await.map_err(|e| self.no_answer(&e))?;
        self.read(answer).await
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, CallError> {
        let date = answer.headers().get(header::DATE);
        if let Some(date) = date.and_then(|date| date.to_str().ok()) {
            self.clock.learn(date);
        }
        let status = answer.status();
        let body = match Body::read(answer, ANSWER_BYTES_MAX).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => return Err(self.not_a_broker("its answer is too large")),
            Err(BodyError::Broken(error)) => return Err(self.no_answer(&error)),
        };
        if status.is_success() {
            return body.json().map_err(|error| self.not_a_broker(&error));
        }
        match body.json::<Problem>() {
            Ok(problem) => Err(CallError::Refused(Box::new(problem))),
            // What stands in front of a broker that is away answers in its own words.
            Err(_) if stands_in(status) => Err(CallError::NoAnswer {
                broker: self.broker.to_string(),
                why: format!("something before it says {status}"),
            }),
            Err(_) => Err(self.not_a_broker(&format!("it says {status}"))),
        }
    }

    pub(crate) fn not_a_broker(&self, why: &str) -> CallError {
        CallError::NotABroker {
            broker: self.broker.to_string(),
            why: why.to_owned(),
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> CallError {
        let (broker, why) = (self.broker.to_string(), root_cause(error));
        if error.is_connect() {
            CallError::Unreachable { broker, why }
        } else {
            CallError::NoAnswer { broker, why }
        }
    }
}

fn proof_time_is_off(error: &CallError) -> bool {
    matches!(
        error.problem(),
        Some(ProblemCode::ProofTooOld | ProblemCode::ProofNotYetValid)
    )
}

fn stands_in(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The innermost reason: the outer ones repeat the address.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause = error.source();
    let mut text = "the connection broke".to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("its answer is too large")]
    TooLarge,
    #[error("{}", root_cause(.0))]
    Broken(reqwest::Error),
}

/// An answer's body, which may hold a credential: bounded, and wiped when dropped.
pub(crate) struct Body(Zeroizing<Vec<u8>>);

impl Body {
    pub(crate) async fn read(mut answer: Response, bytes_max: usize) -> Result<Self, BodyError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_USUAL));
        while let Some(chunk) = answer.chunk().await.map_err(BodyError::Broken)? {
            if chunk.len() > bytes_max.saturating_sub(bytes.len()) {
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self(bytes))
    }

    /// Reads JSON. The error says where, and never what: a parser's own words repeat the input.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("its answer is not what is expected at line {line}, column {column}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_api::CredentialView;

    #[test]
    fn an_answer_that_is_not_understood_is_not_repeated() {
        for text in [
            r#"{"lease":"l","kind":"k","expires_at":"e","fields":"canary-5"}"#,
            r#"{"lease":"l","kind":"k","expires_at":"e","fields":{"a":"canary-5"}"#,
            r#""canary-5""#,
        ] {
            let body = Body(Zeroizing::new(text.as_bytes().to_vec()));
            let refusal = body.json::<CredentialView>().err().unwrap_or_default();
            assert!(refusal.contains("column"), "{refusal}");
            assert!(!refusal.contains("canary-5"), "{refusal}");
        }
    }
}
