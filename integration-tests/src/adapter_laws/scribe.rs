//! Writes the leases of a stage down, so that an adapter can be called at all: what it takes is
//! made by the books alone. The scribe is what a broker is to an adapter, with every step taken by
//! hand.

use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jitney_core::adapter::{Adapter, Hand};
use jitney_core::books::{Books, FoundLease, Recorded};
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Elevation;
use jitney_core::evidence::{Evidence, Hold, Revocation};
use jitney_core::fault::Fault;
use jitney_core::handle::StampKey;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::lease::{
    self, Active, Elevating, End, Ended, Life, Looked, Outcome, Revoking, Terms,
};
use jitney_core::ledger::{Ledger, Owner};
use jitney_core::plan::{LaneId, Order};
use jitney_core::principal::{Job, JobKey, KeyThumbprint};
use jitney_core::time::{Clock, Timestamp};

use super::Revealed;

/// How long an intent waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a lease lives. Short: the laws end it long before.
const TTL_SECONDS: u32 = 900;
/// How often a lease under revocation is looked at before a law gives up on it.
const LOOKS_MAX: usize = 40;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

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

/// Writes leases down.
pub struct Scribe {
    books: Books,
    stamp: StampKey,
    clock: Arc<dyn Clock>,
    job: Job,
}

impl Scribe {
    /// A scribe with a ledger of its own.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, stamp: StampKey, clock: Arc<dyn Clock>, job: Job) -> Self {
        Self {
            books: Books::new(ledger, Duration::from_secs(45)),
            stamp,
            clock,
            job,
        }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The job that asks.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// The books.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// Makes the terms of a lease.
    ///
    /// # Errors
    /// When the adapter cannot plan it.
    pub fn terms(&self, adapter: &dyn Adapter, wanted: &[Wanted]) -> Result<Terms, String> {
        let id = LeaseId::fresh();
        let handle = self.stamp.handle(id);
        let first = wanted.first().ok_or("nothing is wanted")?;
        let plan = adapter
            .plan(&Order {
                wanted,
                target: &first.resource.target,
                ttl: Duration::from_secs(TTL_SECONDS.into()),
                lasts: Duration::from_secs(TTL_SECONDS.into()),
                slot: None,
                handle: &handle,
                job: &self.job,
            })
            .map_err(|cannot| format!("{}: {}", cannot.code, cannot.logged))?;
        let now = self.now();
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
            ttl_seconds: TTL_SECONDS,
            intended_at: now,
            answer_by: now.plus(ANSWER_WITHIN),
            absolute_end: now.plus(Duration::from_secs(3_600)),
        })
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
        let terms = self.terms(adapter, wanted)?;
        self.record(lease::intend(terms)).await
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
            ..self.terms(adapter, wanted)?
        };
        self.record(lease::intend(terms)).await
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
            tokio::time::sleep(Duration::from_millis(150)).await;
            leases = again;
        }
        Err(format!("no evidence after {LOOKS_MAX} looks"))
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
