//! An independent implementation agrees with ours: same roots, same proofs, same signed bytes, and
//! the same answer about what is a note and a checkpoint.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitney_core::audit::{
    Checkpoint, Consistency, Frontier, Hash, Inclusion, LeafHash, Note, SigningKey, root_of,
};
use proptest::prelude::*;
use proptest::sample::Index;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

/// Every size up to this one is compared.
const SIZE_MAX: u64 = 70;
const NAME: &str = "jitney.example/audit";
const SEED: [u8; 32] = [7; 32];

/// The other implementation's store of hashes.
struct Store(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Store {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let hash = |index: &u64| self.0[usize::try_from(*index).unwrap()];
        Ok(indexes.iter().map(hash).collect())
    }
}

fn record(index: u64) -> Vec<u8> {
    index.to_be_bytes().repeat(index as usize % 20)
}

fn leaves(size: u64) -> Vec<LeafHash> {
    (0..size).map(|i| LeafHash::of(&record(i))).collect()
}

fn store(size: u64) -> Store {
    let mut store = Store(Vec::new());
    for index in 0..size {
        let hashes = tlog_tiles::stored_hashes(index, &record(index), &store).unwrap();
        store.0.extend(hashes);
    }
    store
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

fn all_theirs(path: &[Hash]) -> Vec<tlog_tiles::Hash> {
    path.iter().copied().map(theirs).collect()
}

#[test]
fn both_compute_the_same_roots() {
    let mut frontier = Frontier::new();
    for size in 0..2_000 {
        if size <= SIZE_MAX || size % 97 == 0 {
            let expected = tlog_tiles::tree_hash(size, &store(size)).unwrap();
            assert_eq!(theirs(frontier.root()), expected, "{size}");
        }
        frontier.append(LeafHash::of(&record(size)));
    }
}

#[test]
fn both_make_the_same_inclusion_proofs_and_believe_them() {
    for size in 1..=SIZE_MAX {
        let (leaves, store) = (leaves(size), store(size));
        let root = root_of(&leaves);
        for index in 0..size {
            let leaf = leaves[index as usize];
            let ours = Inclusion::of(&leaves, index).unwrap();
            let path = tlog_tiles::prove_record(size, index, &store).unwrap();
            assert_eq!(all_theirs(&ours.path), path, "{index} of {size}");
            let their_leaf = theirs(leaf.as_hash());
            tlog_tiles::check_record(&path, size, theirs(root), index, their_leaf).unwrap();
        }
    }
}

#[test]
fn both_make_the_same_consistency_proofs_and_believe_them() {
    for new_size in 1..=SIZE_MAX {
        let (leaves, store) = (leaves(new_size), store(new_size));
        let new_root = theirs(root_of(&leaves));
        for old_size in 1..=new_size {
            let old_root = theirs(root_of(&leaves[..old_size as usize]));
            let ours = Consistency::of(&leaves, old_size).unwrap();
            let path = tlog_tiles::prove_tree(new_size, old_size, &store).unwrap();
            assert_eq!(all_theirs(&ours.path), path, "{old_size} to {new_size}");
            tlog_tiles::check_tree(&path, new_size, new_root, old_size, old_root).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// A proof that was made up from hashes of the tree is believed by both or by neither.
    #[test]
    fn both_judge_made_up_proofs_alike(
        size in 0..20_u64,
        other in 0..22_u64,
        claimed in 0..22_u64,
        change in prop::option::of((any::<Index>(), any::<Index>(), 0..3_u8)),
    ) {
        let leaves = leaves(size);
        let root = root_of(&leaves);
        let honest = Inclusion::of(&leaves, other);
        let mut path = honest.map(|proof| proof.path).unwrap_or_default();
        if let Some((place, from, kind)) = change && !path.is_empty() {
            let (place, hash) = (place.index(path.len()), path[from.index(path.len())]);
            match kind {
                0 => path[place] = hash,
                1 => path.insert(place, hash),
                _ => drop(path.remove(place)),
            }
        }
        let leaf = LeafHash::of(&record(other));
        let their_path = all_theirs(&path);
        let inclusion = Inclusion { index: claimed, size, path: path.clone() };
        let ours = inclusion.verify(leaf, root).is_ok();
        let judged = tlog_tiles::check_record(
            &their_path, size, theirs(root), claimed, theirs(leaf.as_hash()),
        );
        prop_assert_eq!(ours, judged.is_ok());

        let old_size = claimed.min(size);
        let old_root = root_of(&leaves[..old_size as usize]);
        let consistency = Consistency { old_size, new_size: size, path };
        let ours = consistency.verify(old_root, root).is_ok();
        // The other implementation has no proofs from the empty tree.
        if old_size > 0 {
            let judged = tlog_tiles::check_tree(
                &their_path, size, theirs(root), old_size, theirs(old_root),
            );
            prop_assert_eq!(ours, judged.is_ok());
        }
    }
}

fn our_key() -> SigningKey {
    SigningKey::from_seed(NAME, &SEED).unwrap()
}

fn their_key() -> StandardSigner {
    let secret = STANDARD.encode([[1].as_slice(), &SEED].concat());
    let text = format!("PRIVATE+KEY+{NAME}+{}+{secret}", our_key().id());
    StandardSigner::new(&text).unwrap()
}

fn their_verifiers() -> VerifierList {
    let text = our_key().verifier().to_string();
    VerifierList::new(vec![Box::new(StandardVerifier::new(&text).unwrap())])
}

fn signed_by_them(text: &str) -> Vec<u8> {
    let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&their_key()]).unwrap();
    note.to_bytes()
}

/// The text, if the other implementation accepts note and signature.
fn opened_by_them(note: &[u8]) -> Option<Vec<u8>> {
    let note = signed_note::Note::from_bytes(note).ok()?;
    note.verify(&their_verifiers()).ok()?;
    Some(note.text().to_vec())
}

fn opened_by_us(note: &[u8]) -> Option<Vec<u8>> {
    let note: Note = str::from_utf8(note).ok()?.parse().ok()?;
    let text = note.open(&our_key().verifier()).ok()?;
    Some(text.as_bytes().to_vec())
}

#[test]
fn both_sign_a_checkpoint_with_the_same_bytes() {
    let mut frontier = Frontier::new();
    for size in 0..40 {
        let ours = Checkpoint::of(&frontier).sign(&our_key()).unwrap();
        let root = theirs(frontier.root());
        let checkpoint = tlog_tiles::Checkpoint::new(NAME, size, root, "").unwrap();
        let text = String::from_utf8(checkpoint.to_bytes()).unwrap();
        assert_eq!(ours.to_string().into_bytes(), signed_by_them(&text));
        assert_eq!(
            opened_by_them(ours.to_string().as_bytes()),
            Some(text.into_bytes())
        );
        frontier.append(LeafHash::of(&record(size)));
    }
}

fn texts() -> impl Strategy<Value = String> {
    let root = STANDARD.encode([9; 32]);
    let line = prop_oneof![
        Just(NAME.to_owned()),
        Just(root),
        "[0-9+]{1,3}",
        "[1-9][0-9]{0,18}",
        "[ -~éü—]{0,5}",
    ];
    prop::collection::vec(line, 1..6).prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn each_opens_what_the_other_signed(text in texts()) {
        let ours = Note::sign(text.clone(), &our_key()).unwrap().to_string();
        prop_assert_eq!(ours.as_bytes(), signed_by_them(&text));
        prop_assert_eq!(opened_by_them(ours.as_bytes()).unwrap(), text.as_bytes());
        prop_assert_eq!(opened_by_us(&signed_by_them(&text)).unwrap(), text.as_bytes());
    }

    #[test]
    fn both_give_the_same_answer_about_a_damaged_note(
        text in texts(),
        changes in prop::collection::vec((any::<Index>(), 0..3_u8, any::<u8>()), 0..3),
    ) {
        let mut note = signed_by_them(&text);
        for (place, kind, byte) in changes {
            let place = place.index(note.len());
            match kind {
                0 => note[place] = byte,
                1 => note.insert(place, byte),
                _ => drop(note.remove(place)),
            }
        }
        prop_assert_eq!(opened_by_us(&note), opened_by_them(&note));
    }

    #[test]
    fn both_read_the_same_checkpoint_out_of_a_text(text in texts(), sound_start in any::<bool>()) {
        let text = if sound_start { format!("{NAME}\n{text}") } else { text };
        let note = Note::sign(text.clone(), &our_key()).unwrap();
        let ours = Checkpoint::open(&note, &our_key().verifier()).ok();
        let read = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).ok();
        // They leave it to the caller to compare the origin and to bound the size.
        let judged = read.filter(|c| c.origin() == NAME && i64::try_from(c.size()).is_ok());
        prop_assert_eq!(
            ours.map(|c| (c.size(), *c.root().as_bytes())),
            judged.map(|c| (c.size(), c.hash().0))
        );
    }
}
