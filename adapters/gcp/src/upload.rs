//! Uploads in pieces, as far as it is to be learnt whether they outlive their account: begun, gone
//! on with and broken off, and never finished. The address of one is its own credential, so it is
//! kept in memory alone and wiped.

use jitney_core::time::Timestamp;
use reqwest::header::{CONTENT_RANGE, LOCATION};
use reqwest::{Method, Response};
use zeroize::Zeroizing;

use crate::names::BucketName;
use crate::rest::{Rest, Service, chain};

/// Every piece but the last is a multiple of this ("multiple of 256 KiB", Cloud Storage).
const PIECE_BYTES: u64 = 256 * 1024;
/// The longest id of an upload that is gone on with.
const ID_CHARACTERS_MAX: usize = 2_048;

/// An upload that was begun.
pub(crate) struct Upload {
    bucket: BucketName,
    id: Zeroizing<String>,
    /// How many bytes were taken.
    taken: u64,
}

/// What became of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It was taken, and more is waited for.
    Taken,
    /// It was refused, with this status.
    Refused(u16),
    /// It cannot be told.
    Unknown(String),
}

impl Upload {
    /// Begins to upload an object of a name that nobody has, with a token that was handed out.
    ///
    /// # Errors
    /// What was answered instead.
    pub(crate) async fn begin(
        rest: &Rest,
        bucket: &BucketName,
        name: &str,
        token: &str,
    ) -> Result<Self, String> {
        // Were it ever finished, it would replace nothing.
        let path = format!(
            "/upload/storage/v1/b/{bucket}/o?uploadType=resumable&ifGenerationMatch=0&name={name}"
        );
        let call = rest.to(Service::Storage, Method::POST, &path);
        let answer = call.bearer_auth(token).body(Vec::new()).send().await;
        let answer = answer.map_err(|error| chain(&error))?;
        let id = id(&answer);
        match (answer.status().as_u16(), id) {
            (200 | 201, Some(id)) => Ok(Self {
                bucket: bucket.clone(),
                id,
                taken: 0,
            }),
            (status, _) => Err(format!(
                "Google answered {status} and no address to go on at"
            )),
        }
    }

    fn path(&self) -> Zeroizing<String> {
        let (bucket, id) = (&self.bucket, self.id.as_str());
        Zeroizing::new(format!(
            "/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={id}"
        ))
    }

    /// Sends one more piece, which is not the last one: without a token, as whoever has the address
    /// can.
    pub(crate) async fn go_on(&mut self, rest: &Rest) -> Piece {
        let (first, next) = (self.taken, self.taken + PIECE_BYTES);
        let zeros = vec![0; usize::try_from(PIECE_BYTES).unwrap_or_default()];
        let call = rest.to(Service::Storage, Method::PUT, &self.path());
        let call = call.header(CONTENT_RANGE, format!("bytes {first}-{}/*", next - 1));
        let piece = match call.body(zeros).send().await {
            Ok(answer) => judged(answer.status().as_u16()),
            Err(error) => Piece::Unknown(chain(&error.without_url())),
        };
        if piece == Piece::Taken {
            self.taken = next;
        }
        piece
    }

    /// Breaks it off. Gives whether Google says that it is gone.
    pub(crate) async fn break_off(self, rest: &Rest) -> bool {
        let call = rest.to(Service::Storage, Method::DELETE, &self.path());
        match call.send().await {
            // nginx's word for a client that closed its request; Cloud Storage answers it to a
            // cancellation. What is not there needs none.
            Ok(answer) => matches!(answer.status().as_u16(), 204 | 404 | 410 | 499),
            Err(_) => false,
        }
    }
}

fn judged(status: u16) -> Piece {
    match status {
        // "Resume Incomplete".
        308 => Piece::Taken,
        401 | 403 | 404 | 410 => Piece::Refused(status),
        status => Piece::Unknown(format!("Google answered {status} to a piece")),
    }
}

/// The id in the address at which an upload goes on. Only the id is taken: the rest of the address
/// is what it was.
fn id(answer: &Response) -> Option<Zeroizing<String>> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    id_in(location).map(|id| Zeroizing::new(id.to_owned()))
}

fn id_in(location: &str) -> Option<&str> {
    let (_, query) = location.split_once('?')?;
    let mut pairs = query.split('&');
    let id = pairs.find_map(|pair| pair.strip_prefix("upload_id="))?;
    let is_id = (1..=ID_CHARACTERS_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b));
    is_id.then_some(id)
}

/// For how long pieces are sent: the first at once, and then with pauses that grow to a minute.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Timestamp>,
    pause_seconds: u64,
}

impl Pace {
    const PAUSE_SECONDS_MAX: u64 = 60;

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.pause_seconds = (self.pause_seconds * 2).clamp(1, Self::PAUSE_SECONDS_MAX);
        self.next = Some(now.plus(core::time::Duration::from_secs(self.pause_seconds)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_under_its_id_and_nowhere_else() {
        let at = "https://storage.googleapis.com/upload/storage/v1/b/x/o?uploadType=resumable&upload_id=";
        assert_eq!(id_in(&format!("{at}ABPtcP-x_1")), Some("ABPtcP-x_1"));
        assert_eq!(id_in(&format!("{at}a&x=1")), Some("a"));
        for bad in ["", "a/../b", "a b", "a#b", "a?b"] {
            assert_eq!(id_in(&format!("{at}{bad}")), None, "{bad}");
        }
        assert_eq!(id_in("https://storage.googleapis.com/upload"), None);
        assert_eq!(id_in(&format!("{at}{}", "a".repeat(3_000))), None);
    }

    #[test]
    fn a_piece_is_taken_refused_or_not_known_of() {
        assert_eq!(judged(308), Piece::Taken);
        for status in [401, 403, 404, 410] {
            assert_eq!(judged(status), Piece::Refused(status));
        }
        // It was not to be finished.
        for status in [200, 201, 412, 429, 500, 503] {
            assert!(matches!(judged(status), Piece::Unknown(_)), "{status}");
        }
    }

    #[test]
    fn pieces_are_sent_with_pauses_that_grow() {
        let mut pace = Pace::default();
        let mut sent = Vec::new();
        for second in 0..300 {
            if pace.is_due(Timestamp::from_seconds(second)) {
                sent.push(second);
            }
        }
        assert_eq!(sent, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }
}
