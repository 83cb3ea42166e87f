//! Grants of Privileged Access Manager, as they are read: whose, for which lease, and what can still
//! become of each. Pure.

use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use serde_json::Value;

use crate::names::{AccountEmail, EntitlementName};
use crate::stamp::{handle_of, title};

/// What a grant's state means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Somebody has to agree first.
    Waits,
    /// It will give.
    Comes,
    /// It gives.
    Gives,
    /// It is being taken back.
    Goes,
    /// It gives nothing, and never will again.
    Over,
    /// It is in a state that nobody here knows. That is not over.
    Unknown,
}

impl Stands {
    /// Google's words for each stand above the arms (Privileged Access Manager, `Grant.State`).
    pub(crate) fn of(state: &str) -> Self {
        match state {
            // "The entitlement had an approval workflow configured and this grant is waiting for the
            // workflow to complete."
            "APPROVAL_AWAITED" => Self::Waits,
            // "Access is provided at an appropriate time." "Access is being given."
            "SCHEDULED" | "ACTIVATING" => Self::Comes,
            // "Access was successfully given and is currently active."
            "ACTIVE" => Self::Gives,
            // "Access is being revoked." "Access is being withdrawn."
            "REVOKING" | "WITHDRAWING" => Self::Goes,
            // Each "is a terminal state": "completed with a denied result", "could not give access
            // due to a non-retriable error", "expired after waiting for the approval workflow",
            // "revoked by a user", "took back access as the requested duration was over", "withdrawn
            // by the grant owner".
            "DENIED" | "ACTIVATION_FAILED" | "EXPIRED" | "REVOKED" | "ENDED" | "WITHDRAWN" => {
                Self::Over
            }
            _ => Self::Unknown,
        }
    }
}

/// A grant as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Its full name, beneath its entitlement's.
    pub(crate) name: String,
    pub(crate) stands: Stands,
    requester: String,
    justification: String,
}

impl Grant {
    /// Reads an answer of Google's. Nothing when it is not a grant of this entitlement's: its name
    /// becomes part of an address.
    pub(crate) fn read(answer: &Value, entitlement: &EntitlementName) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let (parent, id) = text("name")?.rsplit_once("/grants/")?;
        // Google may name the project by its number.
        let is_its = parent.ends_with(entitlement.within_project());
        let is_id = (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let justification = answer.pointer("/justification/unstructuredJustification");
        (is_its && is_id).then(|| Self {
            name: format!("{entitlement}/grants/{id}"),
            stands: Stands::of(text("state").unwrap_or_default()),
            requester: text("requester").unwrap_or_default().to_owned(),
            justification: justification
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Whether an account asked for it, or somebody in its name.
    pub(crate) fn is_of(&self, account: &AccountEmail) -> bool {
        let asked = self.requester.strip_prefix("serviceAccount:");
        asked.unwrap_or(&self.requester) == account.as_str()
    }

    /// The lease that it is stamped with.
    pub(crate) fn handle(&self, installation: &InstallationName) -> Option<Handle> {
        handle_of(&self.justification, installation)
    }
}

/// What is said for asking. It bears no mark: a job may ask in its account's name as well, and what
/// it makes up must not look like a later ledger.
pub(crate) fn justification(installation: &InstallationName, handle: &Handle) -> String {
    title(installation, handle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn entitlement() -> EntitlementName {
        "projects/acme-prod/locations/global/entitlements/readers"
            .parse()
            .unwrap()
    }

    #[test]
    fn every_state_that_google_tells_of_means_something_and_any_other_is_not_over() {
        for (state, stands) in [
            ("APPROVAL_AWAITED", Stands::Waits),
            ("DENIED", Stands::Over),
            ("SCHEDULED", Stands::Comes),
            ("ACTIVATING", Stands::Comes),
            ("ACTIVE", Stands::Gives),
            ("ACTIVATION_FAILED", Stands::Over),
            ("EXPIRED", Stands::Over),
            ("REVOKING", Stands::Goes),
            ("REVOKED", Stands::Over),
            ("ENDED", Stands::Over),
            ("WITHDRAWING", Stands::Goes),
            ("WITHDRAWN", Stands::Over),
            ("STATE_UNSPECIFIED", Stands::Unknown),
            ("SOMETHING_NEW", Stands::Unknown),
            ("ended", Stands::Unknown),
            ("", Stands::Unknown),
        ] {
            assert_eq!(Stands::of(state), stands, "{state}");
        }
    }

    #[test]
    fn whose_it_is_and_for_which_lease_is_read() {
        let account: AccountEmail = "jitney-001@acme-pool.iam.gserviceaccount.com"
            .parse()
            .unwrap();
        let (acme, other) = ("acme".parse().unwrap(), "acme-2".parse().unwrap());
        let handle = Handle::try_from(format!("{:019}", 7)).unwrap();
        let answer = json!({
            "name": format!("{}/grants/7d9a1a5e-3b7f", entitlement()),
            "state": "ACTIVE",
            "requester": account.as_str(),
            "justification": { "unstructuredJustification": justification(&acme, &handle) },
        });
        let grant = Grant::read(&answer, &entitlement()).unwrap();
        assert_eq!(grant.stands, Stands::Gives);
        assert!(grant.is_of(&account));
        assert!(
            !grant.is_of(
                &"jitney-002@acme-pool.iam.gserviceaccount.com"
                    .parse()
                    .unwrap()
            )
        );
        assert_eq!(grant.handle(&acme), Some(handle));
        assert_eq!(grant.handle(&other), None);
        let mut stateless = answer.clone();
        stateless["state"] = json!(null);
        let stateless = Grant::read(&stateless, &entitlement()).unwrap();
        assert_eq!(stateless.stands, Stands::Unknown);
        let mut numbered = answer.clone();
        numbered["name"] = json!(
            "projects/111122223333/locations/global/entitlements/readers/grants/7d9a1a5e-3b7f"
        );
        assert_eq!(Grant::read(&numbered, &entitlement()), Some(grant));
        for bad in [
            json!(null),
            json!("projects/acme-prod/locations/global/entitlements/other/grants/1"),
            json!(format!("{}/grants/", entitlement())),
            json!(format!("{}/grants/1/../2", entitlement())),
            json!("projects/acme-prod/locations/global/entitlements/all-readers/grants/1"),
            json!(format!("{}/grants/1:revoke", entitlement())),
        ] {
            let mut named = answer.clone();
            named["name"] = bad.clone();
            assert_eq!(Grant::read(&named, &entitlement()), None, "{bad}");
        }
    }
}
