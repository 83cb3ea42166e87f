//! Submitting a request: decide, record the intent, call, record the answer, and only then give.

use core::time::Duration;

use futures_util::future::join_all;

use super::Core;
use super::draft::{Draft, DraftLease};
use super::uses::Uses;
use crate::audit::{Entry, Event};
use crate::books::{Posted, Record, Recorded, Step};
use crate::credential::{Credential, Elevation};
use crate::decision::{Decision, Question, Verdict};
use crate::fault::Fault;
use crate::id::{RequestId, ResourceName};
use crate::lease::{self, Active, Elevating, End, intend};
use crate::ledger::{Budget, CommitError, OnceUse, Owner, Share, Transaction};
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::request::{self, Granting, Quorum, Submitted};
use crate::scope::{SCOPES_MAX, Scope};
use crate::standing::Standing;
use crate::time::Timestamp;

/// How long people may take to answer.
const APPROVAL_TIME: Duration = Duration::from_secs(30 * 60);
/// The longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 64;
/// How often another slot is chosen because somebody was faster.
const SLOT_TRIES: u32 = 8;

/// What a job asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub principal: Principal,
    /// For what: 1 to 16 scopes.
    pub scopes: Vec<Scope>,
    /// For how long, in seconds; the default when absent.
    pub ttl_seconds: Option<u32>,
    /// Why, in the job's own words.
    pub reason: String,
    /// The client's name for this wish: asked again under the same name, it is the same request.
    pub idempotency_key: String,
}

/// What became of a request.
#[derive(Debug)]
pub enum Submission {
    /// Every lease is active, and here are its credentials. They exist nowhere else.
    Granted {
        /// The request.
        request: RequestId,
        /// What the policy said.
        decision: Decision,
        /// Its leases, each with its credential.
        leases: Vec<(Recorded<Active>, Credential)>,
    },
    /// A person must say yes first.
    Pending {
        /// The request.
        request: RequestId,
        /// What the policy said.
        decision: Decision,
    },
    /// The same wish was submitted before. Its credentials were given to whoever asked first;
    /// renewing a lease gives new ones.
    Repeated {
        /// The request.
        request: RequestId,
    },
}

impl Core {
    /// Submits a request.
    ///
    /// # Errors
    /// A [`Refusal`] with its code: bad input, a denial, a replay, a full budget, a cloud's fault,
    /// or a ledger that cannot be used. After any of them no privilege is left in the job's hands.
    pub async fn submit(&self, ask: Ask) -> Result<Submission, Refusal> {
        let ttl_seconds = self.check(&ask)?;
        let uses = Uses::of(&ask);
        if let Some(earlier) = self.asked_before(&ask, &uses).await? {
            return Ok(earlier);
        }
        let now = self.clock.now();
        let draft = self.draft(&ask, ttl_seconds).await?;
        let decision = self.policy.decide(&Question {
            principal: &ask.principal,
            wanted: &draft.wanted,
            ttl: Duration::from_secs(u64::from(ttl_seconds)),
            reason: &ask.reason,
            guarantees: draft.guarantees().as_ref(),
        });
        let submitted = submitted(&ask, &draft, &decision, now);
        match decision.verdict {
            Verdict::Deny => self.deny(&ask, submitted, &uses, draft.id, decision).await,
            Verdict::NeedsApproval => {
                self.park(&ask, submitted, &uses, draft.id, decision, now)
                    .await
            }
            Verdict::Allow => {
                self.grant(ask, submitted, &uses, draft, decision, now)
                    .await
            }
        }
    }

    /// Submits what is decided already: what an operator does, about whom no policy is asked. All
    /// else that keeps a job from a lease keeps an operator from it.
    pub(super) async fn submit_decided(
        &self,
        ask: Ask,
        decision: Decision,
    ) -> Result<Submission, Refusal> {
        let ttl_seconds = self.check(&ask)?;
        let uses = Uses::of(&ask);
        let now = self.clock.now();
        let draft = self.draft(&ask, ttl_seconds).await?;
        let submitted = submitted(&ask, &draft, &decision, now);
        self.grant(ask, submitted, &uses, draft, decision, now)
            .await
    }

    fn check(&self, ask: &Ask) -> Result<u32, Refusal> {
        let limits = &self.limits;
        let ttl = ask.ttl_seconds.unwrap_or(limits.ttl_seconds_default);
        let mut distinct = ask.scopes.clone();
        distinct.sort();
        distinct.dedup();
        if ask.scopes.is_empty() || ask.scopes.len() > SCOPES_MAX {
            let seen = ask.scopes.len();
            return Err(bad(format!(
                "{seen} scopes were asked for: expected 1 to {SCOPES_MAX}"
            )));
        }
        if distinct.len() < ask.scopes.len() {
            return Err(bad("a scope is named twice".to_owned()));
        }
        if !(limits.ttl_seconds_min..=limits.ttl_seconds_max).contains(&ttl) {
            let (least, most) = (limits.ttl_seconds_min, limits.ttl_seconds_max);
            return Err(bad(format!(
                "a time of {ttl} s was asked for: expected {least} to {most} s"
            )));
        }
        if ask.reason.chars().count() > limits.reason_length_max {
            let most = limits.reason_length_max;
            return Err(bad(format!("the reason is longer than {most} characters")));
        }
        let key = &ask.idempotency_key;
        let plain = key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LENGTH_MAX || !plain {
            return Err(bad(format!(
                "the idempotency key must be 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} of `A-Z a-z 0-9 - _`"
            )));
        }
        Ok(ttl)
    }

    /// Finds out whether the token or the idempotency key was used before.
    async fn asked_before(&self, ask: &Ask, uses: &Uses) -> Result<Option<Submission>, Refusal> {
        let ledger = self.books.ledger();
        for key in [&uses.token, &uses.wish] {
            if let Some(earlier) = ledger.once(key).await? {
                return self.judge_repeat(ask, uses, earlier).await.map(Some);
            }
        }
        Ok(None)
    }

    /// The same token, key and wish are the same request; anything else is a replay.
    async fn judge_repeat(
        &self,
        ask: &Ask,
        uses: &Uses,
        earlier: OnceUse,
    ) -> Result<Submission, Refusal> {
        let same_key = earlier.bound_to == ask.principal.key;
        if same_key && earlier.asked == uses.asked {
            return Ok(Submission::Repeated {
                request: earlier.request,
            });
        }
        // The name of a wish is keyed by its job. Under another key it is the same job in another
        // process, and no token was presented twice.
        if earlier.key == uses.wish {
            return Err(Refusal::new(
                "idempotency_conflict",
                "this idempotency key was used for another request of this job",
            )
            .about(earlier.request));
        }
        let entry = Entry::new(self.clock.now(), Event::TokenReplayed)
            .request(earlier.request)
            .field("token", &uses.token.0)
            .field("bound_to", &earlier.bound_to)
            .field("presented_by", &ask.principal.key)
            .field("job", ask.principal.job.describe());
        self.books
            .note(Transaction {
                entries: vec![entry],
                ..Transaction::default()
            })
            .await?;
        Err(Refusal::new(
            "token_replayed",
            "this token was used before: ask the CI for a fresh one",
        )
        .logged(format!(
            "a token of {} was presented again, by key {}; it was first used with key {}",
            ask.principal.job.describe(),
            ask.principal.key,
            earlier.bound_to
        )))
    }

    /// What a commit that uses the token up has come to. Somebody may have presented the same one
    /// between our look and our commit.
    async fn not_recorded(
        &self,
        ask: &Ask,
        uses: &Uses,
        error: CommitError,
    ) -> Result<Submission, Refusal> {
        if let CommitError::Replayed(earlier) = error {
            self.judge_repeat(ask, uses, earlier).await
        } else {
            Err(error.into())
        }
    }

    async fn deny(
        &self,
        ask: &Ask,
        submitted: Submitted,
        uses: &Uses,
        id: RequestId,
        decision: Decision,
    ) -> Result<Submission, Refusal> {
        let also = uses.transaction(id);
        if let Err(error) = self.books.record_with(submitted.denied(), also).await {
            return self.not_recorded(ask, uses, error).await;
        }
        let told = decision.reasons.first().cloned();
        let refusal = Refusal {
            reasons: decision.reasons,
            rules: decision.rules,
            logged: decision.notes.join("; "),
            ..Refusal::new(
                "denied",
                told.unwrap_or_else(|| "no rule allows this".to_owned()),
            )
        };
        Err(refusal.about(id))
    }

    async fn park(
        &self,
        ask: &Ask,
        submitted: Submitted,
        uses: &Uses,
        id: RequestId,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Submission, Refusal> {
        let quorum = Quorum {
            people: 1,
            answer_by: now.plus(APPROVAL_TIME),
        };
        let also = uses.transaction(id);
        if let Err(error) = self
            .books
            .record_with(submitted.pending(quorum), also)
            .await
        {
            return self.not_recorded(ask, uses, error).await;
        }
        Ok(Submission::Pending {
            request: id,
            decision,
        })
    }

    /// Records the intents, calls the clouds, and records what they answered.
    async fn grant(
        &self,
        ask: Ask,
        submitted: Submitted,
        uses: &Uses,
        mut draft: Draft,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Submission, Refusal> {
        let standing = self.books.standing_as_known().await?;
        let mut tries = 0;
        let (granting, intents) = loop {
            let intended = self.intend(&ask, submitted.clone(), &draft, &standing, now)?;
            let mut also = uses.transaction(draft.id);
            also.budgets = self.budgets(&draft.owner);
            also.budgets.extend(draft.lanes()?);
            match self.recorded_under(intended, also, &standing).await {
                Ok(recorded) => break recorded,
                // Somebody was faster, and nothing was recorded: on another slot, then.
                Err(CommitError::OverBudget(budget))
                    if tries < SLOT_TRIES && draft.is_slot(&budget) =>
                {
                    tries += 1;
                    draft = self.planned_again(&ask, draft, &budget).await?;
                }
                Err(error) => return self.not_recorded(&ask, uses, error).await,
            }
        };
        let answers = join_all(intents.into_iter().map(|intent| self.mint(intent))).await;
        self.answer(granting, decision, answers).await
    }

    /// The request and its intents, to be recorded together.
    fn intend(
        &self,
        ask: &Ask,
        submitted: Submitted,
        draft: &Draft,
        standing: &Posted<Standing>,
        now: Timestamp,
    ) -> Result<(Step<Granting>, Vec<Step<Elevating>>), Refusal> {
        let absolute_end = now.plus(Duration::from_secs(u64::from(draft.ttl_seconds)));
        let mut answer_by = now;
        let mut intents = Vec::new();
        for DraftLease {
            part,
            plan,
            no_slot,
        } in &draft.leases
        {
            let plan = plan.clone()?;
            no_slot.clone().map_or(Ok(()), Err)?;
            let scopes = part.wanted.iter().map(|wanted| wanted.scope.clone());
            let scopes: Vec<Scope> = scopes.collect();
            let is_named = |scope: &Scope, name: &ResourceName| self.is_named(scope, name);
            let says = &standing.says;
            says.permits(&ask.principal, &plan, &scopes, is_named, now)?;
            self.looked_back.permits(&part.target)?;
            let waits_until = self.answer_by(&plan, now);
            answer_by = answer_by.max(waits_until);
            intents.push(intend(lease::Terms {
                id: part.lease,
                request: draft.id,
                handle: self.stamp.handle(part.lease),
                owner: draft.owner.clone(),
                key: ask.principal.key.clone(),
                scopes,
                plan,
                ttl_seconds: draft.ttl_seconds.min(self.limits.window_seconds),
                intended_at: now,
                answer_by: waits_until,
                absolute_end,
            }));
        }
        let leases = draft.leases.iter().map(|lease| lease.part.lease).collect();
        let request = submitted.allowed(leases, answer_by, absolute_end);
        Ok((request, intents))
    }

    /// Records what leads to a mint, if the standing orders still say what permitted it.
    pub(super) async fn recorded_under<R: Record>(
        &self,
        record: R,
        mut also: Transaction,
        standing: &Posted<Standing>,
    ) -> Result<R::Recorded, CommitError> {
        also.sheets_unchanged.push(standing.at());
        let recorded = self.books.record_with(record, also).await;
        if let Err(CommitError::Moved(_)) = &recorded {
            // Whoever asks again is judged by what they say now.
            let read = self.books.standing().await;
            read.map_err(|error| CommitError::Unavailable(error.to_string()))?;
        }
        recorded
    }

    async fn mint(&self, intent: Recorded<Elevating>) -> Answer {
        match self.adapter(&intent.terms().plan.lane.target) {
            Ok(adapter) => {
                let result = adapter.elevate(&intent).await;
                (intent, result)
            }
            Err(refusal) => {
                let fault = Fault {
                    kind: crate::fault::FaultKind::Permanent,
                    code: "no_adapter",
                    told: refusal.told,
                    logged: refusal.logged,
                };
                (intent, Err(fault))
            }
        }
    }

    /// All or nothing: credentials are handed over only when every lease is active in the ledger.
    async fn answer(
        &self,
        granting: Recorded<Granting>,
        decision: Decision,
        answers: Vec<Answer>,
    ) -> Result<Submission, Refusal> {
        let now = self.clock.now();
        let request = granting.terms().id;
        if let Some(fault) = answers
            .iter()
            .find_map(|(_, answer)| answer.as_ref().err())
            .cloned()
        {
            return Err(self
                .take_back(granting, answers, &fault, now)
                .await
                .about(request));
        }
        let mut steps = Vec::new();
        let mut credentials = Vec::new();
        for (intent, answer) in answers {
            if let Ok(elevation) = answer {
                steps.push(intent.granted(&elevation, now));
                credentials.push(elevation.credential);
            }
        }
        // If this commit fails the credentials are dropped here, unseen by anybody, and the
        // intents are found and revoked by the reconciler.
        let (_, leases) = self.books.record((granting.granted(), steps)).await?;
        let leases = leases.into_iter().zip(credentials).collect();
        Ok(Submission::Granted {
            request,
            decision,
            leases,
        })
    }

    async fn take_back(
        &self,
        granting: Recorded<Granting>,
        answers: Vec<Answer>,
        fault: &Fault,
        now: Timestamp,
    ) -> Refusal {
        let (mut over, mut revoking, mut refusal) = (Vec::new(), Vec::new(), None);
        for (intent, answer) in answers {
            if let Err(fault) = &answer {
                let stopped = self.stopped_by(&intent.terms().plan.lane, fault).await;
                refusal.get_or_insert(stopped);
            }
            match answer.map_err(Fault::nothing_happened) {
                Ok(elevation) => revoking.push(intent.unusable(&elevation, End::PeerFailed, now)),
                Err(Ok(proof)) => over.push(intent.never_granted(&proof, now)),
                Err(Err(ambiguous)) => revoking.push(intent.doubted(&ambiguous, now)),
            }
        }
        let stopped = refusal.unwrap_or_else(|| Refusal::of_fault(fault));
        let closed = granting.not_granted(fault.code, now);
        if let Err(error) = self.books.record((closed, over, revoking)).await {
            // The intents stay as they are; they fall due and are doubted.
            let refusal = Refusal::from(error);
            return Refusal {
                logged: format!("{}; {}", stopped.logged, refusal.logged),
                ..refusal
            };
        }
        stopped
    }

    fn budgets(&self, owner: &Owner) -> Vec<Budget> {
        let limits = &self.limits;
        vec![
            Budget {
                share: Share::Job(owner.job.clone()),
                leases_max: limits.leases_per_job_max,
            },
            Budget {
                share: Share::Repository(owner.repository.clone()),
                leases_max: limits.leases_per_repository_max,
            },
            Budget {
                share: Share::Tenant(owner.tenant.clone()),
                leases_max: limits.leases_per_tenant_max,
            },
        ]
    }
}

type Answer = (Recorded<Elevating>, Result<Elevation, Fault>);

fn submitted(ask: &Ask, draft: &Draft, decision: &Decision, now: Timestamp) -> Submitted {
    Submitted::new(request::Terms {
        id: draft.id,
        principal: ask.principal.clone(),
        owner: draft.owner.clone(),
        scopes: ask.scopes.clone(),
        ttl_seconds: draft.ttl_seconds,
        reason: ask.reason.clone(),
        submitted_at: now,
        decision: decision.clone(),
    })
}

fn bad(told: String) -> Refusal {
    Refusal::new("bad_request", told)
}
