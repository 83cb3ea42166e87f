//! The verifier: reads a log from its first entry on and says whether it is the one that was
//! signed, or where it first is not.
//!
//! It keeps a frontier and the checkpoints it has not reached yet, so a log of any length is
//! verified in little memory. Each entry must be canonical; at each checkpoint's size the root of
//! what was read must be the signed one. Two things it cannot see by itself, and says so:
//!
//! - entries after the last checkpoint are not signed yet ([`Verified::uncovered`]);
//! - a log cut off together with its last checkpoints looks like a shorter log. Only a checkpoint
//!   kept elsewhere shows it: see [`Verifier::witness`].

use std::collections::BTreeMap;
use std::ops::Range;

use super::all_cores::on_all_cores;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::entry::{DecodeError, Entry};
use super::key::VerifierKey;
use super::note::Note;
use super::tree::{Frontier, Hash, LeafHash};

/// The most checkpoints that may be given ahead of their entries. A log with more gives each when
/// its entries have been read.
pub const CHECKPOINTS_AHEAD_MAX: usize = 10_000;

/// Why a log is not the one that was signed, and where that first shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bytes of an entry are not an entry.
    #[error("entry {index} was changed: {reason}")]
    EntryUnreadable {
        /// Which entry, counted from 0.
        index: u64,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// The entries up to a checkpoint are not the ones that were signed.
    #[error(
        "an entry from {from} to {} was changed, removed, added or moved: at {size} entries the \
         signed root is `{signed}`, but these entries give `{computed}`",
        .size.saturating_sub(1)
    )]
    RootDiffers {
        /// The first entry after the last checkpoint that fits.
        from: u64,
        /// The size that the checkpoint states which does not.
        size: u64,
        /// The root it states.
        signed: Hash,
        /// The root of what was read.
        computed: Hash,
    },
    /// The log is shorter than it once was.
    #[error(
        "entries are missing from {from} on: the log ends after {size} entries, but {signed} were \
         signed"
    )]
    Truncated {
        /// The first entry after the last checkpoint that fits. The missing ones need not be the
        /// last: whole stretches between checkpoints may have been taken out.
        from: u64,
        /// How many entries there are.
        size: u64,
        /// How many the largest checkpoint states.
        signed: u64,
    },
    /// A checkpoint is not one, or not of this log.
    #[error("the checkpoint after {size} entries cannot be believed: {reason}")]
    CheckpointUnbelievable {
        /// How many entries had been read.
        size: u64,
        /// What is wrong with it.
        reason: CheckpointError,
    },
    /// A checkpoint comes after entries that it does not cover.
    #[error(
        "a checkpoint for {signed} entries comes after {size} entries: an entry from {from} on \
         was added, or the checkpoint was moved"
    )]
    CheckpointLate {
        /// The first entry after the last checkpoint that fits.
        from: u64,
        /// How many entries had been read.
        size: u64,
        /// How many the checkpoint states.
        signed: u64,
    },
    /// The log's key signed two different pasts.
    #[error("two logs of {size} entries were signed, with the roots `{one}` and `{other}`")]
    TwoPasts {
        /// How many entries both have.
        size: u64,
        /// The one root.
        one: Hash,
        /// The other.
        other: Hash,
    },
    /// Nothing in the log is signed, so nothing can be said about it.
    #[error("no checkpoint was found: {size} entries were read, and none of them is signed")]
    NothingSigned {
        /// How many entries there are.
        size: u64,
    },
    /// More checkpoints came ahead of their entries than are kept.
    #[error("more than {CHECKPOINTS_AHEAD_MAX} checkpoints were given ahead of their entries")]
    TooManyAhead,
}

impl VerifyError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EntryUnreadable { .. } => "audit_entry_unreadable",
            Self::RootDiffers { .. } => "audit_root_differs",
            Self::Truncated { .. } => "audit_truncated",
            Self::CheckpointUnbelievable { .. } => "audit_checkpoint_unbelievable",
            Self::CheckpointLate { .. } => "audit_checkpoint_late",
            Self::TwoPasts { .. } => "audit_two_pasts",
            Self::NothingSigned { .. } => "audit_nothing_signed",
            Self::TooManyAhead => "audit_too_many_checkpoints_ahead",
        }
    }

    /// The entries among which the first bad one is, or which are missing. None when it is not an
    /// entry that is bad.
    #[must_use]
    pub const fn entries(&self) -> Option<Range<u64>> {
        match self {
            Self::EntryUnreadable { index, .. } => Some(*index..*index + 1),
            Self::RootDiffers { from, size, .. } | Self::CheckpointLate { from, size, .. } => {
                Some(*from..*size)
            }
            Self::Truncated { from, signed, .. } => Some(*from..*signed),
            Self::CheckpointUnbelievable { .. }
            | Self::TwoPasts { .. }
            | Self::NothingSigned { .. }
            | Self::TooManyAhead => None,
        }
    }
}

/// What was found to be as it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many entries were read.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// How many checkpoints fit, those of witnesses among them.
    pub checkpoints: u64,
    /// How many entries the last of them covers.
    pub covered: u64,
}

impl Verified {
    /// How many entries at the end no checkpoint covers yet. Nothing is known about them but that
    /// they are entries.
    #[must_use]
    pub const fn uncovered(&self) -> u64 {
        self.size.saturating_sub(self.covered)
    }
}

/// The next thing in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// An entry's canonical bytes.
    Entry(Vec<u8>),
    /// A checkpoint's note.
    Checkpoint(String),
}

/// What was found of a piece that was looked at by itself. It needs nothing of what comes before
/// it, and is most of the work: so pieces are looked at all at once, and then taken one by one.
pub(super) enum Seen {
    Entry(Result<LeafHash, DecodeError>),
    Checkpoint(Result<Checkpoint, CheckpointError>),
}

impl Seen {
    pub(super) fn entry(bytes: &[u8]) -> Self {
        Self::Entry(Entry::decode(bytes).map(|_| LeafHash::of(bytes)))
    }

    pub(super) fn checkpoint(note: &str, key: &VerifierKey) -> Self {
        let note = note.parse::<Note>().map_err(CheckpointError::from);
        Self::Checkpoint(note.and_then(|note| Checkpoint::open(&note, key)))
    }
}

/// Reads entries and checkpoints in the order of the log.
#[derive(Debug)]
pub struct Verifier {
    key: VerifierKey,
    frontier: Frontier,
    /// Checkpoints by size that entries have not reached yet.
    ahead: BTreeMap<u64, Hash>,
    checkpoints: u64,
    covered: u64,
    /// The first thing that was wrong. It stays, or a caller who overlooks one refusal could end
    /// with a log that verifies.
    refusal: Option<VerifyError>,
}

impl Verifier {
    /// A verifier for the log that `key` signs. The key comes from outside: a log that brings its
    /// own key proves nothing.
    #[must_use]
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            frontier: Frontier::new(),
            ahead: BTreeMap::new(),
            checkpoints: 0,
            covered: 0,
            refusal: None,
        }
    }

    /// The key the log must be signed with.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// How many entries were read so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes a checkpoint that was kept outside the broker's control. To be given before the
    /// entries: it is the only thing that shows a log cut off together with its checkpoints.
    ///
    /// # Errors
    /// As [`Verifier::checkpoint`].
    pub fn witness(&mut self, note: &str) -> Result<(), VerifyError> {
        self.checkpoint(note)
    }

    /// Takes a checkpoint's note: right after the last entry it covers, or any time before.
    ///
    /// # Errors
    /// When it is not a checkpoint of this log, comes too late, or signs something else than what
    /// was read.
    pub fn checkpoint(&mut self, note: &str) -> Result<(), VerifyError> {
        let seen = Seen::checkpoint(note, &self.key);
        self.take_seen(seen)
    }

    /// Takes the next entry's canonical bytes.
    ///
    /// # Errors
    /// When it is not an entry, or it is the last one before a checkpoint that does not fit.
    pub fn entry(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.take_seen(Seen::entry(bytes))
    }

    /// Takes the next pieces. The same as taking them one after another, and on all cores.
    ///
    /// # Errors
    /// As [`Verifier::entry`] and [`Verifier::checkpoint`], at the first piece that is refused.
    pub fn take(&mut self, pieces: &[Piece]) -> Result<(), VerifyError> {
        let key = &self.key;
        let seen = on_all_cores(pieces, |piece| match piece {
            Piece::Entry(bytes) => Seen::entry(bytes),
            Piece::Checkpoint(note) => Seen::checkpoint(note, key),
        });
        seen.into_iter().try_for_each(|seen| self.take_seen(seen))
    }

    /// Takes the next piece, as it was seen with this verifier's key.
    pub(super) fn take_seen(&mut self, seen: Seen) -> Result<(), VerifyError> {
        let outcome = self.unless_refused().and_then(|()| match seen {
            Seen::Entry(found) => self.take_entry(found),
            Seen::Checkpoint(found) => self.take_checkpoint(found),
        });
        if let Err(refusal) = &outcome {
            self.refusal = Some(refusal.clone());
        }
        outcome
    }

    /// Ends the log.
    ///
    /// # Errors
    /// When anything was refused before, the log ends before one of its checkpoints, or it has
    /// none.
    pub fn finish(self) -> Result<Verified, VerifyError> {
        self.unless_refused()?;
        let size = self.size();
        if let Some((&signed, _)) = self.ahead.last_key_value() {
            let from = self.covered;
            return Err(VerifyError::Truncated { from, size, signed });
        }
        if self.checkpoints == 0 {
            return Err(VerifyError::NothingSigned { size });
        }
        Ok(Verified {
            size,
            root: self.frontier.root(),
            checkpoints: self.checkpoints,
            covered: self.covered,
        })
    }

    fn unless_refused(&self) -> Result<(), VerifyError> {
        self.refusal.clone().map_or(Ok(()), Err)
    }

    fn take_checkpoint(
        &mut self,
        found: Result<Checkpoint, CheckpointError>,
    ) -> Result<(), VerifyError> {
        let size = self.size();
        let checkpoint =
            found.map_err(|reason| VerifyError::CheckpointUnbelievable { size, reason })?;
        let (signed, root) = (checkpoint.size(), checkpoint.root());
        if signed < size {
            let from = self.covered;
            return Err(VerifyError::CheckpointLate { from, size, signed });
        }
        if signed == size {
            return self.compare(root);
        }
        match self.ahead.insert(signed, root) {
            Some(one) if one != root => Err(VerifyError::TwoPasts {
                size: signed,
                one,
                other: root,
            }),
            _ if self.ahead.len() > CHECKPOINTS_AHEAD_MAX => Err(VerifyError::TooManyAhead),
            _ => Ok(()),
        }
    }

    fn take_entry(&mut self, found: Result<LeafHash, DecodeError>) -> Result<(), VerifyError> {
        let index = self.size();
        let leaf = found.map_err(|reason| VerifyError::EntryUnreadable { index, reason })?;
        self.frontier.append(leaf);
        match self.ahead.remove(&self.size()) {
            Some(root) => self.compare(root),
            None => Ok(()),
        }
    }

    fn compare(&mut self, signed: Hash) -> Result<(), VerifyError> {
        let (size, computed) = (self.size(), self.frontier.root());
        if computed != signed && size == self.covered {
            // What was read is what was signed, and something else was signed too.
            let (one, other) = (computed, signed);
            return Err(VerifyError::TwoPasts { size, one, other });
        }
        if computed != signed {
            return Err(VerifyError::RootDiffers {
                from: self.covered,
                size,
                signed,
                computed,
            });
        }
        self.checkpoints += 1;
        self.covered = size;
        Ok(())
    }
}
