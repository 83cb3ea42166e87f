//! What the cloud saw: one entry per call, also for those that were refused, lost or late; and what it is seeing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Older entries make room for newer ones beyond this; [`Journal::forgotten`] counts them.
pub const ENTRIES_MAX: usize = 200_000;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1 in the order calls were finished.
    pub number: u64,
    /// The sandbox's policy time when the call was handled.
    #[serde(with = "crate::time_text")]
    pub at: Timestamp,
    /// Real time of arrival.
    #[serde(with = "crate::time_text")]
    pub arrived: Timestamp,
    /// Real time when handling ended; a late call ends long after its connection.
    #[serde(with = "crate::time_text")]
    pub finished: Timestamp,
    /// Real time from which nobody waits for the call any more: it was handled, and its answer, if there is one,
    /// was given. Between arrival and this the call was under way.
    #[serde(with = "crate::time_text")]
    pub answered: Timestamp,
    /// On AWS `sts`, `iam` or `s3`; on Azure `entra`, `arm` or `blob`; on Google Cloud the first part of the API's host,
    /// as `iamcredentials`.
    pub service: String,
    /// The operation, as `AssumeRole`.
    pub action: String,
    /// The caller's ARN or object id; `unknown` when the signature did not hold.
    pub caller: String,
    /// The access key the call was signed with, or the id of the token it was made with, if any.
    pub access_key_id: Option<String>,
    /// What it was about: a role, `bucket/key`, or a path.
    pub resource: String,
    /// `ok`, the error code, or `lost` when the call was dropped unhandled.
    pub outcome: String,
    /// The HTTP status, also when nobody was there to read it; 0 when the call was dropped unhandled.
    pub status: u16,
    /// The fault that met the call, if any.
    pub fault: Option<String>,
    /// The request id of the answer.
    pub request_id: String,
}

/// A call that has arrived and is not over: it waits to be handled, or its answer is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// On AWS `sts`, `iam` or `s3`; on Azure `entra`, `arm` or `blob`; on Google Cloud the first part of the API's host,
    /// as `iamcredentials`.
    pub service: String,
    /// The operation, as `AssumeRole`.
    pub action: String,
    /// What it is about: a role, or `bucket/key`.
    pub resource: String,
    /// Real time of arrival.
    #[serde(with = "crate::time_text")]
    pub arrived: Timestamp,
}

/// Keeps a call under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    journal: Journal,
    number: u64,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.journal.lock().under_way.remove(&self.number);
    }
}

/// The entries so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    written: u64,
    under_way: BTreeMap<u64, UnderWay>,
    arrivals: u64,
}

impl Journal {
    pub(crate) fn write(&self, mut entry: Entry) {
        let mut kept = self.lock();
        kept.written += 1;
        entry.number = kept.written;
        kept.entries.push_back(entry);
        if kept.entries.len() > ENTRIES_MAX {
            kept.entries.pop_front();
        }
    }

    pub(crate) fn arrives(&self, call: UnderWay) -> Stay {
        let mut kept = self.lock();
        kept.arrivals += 1;
        let number = kept.arrivals;
        kept.under_way.insert(number, call);
        let journal = self.clone();
        Stay { journal, number }
    }

    /// The calls under way, oldest first.
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.lock().under_way.values().cloned().collect()
    }

    /// Every entry that is kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().cloned().collect()
    }

    /// How many entries had to make room.
    pub fn forgotten(&self) -> u64 {
        let kept = self.lock();
        kept.written.saturating_sub(kept.entries.len() as u64)
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        kept.entries.clear();
        kept.written = 0;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn old_entries_make_room_and_are_counted() {
        let journal = Journal::default();
        let at = Timestamp::UNIX_EPOCH;
        for _ in 0..ENTRIES_MAX + 3 {
            journal.write(Entry {
                number: 0,
                at,
                arrived: at,
                finished: at,
                answered: at,
                service: String::new(),
                action: String::new(),
                caller: String::new(),
                access_key_id: None,
                resource: String::new(),
                outcome: String::new(),
                status: 200,
                fault: None,
                request_id: String::new(),
            });
        }
        assert_eq!(journal.forgotten(), 3);
        assert_eq!(journal.entries().first().unwrap().number, 4);
    }
}
