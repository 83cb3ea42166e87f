//! Containers and blobs.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use jiff::Timestamp;

use crate::azure::estate::Estate;

/// One blob.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(super) content: Bytes,
    pub(super) content_type: String,
    pub(super) etag: String,
    pub(super) modified: Timestamp,
}

impl Blob {
    pub(super) fn new(content: Bytes, content_type: &str, now: Timestamp) -> Blob {
        let digest = digest::digest(&digest::SHA256, &content);
        let start = digest
            .as_ref()
            .first_chunk::<8>()
            .copied()
            .unwrap_or_default();
        Blob {
            etag: format!(
                "\"0x{:016X}\"",
                u64::from_be_bytes(start) ^ now.as_millisecond().unsigned_abs()
            ),
            content,
            content_type: content_type.to_owned(),
            modified: now,
        }
    }
}

pub(super) type Container = BTreeMap<String, Blob>;

/// Every container of every account.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    accounts: BTreeMap<String, BTreeMap<String, Container>>,
}

impl Storage {
    pub(crate) fn found(estate: &Estate, now: Timestamp) -> Storage {
        let mut storage = Storage::default();
        let groups = estate
            .subscriptions
            .iter()
            .flat_map(|subscription| &subscription.groups);
        for account in groups.flat_map(|group| &group.accounts) {
            let containers = storage.accounts.entry(account.name.clone()).or_default();
            for (name, texts) in &account.containers {
                let blob = |text: &String| Blob::new(Bytes::from(text.clone()), "text/plain", now);
                let blobs = texts.iter().map(|(path, text)| (path.clone(), blob(text)));
                containers.insert(name.clone(), blobs.collect());
            }
        }
        storage
    }

    pub(super) fn containers(&self, account: &str) -> Option<&BTreeMap<String, Container>> {
        self.accounts.get(account)
    }

    pub(super) fn container(&self, account: &str, name: &str) -> Option<&Container> {
        self.accounts.get(account)?.get(name)
    }

    pub(super) fn container_mut(&mut self, account: &str, name: &str) -> Option<&mut Container> {
        self.accounts.get_mut(account)?.get_mut(name)
    }
}
