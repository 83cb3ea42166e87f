//! Quotas as the clouds have them: a bucket of tokens for each of something.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Buckets by what they are for, and the limits that fill them.
#[derive(Debug)]
pub(crate) struct Quota<Limits, Key> {
    limits: Mutex<Limits>,
    buckets: Mutex<HashMap<Key, Bucket>>,
}

/// How fast a bucket fills, in calls, and how many it holds.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    /// 0 lifts the limit.
    pub(crate) per_second: f64,
    /// At least 1.
    pub(crate) burst: u32,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl<Limits: Copy, Key: Eq + Hash> Quota<Limits, Key> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits: Mutex::new(limits),
            buckets: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other limits, and every bucket is full again.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        self.buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// One call; how many more would be taken now, or `None` when not even this one is.
    pub(crate) fn take(&self, key: Key, rate: Rate) -> Option<u32> {
        if rate.per_second == 0.0 {
            return Some(u32::MAX);
        }
        let now = Instant::now();
        let most = f64::from(rate.burst.max(1));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: most,
            filled: now,
        });
        let gained = now.duration_since(bucket.filled).as_secs_f64() * rate.per_second;
        bucket.tokens = (bucket.tokens + gained).min(most);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;
        // A bucket holds no more than `burst`, which is a u32.
        Some(bucket.tokens as u32)
    }
}
