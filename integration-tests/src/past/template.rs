//! A text with places in it for what differs from copy to copy.

use jitney_core::time::Timestamp;

use super::life::Copied;

/// How long an instant is as microseconds since 1970, from 2001 to 2286.
const MICROS_DIGITS: usize = 16;
/// How long an instant is as people read it.
const INSTANT_LENGTH: usize = "2026-11-23T00:00:00.000Z".len();

/// What a text says of one life and no other.
pub(super) struct Marks {
    pub(super) request: String,
    pub(super) lease: String,
    pub(super) handle: String,
    pub(super) run: String,
}

/// A text with places.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Request,
    Lease,
    Handle,
    Run,
    Micros(Timestamp),
    Instant(Timestamp),
}

impl Template {
    /// Finds the places in a text.
    pub(super) fn of(text: &str, marks: &Marks) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (piece, length) = marks.at(rest, plain.chars().next_back());
            match piece {
                Some(piece) => {
                    pieces.push(Piece::Text(core::mem::take(&mut plain)));
                    pieces.push(piece);
                }
                None => plain.push(next),
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        pieces.push(Piece::Text(plain));
        Self(pieces)
    }

    /// The text of a copy.
    pub(super) fn fill(&self, copied: &Copied) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Request => text.push_str(&copied.request_text),
                Piece::Lease => text.push_str(&copied.lease_text),
                Piece::Handle => text.push_str(copied.handle.as_str()),
                Piece::Run => text.push_str(&copied.run),
                Piece::Micros(at) => text.push_str(&copied.moved(*at).as_micros().to_string()),
                Piece::Instant(at) => text.push_str(&copied.moved(*at).to_string()),
            }
        }
        text
    }
}

impl Marks {
    /// The piece that a text begins with, and its length; nothing and the length of one character
    /// when it begins with none.
    fn at(&self, text: &str, before: Option<char>) -> (Option<Piece>, usize) {
        let named = [
            (&self.request, Piece::Request),
            (&self.lease, Piece::Lease),
            (&self.handle, Piece::Handle),
            (&self.run, Piece::Run),
        ];
        for (mark, piece) in named {
            if text.starts_with(mark.as_str()) {
                return (Some(piece), mark.len());
            }
        }
        if let Some(at) = instant(text) {
            return (Some(Piece::Instant(at)), INSTANT_LENGTH);
        }
        if let Some(at) = micros(text, before) {
            return (Some(Piece::Micros(at)), MICROS_DIGITS);
        }
        (None, text.chars().next().map_or(1, char::len_utf8))
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let text = text.get(..INSTANT_LENGTH)?;
    text.ends_with('Z').then(|| text.parse().ok())?
}

/// A number of that many digits, which is no part of something else.
fn micros(text: &str, before: Option<char>) -> Option<Timestamp> {
    let digits = text.get(..MICROS_DIGITS)?;
    let after = text.get(MICROS_DIGITS..)?.chars().next();
    let stands_alone = |beside: Option<char>| !beside.is_some_and(char::is_alphanumeric);
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let alone = is_number && stands_alone(before) && stands_alone(after);
    alone.then(|| digits.parse().ok().map(Timestamp::from_micros))?
}
