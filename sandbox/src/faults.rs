//! What can go wrong on purpose: throttling, server errors, lost connections, late and slow handling.
//!
//! A fault is armed for a service and an action, for a number of calls. The unkind ones are the two halves of
//! "we do not know": [`FaultKind::DropBefore`] (nothing happened) and [`FaultKind::DropAfter`] (it happened)
//! look the same to the client.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What happens to the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Refused by the service's rate limiter; nothing happens.
    Throttle,
    /// A server error; nothing happens.
    ServerError {
        /// The HTTP status, 500..=599.
        status: u16,
    },
    /// Refused with this error; nothing happens.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The service's error code, as `ConcurrentModification`.
        code: String,
    },
    /// The connection is cut before the call is looked at.
    DropBefore,
    /// The call is handled, and the connection is cut instead of answering.
    DropAfter,
    /// The connection is cut at once, and the call is handled this much later.
    Late {
        /// From the cut to the handling.
        after_millis: u64,
    },
    /// The call is handled this much later, whether or not the client still waits.
    Delay {
        /// From arrival to the handling.
        millis: u64,
    },
    /// The call is handled at once and answered this much later.
    SlowAnswer {
        /// From the handling to the answer.
        millis: u64,
    },
}

impl FaultKind {
    /// As the journal names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            FaultKind::Throttle => "throttle",
            FaultKind::ServerError { .. } => "server_error",
            FaultKind::Refuse { .. } => "refuse",
            FaultKind::DropBefore => "drop_before",
            FaultKind::DropAfter => "drop_after",
            FaultKind::Late { .. } => "late",
            FaultKind::Delay { .. } => "delay",
            FaultKind::SlowAnswer { .. } => "slow_answer",
        }
    }
}

/// A fault waiting for its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// As the journal names it: `sts`, `arm`, `iamcredentials`; `*` for any.
    pub service: String,
    /// The operation, as `AssumeRole`; `*` for any.
    pub action: String,
    /// How many matching calls pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls are harmed after that, at least one.
    #[serde(default = "once")]
    pub count: u32,
    /// What happens to them.
    pub fault: FaultKind,
}

fn once() -> u32 {
    1
}

/// The faults that are armed. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    armed: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    /// Arms a fault for the next `count` calls of an action.
    pub fn inject(&self, service: &str, action: &str, fault: FaultKind, count: u32) {
        self.arm(Fault {
            service: service.to_owned(),
            action: action.to_owned(),
            skip: 0,
            count,
            fault,
        });
    }

    /// Arms a fault. Faults for the same call are used up in the order they were armed.
    pub fn arm(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Disarms everything, and arms these.
    pub fn set(&self, faults: Vec<Fault>) {
        *self.lock() = faults;
    }

    /// Disarms everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What is still armed.
    pub fn armed(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// The fault this call meets, if any.
    pub(crate) fn take(&self, service: &str, action: &str) -> Option<FaultKind> {
        let mut armed = self.lock();
        let is_meant = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let meant = |fault: &&mut Fault| {
            is_meant(&fault.service, service) && is_meant(&fault.action, action)
        };
        let fault = armed.iter_mut().find(meant)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.count = fault.count.saturating_sub(1);
        let kind = fault.fault.clone();
        armed.retain(|fault| fault.count > 0);
        Some(kind)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_fault_harms_its_own_calls_and_then_no_more() {
        let faults = Faults::default();
        faults.inject("sts", "AssumeRole", FaultKind::DropAfter, 2);
        assert_eq!(faults.take("sts", "GetCallerIdentity"), None);
        assert_eq!(faults.take("iam", "AssumeRole"), None);
        assert_eq!(faults.take("sts", "AssumeRole"), Some(FaultKind::DropAfter));
        assert_eq!(faults.take("sts", "AssumeRole"), Some(FaultKind::DropAfter));
        assert_eq!(faults.take("sts", "AssumeRole"), None);
        assert_eq!(faults.armed(), Vec::new());
    }

    #[test]
    fn skipped_calls_pass_first() {
        let faults = Faults::default();
        let fault = FaultKind::ServerError { status: 503 };
        faults.arm(Fault {
            service: "*".into(),
            action: "*".into(),
            skip: 1,
            count: 1,
            fault: fault.clone(),
        });
        assert_eq!(faults.take("s3", "PutObject"), None);
        assert_eq!(faults.take("s3", "PutObject"), Some(fault));
    }

    #[test]
    fn faults_read_from_json() {
        let text = r#"{"service":"iam","action":"PutRolePolicy","fault":{"kind":"late","after_millis":250}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(
            (fault.count, fault.fault),
            (1, FaultKind::Late { after_millis: 250 })
        );
        let throttle = r#"{"service":"s3","action":"*","fault":{"kind":"throttle"}}"#;
        assert_eq!(
            serde_json::from_str::<Fault>(throttle).unwrap().fault,
            FaultKind::Throttle
        );
        let mistyped = r#"{"service":"s3","action":"*","times":3,"fault":{"kind":"throttle"}}"#;
        assert!(serde_json::from_str::<Fault>(mistyped).is_err());
    }
}
