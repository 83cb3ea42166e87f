//! One account and the policies around it, as far as lending it and taking it back need them: what
//! a lease does in the cloud, without HTTP and without a runtime, so that tests can let everything
//! go wrong around it.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::fault::Fault;
use jitney_core::handle::Handle;
use jitney_core::time::Timestamp;

use crate::capability::TokenScope;
use crate::entitlement::Entitlement;
use crate::grant::Grant;
use crate::names::{EntitlementName, PolicyName};
use crate::notes::Note;
use crate::policy::{Binding, Which};
use crate::stamp::{Described, Stamp};

/// An account as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) enabled: bool,
    pub(crate) described: Described,
}

/// A token as Google gave it. It is handed to the job that was granted it and kept nowhere.
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) expires_at: Timestamp,
}

/// How fresh a policy must be that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As it is now.
    Now,
    /// As it was of late: somebody may have looked at it for another account.
    OfLate,
}

/// An account, its policies, and the time that passes meanwhile.
pub(crate) trait Slot: Sync {
    /// The account, for the log.
    fn name(&self) -> &str;

    /// The policies that leases of this target may have bindings in.
    fn known(&self) -> &BTreeSet<PolicyName>;

    /// The broker's clock.
    fn now(&self) -> Timestamp;

    /// Google's clock at least, if it was looked at of late.
    fn cloud_now(&self) -> Option<Timestamp>;

    /// Whether the clocks agree well enough to mint.
    fn clocks_agree(&self) -> Result<(), Fault>;

    /// Google's clock at most.
    fn cloud_latest(&self) -> Option<Timestamp>;

    /// Waits.
    fn rest(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Notes what a lease's elevation met, for whoever asks afterwards.
    fn note(&self, lease: &Handle, note: Note) {
        let _ = (lease, note);
    }

    /// Looks at the account. Nothing when there is none.
    fn look(&self) -> impl Future<Output = Result<Option<Seen>, Fault>> + Send;

    /// Writes a stamp on it, or takes it off.
    fn describe(&self, stamp: Option<&Stamp>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Enables it.
    fn enable(&self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Disables it.
    fn disable(&self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Whether a policy would take a binding, as far as can be seen.
    fn would_bind(
        &self,
        on: &PolicyName,
        binding: &Binding,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Adds a binding to a policy, unless it is past a moment.
    fn bind(
        &self,
        on: &PolicyName,
        binding: &Binding,
        by: Timestamp,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Removes the account's bindings of ours from a policy, and reads back that they are gone.
    /// Gives the leases whose bindings were there.
    fn unbind(
        &self,
        on: &PolicyName,
        which: &Which,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Vec<Handle>, Fault>> + Send;

    /// The entitlements of which the account can have grants, as it is configured.
    fn entitlements(&self) -> &BTreeSet<EntitlementName>;

    /// Reads an entitlement.
    fn entitlement(
        &self,
        name: &EntitlementName,
    ) -> impl Future<Output = Result<Entitlement, Fault>> + Send;

    /// The account's grants of an entitlement that are not over, whoever asked in its name.
    fn open_grants(
        &self,
        of: &EntitlementName,
    ) -> impl Future<Output = Result<Vec<Grant>, Fault>> + Send;

    /// A grant as it is now.
    fn grant(
        &self,
        grant: &Grant,
        of: &EntitlementName,
    ) -> impl Future<Output = Result<Grant, Fault>> + Send;

    /// Asks for a grant with the account's own token.
    fn ask(
        &self,
        of: &EntitlementName,
        handle: &Handle,
        seconds: u64,
        token: &Token,
    ) -> impl Future<Output = Result<Grant, Fault>> + Send;

    /// Begins to take a grant back.
    fn end_grant(&self, grant: &Grant) -> impl Future<Output = Result<(), Fault>> + Send;

    /// A role that the project's policy gives the account, under whatever condition.
    fn bound_to(
        &self,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send;

    /// Mints a token.
    fn mint(
        &self,
        scopes: &BTreeSet<TokenScope>,
        seconds: u32,
    ) -> impl Future<Output = Result<Token, Fault>> + Send;
}

/// Whether a moment is over, by our clock and by Google's.
pub(crate) fn is_past<S: Slot>(slot: &S, moment: Timestamp) -> bool {
    slot.now() > moment && slot.cloud_now().is_some_and(|now| now > moment)
}
