//! Probing: whether a cloud accepts a lease's credential now, asked on behalf of whoever holds it.

use futures_util::future::join_all;

use super::{Core, Proof};
use crate::catalogue::{Wanted, resolve};
use crate::credential::Shown;
use crate::id::LeaseId;
use crate::lease::Terms;
use crate::probe::{InForce, Probed};
use crate::refusal::Refusal;

impl Core {
    /// Shows a lease's credential to its cloud once more, for whoever shows that the lease is
    /// theirs. It is the holder's to bring: nothing here has it.
    ///
    /// # Errors
    /// `not_found` when the lease is not the caller's; `lease_ended` when it is over.
    pub async fn probe(
        &self,
        id: LeaseId,
        proof: &Proof,
        shown: &Shown,
    ) -> Result<(Probed, InForce), Refusal> {
        let lease = self.lease(id, proof).await?;
        if lease.state() != "active" {
            return Err(Refusal::new("lease_ended", "the lease is no longer active"));
        }
        let terms = lease.terms();
        let adapter = self.adapter(&terms.plan.lane.target)?;
        let in_force = adapter.in_force(&terms.plan);
        Ok((self.probed(terms, shown).await?, in_force))
    }

    /// What the cloud says of a credential, over all scopes of its lease.
    pub(super) async fn probed(&self, terms: &Terms, shown: &Shown) -> Result<Probed, Refusal> {
        let adapter = self.adapter(&terms.plan.lane.target)?;
        let wanted = self.wanted(terms)?;
        let probes = wanted.iter().map(|it| adapter.probe(terms, it, shown));
        Ok(Probed::of_all(join_all(probes).await))
    }

    /// What a lease was asked for, as inventory and catalogue have it.
    pub(super) fn wanted(&self, terms: &Terms) -> Result<Vec<Wanted>, Refusal> {
        let scopes = terms.scopes.iter();
        let resolved = scopes.map(|scope| resolve(scope, &self.inventory, &self.catalogue));
        Ok(resolved.collect::<Result<_, _>>()?)
    }
}
