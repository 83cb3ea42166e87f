//! Rates: a token bucket per account and region for STS, per account for IAM's writes.

use serde::{Deserialize, Serialize};

use super::errors::AwsError;
use crate::quota::{Quota, Rate};

/// How many calls a second the services take; 0 lifts a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// STS calls a second, for each calling account and region; AWS has 600.
    pub sts_per_second: u32,
    /// IAM writes a second, for each account. AWS publishes no number; this one is low on purpose.
    pub iam_writes_per_second: u32,
    /// How many IAM writes may come at once before the rate counts.
    pub iam_writes_burst: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits {
            sts_per_second: 600,
            iam_writes_per_second: 10,
            iam_writes_burst: 20,
        }
    }
}

impl RateLimits {
    /// No limits at all, for measurements.
    pub fn unlimited() -> RateLimits {
        RateLimits {
            sts_per_second: 0,
            iam_writes_per_second: 0,
            iam_writes_burst: 0,
        }
    }
}

/// One bucket for each of these names.
pub(crate) type Rates = Quota<RateLimits, String>;

impl Rates {
    /// One call to STS.
    pub(crate) fn take_sts(&self, account: &str, region: &str) -> Result<(), AwsError> {
        let rate = self.limits().sts_per_second;
        self.pay(format!("sts/{account}/{region}"), rate, rate)
    }

    /// One write to IAM.
    pub(crate) fn take_iam_write(&self, account: &str) -> Result<(), AwsError> {
        let limits = self.limits();
        self.pay(
            format!("iam/{account}"),
            limits.iam_writes_per_second,
            limits.iam_writes_burst,
        )
    }

    fn pay(&self, bucket: String, rate: u32, burst: u32) -> Result<(), AwsError> {
        let per_second = f64::from(rate);
        match self.take(bucket, Rate { per_second, burst }) {
            Some(_) => Ok(()),
            None => Err(throttled()),
        }
    }
}

/// How STS and IAM say that there were too many calls.
pub(crate) fn throttled() -> AwsError {
    AwsError::new(400, "Throttling", "Rate exceeded")
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
            sts_per_second: 1,
            iam_writes_per_second: 1,
            iam_writes_burst: 3,
        });
        for _ in 0..3 {
            rates.take_iam_write("111122223333").unwrap();
        }
        assert_eq!(
            rates.take_iam_write("111122223333").unwrap_err().code,
            "Throttling"
        );
        // Another account has its own bucket.
        rates.take_iam_write("444455556666").unwrap();
        rates.take_sts("111122223333", "eu-central-1").unwrap();
        assert!(rates.take_sts("111122223333", "eu-central-1").is_err());
        rates.take_sts("111122223333", "us-east-1").unwrap();
    }

    #[test]
    fn zero_means_no_limit() {
        let rates = Rates::new(RateLimits::unlimited());
        for _ in 0..10_000 {
            rates.take_sts("111122223333", "eu-central-1").unwrap();
        }
    }
}
