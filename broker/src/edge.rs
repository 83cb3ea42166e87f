//! What every call passes on its way in and out: room to be worked on, a time within which it is
//! answered, one line in the log, and headers that keep answers out of caches.

use core::any::Any;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jitney_api::ProblemCode;
use jitney_core::id::{LeaseId, RequestId};

use crate::metrics::names;
use crate::problem::{Code, Declined, Logged};
use crate::service::Service;

/// How long a call may take. Longer than the longest wait for a change, and longer than a cloud
/// is waited for.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(50);

/// The line that a call leaves in the log: handlers add what they learn. Written also when the
/// caller hangs up and there is no answer. Holds no token.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Facts>>);

#[derive(Default)]
struct Facts {
    principal: Option<String>,
    request: Option<String>,
    lease: Option<String>,
}

impl Line {
    /// Names the caller. What it says of itself comes from outside and is escaped.
    pub(crate) fn principal(&self, described: &str) {
        let escaped = described.escape_default().to_string();
        self.with(|facts| facts.principal = Some(escaped));
    }

    /// Names the request.
    pub(crate) fn request(&self, id: RequestId) {
        self.with(|facts| facts.request = Some(id.to_string()));
    }

    /// Names the lease.
    pub(crate) fn lease(&self, id: LeaseId) {
        self.with(|facts| facts.lease = Some(id.to_string()));
    }

    fn with(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<S: Sync> FromRequestParts<S> for Line {
    type Rejection = core::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Writes the line when it is dropped, answered or not.
struct Written {
    line: Line,
    method: Method,
    route: String,
    since: Instant,
    answer: Option<(StatusCode, Option<ProblemCode>, Option<String>)>,
}

impl Drop for Written {
    fn drop(&mut self) {
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, route) = (self.method.as_str(), self.route.as_str());
        let answer = self.answer.take();
        self.line.with(|facts| {
            let (principal, request, lease) = (
                facts.principal.as_deref(),
                facts.request.as_deref(),
                facts.lease.as_deref(),
            );
            let Some((status, code, refused)) = answer else {
                tracing::info!(
                    method,
                    route,
                    principal,
                    request,
                    lease,
                    elapsed_ms,
                    "the caller hung up"
                );
                return;
            };
            let (status, code) = (status.as_u16(), code.map(ProblemCode::as_str));
            let refused = refused.as_deref();
            if status >= 500 {
                tracing::warn!(
                    method, route, status, code, principal, request, lease, refused, elapsed_ms,
                    "call"
                );
            } else {
                tracing::info!(
                    method, route, status, code, principal, request, lease, refused, elapsed_ms,
                    "call"
                );
            }
        });
    }
}

/// The outermost layer: the line in the log, what is counted, and headers on every answer.
pub(crate) async fn told(
    State(service): State<Arc<Service>>,
    mut call: Request,
    next: Next,
) -> Response {
    let line = Line::default();
    let mut written = Written {
        line: line.clone(),
        method: call.method().clone(),
        // The pattern, not the path: a path is whatever the caller likes.
        route: call
            .extensions()
            .get::<MatchedPath>()
            .map_or_else(|| "(none)".to_owned(), |path| path.as_str().to_owned()),
        since: Instant::now(),
        answer: None,
    };
    call.extensions_mut().insert(line);
    let mut response = next.run(call).await;
    service.metrics.took(
        names::CALLS,
        &[("route", &written.route)],
        written.since.elapsed(),
    );
    let code = response.extensions().get::<Code>().map(|code| code.0);
    if let Some(code) = code {
        let labels = [("code", code.as_str())];
        service.metrics.count(names::REFUSALS, &labels);
    }
    let refused = response.extensions_mut().remove::<Logged>();
    written.answer = Some((response.status(), code, refused.map(|logged| logged.0)));
    let headers = response.headers_mut();
    // Unless an answer says that it is for everybody, it is for its caller alone.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets a call in if there is room, and answers it in time. A handler that is cut off here drops
/// what it waited for, and what it waited for takes itself back.
pub(crate) async fn bounded(
    State(service): State<Arc<Service>>,
    call: Request,
    next: Next,
) -> Response {
    let Ok(_place) = service.room.try_acquire() else {
        return Declined::new(
            ProblemCode::TryAgain,
            "the broker is working on as many calls as it can",
        )
        .retry_after(1)
        .into_response();
    };
    match tokio::time::timeout(ANSWER_WITHIN, next.run(call)).await {
        Ok(response) => response,
        Err(_) => Declined::new(
            ProblemCode::Timeout,
            format!(
                "there was no answer within {} s; what may be there is being taken back",
                ANSWER_WITHIN.as_secs()
            ),
        )
        .into_response(),
    }
}

/// A panic answers one call and ends none of the others. Its text may hold anything, so it goes
/// to the log alone.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("of an unknown kind");
    Declined::internal(format!("a handler panicked: {text}")).into_response()
}

/// No such path.
pub(crate) async fn no_such_path() -> Declined {
    Declined::new(ProblemCode::NotFound, "there is no such path in this API")
}

/// The path is there, the method is not.
pub(crate) async fn no_such_method(method: Method) -> Declined {
    Declined::new(
        ProblemCode::MethodNotAllowed,
        format!(
            "this path is not called with `{}`",
            method
                .as_str()
                .escape_default()
                .take(20)
                .collect::<String>()
        ),
    )
}
