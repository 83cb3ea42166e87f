//! What a job may do with a lease it has: show that it lives, renew it, give it back.

use core::time::Duration;

use super::Core;
use crate::books::{FoundLease, FoundRequest, Posted, Recorded};
use crate::catalogue::resolve;
use crate::credential::Credential;
use crate::decision::{Question, Verdict};
use crate::id::{LeaseId, RequestId};
use crate::lease::{Active, End, Life, Terms};
use crate::ledger::{CommitError, OnceUse, Transaction};
use crate::principal::{JobKey, KeyThumbprint, OnceKey};
use crate::refusal::Refusal;
use crate::standing::Standing;
use crate::time::Timestamp;

/// How often a call is tried again when somebody else changed the lease in between.
const ATTEMPTS_MAX: u32 = 4;
/// How old a token may be that proves its job alive.
const PROOF_OF_LIFE: Duration = Duration::from_secs(60);

/// How the caller showed that the lease is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By the key that the lease is bound to.
    Key(KeyThumbprint),
    /// By a fresh CI token of the same job. A CI's post step is another process and has no key.
    Job(JobKey),
}

impl Proof {
    fn shows(&self, terms: &Terms) -> bool {
        match self {
            Self::Key(thumbprint) => terms.key == *thumbprint,
            Self::Job(job) => terms.owner.job == job.as_str(),
        }
    }
}

/// A proof that came with a call. The broker that hears it remembers it; where a call gives
/// something, the ledger does too, or it could be shown to another broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownProof {
    /// What makes it usable once.
    pub once: OnceKey,
    /// Until when it must be remembered.
    pub remember_until: Timestamp,
}

/// What a job learns when it shows that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The lease's state.
    pub state: &'static str,
    /// When it ends unless it is renewed; absent when it is no longer active.
    pub ends_at: Option<Timestamp>,
    /// When the job should be heard again at the latest.
    pub silence: Duration,
}

impl Core {
    /// A lease, for whoever shows that it is theirs.
    ///
    /// # Errors
    /// `not_found` when it is not, or does not exist.
    pub async fn lease(&self, id: LeaseId, proof: &Proof) -> Result<FoundLease, Refusal> {
        let lease = self.books.lease(id).await?.ok_or_else(Refusal::not_found)?;
        if proof.shows(lease.terms()) {
            Ok(lease)
        } else {
            Err(Refusal::not_found())
        }
    }

    /// A request with its leases, for whoever shows that it is theirs.
    ///
    /// # Errors
    /// `not_found` when it is not, or does not exist.
    pub async fn request(
        &self,
        id: RequestId,
        proof: &Proof,
    ) -> Result<(FoundRequest, Vec<FoundLease>), Refusal> {
        let request = self
            .books
            .request(id)
            .await?
            .ok_or_else(Refusal::not_found)?;
        let principal = &request.terms().principal;
        let theirs = match proof {
            Proof::Key(thumbprint) => principal.key == *thumbprint,
            Proof::Job(job) => principal.job.key == *job,
        };
        if !theirs {
            return Err(Refusal::not_found());
        }
        Ok((request, self.books.leases_of(id).await?))
    }

    /// Hears a sign of life.
    ///
    /// # Errors
    /// `not_found` when the lease is not the caller's.
    pub async fn beat(&self, id: LeaseId, proof: &Proof) -> Result<Beat, Refusal> {
        Ok(self.hear(&self.lease(id, proof).await?))
    }

    /// Hears a sign of life of a lease that was [found](Self::lease) for whoever showed that it is
    /// theirs.
    pub fn hear(&self, lease: &FoundLease) -> Beat {
        let ends_at = match lease {
            FoundLease::Active(active) => {
                let (id, written_down) = (active.terms().id, active.alive_at());
                self.pulse.beat(id, written_down, self.clock.now());
                Some(active.ends_at())
            }
            FoundLease::Doubtful(_) | FoundLease::Revoking(_) | FoundLease::Ended(_) => None,
        };
        Beat {
            state: lease.state(),
            ends_at,
            silence: self.books.silence(),
        }
    }

    /// Hears that the job itself lives: its CI minted a token for it at `minted_at`. A token says
    /// that of the moment it was minted, not of the one it arrives, so shown again it says no more.
    ///
    /// # Errors
    /// `not_found` when the lease is not of this job.
    pub async fn prove_life(
        &self,
        id: LeaseId,
        job: &JobKey,
        minted_at: Timestamp,
    ) -> Result<(), Refusal> {
        let lease = self.lease(id, &Proof::Job(job.clone())).await?;
        if matches!(lease, FoundLease::Active(_)) {
            // A CI whose clock is ahead must not prove what is still to come.
            self.pulse.prove(id, minted_at.min(self.clock.now()));
        }
        Ok(())
    }

    fn life(&self, id: LeaseId, now: Timestamp) -> Life {
        let proved_at = self.pulse.proved_at(id);
        if proved_at.is_some_and(|at| now < at.plus(PROOF_OF_LIFE)) {
            Life::Proved
        } else {
            Life::Unproved
        }
    }

    /// Gives a lease back. Doing so again changes nothing.
    ///
    /// # Errors
    /// `not_found` when it is not the caller's; a ledger that cannot be used.
    pub async fn release(&self, id: LeaseId, proof: &Proof) -> Result<FoundLease, Refusal> {
        let lease = self.lease(id, proof).await?;
        Ok(self.end_for_sure(lease, End::Released).await?)
    }

    /// Gives back all leases of a request that was [found](Self::request) for whoever showed that
    /// it is theirs, and shows what has become of them.
    ///
    /// # Errors
    /// A ledger that cannot be used. Then as many leases as possible have been given back.
    pub async fn release_all(&self, leases: Vec<FoundLease>) -> Result<Vec<FoundLease>, Refusal> {
        let mut released = Vec::new();
        for lease in leases {
            // One that cannot be given back now must not keep the others.
            released.push(self.end_for_sure(lease, End::Released).await);
        }
        Ok(released.into_iter().collect::<Result<_, _>>()?)
    }

    /// Ends every lease of a request, for a reason of the broker's own.
    ///
    /// # Errors
    /// A ledger that cannot be used; then the leases fall due and end all the same.
    pub async fn end_request(&self, id: RequestId, why: End) -> Result<(), Refusal> {
        let mut outcome = Ok(());
        for lease in self.books.leases_of(id).await? {
            // One that could not be ended is no reason to leave the others alive.
            let ended = self.end_for_sure(lease, why).await;
            outcome = outcome.and(ended.map(|_| ()));
        }
        Ok(outcome?)
    }

    /// Ends a lease by an operator's order.
    pub(crate) async fn kill_for_sure(&self, id: LeaseId, why: End) -> Result<(), CommitError> {
        let found = self.books.lease(id).await;
        match found.map_err(|error| CommitError::Unavailable(error.to_string()))? {
            Some(lease) => self.end_for_sure(lease, why).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends a lease, also when somebody changes it at the same moment: a renewal that came first
    /// must not keep alive what was to end.
    pub(super) async fn end_for_sure(
        &self,
        lease: FoundLease,
        why: End,
    ) -> Result<FoundLease, CommitError> {
        let id = lease.terms().id;
        let mut ended = self.end(lease, why).await;
        for _ in 1..ATTEMPTS_MAX {
            let Err(CommitError::Conflict(_)) = &ended else {
                break;
            };
            let found = self.books.lease(id).await;
            let found = found.map_err(|error| CommitError::Unavailable(error.to_string()))?;
            let Some(lease) = found else { break };
            ended = self.end(lease, why).await;
        }
        ended
    }

    async fn end(&self, lease: FoundLease, why: End) -> Result<FoundLease, CommitError> {
        let now = self.clock.now();
        let revoking = match lease {
            FoundLease::Active(active) => self.books.record(active.ending(why, now)).await?,
            FoundLease::Doubtful(doubtful) => self.books.record(doubtful.doubted(now)).await?,
            over @ (FoundLease::Revoking(_) | FoundLease::Ended(_)) => return Ok(over),
        };
        self.pulse.forget(revoking.terms().id);
        Ok(FoundLease::Revoking(revoking))
    }

    /// Prolongs a lease: raises its end in the ledger first, then mints again under the same
    /// handle. The policy is asked again with what is known of the job.
    ///
    /// # Errors
    /// `lease_ended`, `at_absolute_end`, `needs_proof_of_life`, `denied`, `try_again` before the
    /// target was looked back at, a cloud's fault, or a ledger that cannot be used. The lease is then as it was, or at worst believed to live longer than it does.
    pub async fn renew(
        &self,
        id: LeaseId,
        proof: &Proof,
    ) -> Result<(Recorded<Active>, Credential), Refusal> {
        self.renew_with(id, proof, None).await
    }

    /// The same, for a caller whose proof must not be shown again, to whichever broker. It is used
    /// up in the commit that a renewal makes anyway.
    ///
    /// # Errors
    /// As [`renew`](Self::renew); `proof_replayed`.
    pub async fn renew_once(
        &self,
        id: LeaseId,
        proof: &Proof,
        shown: &ShownProof,
    ) -> Result<(Recorded<Active>, Credential), Refusal> {
        self.renew_with(id, proof, Some(shown)).await
    }

    async fn renew_with(
        &self,
        id: LeaseId,
        proof: &Proof,
        shown: Option<&ShownProof>,
    ) -> Result<(Recorded<Active>, Credential), Refusal> {
        let FoundLease::Active(active) = self.lease(id, proof).await? else {
            return Err(Refusal::new("lease_ended", "the lease is no longer active"));
        };
        self.still_allowed(&active).await?;
        let standing = self.standing_permits(&active).await?;
        let now = self.clock.now();
        let answer_by = self.answer_by(&active.terms().plan, now);
        let (key, request) = (active.terms().key.clone(), active.terms().request);
        let step = active
            .renewing(answer_by, self.life(id, now), now)
            .map_err(|(_, why)| Refusal::new(why.code(), why.to_string()))?;
        let used = shown.map(|shown| OnceUse {
            key: shown.once.clone(),
            bound_to: key,
            asked: "renewal".to_owned(),
            request,
            remember_until: shown.remember_until,
        });
        let also = Transaction {
            once: used.into_iter().collect(),
            ..Transaction::default()
        };
        let raised = self.recorded_under(step, also, &standing).await;
        let raised = raised.map_err(|error| match error {
            CommitError::Replayed(_) => Refusal::new(
                "proof_replayed",
                "the proof was used before: make one for each call",
            ),
            error => error.into(),
        })?;
        let adapter = self.adapter(&raised.terms().plan.lane.target)?;
        let elevation = match adapter.renew(&raised).await {
            Ok(elevation) => elevation,
            Err(fault) => return Err(self.stopped_by(&raised.terms().plan.lane, &fault).await),
        };
        let expires_at = elevation.credential.expires_at();
        if expires_at > raised.exposed_until {
            let known = raised.exposed_until;
            self.books
                .record(raised.outlived(expires_at, self.clock.now()))
                .await?;
            self.pulse.forget(id);
            let told = "the cloud gave more time than was asked for; the lease is being ended";
            return Err(Refusal::new("not_granted", told).logged(format!(
                "lease {id}: the credential expires at {expires_at}, after {known}"
            )));
        }
        self.pulse.beat(id, raised.alive_at(), self.clock.now());
        Ok((raised, elevation.credential))
    }

    /// The standing orders, if they let a lease be renewed and none can have been forgotten that
    /// says otherwise.
    async fn standing_permits(
        &self,
        lease: &Recorded<Active>,
    ) -> Result<Posted<Standing>, Refusal> {
        let standing = self.books.standing_as_known().await?;
        standing.says.permits_elevating()?;
        let lane = &lease.terms().plan.lane;
        standing.says.permits_in(lane, self.clock.now())?;
        self.looked_back.permits(&lane.target)?;
        Ok(standing)
    }

    async fn still_allowed(&self, lease: &Recorded<Active>) -> Result<(), Refusal> {
        let terms = lease.terms();
        let request = self
            .books
            .request(terms.request)
            .await?
            .ok_or_else(Refusal::not_found)?;
        let asked = request.terms();
        let mut wanted = Vec::new();
        for scope in &asked.scopes {
            wanted.push(resolve(scope, &self.inventory, &self.catalogue)?);
        }
        let decision = self.policy.decide(&Question {
            principal: &asked.principal,
            wanted: &wanted,
            ttl: Duration::from_secs(u64::from(asked.ttl_seconds)),
            reason: &asked.reason,
            guarantees: Some(&terms.plan.guarantees),
        });
        match decision.verdict {
            Verdict::Allow => Ok(()),
            // An approval was given to this request, and what was approved has not changed.
            Verdict::NeedsApproval if asked.decision.verdict == Verdict::NeedsApproval => Ok(()),
            Verdict::Deny | Verdict::NeedsApproval => Err(Refusal {
                reasons: decision.reasons,
                rules: decision.rules,
                logged: decision.notes.join("; "),
                ..Refusal::new(
                    "denied",
                    "the policy has changed and no longer allows this lease",
                )
            }),
        }
    }
}
