//! Quotas: a token bucket for each project's IAM and for each bucket's metadata.

use serde::{Deserialize, Serialize};

use super::errors::ApiError;
use super::server::throttled;
use crate::quota::{Quota, Rate};

/// How many calls are taken; 0 lifts a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// IAM's reads a minute, for each project; Google has 6,000.
    pub iam_reads_per_minute: u32,
    /// IAM's writes a minute, for each project; Google has 600.
    pub iam_writes_per_minute: u32,
    /// Changes of a bucket's policy a second, for each bucket; Google has 1.
    pub bucket_updates_per_second: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits {
            iam_reads_per_minute: 6_000,
            iam_writes_per_minute: 600,
            bucket_updates_per_second: 1,
        }
    }
}

impl RateLimits {
    /// No limits at all.
    pub fn unlimited() -> RateLimits {
        RateLimits {
            iam_reads_per_minute: 0,
            iam_writes_per_minute: 0,
            bucket_updates_per_second: 0,
        }
    }
}

/// One bucket for each of these names.
pub(crate) type Rates = Quota<RateLimits, String>;

impl Rates {
    pub(crate) fn take_iam_read(&self, project: &str) -> Result<(), ApiError> {
        let burst = self.limits().iam_reads_per_minute;
        self.pay(format!("read/{project}"), f64::from(burst) / 60.0, burst)
    }

    pub(crate) fn take_iam_write(&self, project: &str) -> Result<(), ApiError> {
        let burst = self.limits().iam_writes_per_minute;
        self.pay(format!("write/{project}"), f64::from(burst) / 60.0, burst)
    }

    pub(crate) fn take_bucket_update(&self, bucket: &str) -> Result<(), ApiError> {
        let burst = self.limits().bucket_updates_per_second;
        self.pay(format!("bucket/{bucket}"), f64::from(burst), burst)
    }

    fn pay(&self, bucket: String, per_second: f64, burst: u32) -> Result<(), ApiError> {
        match self.take(bucket, Rate { per_second, burst }) {
            Some(_) => Ok(()),
            None => Err(throttled()),
        }
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
    fn a_burst_passes_and_the_next_call_does_not() {
        let rates = Rates::new(RateLimits {
            iam_writes_per_minute: 3,
            ..RateLimits::default()
        });
        for _ in 0..3 {
            rates.take_iam_write("acme").unwrap();
        }
        assert!(rates.take_iam_write("acme").is_err());
        rates.take_iam_write("other").unwrap();
        rates.take_bucket_update("b").unwrap();
        assert!(rates.take_bucket_update("b").is_err());
        rates.set_limits(RateLimits::unlimited());
        for _ in 0..10_000 {
            rates.take_iam_write("acme").unwrap();
        }
    }
}
