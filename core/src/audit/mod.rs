//! The audit log: what happened, in an order nobody can change afterwards unseen.
//!
//! ```text
//! Entry ──encode──► bytes ──LeafHash──► Frontier ──root──► Checkpoint ──sign──► Note
//! ```
//!
//! An [`Entry`] is written as canonical bytes. Their hashes are the leaves of one Merkle tree
//! (RFC 6962). The ledger keeps the tree's [`Frontier`] in the transaction that keeps the entries,
//! so both are there or neither is. From time to time the root is signed. Whoever holds a signed
//! root, most of all outside the broker's control, can show that no entry before it was changed,
//! removed, moved or slipped in.

mod all_cores;
mod checkpoint;
mod entry;
mod event;
mod export;
mod key;
mod note;
mod proof;
mod tree;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use entry::{
    DecodeError, ENTRY_LENGTH_MAX, Entry, FIELDS_LEFT_OUT, FIELDS_MAX, KEY_LENGTH_MAX,
    VALUE_LENGTH_MAX,
};
pub use event::{Event, UnknownEvent};
pub use export::{ExportError, ExportWriter, LINE_LENGTH_MAX, verify_export};
pub use key::{KEY_NAME_LENGTH_MAX, KeyError, KeyId, SEED_LENGTH, SigningKey, VerifierKey};
pub use note::{NOTE_LENGTH_MAX, Note, NoteError, SIGNATURES_MAX};
pub use proof::{Consistency, Inclusion, ProofError, root_of};
pub use tree::{Frontier, FrontierError, HASH_LENGTH, Hash, LeafHash, TREE_SIZE_MAX};
pub use verify::{CHECKPOINTS_AHEAD_MAX, Piece, Verified, Verifier, VerifyError};
