//! A credential on its way to its job. If it does not arrive, because the client hung up, timed
//! out or was never answered, its leases end at once: a privilege in nobody's hands serves nobody
//! but a thief.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jitney_core::id::RequestId;
use jitney_core::lease::End;

use crate::service::Service;

/// Ends the leases of a request unless it is told that they arrived.
pub(crate) struct Delivery {
    service: Arc<Service>,
    request: RequestId,
    arrived: bool,
}

impl Delivery {
    pub(crate) const fn of(service: Arc<Service>, request: RequestId) -> Self {
        Self {
            service,
            request,
            arrived: false,
        }
    }

    /// An answer that counts as delivered once the connection has taken its bytes. Dropped before
    /// that, by a handler that was cut off or a connection that is gone, it was not.
    pub(crate) fn answer(self, status: StatusCode, json: Vec<u8>) -> Response {
        let length = json.len();
        let bytes = stream::once(async move {
            self.arrived();
            Ok::<_, std::convert::Infallible>(Bytes::from(json))
        });
        let mut response = (status, Body::from_stream(bytes)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.arrived {
            return;
        }
        let (service, request) = (Arc::clone(&self.service), self.request);
        self.service.crew.spawn(async move {
            tracing::warn!(%request, "the credentials could not be handed over: taking them back");
            if let Err(refusal) = service.core.end_request(request, End::Undelivered).await {
                // Nobody beats for these leases, so their silence ends them.
                tracing::error!(%request, error = refusal.logged, "cannot end the leases yet");
            }
            service.driver.nudge();
        });
    }
}
