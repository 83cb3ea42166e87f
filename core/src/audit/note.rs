//! Signed notes (C2SP signed-note): a text, and under it who signed it.
//!
//! ```text
//! first line of the text
//! last line of the text
//!
//! — key.example/name base64(key id || signature)
//! ```
//!
//! The text of a [`Note`] can only be had through [`Note::open`], with the key it must be signed
//! by: nobody can act on a text that was merely received. Signatures of other keys, such as
//! witnesses', are carried along and ignored.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyId, SigningKey, VerifierKey, is_key_name};

/// The most bytes a note may have. Sixteen post-quantum signatures of witnesses fit.
pub const NOTE_LENGTH_MAX: usize = 128 * 1024;
/// The most signatures a note may have.
pub const SIGNATURES_MAX: usize = 64;

/// What a signature line begins with: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why something is not a note, or not one to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is too long to be looked at.
    #[error("the note is {seen} bytes long, at most {NOTE_LENGTH_MAX} are allowed")]
    TooLong {
        /// How long it is.
        seen: usize,
    },
    /// There is a control character in it.
    #[error("the note has the control character `{seen}`; only line feeds are allowed")]
    ControlCharacter {
        /// Which, escaped.
        seen: String,
    },
    /// There is no blank line with signatures below it.
    #[error("the note does not end in a blank line and signature lines")]
    NoSignatures,
    /// There are too many signatures.
    #[error("the note has {seen} signatures, at most {SIGNATURES_MAX} are allowed")]
    TooManySignatures {
        /// How many there are.
        seen: usize,
    },
    /// A signature line is not `— name base64`.
    #[error("signature line {position} is not an em dash, a key name and a base64 signature")]
    BadSignatureLine {
        /// Counted from 1.
        position: usize,
    },
    /// A text to be signed does not end in a line feed.
    #[error("a note's text must end in a line feed")]
    UnfinishedText,
    /// The key we trust has not signed it.
    #[error("the note is not signed by `{expected}`")]
    NotSigned {
        /// The key's text.
        expected: String,
    },
    /// There is a signature in the trusted key's name, and it is wrong.
    #[error("the signature by `{expected}` does not fit the note's text")]
    WrongSignature {
        /// The key's text.
        expected: String,
    },
    /// The key could not sign.
    #[error("the key `{name}` could not sign")]
    CannotSign {
        /// The key's name.
        name: String,
    },
}

impl NoteError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "note_too_long",
            Self::ControlCharacter { .. } => "note_control_character",
            Self::NoSignatures => "note_without_signatures",
            Self::TooManySignatures { .. } => "note_too_many_signatures",
            Self::BadSignatureLine { .. } => "note_signature_line_bad",
            Self::UnfinishedText => "note_text_unfinished",
            Self::NotSigned { .. } => "note_not_signed",
            Self::WrongSignature { .. } => "note_signature_wrong",
            Self::CannotSign { .. } => "note_cannot_sign",
        }
    }
}

/// A text with signatures under it, not yet believed. `Display` is the note as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    unverified_text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Note {
    /// Signs `text`, which must end in a line feed.
    ///
    /// # Errors
    /// When the text is not one that a note may have, or the key cannot sign.
    pub fn sign(text: String, key: &SigningKey) -> Result<Self, NoteError> {
        must_be_plain(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::UnfinishedText);
        }
        let bytes = key.sign(text.as_bytes()).ok_or(NoteError::CannotSign {
            name: key.name().to_owned(),
        })?;
        let signature = Signature {
            name: key.name().to_owned(),
            id: key.id(),
            bytes,
        };
        Ok(Self {
            unverified_text: text,
            signatures: vec![signature],
        })
    }

    /// The text, if `key` signed it.
    ///
    /// # Errors
    /// When no signature is by that key, or one in its name is wrong.
    pub fn open(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            // Name and id together say whose it is. A forger can make either fit, so one that
            // claims to be ours and is wrong spoils the note, whatever stands beside it.
            if signature.name != key.name() || signature.id != key.id() {
                continue;
            }
            UnparsedPublicKey::new(&ED25519, key.public_key())
                .verify(self.unverified_text.as_bytes(), &signature.bytes)
                .map_err(|_| NoteError::WrongSignature {
                    expected: key.to_string(),
                })?;
            signed = true;
        }
        if signed {
            Ok(&self.unverified_text)
        } else {
            Err(NoteError::NotSigned {
                expected: key.to_string(),
            })
        }
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        must_be_plain(note)?;
        // The last blank line: a text may have blank lines of its own, even one that is followed
        // by what looks like a signature.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let seen = lines.split('\n').count();
        if seen > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures { seen });
        }
        let signatures = lines.split('\n').enumerate().map(|(index, line)| {
            let position = index + 1;
            Signature::parse(line).ok_or(NoteError::BadSignatureLine { position })
        });
        Ok(Self {
            unverified_text: format!("{text}\n"),
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        (is_key_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: KeyId::from_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }
}

fn must_be_plain(text: &str) -> Result<(), NoteError> {
    if text.len() > NOTE_LENGTH_MAX {
        return Err(NoteError::TooLong { seen: text.len() });
    }
    match text.chars().find(|c| c.is_control() && *c != '\n') {
        Some(control) => Err(NoteError::ControlCharacter {
            seen: control.escape_default().to_string(),
        }),
        None => Ok(()),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.unverified_text)?;
        for Signature { name, id, bytes } in &self.signatures {
            let base64 = STANDARD.encode([id.as_bytes(), bytes.as_slice()].concat());
            writeln!(f, "{SIGNATURE_MARK}{name} {base64}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name, &[7; 32]).unwrap()
    }

    fn signed() -> (String, VerifierKey) {
        let key = key("jitney.example/audit");
        let note = Note::sign("one\n\ntwo\n".to_owned(), &key).unwrap();
        (note.to_string(), key.verifier())
    }

    fn code_of(note: &str, key: &VerifierKey) -> &'static str {
        let opened = note.parse::<Note>().and_then(|n| n.open(key).map(drop));
        opened.unwrap_err().code()
    }

    #[test]
    fn a_note_from_the_go_implementation_opens() {
        // The example in the documentation of golang.org/x/mod/sumdb/note.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSN\
                    XgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let read = note.parse::<Note>().unwrap();
        let text = read.open(&key.parse().unwrap()).unwrap();
        assert!(text.ends_with("what your problem is.\n"));
        assert_eq!(read.to_string(), note);
    }

    #[test]
    fn no_single_bit_of_a_note_may_change() {
        let (note, key) = signed();
        assert_eq!(note.parse::<Note>().unwrap().open(&key), Ok("one\n\ntwo\n"));
        for place in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                code_of(&changed, &key);
            }
        }
    }

    #[test]
    fn a_note_cut_anywhere_is_refused() {
        let (note, key) = signed();
        for length in (0..note.len()).filter(|length| note.is_char_boundary(*length)) {
            code_of(note.get(..length).unwrap(), &key);
        }
    }

    #[test]
    fn signatures_of_strangers_count_for_nothing_and_do_no_harm() {
        let (note, ours) = signed();
        let stranger = key("stranger.example");
        let theirs = Note::sign("one\n\ntwo\n".to_owned(), &stranger).unwrap();
        assert_eq!(code_of(&theirs.to_string(), &ours), "note_not_signed");
        let line = theirs.to_string().lines().last().unwrap().to_owned();
        let both = format!("{note}{line}\n").parse::<Note>().unwrap();
        assert!(both.open(&ours).is_ok() && both.open(&stranger.verifier()).is_ok());
    }

    #[test]
    fn a_forged_signature_in_our_name_spoils_the_note() {
        let (note, ours) = signed();
        let other = Note::sign("other\n".to_owned(), &key("jitney.example/audit")).unwrap();
        let line = other.to_string().lines().last().unwrap().to_owned();
        assert_eq!(
            code_of(&format!("{note}{line}\n"), &ours),
            "note_signature_wrong"
        );
    }

    #[test]
    fn the_same_key_under_another_name_is_another_key() {
        let (note, _) = signed();
        let renamed = key("jitney.example/other").verifier();
        assert_eq!(code_of(&note, &renamed), "note_not_signed");
    }

    #[test]
    fn only_notes_are_notes() {
        let (note, key) = signed();
        let (text, line) = note.rsplit_once("\n\n").unwrap();
        let crowd = line.repeat(SIGNATURES_MAX + 1);
        let cases = [
            ("note_without_signatures", String::new()),
            ("note_without_signatures", "one\ntwo\n".to_owned()),
            ("note_without_signatures", note.trim_end().to_owned()),
            ("note_without_signatures", format!("{text}\n\n\n")),
            ("note_signature_line_bad", note.replace('—', "-")),
            (
                "note_signature_line_bad",
                note.replace("example/audit ", "example/audit  "),
            ),
            (
                "note_signature_line_bad",
                note.replace("jitney.example", "a+b"),
            ),
            (
                "note_signature_line_bad",
                note.replace("jitney.example", "a\u{a0}b"),
            ),
            ("note_signature_line_bad", format!("{note}two\n")),
            (
                "note_signature_line_bad",
                format!("{text}\n\n— name AAAAAA==\n"),
            ),
            ("note_control_character", note.replace('\n', "\r\n")),
            (
                "note_control_character",
                note.replace("one", "one\u{1b}[2J"),
            ),
            ("note_too_many_signatures", format!("{text}\n\n{crowd}")),
            (
                "note_too_long",
                format!("{}{note}", "x".repeat(NOTE_LENGTH_MAX)),
            ),
        ];
        for (code, note) in cases {
            assert_eq!(code_of(&note, &key), code, "{note}");
        }
    }

    #[test]
    fn a_text_that_could_be_read_in_two_ways_is_not_signed() {
        let key = key("jitney.example/audit");
        let refused = |text: &str| Note::sign(text.to_owned(), &key).unwrap_err().code();
        assert_eq!(refused("no end"), "note_text_unfinished");
        assert_eq!(refused(""), "note_text_unfinished");
        assert_eq!(refused("a\tb\n"), "note_control_character");
    }
}
