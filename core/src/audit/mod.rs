//! The audit log: one Merkle tree over canonical entries, with signed checkpoints.
