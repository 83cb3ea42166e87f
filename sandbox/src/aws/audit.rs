//! Questions about the cloud that no AWS call answers: what a session could do, and the way back to the start.

use std::net::{IpAddr, Ipv4Addr};

use super::cloud::{Cloud, EstateError};
use super::credentials::Principal;
use super::directory::account_of;
use super::evaluate::{Decision, Layer, ResourceSide, Verdict};

impl Cloud {
    /// What would be decided now for a session, named by access key id or ARN. Expired sessions may do nothing.
    pub(crate) fn would_allow(
        &self,
        session: &str,
        action: &str,
        resource: &str,
    ) -> Option<Decision> {
        let sessions = self.keyring.sessions();
        let session = sessions
            .into_iter()
            .rev()
            .find(|known| known.access_key_id == session || known.arn() == session)?;
        if session.expires <= self.clock.now() {
            return Some(Decision {
                verdict: Verdict::ImplicitDeny,
                layer: Layer::Session,
            });
        }
        let side = self.side_of(action, resource, &session.account);
        let region = self.estate.region.clone();
        let standing = self.standing(
            Principal::Session(session),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            &region,
        );
        Some(standing.decide(action, resource, &[], Some(side)))
    }

    /// The owner and policy of a resource, found by its ARN.
    fn side_of(&self, action: &str, resource: &str, own_account: &str) -> ResourceSide {
        let bucket = resource
            .strip_prefix("arn:aws:s3:::")
            .map(|rest| rest.split('/').next().unwrap_or(rest));
        if let Some(bucket) = bucket {
            return self
                .storage
                .side_of(bucket)
                .unwrap_or_else(|| ResourceSide {
                    account: own_account.to_owned(),
                    policy: None,
                    must_allow: false,
                });
        }
        let directory = self.directory.read();
        let is_sts = action.to_lowercase().starts_with("sts:");
        let trust = directory
            .enforced_role(resource, self.clock.now())
            .filter(|_| is_sts)
            .map(|(_, rules)| rules.trust.clone());
        ResourceSide {
            account: account_of(resource)
                .filter(|account| !account.is_empty())
                .unwrap_or(own_account)
                .to_owned(),
            must_allow: trust.is_some(),
            policy: trust,
        }
    }

    /// Back to the estate, with an empty journal and no offsets.
    pub(crate) fn reset(&self) -> Result<(), EstateError> {
        self.faults.clear();
        self.clock.set_offset_seconds(0);
        self.clock.set_wire_offset_seconds(0);
        self.populate()?;
        self.journal.clear();
        Ok(())
    }
}
