//! Uploads in pieces, to a URI that is its own credential.
//!
//! Whoever holds the URI goes on with the upload, for a week, without a token; nothing that happens to the account
//! that began it is looked at, unless [`Habits`](crate::gcp::Habits) say otherwise. What the upload can do was decided when it began.

use super::store::{Objects, Upload, UploadState};
use super::uploads::{Draft, stored};
use crate::call::Answer;
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::route::{Failure, Incoming};

/// Every piece but the last is a multiple of this.
const PIECE_BYTES: usize = 256 * 1024;

/// Begins an upload; the answer's `Location` is where it goes on.
pub(super) fn start(incoming: &Incoming<'_>, draft: Draft) -> Result<Answer, ApiError> {
    let id = incoming.cloud.identifiers.upload_id();
    let mut objects = incoming.cloud.objects.write();
    draft
        .preconditions
        .check(objects.find(&draft.bucket, &draft.name))?;
    let location = format!(
        "{}/upload/storage/v1/b/{}/o?uploadType=resumable&upload_id={id}",
        incoming.call.base_url(),
        draft.bucket
    );
    let principal = incoming
        .token
        .as_ref()
        .map(|token| token.principal.member());
    objects.uploads.insert(
        id.clone(),
        Upload {
            bucket: draft.bucket,
            object: draft.name,
            content_type: draft.content_type,
            metadata: draft.metadata,
            preconditions: draft.preconditions,
            received: Vec::new(),
            started: incoming.now,
            principal: principal.unwrap_or_else(|| "anonymous".to_owned()),
            state: UploadState::Open,
        },
    );
    Ok(Answer::empty(200)
        .with("location", location)
        .with("x-guploader-uploadid", id))
}

/// Takes a piece, or tells how much is there.
pub(super) fn go_on(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let range = match incoming.call.header("content-range") {
        None => Piece::whole(incoming.call.body.len()),
        Some(header) => Piece::read(header)
            .ok_or_else(|| ApiError::invalid("Failed to parse Content-Range header."))?,
    };
    check_account(incoming)?;
    let mut objects = incoming.cloud.objects.write();
    let id = open(incoming, &objects)?;
    let Some(upload) = objects.uploads.get_mut(&id) else {
        return Err(gone().into());
    };
    if let UploadState::Finished(answer) = &upload.state {
        return Ok(incoming.ok(answer));
    }
    if let Some((first, last)) = range.bytes {
        let body = &incoming.call.body;
        if last.checked_sub(first).map(|length| length + 1) != Some(body.len()) {
            return Err(
                ApiError::invalid("The body is not as long as its Content-Range says.").into(),
            );
        }
        if first != upload.received.len() {
            return Ok(so_far(upload));
        }
        let is_last = range.total == Some(last + 1);
        if !is_last && !body.len().is_multiple_of(PIECE_BYTES) {
            let message = "Every piece but the last must be a multiple of 256 KiB.";
            return Err(ApiError::invalid(message).into());
        }
        upload.received.extend_from_slice(body);
    }
    if range.total != Some(upload.received.len()) {
        return Ok(so_far(upload));
    }
    let upload = upload.clone();
    Ok(finish(incoming, &mut objects, &id, upload)?)
}

/// Where uploads end with their account: whether it is still enabled.
fn check_account(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    let settings = &incoming.cloud.settings;
    if !settings.habits().uploads_end_with_account || settings.ignores_disabling() {
        return Ok(());
    }
    let id = incoming.query("upload_id").unwrap_or_default();
    let began = {
        let objects = incoming.cloud.objects.read();
        objects
            .uploads
            .get(&id)
            .map(|upload| upload.principal.clone())
    };
    let email = began
        .as_deref()
        .and_then(|who| who.strip_prefix("serviceAccount:"));
    let directory = incoming.cloud.directory.read();
    let account = email.and_then(|email| directory.account(email));
    if account.is_some_and(|account| account.is_disabled(incoming.now)) {
        let message = "The account that began the upload is disabled.";
        return Err(ApiError::new(Code::Unauthenticated, message));
    }
    Ok(())
}

pub(super) fn cancel(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let mut objects = incoming.cloud.objects.write();
    let id = open(incoming, &objects)?;
    if let Some(upload) = objects.uploads.get_mut(&id) {
        upload.state = UploadState::Cancelled;
        upload.received.clear();
    }
    // nginx's word for a client that closed its request; Cloud Storage answers it to a cancellation.
    Ok(Answer::empty(499))
}

/// The id of the upload, if its URI still lives.
fn open(incoming: &Incoming<'_>, objects: &Objects) -> Result<String, ApiError> {
    let id = incoming.query("upload_id").unwrap_or_default();
    let upload = objects.uploads.get(&id).filter(|upload| {
        upload.bucket == incoming.capture("bucket") && incoming.now < upload.expires()
    });
    match upload.map(|upload| &upload.state) {
        Some(UploadState::Open | UploadState::Finished(_)) => Ok(id),
        Some(UploadState::Cancelled) => Err(ApiError::new(Code::Gone, "The upload was cancelled.")),
        None => Err(gone()),
    }
}

fn gone() -> ApiError {
    ApiError::not_found("The upload does not exist, or its week is over.")
}

/// Asks for more, telling what is there.
fn so_far(upload: &Upload) -> Answer {
    let answer = Answer::empty(308);
    match upload.received.len().checked_sub(1) {
        None => answer,
        Some(last) => answer.with("range", format!("bytes=0-{last}")),
    }
}

fn finish(
    incoming: &Incoming<'_>,
    objects: &mut Objects,
    id: &str,
    upload: Upload,
) -> Result<Answer, ApiError> {
    upload
        .preconditions
        .check(objects.find(&upload.bucket, &upload.object))?;
    let object = objects.put(
        &upload.bucket,
        &upload.object,
        upload.received.into(),
        &upload.content_type,
        upload.metadata,
        incoming.now,
    );
    if let Some(kept) = objects.uploads.get_mut(id) {
        kept.state = UploadState::Finished(object.as_json(
            &incoming.call.base_url(),
            &upload.bucket,
            &upload.object,
        ));
        kept.received.clear();
    }
    Ok(stored(incoming, &object, &upload.bucket, &upload.object))
}

/// What a `Content-Range` says: which bytes come, and how many there will be in all.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    bytes: Option<(usize, usize)>,
    total: Option<usize>,
}

impl Piece {
    fn whole(length: usize) -> Piece {
        Piece {
            bytes: length.checked_sub(1).map(|last| (0, last)),
            total: Some(length),
        }
    }

    fn read(header: &str) -> Option<Piece> {
        let (bytes, total) = header.strip_prefix("bytes ")?.split_once('/')?;
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (first, last) = bytes.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }
        };
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        Some(Piece { bytes, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_to_the_letter() {
        let piece = |bytes, total| Some(Piece { bytes, total });
        assert_eq!(Piece::read("bytes 0-9/10"), piece(Some((0, 9)), Some(10)));
        assert_eq!(Piece::read("bytes 0-9/*"), piece(Some((0, 9)), None));
        assert_eq!(Piece::read("bytes */10"), piece(None, Some(10)));
        assert_eq!(Piece::read("bytes */*"), piece(None, None));
        for wrong in [
            "",
            "bytes=0-9/10",
            "bytes 0-9",
            "bytes a-9/10",
            "bytes 0-9/x",
            "bytes -9/10",
        ] {
            assert_eq!(Piece::read(wrong), None, "{wrong}");
        }
    }
}
