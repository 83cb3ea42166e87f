//! Reading a call's body: bounded in bytes and in time. A job's is JSON, and nothing that is not
//! known.

use core::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use futures_util::StreamExt as _;
use jitney_api::{BODY_BYTES_MAX, ProblemCode};
use serde::de::DeserializeOwned;

use crate::problem::Declined;

/// How long a body may take to arrive. A client that sends a byte now and then would otherwise
/// hold its place for as long as it likes.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// How much of what the reader of JSON says is passed on. It repeats what the caller wrote.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Reads a JSON body.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Declined> {
    let stated = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    if !stated.is_some_and(is_json) {
        return Err(Declined::new(
            ProblemCode::UnsupportedMediaType,
            "the body must be JSON and say so: `content-type: application/json`",
        ));
    }
    let bytes = raw(body, BODY_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let complaint: String = error
            .to_string()
            .chars()
            .flat_map(escape_control)
            .take(COMPLAINT_CHARS_MAX)
            .collect();
        bad(&format!("the body is not a request: {complaint}"))
    })
}

fn is_json(stated: &[u8]) -> bool {
    let essence = stated.split(|b| *b == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

/// Reads a body as it came, at most `bytes_max` of it.
pub(crate) async fn raw(body: Body, bytes_max: usize) -> Result<Vec<u8>, Declined> {
    let read = tokio::time::timeout(ARRIVES_WITHIN, bounded(body, bytes_max)).await;
    read.map_err(|_| {
        bad(&format!(
            "the body did not arrive within {} s",
            ARRIVES_WITHIN.as_secs()
        ))
    })?
}

async fn bounded(body: Body, bytes_max: usize) -> Result<Vec<u8>, Declined> {
    let too_large = || {
        Declined::new(
            ProblemCode::TooLarge,
            format!("the body is larger than the {bytes_max} bytes that are read"),
        )
    };
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| bad("the body ended before its time"))?;
        if bytes.len().saturating_add(piece.len()) > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// A control character would move the cursor of whoever reads the answer in a terminal.
fn escape_control(c: char) -> impl Iterator<Item = char> {
    let (kept, escaped) = if c.is_control() {
        (None, Some(c.escape_default()))
    } else {
        (Some(c), None)
    };
    kept.into_iter().chain(escaped.into_iter().flatten())
}

fn bad(told: &str) -> Declined {
    Declined::new(ProblemCode::BadRequest, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_compared_without_its_parameters() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let text: String = "a\u{1b}[31mé".chars().flat_map(escape_control).collect();
        assert_eq!(text, "a\\u{1b}[31mé");
    }
}
