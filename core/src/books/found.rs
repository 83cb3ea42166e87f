//! What is found in the ledger by somebody who did not make it.

use core::time::Duration;

use super::Recorded;
use crate::adapter::Mark;
use crate::evidence::Hold;
use crate::lease::{Active, Doubtful, Ended, Lease, Revoking};
use crate::ledger::{CannotRead, Row};
use crate::request::{Closed, Granted, Granting, Pending, Request};
use crate::time::Timestamp;

/// A lease as it was found in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundLease {
    /// An intent that somebody else made.
    Doubtful(Recorded<Doubtful>),
    /// Active.
    Active(Recorded<Active>),
    /// Being revoked.
    Revoking(Recorded<Revoking>),
    /// Over.
    Ended(Box<Ended>),
}

impl FoundLease {
    /// What never changes about it.
    #[must_use]
    pub fn terms(&self) -> &crate::lease::Terms {
        match self {
            Self::Doubtful(lease) => lease.terms(),
            Self::Active(lease) => lease.terms(),
            Self::Revoking(lease) => lease.terms(),
            Self::Ended(lease) => lease.terms(),
        }
    }

    /// When the last thing that may come of it is over by itself; nothing once it has ended. What
    /// must be held after that is its adapter's to say.
    #[must_use]
    pub fn frees_at(&self) -> Option<Timestamp> {
        let exposed_until = match self {
            Self::Doubtful(lease) => lease.exposed_until(),
            Self::Active(lease) => lease.exposed_until(),
            Self::Revoking(lease) => lease.exposed_until(),
            Self::Ended(_) => return None,
        };
        let derived = self.terms().plan.derived_seconds;
        Some(exposed_until.plus(Duration::from_secs(derived.into())))
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Doubtful(_) => "elevating",
            Self::Active(_) => "active",
            Self::Revoking(_) => "revoking",
            Self::Ended(_) => "ended",
        }
    }
}

/// A request as it was found in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundRequest {
    /// Waiting for people.
    Pending(Recorded<Pending>),
    /// Decided; its leases are being elevated.
    Granting(Recorded<Granting>),
    /// All its leases were granted.
    Granted(Recorded<Granted>),
    /// Over.
    Closed(Box<Closed>),
}

impl FoundRequest {
    /// What never changes about it.
    #[must_use]
    pub fn terms(&self) -> &crate::request::Terms {
        match self {
            Self::Pending(request) => request.terms(),
            Self::Granting(request) => request.terms(),
            Self::Granted(request) => request.terms(),
            Self::Closed(request) => request.terms(),
        }
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Granting(_) => "granting",
            Self::Granted(_) => "granted",
            Self::Closed(_) => "closed",
        }
    }
}

/// What is open in a lane.
#[derive(Debug)]
pub struct OpenLane {
    /// Its leases under revocation, and its other leases that are due.
    pub leases: Vec<FoundLease>,
    /// Its holds.
    pub holds: Vec<Hold>,
}

/// Reads a lease row. An intent comes back as [`Doubtful`]: whoever loads it did not make it.
///
/// # Errors
/// When the row does not hold a lease.
pub fn found_lease(row: &Row) -> Result<FoundLease, CannotRead> {
    let (version, mark) = (row.version, Mark::default());
    Ok(match parse(row, read_lease)? {
        Lease::Elevating(state) => FoundLease::Doubtful(Recorded {
            state: Doubtful(state),
            version,
            mark,
        }),
        Lease::Active(state) => FoundLease::Active(Recorded {
            state,
            version,
            mark,
        }),
        Lease::Revoking(state) => FoundLease::Revoking(Recorded {
            state,
            version,
            mark,
        }),
        Lease::Ended(state) => FoundLease::Ended(Box::new(state)),
    })
}

/// The request in a row.
///
/// # Errors
/// When the row holds something else.
pub fn found_request(row: &Row) -> Result<FoundRequest, CannotRead> {
    let (version, mark) = (row.version, Mark::default());
    Ok(match parse(row, read_request)? {
        Request::Pending(state) => FoundRequest::Pending(Recorded {
            state,
            version,
            mark,
        }),
        Request::Granting(state) => FoundRequest::Granting(Recorded {
            state,
            version,
            mark,
        }),
        Request::Granted(state) => FoundRequest::Granted(Recorded {
            state,
            version,
            mark,
        }),
        Request::Closed(state) => FoundRequest::Closed(Box::new(state)),
    })
}

fn parse<T>(row: &Row, read: fn(&str) -> Result<T, serde_json::Error>) -> Result<T, CannotRead> {
    read(&row.body).map_err(|error| {
        CannotRead(format!(
            "row {:?} is not what it should be: {error}",
            row.id
        ))
    })
}

/// Reads a lease. Its state's name stands first, as it is written; told from that, the rest is
/// read as what it is. Without it the whole is taken apart to find the name, and then read, which
/// takes twice as long.
pub(crate) fn read_lease(body: &str) -> Result<Lease, serde_json::Error> {
    match leading_state(body) {
        Some("elevating") => serde_json::from_str(body).map(Lease::Elevating),
        Some("active") => serde_json::from_str(body).map(Lease::Active),
        Some("revoking") => serde_json::from_str(body).map(Lease::Revoking),
        Some("ended") => serde_json::from_str(body).map(Lease::Ended),
        _ => serde_json::from_str(body),
    }
}

/// The same for a request.
fn read_request(body: &str) -> Result<Request, serde_json::Error> {
    match leading_state(body) {
        Some("pending") => serde_json::from_str(body).map(Request::Pending),
        Some("granting") => serde_json::from_str(body).map(Request::Granting),
        Some("granted") => serde_json::from_str(body).map(Request::Granted),
        Some("closed") => serde_json::from_str(body).map(Request::Closed),
        _ => serde_json::from_str(body),
    }
}

fn leading_state(body: &str) -> Option<&str> {
    let rest = body.strip_prefix(r#"{"state":""#)?;
    rest.split_once('"').map(|(state, _)| state)
}
