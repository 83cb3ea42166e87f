//! The bytes of an object, whole or in part.

use bytes::Bytes;

use super::store::Object;
use crate::call::{Answer, Call};
use crate::gcp::errors::ApiError;

/// The object's bytes, with its checksums beside them.
pub(super) fn media(call: &Call, object: &Object) -> Result<Answer, ApiError> {
    let (status, range, data) = match call
        .header("range")
        .and_then(|text| asked_range(text, object.data.len()))
    {
        None => (200, None, object.data.clone()),
        Some(Ok((first, last))) => (
            206,
            Some(format!("bytes {first}-{last}/{}", object.data.len())),
            object.data.slice(first..=last),
        ),
        Some(Err(())) => return Ok(unsatisfiable(object)),
    };
    let mut answer = Answer::empty(status)
        .with("content-type", object.content_type.clone())
        .with("etag", object.etag())
        .with("x-goog-generation", object.generation.to_string())
        .with("x-goog-metageneration", "1")
        .with("x-goog-storage-class", "STANDARD")
        .with("x-goog-stored-content-encoding", "identity")
        .with(
            "x-goog-stored-content-length",
            object.data.len().to_string(),
        )
        .with(
            "x-goog-hash",
            format!("crc32c={},md5={}", object.crc32c, object.md5),
        );
    if let Some(range) = range {
        answer = answer.with("content-range", range);
    }
    answer.body = data;
    Ok(answer)
}

fn unsatisfiable(object: &Object) -> Answer {
    let mut answer = Answer::empty(416)
        .with("content-type", "text/plain")
        .with("content-range", format!("bytes */{}", object.data.len()));
    answer.body = Bytes::from_static(b"Request range not satisfiable");
    answer
}

/// First and last byte; `None` when the header asks for the whole, `Err` when nothing of it is there.
fn asked_range(header: &str, length: usize) -> Option<Result<(usize, usize), ()>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1);
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => end.map(|end| (first, last.min(end))),
        (Ok(first), Err(_)) if last.is_empty() => end.map(|end| (first, end)),
        (Err(_), Ok(count)) if first.is_empty() && count > 0 => {
            end.map(|end| (length.saturating_sub(count), end))
        }
        _ => return None,
    };
    Some(range.filter(|(first, last)| first <= last).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        assert_eq!(asked_range("bytes=0-3", 10), Some(Ok((0, 3))));
        assert_eq!(asked_range("bytes=5-99", 10), Some(Ok((5, 9))));
        assert_eq!(asked_range("bytes=5-", 10), Some(Ok((5, 9))));
        assert_eq!(asked_range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(asked_range("bytes=10-", 10), Some(Err(())));
        assert_eq!(asked_range("bytes=0-", 0), Some(Err(())));
        assert_eq!(asked_range("bytes=3-1", 10), None);
        assert_eq!(asked_range("lines=0-1", 10), None);
    }
}
