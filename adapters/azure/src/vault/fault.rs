//! How a failed call to a vault is to be understood. Nothing is given there, so nothing is
//! ambiguous: either it may go better later, or somebody must change something.

use core::time::Duration;

use crate::arm::{NoAnswer, Refusal};
use crate::classify::described;

/// Why a key in a vault did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It may in a while.
    #[error("{why}")]
    ForNow {
        /// How long the vault asks to wait.
        after: Option<Duration>,
        /// What was asked, and what came of it.
        why: String,
    },
    /// Somebody must change something first.
    #[error("{0}")]
    Refused(String),
}

impl KeyFault {
    /// What a call came to. `operation` names it.
    pub(super) fn of(operation: &str, error: &NoAnswer) -> Self {
        let why = format!("{operation}: {}", described(error));
        match error {
            NoAnswer::NeverSent(_) | NoAnswer::NoCredentials(_) | NoAnswer::Lost(_) => {
                Self::ForNow { after: None, why }
            }
            NoAnswer::Refused(refusal) if is_final(refusal) => Self::Refused(why),
            NoAnswer::Refused(refusal) => Self::ForNow {
                after: refusal.after,
                why,
            },
        }
    }
}

/// Whether the same call will be refused again.
fn is_final(refusal: &Refusal) -> bool {
    match (refusal.status, refusal.code.as_deref()) {
        // "Operation sign is not allowed on a disabled key.", "… on an expired key.", "Caller is not
        // authorized to perform action on resource." (Key Vault, REST API error codes)
        (403, Some("Forbidden"))
        // "A key with (name/id) … was not found in this key vault."
        | (404, Some("KeyNotFound"))
        // "Key and signing algorithm are incompatible. …", "… is not a valid key version"
        | (400, Some("BadParameter")) => true,
        // "Throttled", "Unauthorized" after a fresh token, "InternalServerError", and whatever else
        // there may be.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn only_a_clear_no_is_final() {
        let refused = |status, code: Option<&str>, after| {
            let refusal = Refusal {
                status,
                code: code.map(str::to_owned),
                after,
                ..Refusal::default()
            };
            KeyFault::of("sign k", &NoAnswer::Refused(refusal))
        };
        for (status, code) in [
            (403, "Forbidden"),
            (404, "KeyNotFound"),
            (400, "BadParameter"),
        ] {
            let fault = refused(status, Some(code), None);
            assert!(matches!(fault, KeyFault::Refused(_)), "{fault:?}");
        }
        let wait = Some(Duration::from_secs(7));
        for (status, code) in [
            (429, Some("Throttled")),
            (401, Some("Unauthorized")),
            (500, Some("InternalServerError")),
            (503, None),
            (403, None),
            (404, None),
            (418, Some("Teapot")),
        ] {
            let fault = refused(status, code, wait);
            let KeyFault::ForNow { after, why } = &fault else {
                panic!("{fault:?}");
            };
            assert_eq!((*after, why.starts_with("sign k: ")), (wait, true));
        }
        for lost in [
            NoAnswer::NeverSent("x".to_owned()),
            NoAnswer::NoCredentials("x".to_owned()),
            NoAnswer::Lost("x".to_owned()),
        ] {
            assert!(matches!(
                KeyFault::of("sign k", &lost),
                KeyFault::ForNow { after: None, .. }
            ));
        }
    }
}
