//! Rates of Resource Manager: a token bucket per subscription, principal and kind of operation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::errors::ArmError;
use crate::quota::{Quota, Rate};

/// How many calls Resource Manager takes; a rate of 0 lifts its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Reads that may come at once.
    pub reads_burst: u32,
    /// Reads a second after that.
    pub reads_per_second: u32,
    /// Writes, and as many deletes, that may come at once.
    pub writes_burst: u32,
    /// Writes, and as many deletes, a second after that.
    pub writes_per_second: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits {
            reads_burst: 250,
            reads_per_second: 25,
            writes_burst: 200,
            writes_per_second: 10,
        }
    }
}

impl RateLimits {
    /// No limits at all, for measurements.
    pub fn unlimited() -> RateLimits {
        RateLimits {
            reads_burst: 0,
            reads_per_second: 0,
            writes_burst: 0,
            writes_per_second: 0,
        }
    }
}

/// What an operation counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Read,
    Write,
    Delete,
}

impl Kind {
    /// As headers and messages have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Delete => "delete",
        }
    }
}

type Key = (Option<Uuid>, Uuid, Kind);

/// One bucket for each of these.
pub(crate) type Rates = Quota<RateLimits, Key>;

impl Rates {
    /// One call; how many more would be taken now, or why not even this one.
    pub(crate) fn pay(
        &self,
        subscription: Option<Uuid>,
        principal: Uuid,
        kind: Kind,
    ) -> Result<u32, ArmError> {
        let limits = self.limits();
        let (burst, rate) = match kind {
            Kind::Read => (limits.reads_burst, limits.reads_per_second),
            Kind::Write | Kind::Delete => (limits.writes_burst, limits.writes_per_second),
        };
        let per_second = f64::from(rate);
        self.take((subscription, principal, kind), Rate { per_second, burst })
            .ok_or_else(|| throttled(subscription, kind))
    }
}

/// How Resource Manager says that there were too many calls.
pub(crate) fn throttled(subscription: Option<Uuid>, kind: Kind) -> ArmError {
    let (code, whose) = match subscription {
        Some(id) => (
            "SubscriptionRequestsThrottled",
            format!("subscription '{id}'"),
        ),
        None => ("TenantRequestsThrottled", "the tenant".to_owned()),
    };
    let message = format!(
        "Number of '{}' requests for {whose} exceeded. Please try again after '1' seconds after additional tokens are available.",
        kind.name()
    );
    ArmError::new(429, code, message).retry_after(1)
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
            writes_burst: 2,
            writes_per_second: 1,
            ..RateLimits::default()
        });
        let (subscription, one, other) = (
            Some(Uuid::from_u128(1)),
            Uuid::from_u128(2),
            Uuid::from_u128(3),
        );
        assert_eq!(rates.pay(subscription, one, Kind::Write).unwrap(), 1);
        assert_eq!(rates.pay(subscription, one, Kind::Write).unwrap(), 0);
        let error = rates.pay(subscription, one, Kind::Write).unwrap_err();
        assert_eq!((error.status, error.retry_after_seconds), (429, Some(1)));
        // Another principal, another kind and another subscription have their own.
        rates.pay(subscription, other, Kind::Write).unwrap();
        rates.pay(subscription, one, Kind::Delete).unwrap();
        rates.pay(None, one, Kind::Write).unwrap();
    }

    #[test]
    fn zero_means_no_limit() {
        let rates = Rates::new(RateLimits::unlimited());
        for _ in 0..10_000 {
            rates.pay(None, Uuid::nil(), Kind::Delete).unwrap();
        }
    }
}
