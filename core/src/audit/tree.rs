//! The Merkle tree of RFC 6962: its hashes, and the frontier that is all one needs to grow it.
//!
//! A tree of `n` leaves is a row of perfect subtrees, one for each bit set in `n`, the largest
//! first. The [`Frontier`] keeps their roots and nothing else: at most 64 hashes, and one hash
//! more per entry on average to append.

use core::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes in one SHA-256 hash.
pub const HASH_LENGTH: usize = 32;

/// The prefixes keep a leaf from being read as a node. Without them, an entry made of two hashes
/// would have the hash of a subtree, and a tree could be given two readings.
const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

/// The most leaves a tree may have: what a ledger can count in a signed 64-bit column.
pub const TREE_SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// The first byte of a stored frontier, so that another layout can never be taken for this one.
const FRONTIER_VERSION: u8 = 1;

/// The hash of a node or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_LENGTH]);

impl Hash {
    /// Takes a hash as it was stored or received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_LENGTH] {
        &self.0
    }

    /// The root of the tree without leaves: the hash of nothing.
    #[must_use]
    pub fn of_empty_tree() -> Self {
        Self::from_digest(&digest::digest(&digest::SHA256, &[]))
    }

    /// The hash of a node above `left` and `right`.
    #[must_use]
    pub fn of_node(left: Self, right: Self) -> Self {
        let mut bytes = [NODE_PREFIX; 1 + 2 * HASH_LENGTH];
        let (_, pair) = bytes.split_at_mut(1);
        let (to_left, to_right) = pair.split_at_mut(HASH_LENGTH);
        to_left.copy_from_slice(&left.0);
        to_right.copy_from_slice(&right.0);
        Self::from_digest(&digest::digest(&digest::SHA256, &bytes))
    }

    fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; HASH_LENGTH];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    /// Base64, as checkpoints spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The hash of one entry, as a leaf of the tree. Never interchangeable with the hash of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafHash(Hash);

impl LeafHash {
    /// The leaf of an entry's canonical bytes.
    #[must_use]
    pub fn of(entry_bytes: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[LEAF_PREFIX]);
        context.update(entry_bytes);
        Self(Hash::from_digest(&context.finish()))
    }

    /// Takes a leaf hash as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_LENGTH]) -> Self {
        Self(Hash(bytes))
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_LENGTH] {
        self.0.as_bytes()
    }

    /// The leaf seen as the root of a tree of one leaf.
    #[must_use]
    pub const fn as_hash(&self) -> Hash {
        self.0
    }
}

/// Why stored bytes are not a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The layout is not one this version knows.
    #[error("the stored frontier has layout `{seen}`, expected `1`")]
    UnknownVersion {
        /// The first byte.
        seen: u8,
    },
    /// The size is one that no log reaches.
    #[error("the stored frontier states {seen} entries, at most {TREE_SIZE_MAX} are possible")]
    TooLarge {
        /// The size it states.
        seen: u64,
    },
    /// The bytes are not as long as the size they state demands.
    #[error("the stored frontier is {seen} bytes long, expected {expected}")]
    WrongLength {
        /// How many bytes there are.
        seen: usize,
        /// How many a frontier of the stated size has.
        expected: usize,
    },
}

impl FrontierError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownVersion { .. } => "frontier_version_unknown",
            Self::TooLarge { .. } => "frontier_too_large",
            Self::WrongLength { .. } => "frontier_length_wrong",
        }
    }
}

/// The roots of the perfect subtrees that make up a tree, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One hash for each bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    const HEADER_LENGTH: usize = 1 + size_of::<u64>();

    /// The frontier of the tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds one leaf at the right edge.
    pub fn append(&mut self, leaf: LeafHash) {
        let mut hash = leaf.as_hash();
        // Each trailing one bit of the size is a perfect subtree that the new leaf completes.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = Hash::of_node(left, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree: what a checkpoint signs.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(smallest) = peaks.next() else {
            return Hash::of_empty_tree();
        };
        peaks.fold(smallest, |right, left| Hash::of_node(left, right))
    }

    /// The frontier as the ledger stores it: a layout byte, the size (big-endian), the peaks.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::length_of(self.size));
        bytes.push(FRONTIER_VERSION);
        bytes.extend_from_slice(&self.size.to_be_bytes());
        for peak in &self.peaks {
            bytes.extend_from_slice(peak.as_bytes());
        }
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the layout is unknown, the size is absurd, or the length is not the one the stated size demands.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let too_short = FrontierError::WrongLength {
            seen: bytes.len(),
            expected: Self::HEADER_LENGTH,
        };
        let (&version, rest) = bytes.split_first().ok_or(too_short)?;
        if version != FRONTIER_VERSION {
            return Err(FrontierError::UnknownVersion { seen: version });
        }
        let (size, rest) = rest.split_first_chunk().ok_or(too_short)?;
        let size = u64::from_be_bytes(*size);
        // At the very end of the numbers the next append would overflow instead of appending.
        if size >= TREE_SIZE_MAX {
            return Err(FrontierError::TooLarge { seen: size });
        }
        let expected = Self::length_of(size);
        if bytes.len() != expected {
            return Err(FrontierError::WrongLength {
                seen: bytes.len(),
                expected,
            });
        }
        let (peaks, _) = rest.as_chunks::<HASH_LENGTH>();
        Ok(Self {
            size,
            peaks: peaks.iter().map(|peak| Hash(*peak)).collect(),
        })
    }

    const fn length_of(size: u64) -> usize {
        Self::HEADER_LENGTH + size.count_ones() as usize * HASH_LENGTH
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The leaves and roots that Certificate Transparency's own tests use.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn bytes_of(hex: &str) -> Vec<u8> {
        let (pairs, _) = hex.as_bytes().as_chunks::<2>();
        let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.iter().map(|pair| byte(pair.as_slice())).collect()
    }

    fn frontier_of(size: usize) -> Frontier {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(LeafHash::of(&index.to_be_bytes()));
        }
        frontier
    }

    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root().as_bytes().to_vec(), bytes_of(ROOTS[0]));
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            frontier.append(LeafHash::of(&bytes_of(leaf)));
            assert_eq!(frontier.root().as_bytes().to_vec(), bytes_of(root));
        }
        assert_eq!(frontier.size(), 8);
    }

    #[test]
    fn a_stored_frontier_goes_on_where_it_stopped() {
        for size in 0..130 {
            let mut kept = frontier_of(size);
            let mut loaded = Frontier::from_bytes(&kept.to_bytes()).unwrap();
            assert_eq!(kept, loaded);
            kept.append(LeafHash::of(b"next"));
            loaded.append(LeafHash::of(b"next"));
            assert_eq!(kept.root(), loaded.root());
        }
    }

    #[test]
    fn a_damaged_frontier_is_refused() {
        let bytes = frontier_of(11).to_bytes();
        for length in 0..bytes.len() {
            assert!(Frontier::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            Frontier::from_bytes(&longer).unwrap_err().code(),
            "frontier_length_wrong"
        );
        let mut other_size = bytes.clone();
        other_size[8] = 12;
        assert!(Frontier::from_bytes(&other_size).is_err());
        let mut endless = vec![0xff; 1 + 8 + 64 * HASH_LENGTH];
        endless[0] = 1;
        assert_eq!(
            Frontier::from_bytes(&endless).unwrap_err().code(),
            "frontier_too_large"
        );
        let mut other_layout = bytes;
        other_layout[0] = 2;
        assert_eq!(
            Frontier::from_bytes(&other_layout).unwrap_err().code(),
            "frontier_version_unknown"
        );
    }

    #[test]
    fn a_leaf_is_never_a_node() {
        let (left, right) = (LeafHash::of(b"l").as_hash(), LeafHash::of(b"r").as_hash());
        let node = Hash::of_node(left, right);
        let forged = [left.as_bytes().as_slice(), right.as_bytes()].concat();
        assert_ne!(LeafHash::of(&forged).as_hash(), node);
    }
}
