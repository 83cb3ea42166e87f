//! The ways in which an issuer's public documents can be broken, by bad luck or on purpose.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use serde::Deserialize;

/// The largest answer a fault makes, in bytes: enough for every limit worth testing.
const HUGE_BYTES_MAX: usize = 64 * 1024 * 1024;

const CHUNK_BYTES: usize = 64 * 1024;

/// How a document is broken. Where the true content still comes, a reader without the guard in
/// question would accept it: so its test fails when the guard is gone.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The true answer, after this many milliseconds.
    Slow {
        /// The wait before the first byte.
        delay_ms: u64,
    },
    /// The true answer, one byte at a time.
    Drip {
        /// The wait before each byte.
        interval_ms: u64,
    },
    /// The true answer, blown up with white space.
    Huge {
        /// The size of the answer, up to 64 MiB.
        bytes: usize,
        /// Whether `Content-Length` says so beforehand.
        length_announced: bool,
    },
    /// A redirect; without an address, to the true answer at another path of this issuer.
    Redirect {
        /// Where to.
        to: Option<String>,
    },
    /// An error.
    Status(u16),
    /// Another body, with status 200.
    Body(String),
    /// The true answer, with these members put in or replaced.
    Members(serde_json::Map<String, serde_json::Value>),
}

impl Fault {
    /// A key set without keys.
    pub fn empty_key_set() -> Self {
        Self::Body(r#"{"keys":[]}"#.to_owned())
    }
}

/// One public document: how it is broken now, and how often it was asked for.
#[derive(Default)]
pub(super) struct Door {
    asked: AtomicU64,
    fault: Mutex<Option<Fault>>,
}

impl Door {
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Counts the question, and answers with the document or what the fault makes of it.
    pub(super) async fn answer(&self, document: serde_json::Value, moved_to: String) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fault = self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match fault {
            None => json(document.to_string()),
            Some(Fault::Slow { delay_ms }) => {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                json(document.to_string())
            }
            Some(Fault::Drip { interval_ms }) => drip(document.to_string(), interval_ms),
            Some(Fault::Huge {
                bytes,
                length_announced,
            }) => huge(
                document.to_string(),
                bytes.min(HUGE_BYTES_MAX),
                length_announced,
            ),
            Some(Fault::Redirect { to }) => {
                let to = to.unwrap_or(moved_to);
                (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
            }
            Some(Fault::Status(status)) => StatusCode::from_u16(status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
                .into_response(),
            Some(Fault::Body(body)) => json(body),
            Some(Fault::Members(members)) => {
                let mut document = document;
                if let Some(object) = document.as_object_mut() {
                    object.extend(members);
                }
                json(document.to_string())
            }
        }
    }
}

/// An answer of type JSON; the text need not be.
pub(super) fn json(text: impl Into<Body>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        text.into(),
    )
        .into_response()
}

fn drip(text: String, interval_ms: u64) -> Response {
    let bytes = text.into_bytes().into_iter();
    json(Body::from_stream(stream::unfold(
        bytes,
        move |mut bytes| async move {
            let byte = bytes.next()?;
            tokio::time::sleep(Duration::from_millis(interval_ms)).await;
            Some((Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), bytes))
        },
    )))
}

fn huge(text: String, size: usize, length_announced: bool) -> Response {
    let blank = size.saturating_sub(text.len());
    if length_announced {
        return json(text + &" ".repeat(blank));
    }
    // In chunks, so that the length is not known before the end.
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(text))]);
    let chunks = blank.div_ceil(CHUNK_BYTES);
    let rest = stream::iter((0..chunks).map(|_| Ok(Bytes::from(vec![b' '; CHUNK_BYTES]))));
    json(Body::from_stream(futures_util::StreamExt::chain(
        first, rest,
    )))
}
