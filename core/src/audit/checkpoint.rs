//! Checkpoints (C2SP tlog-checkpoint): a signed note that says how long the log is and what its
//! root is.
//!
//! ```text
//! jitney.example/audit
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — jitney.example/audit Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhc…
//! ```
//!
//! The origin in the first line is the name of the key that signs. One key, one log: a checkpoint
//! of another log can never be passed off as one of this.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{SigningKey, VerifierKey};
use super::note::{Note, NoteError};
use super::tree::{Frontier, Hash, TREE_SIZE_MAX};

/// Why a note is not a checkpoint of the log in question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not even a note that the key signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is about another log.
    #[error("the checkpoint is of the log `{seen}`, expected `{expected}`")]
    OtherLog {
        /// Its origin, shortened.
        seen: String,
        /// The key's name.
        expected: String,
    },
    /// The second line is not a size.
    #[error("the checkpoint's second line is not a number of entries")]
    BadSize,
    /// The third line is not a root.
    #[error("the checkpoint's third line is not the base64 of a SHA-256 hash")]
    BadRoot,
    /// A line is missing, or an empty one is between the others.
    #[error("the checkpoint is not an origin, a size and a root, one per line")]
    BadForm,
}

impl CheckpointError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Note(error) => error.code(),
            Self::OtherLog { .. } => "checkpoint_of_other_log",
            Self::BadSize => "checkpoint_size_bad",
            Self::BadRoot => "checkpoint_root_bad",
            Self::BadForm => "checkpoint_form_bad",
        }
    }
}

/// How long the log is, and the root of the tree over its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a log that has grown to `frontier`.
    #[must_use]
    pub fn of(frontier: &Frontier) -> Self {
        Self {
            size: frontier.size(),
            root: frontier.root(),
        }
    }

    /// How many entries the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Signs it for the log that has the key's name.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let Self { size, root } = self;
        Note::sign(format!("{}\n{size}\n{root}\n", key.name()), key)
    }

    /// Reads the checkpoint in a note that `key` signed. Extension lines are allowed and ignored.
    ///
    /// # Errors
    /// When the key did not sign the note, or it is not a checkpoint of the key's log.
    pub fn open(note: &Note, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let text = note.open(key)?;
        let text = text.strip_suffix('\n').ok_or(CheckpointError::BadForm)?;
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::BadForm);
        let (origin, size, root) = (line()?, line()?, line()?);
        if origin != key.name() {
            return Err(CheckpointError::OtherLog {
                seen: origin.chars().take(80).collect(),
                expected: key.name().to_owned(),
            });
        }
        if lines.any(str::is_empty) {
            return Err(CheckpointError::BadForm);
        }
        Ok(Self {
            size: read_size(size).ok_or(CheckpointError::BadSize)?,
            root: read_root(root).ok_or(CheckpointError::BadRoot)?,
        })
    }
}

fn read_size(line: &str) -> Option<u64> {
    let size: u64 = line.parse().ok()?;
    // One spelling only: the number's reader would also take `+1` and `01`.
    (size <= TREE_SIZE_MAX && size.to_string() == line).then_some(size)
}

fn read_root(line: &str) -> Option<Hash> {
    let bytes = STANDARD.decode(line).ok()?;
    bytes.try_into().ok().map(Hash::from_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::tree::LeafHash;

    const NAME: &str = "jitney.example/audit";
    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    fn key() -> SigningKey {
        SigningKey::from_seed(NAME, &[7; 32]).unwrap()
    }

    fn open(text: &str) -> Result<Checkpoint, CheckpointError> {
        let note = Note::sign(text.to_owned(), &key()).unwrap();
        Checkpoint::open(&note, &key().verifier())
    }

    #[test]
    fn a_checkpoint_survives_the_way_to_a_witness_and_back() {
        let mut frontier = Frontier::new();
        for index in 0..5_u8 {
            let checkpoint = Checkpoint::of(&frontier);
            let sent = checkpoint.sign(&key()).unwrap().to_string();
            let received: Note = sent.parse().unwrap();
            let opened = Checkpoint::open(&received, &key().verifier()).unwrap();
            assert_eq!(opened, checkpoint);
            assert_eq!(opened.size(), u64::from(index));
            frontier.append(LeafHash::of(&[index]));
        }
    }

    #[test]
    fn extension_lines_are_tolerated() {
        let checkpoint = open(&format!("{NAME}\n20852163\n{ROOT}\nextra\nmore\n")).unwrap();
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(checkpoint.root().to_string(), ROOT);
    }

    #[test]
    fn only_checkpoints_of_this_log_are_taken() {
        let too_large = (TREE_SIZE_MAX + 1).to_string();
        let cases = [
            (
                "checkpoint_of_other_log",
                format!("other.example\n1\n{ROOT}\n"),
            ),
            ("checkpoint_of_other_log", format!("{NAME}/x\n1\n{ROOT}\n")),
            ("checkpoint_of_other_log", format!("\n1\n{ROOT}\n")),
            ("checkpoint_size_bad", format!("{NAME}\n01\n{ROOT}\n")),
            ("checkpoint_size_bad", format!("{NAME}\n+1\n{ROOT}\n")),
            ("checkpoint_size_bad", format!("{NAME}\n-1\n{ROOT}\n")),
            ("checkpoint_size_bad", format!("{NAME}\n\n{ROOT}\n")),
            (
                "checkpoint_size_bad",
                format!("{NAME}\n{too_large}\n{ROOT}\n"),
            ),
            ("checkpoint_root_bad", format!("{NAME}\n1\n\n")),
            ("checkpoint_root_bad", format!("{NAME}\n1\nAAAA\n")),
            ("checkpoint_root_bad", format!("{NAME}\n1\n{ROOT} \n")),
            ("checkpoint_form_bad", format!("{NAME}\n1\n")),
            ("checkpoint_form_bad", format!("{NAME}\n1\n{ROOT}\n\n")),
            (
                "checkpoint_form_bad",
                format!("{NAME}\n1\n{ROOT}\nextra\n\nmore\n"),
            ),
        ];
        for (code, text) in cases {
            assert_eq!(open(&text).unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn a_checkpoint_by_another_key_is_not_ours() {
        let note = Checkpoint::of(&Frontier::new()).sign(&key()).unwrap();
        let other = SigningKey::from_seed(NAME, &[8; 32]).unwrap().verifier();
        let refusal = Checkpoint::open(&note, &other).unwrap_err();
        assert_eq!(refusal.code(), "note_not_signed");
    }
}
