//! Writes the leases of a stage down, so that an adapter can be called at all: what it takes is
//! made by the books alone. The scribe is what a broker is to an adapter, with every step taken by
//! hand.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use jitney_core::adapter::{Adapter, Hand};
use jitney_core::books::{Books, FoundLease, Recorded};
use jitney_core::catalogue::{Catalogue, Inventory, Wanted};
use jitney_core::credential::Elevation;
use jitney_core::decision::{Decide, Decision, PolicyDigest, Question, Verdict};
use jitney_core::evidence::{Evidence, Hold, Revocation};
use jitney_core::fault::Fault;
use jitney_core::handle::StampKey;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::lease::{
    self, Active, Elevating, End, Ended, Life, Looked, Outcome, Revoking, Terms,
};
use jitney_core::ledger::{Budget, Ledger, Owner, Share, Transaction};
use jitney_core::plan::{LaneId, Order};
use jitney_core::principal::{Job, JobKey, KeyThumbprint};
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Untold};
use jitney_core::time::{Clock, Timestamp};
use jitney_core::usecase::{Core, Limits, LookedBack, Slots};

use super::{Revealed, StageClock};

/// How long an intent waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a lease lives unless the stage wants it otherwise. Short: the laws end it long before.
const TTL_SECONDS: u32 = 900;
/// How many times its life a lease may live, renewals included.
const LIVES_MAX: u32 = 4;
/// How often a lease under revocation is looked at before a law gives up on it.
pub(super) const LOOKS_MAX: usize = 60;
/// The least that is waited from one look to the next.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A lease that was granted, with its credential.
#[derive(Debug)]
pub struct Taken {
    /// The lease.
    pub lease: Recorded<Active>,
    /// What the job holds.
    pub credential: Revealed,
    /// The credential's public name.
    pub fingerprint: String,
    /// When the credential ends by the cloud's word.
    pub expires_at: Timestamp,
    /// The elevation as it is printed.
    pub printed: String,
}

/// A lease that has ended.
#[derive(Debug)]
pub struct Gone {
    /// The lease.
    pub ended: Recorded<Ended>,
    /// What showed it.
    pub evidence: Evidence,
    /// From the first look to the evidence.
    pub took: Duration,
}

/// A policy that allows nothing.
struct AllowsNothing(PolicyDigest);

impl Decide for AllowsNothing {
    fn decide(&self, _question: &Question<'_>) -> Decision {
        Decision {
            verdict: Verdict::Deny,
            rules: Vec::new(),
            reasons: Vec::new(),
            notes: Vec::new(),
            policy: self.0.clone(),
        }
    }

    fn digest(&self) -> &PolicyDigest {
        &self.0
    }
}

/// Writes leases down.
pub struct Scribe {
    ledger: Arc<dyn Ledger>,
    books: Books,
    stamp: StampKey,
    clock: Arc<dyn StageClock>,
    job: Job,
    ttl_seconds: u32,
}

impl Scribe {
    /// A scribe with a ledger of its own.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        stamp: StampKey,
        clock: Arc<dyn StageClock>,
        job: Job,
    ) -> Self {
        Self {
            books: Books::new(Arc::clone(&ledger), Duration::from_secs(45)),
            ledger,
            stamp,
            clock,
            job,
            ttl_seconds: TTL_SECONDS,
        }
    }

    /// The same, with leases that live so long: longer than what a cloud takes its time for, or
    /// they end by themselves before a law has ended them.
    #[must_use]
    pub fn with_leases_of(mut self, ttl_seconds: u32) -> Self {
        self.ttl_seconds = ttl_seconds;
        self
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Comes back once this much time has passed by the stage's clock.
    pub async fn pass(&self, time: Duration) {
        self.clock.pass(time).await;
    }

    /// Comes back when one of these wants to be looked at again.
    pub async fn until_due(&self, leases: &[Recorded<Revoking>]) {
        let due = leases.iter().map(|lease| lease.look_again()).min();
        let pause = due.map_or(LOOK_PAUSE, |due| due.since(self.now()));
        self.pass(pause.max(LOOK_PAUSE)).await;
    }

    /// The job that asks.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// A broker's core on the stage's own ledger and clock, for an adapter and what is wanted of
    /// it. Its policy allows nothing: what needs one is the business of other tests.
    ///
    /// # Errors
    /// When the secret of its stamp is none.
    pub fn core(&self, adapter: Arc<dyn Adapter>, wanted: &Wanted) -> Result<Core, String> {
        let Wanted {
            scope,
            resource,
            meaning,
        } = wanted.clone();
        let pulse = Pulse::default();
        pulse.ready(self.now());
        let limits = Limits {
            window_seconds: self.ttl_seconds,
            ..Limits::default()
        };
        let target = resource.target.clone();
        Ok(Core {
            books: Books::new(Arc::clone(&self.ledger), self.books.silence()),
            adapters: BTreeMap::from([(target.clone(), adapter)]),
            policy: Arc::new(AllowsNothing(PolicyDigest("00".repeat(32)))),
            inventory: Inventory::new(BTreeMap::from([(scope.resource, resource)])),
            catalogue: Catalogue(BTreeMap::from([(scope.capability, meaning)])),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            // The names of its leases need not be the scribe's.
            stamp: StampKey::new("stage".parse().map_err(|_| "no name")?, &[9; 32])
                .ok_or("no secret")?,
            limits,
            pulse,
            lanes: Lanes::of(RequestId::fresh().to_string()),
            slots: Slots::default(),
            looked_back: LookedBack::at([&target]),
            untold: Untold::default(),
        })
    }

    /// The books.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// Makes the terms of a lease, on a slot that is free where there are slots.
    ///
    /// # Errors
    /// When the adapter cannot plan it, or no slot is free.
    pub async fn terms(&self, adapter: &dyn Adapter, wanted: &[Wanted]) -> Result<Terms, String> {
        let slot = match adapter.slots(wanted).as_slice() {
            [] => None,
            slots => Some(self.free(slots).await?),
        };
        self.terms_on(adapter, wanted, slot.as_ref())
    }

    /// Makes the terms of a lease on a slot.
    ///
    /// # Errors
    /// When the adapter cannot plan it.
    pub fn terms_on(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
        slot: Option<&LaneId>,
    ) -> Result<Terms, String> {
        let id = LeaseId::fresh();
        let handle = self.stamp.handle(id);
        let first = wanted.first().ok_or("nothing is wanted")?;
        let (ttl, lasts) = self.times();
        let plan = adapter
            .plan(&Order {
                wanted,
                target: &first.resource.target,
                ttl,
                lasts,
                slot,
                handle: &handle,
                job: &self.job,
            })
            .map_err(|cannot| format!("{}: {}", cannot.code, cannot.logged))?;
        let now = self.now();
        let asked = Duration::from_secs(plan.answers_within_seconds.into());
        Ok(Terms {
            id,
            request: RequestId::fresh(),
            handle,
            owner: Owner {
                job: JobKey::from_parts(["stage"]).as_str().to_owned(),
                repository: "stage".to_owned(),
                tenant: "stage".to_owned(),
            },
            key: KeyThumbprint("stage".to_owned()),
            scopes: wanted.iter().map(|wanted| wanted.scope.clone()).collect(),
            plan,
            ttl_seconds: self.ttl_seconds,
            intended_at: now,
            answer_by: now.plus(ANSWER_WITHIN.max(asked)),
            absolute_end: now.plus(lasts),
        })
    }

    /// How long a lease lives from one grant to the next, and how long at most.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let ttl = Duration::from_secs(self.ttl_seconds.into());
        (ttl, ttl.saturating_mul(LIVES_MAX))
    }

    async fn free(&self, slots: &[LaneId]) -> Result<LaneId, String> {
        for slot in slots {
            let open = self.books.lane(slot, Timestamp::FAR_FUTURE).await;
            let open = open.map_err(|error| error.to_string())?;
            if open.leases.is_empty() && open.holds.is_empty() {
                return Ok(slot.clone());
            }
        }
        Err(format!("none of {} slots is free", slots.len()))
    }

    /// Records an intent.
    ///
    /// # Errors
    /// When it cannot be planned or recorded.
    pub async fn intend(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
    ) -> Result<Recorded<Elevating>, String> {
        let terms = self.terms(adapter, wanted).await?;
        self.record_intent(terms).await
    }

    /// Records an intent whose call must leave by `answer_by`.
    ///
    /// # Errors
    /// When it cannot be planned or recorded.
    pub async fn intend_by(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
        answer_by: Timestamp,
    ) -> Result<Recorded<Elevating>, String> {
        let terms = Terms {
            answer_by,
            ..self.terms(adapter, wanted).await?
        };
        self.record_intent(terms).await
    }

    /// Records an intent on a slot.
    ///
    /// # Errors
    /// When it cannot be planned or recorded: a slot is used, or in quarantine.
    pub async fn intend_on(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
        slot: &LaneId,
    ) -> Result<Recorded<Elevating>, String> {
        let terms = self.terms_on(adapter, wanted, Some(slot))?;
        self.record_intent(terms).await
    }

    /// Records an intent on a slot as a ledger does that has forgotten what the slot carries.
    ///
    /// # Errors
    /// When it cannot be planned or recorded.
    pub async fn intend_forgetting(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
        slot: &LaneId,
    ) -> Result<Recorded<Elevating>, String> {
        let terms = self.terms_on(adapter, wanted, Some(slot))?;
        self.record(lease::intend(terms)).await
    }

    /// As a broker does, in one transaction with the room that the plan says its lane has.
    async fn record_intent(&self, terms: Terms) -> Result<Recorded<Elevating>, String> {
        let room = Transaction {
            budgets: vec![Budget {
                share: Share::Lane(terms.plan.lane.clone()),
                leases_max: terms.plan.lane_capacity,
            }],
            ..Transaction::default()
        };
        let recorded = self.books.record_with(lease::intend(terms), room).await;
        recorded.map_err(|error| error.to_string())
    }

    /// Records that an intent was granted and, at once, that it is renewed without more time to
    /// ask than it had.
    ///
    /// # Errors
    /// When any of it cannot be recorded.
    pub async fn granted_and_raised(
        &self,
        intent: Recorded<Elevating>,
        elevation: &Elevation,
    ) -> Result<Recorded<Active>, String> {
        let now = self.now();
        let active = self.record(intent.granted(elevation, now)).await?;
        let renewing = active.renewing(now, Life::Proved, now);
        self.record(renewing.map_err(|(_, cannot)| cannot.to_string())?)
            .await
    }

    /// Records an intent, has it granted, and records that.
    ///
    /// # Errors
    /// When any of it does not go through.
    pub async fn take(&self, adapter: &dyn Adapter, wanted: &[Wanted]) -> Result<Taken, String> {
        let intent = self.intend(adapter, wanted).await?;
        self.granted(adapter, intent).await
    }

    /// The same on a slot.
    ///
    /// # Errors
    /// When any of it does not go through.
    pub async fn take_on(
        &self,
        adapter: &dyn Adapter,
        wanted: &[Wanted],
        slot: &LaneId,
    ) -> Result<Taken, String> {
        let intent = self.intend_on(adapter, wanted, slot).await?;
        self.granted(adapter, intent).await
    }

    async fn granted(
        &self,
        adapter: &dyn Adapter,
        intent: Recorded<Elevating>,
    ) -> Result<Taken, String> {
        let elevation = adapter.elevate(&intent).await.map_err(told)?;
        let granted = intent.granted(&elevation, self.now());
        Ok(taken(self.record(granted).await?, elevation))
    }

    /// Records that a lease is prolonged, and has it renewed.
    ///
    /// # Errors
    /// When any of it does not go through.
    pub async fn renew(&self, adapter: &dyn Adapter, taken_before: Taken) -> Result<Taken, String> {
        let now = self.now();
        let renewing = taken_before
            .lease
            .renewing(now.plus(ANSWER_WITHIN), Life::Proved, now);
        let lease = self
            .record(renewing.map_err(|(_, cannot)| cannot.to_string())?)
            .await?;
        let elevation = adapter.renew(&lease).await.map_err(told)?;
        Ok(taken(lease, elevation))
    }

    /// Records that a lease ends.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn ending(&self, lease: Recorded<Active>) -> Result<Recorded<Revoking>, String> {
        self.record(lease.ending(End::Released, self.now())).await
    }

    /// Records that nobody knows what became of an intent.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn doubted(
        &self,
        intent: Recorded<Elevating>,
        fault: &Fault,
    ) -> Result<Recorded<Revoking>, String> {
        self.record(intent.doubted(fault, self.now())).await
    }

    /// Looks once at leases under revocation, and records what was found. Gives those that are
    /// over and those that are not.
    ///
    /// # Errors
    /// When the adapter stumbles, or it cannot be recorded.
    pub async fn look(
        &self,
        adapter: &dyn Adapter,
        hand: Hand,
        leases: Vec<Recorded<Revoking>>,
        holds: &[Hold],
    ) -> Result<(Vec<Recorded<Ended>>, Vec<Recorded<Revoking>>), String> {
        let lane = leases.first().ok_or("no lease to look at")?;
        let lane = lane.terms().plan.lane.clone();
        let found = adapter.revoke(&lane, hand, &leases, holds).await;
        let mut found = found.map_err(told)?.leases;
        let (mut over, mut again) = (Vec::new(), Vec::new());
        for lease in leases {
            let id = lease.terms().id;
            let revocation: Revocation = found
                .remove(&id)
                .ok_or_else(|| format!("{id} was not answered for"))?
                .map_err(told)?;
            match lease.looked(revocation, self.now()) {
                Looked::Over(step) => over.push(self.record(step).await?),
                Looked::Again(step) => again.push(self.record(step).await?),
            }
        }
        Ok((over, again))
    }

    /// Looks at one lease until it is over.
    ///
    /// # Errors
    /// When the adapter stumbles, or comes to no end.
    pub async fn end(
        &self,
        adapter: &dyn Adapter,
        hand: Hand,
        lease: Recorded<Revoking>,
    ) -> Result<Gone, String> {
        let began = self.now();
        let lane = lease.terms().plan.lane.clone();
        let mut leases = vec![lease];
        for _ in 0..LOOKS_MAX {
            let holds = self.holds(&lane).await?;
            let (mut over, again) = self.look(adapter, hand, leases, &holds).await?;
            if let Some(ended) = over.pop() {
                let took = self.now().since(began);
                return gone(ended, took);
            }
            self.until_due(&again).await;
            leases = again;
        }
        Err(format!("no evidence after {LOOKS_MAX} looks"))
    }

    /// Waits until nothing in a slot need be held any more, and lets go of its holds as a broker
    /// does: once the adapter has brought the slot to a state without them.
    ///
    /// # Errors
    /// When the adapter stumbles, or it cannot be recorded.
    pub async fn until_free(
        &self,
        adapter: &dyn Adapter,
        hand: Hand,
        slot: &LaneId,
    ) -> Result<(), String> {
        let spent = self.holds(slot).await?;
        if let Some(until) = spent.iter().map(|hold| hold.until).max() {
            // A broker reads a slot back while it is held.
            for left in [until.since(self.now()), Duration::ZERO] {
                let pass = adapter.revoke(slot, hand, &[], &spent).await;
                pass.map_err(told)?;
                self.pass(left).await;
            }
        }
        let pass = adapter.revoke(slot, hand, &[], &[]).await.map_err(told)?;
        if pass.unreached {
            return Err(format!("slot `{slot}` could not be brought to rest"));
        }
        let dropped = Transaction {
            holds_dropped: spent,
            ..Transaction::default()
        };
        let noted = self.books.note(dropped).await;
        noted.map_err(|error| error.to_string())
    }

    /// What is held in a lane.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn holds(&self, lane: &LaneId) -> Result<Vec<Hold>, String> {
        let lane = self.books.lane(lane, self.now()).await;
        Ok(lane.map_err(|error| error.to_string())?.holds)
    }

    /// A lease under revocation as a broker finds it that has just started.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn found(&self, id: LeaseId) -> Result<Recorded<Revoking>, String> {
        match self.books.lease(id).await {
            Ok(Some(FoundLease::Revoking(lease))) => Ok(lease),
            other => Err(format!("{id} is not under revocation: {other:?}")),
        }
    }

    /// All leases under revocation in a lane, as a broker finds them that has just started.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn found_in(&self, lane: &LaneId) -> Result<Vec<Recorded<Revoking>>, String> {
        let lane = self.books.lane(lane, self.now()).await;
        let found = lane.map_err(|error| error.to_string())?.leases;
        let revoking = found.into_iter().filter_map(|lease| match lease {
            FoundLease::Revoking(lease) => Some(lease),
            FoundLease::Doubtful(_) | FoundLease::Active(_) | FoundLease::Ended(_) => None,
        });
        Ok(revoking.collect())
    }

    async fn record<R: jitney_core::books::Record>(
        &self,
        record: R,
    ) -> Result<R::Recorded, String> {
        let recorded = self.books.record(record).await;
        recorded.map_err(|error| error.to_string())
    }
}

fn told(fault: Fault) -> String {
    format!("{:?} {}: {}", fault.kind, fault.code, fault.logged)
}

fn taken(lease: Recorded<Active>, elevation: Elevation) -> Taken {
    let printed = format!("{elevation:?}");
    let expires_at = elevation.credential.expires_at();
    let fields = elevation.credential.reveal_to_job();
    let credential = fields
        .into_iter()
        .map(|(name, value)| (name, value.as_str().to_owned()))
        .collect();
    Taken {
        lease,
        credential,
        fingerprint: elevation.fingerprint,
        expires_at,
        printed,
    }
}

fn gone(ended: Recorded<Ended>, took: Duration) -> Result<Gone, String> {
    match ended.outcome() {
        Outcome::Revoked { evidence, .. } => Ok(Gone {
            evidence: *evidence,
            ended,
            took,
        }),
        other => Err(format!("it ended otherwise: {other:?}")),
    }
}
