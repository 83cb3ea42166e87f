//! Proofs over the tree: that one entry is in it, and that it only ever grew.
//!
//! Both follow RFC 6962 and RFC 9162 (§2.1.3, §2.1.4). A proof is made from all leaf hashes and
//! checked with a handful, so that a witness who holds one root need not hold the log.

use super::tree::{Frontier, Hash, LeafHash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof speaks of entries that a tree of its size does not have.
    #[error("the proof is about entry or size {seen} of a tree of {size}")]
    OutOfRange {
        /// The index, or the smaller size.
        seen: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The path has more or fewer hashes than the tree has levels.
    #[error("the proof's path has {seen} hashes, which is not what a tree of {size} needs")]
    WrongLength {
        /// How many there are.
        seen: usize,
        /// The size of the tree.
        size: u64,
    },
    /// The path leads to another root.
    #[error("the proof leads to the root `{computed}`, expected `{expected}`")]
    WrongRoot {
        /// Where it leads.
        computed: Hash,
        /// Where it should.
        expected: Hash,
    },
}

impl ProofError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "proof_out_of_range",
            Self::WrongLength { .. } => "proof_length_wrong",
            Self::WrongRoot { .. } => "proof_root_wrong",
        }
    }
}

/// The root of a tree over `leaves`.
#[must_use]
pub fn root_of(leaves: &[LeafHash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(*leaf);
    }
    frontier.root()
}

/// Parts a tree of two or more leaves where RFC 6962 does: at the largest power of two below its
/// size.
fn halves(leaves: &[LeafHash]) -> (&[LeafHash], &[LeafHash]) {
    let last = leaves.len().saturating_sub(1);
    leaves.split_at(last.checked_ilog2().map_or(0, |bits| 1 << bits))
}

/// Says that a leaf is at an index of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// Which leaf, counted from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The siblings on the way up, the lowest first.
    pub path: Vec<Hash>,
}

impl Inclusion {
    /// The proof for `leaves[index]`; none when there is no such leaf.
    #[must_use]
    pub fn of(leaves: &[LeafHash], index: u64) -> Option<Self> {
        let mut within = usize::try_from(index).ok().filter(|i| *i < leaves.len())?;
        let mut path = Vec::new();
        let mut rest = leaves;
        while rest.len() > 1 {
            let (left, right) = halves(rest);
            if within < left.len() {
                path.push(root_of(right));
                rest = left;
            } else {
                path.push(root_of(left));
                within -= left.len();
                rest = right;
            }
        }
        path.reverse();
        Some(Self {
            index,
            size: leaves.len() as u64,
            path,
        })
    }

    /// Whether `leaf` is at this index of the tree with this `root`.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn verify(&self, leaf: LeafHash, root: Hash) -> Result<(), ProofError> {
        if self.index >= self.size {
            return Err(out_of_range(self.index, self.size));
        }
        let mut climb = Climb::from(self.index, self.size);
        let mut computed = leaf.as_hash();
        for sibling in &self.path {
            computed = match climb.step() {
                Some(Side::Left) => Hash::of_node(*sibling, computed),
                Some(Side::Right) => Hash::of_node(computed, *sibling),
                None => return Err(wrong_length(&self.path, self.size)),
            };
        }
        climb.must_be_at_the_top(&self.path, self.size)?;
        must_equal(computed, root)
    }
}

/// Says that a tree begins with all the leaves of a smaller one, unchanged and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// How many leaves the earlier tree has.
    pub old_size: u64,
    /// How many leaves the later tree has.
    pub new_size: u64,
    /// The roots of the subtrees that both roots can be computed from, the lowest first.
    pub path: Vec<Hash>,
}

impl Consistency {
    /// The proof from the first `old_size` leaves to all of them; none when there are fewer.
    #[must_use]
    pub fn of(leaves: &[LeafHash], old_size: u64) -> Option<Self> {
        let mut within = usize::try_from(old_size).ok()?;
        if within > leaves.len() {
            return None;
        }
        let mut path = Vec::new();
        let mut rest = leaves;
        // While the old tree is a left part of what is left over, its root is the one the verifier
        // already has.
        let mut verifier_has_root = true;
        while within > 0 && within < rest.len() {
            let (left, right) = halves(rest);
            if within <= left.len() {
                path.push(root_of(right));
                rest = left;
            } else {
                path.push(root_of(left));
                within -= left.len();
                rest = right;
                verifier_has_root = false;
            }
        }
        if !verifier_has_root {
            path.push(root_of(rest));
        }
        path.reverse();
        Some(Self {
            old_size,
            new_size: leaves.len() as u64,
            path,
        })
    }

    /// Whether the tree with `new_root` begins with the tree with `old_root`.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn verify(&self, old_root: Hash, new_root: Hash) -> Result<(), ProofError> {
        if self.old_size > self.new_size {
            return Err(out_of_range(self.old_size, self.new_size));
        }
        if self.old_size == 0 {
            // Everything begins with nothing, but nothing has one root only.
            self.must_be_empty()?;
            return must_equal(old_root, Hash::of_empty_tree());
        }
        if self.old_size == self.new_size {
            self.must_be_empty()?;
            return must_equal(old_root, new_root);
        }
        self.climb(old_root, new_root)
    }

    fn climb(&self, old_root: Hash, new_root: Hash) -> Result<(), ProofError> {
        let mut climb = Climb::from(self.old_size - 1, self.new_size);
        climb.skip_complete_subtrees();
        let mut path = self.path.iter().copied();
        let start = if self.old_size.is_power_of_two() {
            Some(old_root)
        } else {
            path.next()
        };
        let start = start.ok_or_else(|| wrong_length(&self.path, self.new_size))?;
        let (mut old, mut new) = (start, start);
        for sibling in path {
            match climb.step() {
                Some(Side::Left) => {
                    old = Hash::of_node(sibling, old);
                    new = Hash::of_node(sibling, new);
                }
                Some(Side::Right) => new = Hash::of_node(new, sibling),
                None => return Err(wrong_length(&self.path, self.new_size)),
            }
        }
        climb.must_be_at_the_top(&self.path, self.new_size)?;
        must_equal(old, old_root)?;
        must_equal(new, new_root)
    }

    fn must_be_empty(&self) -> Result<(), ProofError> {
        if self.path.is_empty() {
            Ok(())
        } else {
            Err(wrong_length(&self.path, self.new_size))
        }
    }
}

/// On which side of the node we come from its sibling is.
enum Side {
    Left,
    Right,
}

/// The way from a node up to the root: where it and the tree's last node are on each level.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    const fn from(index: u64, size: u64) -> Self {
        Self {
            node: index,
            last: size.saturating_sub(1),
        }
    }

    const fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// Goes up to where the node is a left child: below, old and new tree are the same.
    const fn skip_complete_subtrees(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    /// Goes past the next sibling. A node at the right edge without one is its own parent. None at
    /// the root, which has no sibling.
    const fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Some(side)
    }

    fn must_be_at_the_top(&self, path: &[Hash], size: u64) -> Result<(), ProofError> {
        if self.last == 0 {
            Ok(())
        } else {
            Err(wrong_length(path, size))
        }
    }
}

const fn out_of_range(seen: u64, size: u64) -> ProofError {
    ProofError::OutOfRange { seen, size }
}

const fn wrong_length(path: &[Hash], size: u64) -> ProofError {
    let seen = path.len();
    ProofError::WrongLength { seen, size }
}

fn must_equal(computed: Hash, expected: Hash) -> Result<(), ProofError> {
    if computed == expected {
        Ok(())
    } else {
        Err(ProofError::WrongRoot { computed, expected })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const SIZE_MAX: usize = 40;

    fn leaves(count: usize) -> Vec<LeafHash> {
        (0..count).map(|i| LeafHash::of(&i.to_be_bytes())).collect()
    }

    /// Every way to spoil a path by one step: a hash changed, removed, repeated, or one too many.
    fn spoilt(path: &[Hash]) -> Vec<Vec<Hash>> {
        let other = Hash::of_empty_tree();
        let mut all = vec![[path, &[other]].concat(), [&[other], path].concat()];
        for i in 0..path.len() {
            let mut changed = path.to_vec();
            changed[i] = other;
            let mut removed = path.to_vec();
            removed.remove(i);
            let mut repeated = path.to_vec();
            repeated.insert(i, path[i]);
            all.extend([changed, removed, repeated]);
        }
        all
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_nothing_else() {
        for size in 1..=SIZE_MAX {
            let leaves = leaves(size);
            let root = root_of(&leaves);
            for index in 0..size as u64 {
                let proof = Inclusion::of(&leaves, index).unwrap();
                let leaf = leaves[index as usize];
                assert_eq!(proof.verify(leaf, root), Ok(()));
                assert!(proof.verify(LeafHash::of(b"other"), root).is_err());
                assert!(proof.verify(leaf, Hash::of_empty_tree()).is_err());
                for path in spoilt(&proof.path) {
                    let spoilt = Inclusion { path, ..proof };
                    assert!(spoilt.verify(leaf, root).is_err(), "{index} of {size}");
                }
                for other in (0..=size as u64).filter(|other| *other != index) {
                    let moved = Inclusion {
                        index: other,
                        ..proof.clone()
                    };
                    assert!(moved.verify(leaf, root).is_err(), "{index} as {other}");
                }
            }
            assert_eq!(Inclusion::of(&leaves, size as u64), None);
        }
        assert_eq!(Inclusion::of(&[], 0), None);
    }

    #[test]
    fn every_small_tree_is_consistent_with_its_beginnings_and_nothing_else() {
        for new_size in 0..=SIZE_MAX {
            let leaves = leaves(new_size);
            let new_root = root_of(&leaves);
            for old_size in 0..=new_size {
                let old_root = root_of(&leaves[..old_size]);
                let proof = Consistency::of(&leaves, old_size as u64).unwrap();
                assert_eq!(proof.verify(old_root, new_root), Ok(()));
                let other = LeafHash::of(b"other").as_hash();
                assert!(proof.verify(other, new_root).is_err());
                // Everything begins with nothing, so from size 0 the new root is not looked at.
                assert!(old_size == 0 || proof.verify(old_root, other).is_err());
                for path in spoilt(&proof.path) {
                    let spoilt = Consistency { path, ..proof };
                    assert!(
                        spoilt.verify(old_root, new_root).is_err(),
                        "{old_size} to {new_size}"
                    );
                }
            }
            assert_eq!(Consistency::of(&leaves, new_size as u64 + 1), None);
        }
    }

    #[test]
    fn a_proof_does_not_speak_for_a_taller_tree() {
        for new_size in 1..=SIZE_MAX {
            let leaves = leaves(new_size);
            let new_root = root_of(&leaves);
            for old_size in 1..=new_size {
                let mut proof = Consistency::of(&leaves, old_size as u64).unwrap();
                proof.new_size = new_size.next_power_of_two() as u64 + 1;
                let old_root = root_of(&leaves[..old_size]);
                let refused = proof.verify(old_root, new_root);
                assert!(refused.is_err(), "{old_size} to {new_size}");
            }
        }
    }

    #[test]
    fn a_changed_past_has_no_consistency_proof() {
        let honest = leaves(20);
        let old_root = root_of(&honest[..13]);
        for changed in 0..13 {
            let mut forged = leaves(27);
            forged[changed] = LeafHash::of(b"forged");
            let proof = Consistency::of(&forged, 13).unwrap();
            assert!(
                proof.verify(old_root, root_of(&forged)).is_err(),
                "{changed}"
            );
        }
    }

    #[test]
    fn absurd_sizes_are_refused_without_work() {
        let root = Hash::of_empty_tree();
        let inclusion = Inclusion {
            index: u64::MAX,
            size: u64::MAX,
            path: vec![root; 64],
        };
        let code = inclusion
            .verify(LeafHash::of(b""), root)
            .unwrap_err()
            .code();
        assert_eq!(code, "proof_out_of_range");
        let consistency = Consistency {
            old_size: u64::MAX,
            new_size: 1,
            path: vec![],
        };
        let code = consistency.verify(root, root).unwrap_err().code();
        assert_eq!(code, "proof_out_of_range");
        let consistency = Consistency {
            old_size: u64::MAX - 1,
            new_size: u64::MAX,
            path: vec![root; 1000],
        };
        let code = consistency.verify(root, root).unwrap_err().code();
        assert_eq!(code, "proof_length_wrong");
    }
}
