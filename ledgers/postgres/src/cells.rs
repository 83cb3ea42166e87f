//! A part of the ledger as a batch sees it: what was found under the lock, what the transactions
//! before changed in it, and what the present one is changing.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::ledger::CommitError;

/// Values by their keys, in three layers.
#[derive(Debug)]
pub(crate) struct Cells<K, V> {
    found: BTreeMap<K, Option<V>>,
    kept: BTreeMap<K, Option<V>>,
    open: BTreeMap<K, Option<V>>,
}

/// What became of a key in a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<K, V> {
    pub(crate) key: K,
    pub(crate) before: Option<V>,
    pub(crate) after: Option<V>,
}

/// Somebody asks for what was not read: a fault of ours. It must not be taken for *there is none*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRead;

impl From<NotRead> for CommitError {
    fn from(_: NotRead) -> Self {
        let words = "a transaction needs what was not read for it; please report this";
        Self::Unavailable(words.to_owned())
    }
}

impl<K: Ord + Clone, V> Cells<K, V> {
    /// None of the wanted keys was found, so far.
    pub(crate) fn wanted(keys: BTreeSet<K>) -> Self {
        Self {
            found: keys.into_iter().map(|key| (key, None)).collect(),
            kept: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// One of them was found.
    pub(crate) fn found(&mut self, key: K, value: V) {
        self.found.insert(key, Some(value));
    }

    /// What it is now.
    pub(crate) fn get(&self, key: &K) -> Result<Option<&V>, NotRead> {
        let layers = [&self.open, &self.kept, &self.found];
        let seen = layers.into_iter().find_map(|layer| layer.get(key));
        seen.map(Option::as_ref).ok_or(NotRead)
    }

    pub(crate) fn set(&mut self, key: K, value: Option<V>) {
        self.open.insert(key, value);
    }

    /// The transaction stands.
    pub(crate) fn keep(&mut self) {
        self.kept.append(&mut self.open);
    }

    /// The transaction does not stand.
    pub(crate) fn take_back(&mut self) {
        self.open.clear();
    }

    /// What must be written so that the ledger says what the batch came to.
    pub(crate) fn changes(mut self) -> Vec<Change<K, V>> {
        let changed = self.kept.into_iter().map(|(key, after)| Change {
            before: self.found.remove(&key).flatten(),
            key,
            after,
        });
        changed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Cells<&'static str, u8> {
        let mut cells = Cells::wanted(BTreeSet::from(["a", "b"]));
        cells.found("a", 1);
        cells
    }

    #[test]
    fn what_was_not_read_is_not_taken_for_absent() {
        let cells = cells();
        assert_eq!(cells.get(&"a"), Ok(Some(&1)));
        assert_eq!(cells.get(&"b"), Ok(None));
        assert_eq!(cells.get(&"c"), Err(NotRead));
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_and_what_is_kept_is_a_change() {
        let mut cells = cells();
        cells.set("a", Some(2));
        cells.set("b", Some(3));
        assert_eq!(cells.get(&"a"), Ok(Some(&2)));
        cells.take_back();
        assert_eq!(cells.get(&"a"), Ok(Some(&1)));
        assert_eq!(cells.get(&"b"), Ok(None));
        cells.set("a", None);
        cells.keep();
        assert_eq!(cells.get(&"a"), Ok(None));
        let change = Change {
            key: "a",
            before: Some(1),
            after: None,
        };
        assert_eq!(cells.changes(), vec![change]);
    }
}
