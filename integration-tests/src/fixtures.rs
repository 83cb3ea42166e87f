//! A small world: one ledger on disk, two fake clouds, a policy and a clock that tests set.
//!
//! Any number of brokers can be started in it, one after another or at once. Whatever happens,
//! [`World::must_keep_promises`] compares what the clouds would allow with what the ledger says.
//! A world that cannot be made is a failed test, so this module panics.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jitney_core::adapter::Adapter;
use jitney_core::audit::{Entry, SigningKey, Verifier};
use jitney_core::books::{Books, FoundLease, FoundRequest, found_lease};
use jitney_core::catalogue::{Catalogue, Inventory, Meaning, PathUse, Resource, Tier};
use jitney_core::decision::{Decide, Decision, PolicyDigest, Question, Verdict};
use jitney_core::evidence::Hold;
use jitney_core::handle::StampKey;
use jitney_core::id::{LeaseId, RequestId, TargetName};
use jitney_core::lease::Outcome;
use jitney_core::ledger::{LeaseFilter, Ledger, RowId};
use jitney_core::plan::LaneId;
use jitney_core::principal::{
    Actor, GitRef, Job, JobKey, KeyThumbprint, OnceKey, Origin, Principal, Provider, Repository,
    TokenFacts, Workflow,
};
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Stumble, Untold};
use jitney_core::time::{Clock, Timestamp};
use jitney_core::usecase::{Ask, Core, Limits, LookedBack, Proof, Slots};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};

use crate::adapter_laws::StageClock;
use crate::fake_cloud::{FakeCloud, Style};

/// When every world begins.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// How long a job may be silent.
pub const SILENCE: Duration = Duration::from_secs(45);
/// The target of [`PROD_SCOPE`].
pub const PROD: &str = "acme-prod";
/// The target of [`BACKUP_SCOPE`].
pub const BACKUP: &str = "acme-backup";
/// A scope in the one cloud.
pub const PROD_SCOPE: &str = "object-storage:write@artifacts-prod/releases/";
/// A scope in the other cloud.
pub const BACKUP_SCOPE: &str = "object-storage:write@backups";
/// More leases and entries than any world has.
const ALL: u32 = 100_000;
/// The most lanes that one turn drives.
const LANES_PER_TURN: u32 = 64;

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.set(self.now().plus(time));
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl StageClock for SetClock {
    async fn pass(&self, time: Duration) {
        self.pass(time);
    }
}

/// A policy that says what it is told to say.
#[derive(Debug)]
pub struct FakePolicy {
    verdict: Mutex<Verdict>,
    digest: PolicyDigest,
}

impl FakePolicy {
    /// From now on it says this.
    pub fn say(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

impl Decide for FakePolicy {
    fn decide(&self, _question: &Question<'_>) -> Decision {
        let verdict = *self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let (rule, reason) = match verdict {
            Verdict::Allow => ("allows", "the test's policy allows it"),
            Verdict::Deny => ("denies", "the test's policy denies it"),
            Verdict::NeedsApproval => ("asks", "the test's policy asks a person"),
        };
        Decision {
            verdict,
            rules: vec![rule.to_owned()],
            reasons: vec![reason.to_owned()],
            notes: vec![format!("{reason}, and the operator may know it")],
            policy: self.digest.clone(),
        }
    }

    fn digest(&self) -> &PolicyDigest {
        &self.digest
    }
}

/// One ledger, its clouds, the time and the policy.
pub struct World {
    /// The time, for everybody.
    pub clock: Arc<SetClock>,
    /// The ledger itself, with nothing in between.
    pub ledger: Arc<dyn Ledger>,
    /// The cloud of each target.
    pub clouds: BTreeMap<TargetName, Arc<FakeCloud>>,
    /// The policy.
    pub policy: Arc<FakePolicy>,
    /// What brokers that are started from now on are limited to.
    pub limits: Limits,
    key: SigningKey,
}

impl World {
    /// A new world, with its ledger in `folder`.
    #[must_use]
    pub fn new(folder: &Path, style: Style) -> Self {
        let options = SqliteOptions::at(folder.join("ledger.db"));
        let ledger = SqliteLedger::open(&options).expect("a ledger in an empty folder");
        Self::on(Arc::new(ledger), style)
    }

    /// A new world on a ledger.
    #[must_use]
    pub fn on(ledger: Arc<dyn Ledger>, style: Style) -> Self {
        Self::of(ledger, [style, style])
    }

    /// A new world on a ledger, in which [`PROD`] and [`BACKUP`] take back in these ways.
    #[must_use]
    pub fn of(ledger: Arc<dyn Ledger>, [prod, backup]: [Style; 2]) -> Self {
        let clock = Arc::new(SetClock::at(START));
        let cloud = |style| {
            let clock: Arc<dyn Clock> = clock.clone();
            let name = "fake".parse().expect("a cloud's name");
            Arc::new(FakeCloud::new(name, style, clock, Arc::clone(&ledger)))
        };
        let clouds = BTreeMap::from([(target(PROD), cloud(prod)), (target(BACKUP), cloud(backup))]);
        let policy = FakePolicy {
            verdict: Mutex::new(Verdict::Allow),
            digest: PolicyDigest("00".repeat(32)),
        };
        let limits = Limits {
            ttl_seconds_min: 1,
            ..Limits::default()
        };
        Self {
            clock,
            ledger,
            clouds,
            policy: Arc::new(policy),
            limits,
            key: SigningKey::from_seed("jitney.test/log", &[7; 32]).expect("a key's name"),
        }
    }

    /// The cloud of a target.
    #[must_use]
    pub fn cloud(&self, name: &str) -> &Arc<FakeCloud> {
        self.clouds.get(&target(name)).expect("one of the targets")
    }

    /// A broker. `hand` is its name and never used twice.
    #[must_use]
    pub fn broker(&self, hand: &str) -> Core {
        let adapters = self.clouds.iter().map(|(name, cloud)| {
            let adapter: Arc<dyn Adapter> = cloud.clone();
            (name.clone(), adapter)
        });
        self.broker_over(hand, Arc::clone(&self.ledger), adapters.collect())
    }

    /// A broker of another installation, which shares the clouds and, in this world, the ledger.
    #[must_use]
    pub fn broker_of_another_installation(&self, hand: &str) -> Core {
        let installation = "elsewhere".parse().expect("an installation's name");
        Core {
            stamp: StampKey::new(installation, &[2; 32]).expect("a secret that is long enough"),
            ..self.broker(hand)
        }
    }

    /// A broker whose ports have something in between.
    #[must_use]
    pub fn broker_over(
        &self,
        hand: &str,
        ledger: Arc<dyn Ledger>,
        adapters: BTreeMap<TargetName, Arc<dyn Adapter>>,
    ) -> Core {
        let pulse = Pulse::default();
        pulse.ready(self.clock.now());
        let installation = "acme".parse().expect("an installation's name");
        Core {
            books: Books::new(ledger, SILENCE),
            adapters,
            policy: self.policy.clone(),
            inventory: inventory(),
            catalogue: catalogue(),
            clock: self.clock.clone(),
            stamp: StampKey::new(installation, &[1; 32]).expect("a secret that is long enough"),
            limits: self.limits.clone(),
            pulse,
            lanes: Lanes::of(hand.to_owned()),
            slots: Slots::default(),
            looked_back: LookedBack::at(self.clouds.keys()),
            untold: Untold::default(),
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One turn at this moment, after which both promises must be kept.
    pub async fn turn(&self, core: &Core) -> (Option<Timestamp>, Vec<Stumble>) {
        let turned = core.turn(self.now(), LANES_PER_TURN).await;
        self.must_keep_promises().await;
        turned
    }

    /// Lets so much time pass, from one due moment to the next, with both promises checked at
    /// each. Ends sooner when nothing will ever be due again.
    pub async fn live(&self, core: &Core, time: Duration) -> Vec<Stumble> {
        let end = self.now().plus(time);
        let mut stumbles = Vec::new();
        loop {
            let (next, stumbled) = self.turn(core).await;
            stumbles.extend(stumbled);
            // What is due and was not driven is resting, or in another hand: look again soon.
            let soon = self.now().plus(Duration::from_secs(1));
            match next {
                None => return stumbles,
                Some(_) if self.now() >= end => return stumbles,
                Some(due) => self.clock.set(due.max(soon).min(end)),
            }
        }
    }

    /// Lets time pass until nothing will ever be due again, and demands that nothing is left.
    pub async fn live_out(&self, core: &Core) -> Vec<Stumble> {
        let stumbles = self.live(core, Duration::from_secs(24 * 60 * 60)).await;
        self.must_be_over(core).await;
        stumbles
    }

    /// Every lease in the ledger.
    pub async fn leases(&self) -> Vec<FoundLease> {
        let filter = LeaseFilter {
            ended_too: true,
            limit: ALL,
            ..LeaseFilter::default()
        };
        let rows = self.ledger.leases(filter).await.expect("the leases");
        rows.iter()
            .map(|row| found_lease(row).expect("a lease in a lease's row"))
            .collect()
    }

    /// A lease.
    pub async fn lease(&self, id: LeaseId) -> FoundLease {
        let row = self.ledger.row(RowId::Lease(id)).await.expect("the row");
        found_lease(&row.expect("the lease")).expect("a lease in a lease's row")
    }

    /// What is held in a lane.
    pub async fn holds(&self, at: &str, name: &str) -> Vec<Hold> {
        let lane = LaneId {
            target: target(at),
            name: name.to_owned(),
        };
        let found = self.ledger.lane(&lane, self.now()).await;
        found.expect("the lane").holds
    }

    /// A request.
    pub async fn request(&self, id: RequestId) -> FoundRequest {
        let books = Books::new(Arc::clone(&self.ledger), SILENCE);
        let request = books.request(id).await.expect("the row");
        request.expect("the request")
    }

    /// The entries of the audit log, unsigned.
    pub async fn entries(&self) -> Vec<Entry> {
        let stored = self.ledger.entries(0, ALL).await.expect("the entries");
        stored
            .iter()
            .map(|entry| Entry::decode(&entry.bytes).expect("an entry"))
            .collect()
    }

    /// Both promises: every session was intended before it was made, and no lease that has ended
    /// has one that works.
    pub async fn must_keep_promises(&self) {
        let leases = self.leases().await;
        for session in self.clouds.values().flat_map(|cloud| cloud.sessions()) {
            let known = leases
                .iter()
                .find(|lease| lease.terms().id == session.lease)
                .map(FoundLease::terms);
            assert_eq!(
                known.map(|terms| &terms.handle),
                Some(&session.handle),
                "the cloud has a session of which the ledger knows nothing"
            );
            assert!(
                session.covered_until >= Some(session.expires_at),
                "a session outlives what the ledger knew when it was made: {session:?}"
            );
        }
        for cloud in self.clouds.values() {
            for working in cloud.working() {
                let others = cloud.rights_of_others(&working);
                assert_eq!(
                    others,
                    [],
                    "a credential does what another lease may: {working:?}"
                );
            }
        }
        for working in self.clouds.values().flat_map(|cloud| cloud.working()) {
            let over = leases.iter().find(|lease| {
                lease.terms().id == working.lease
                    && matches!(lease, FoundLease::Ended(ended)
                        if !matches!(ended.outcome(), Outcome::WrittenOff { .. }))
            });
            assert_eq!(over, None, "an ended lease's session works: {working:?}");
        }
    }

    /// Nothing is open, nothing works, nothing is held, and the audit log verifies.
    pub async fn must_be_over(&self, core: &Core) {
        self.must_keep_promises().await;
        for lease in self.leases().await {
            assert_eq!(lease.state(), "ended", "{lease:?}");
            let request = self.request(lease.terms().request).await;
            assert_eq!(request.state(), "closed", "{request:?}");
        }
        for cloud in self.clouds.values() {
            assert_eq!(cloud.working(), Vec::new());
            assert!(
                cloud.is_bare(),
                "what ends or gives outlives its lease and holds"
            );
        }
        let due = self.ledger.next_due().await.expect("what is due next");
        assert_eq!(due, None, "something is still due");
        self.must_verify(core).await;
    }

    /// Seals the audit log, and reads it as a verifier does.
    async fn must_verify(&self, core: &Core) {
        core.seal_audit_log(&self.key).await.expect("a sealed log");
        let mut verifier = Verifier::new(self.key.verifier());
        let notes = self.ledger.checkpoints().await.expect("the checkpoints");
        for (_, note) in &notes {
            verifier.checkpoint(note).expect("a checkpoint of this log");
        }
        let stored = self.ledger.entries(0, ALL).await.expect("the entries");
        for entry in &stored {
            verifier.entry(&entry.bytes).expect("an entry as signed");
        }
        let size = u64::try_from(stored.len()).expect("a log that fits");
        if size > 0 {
            let verified = verifier.finish().expect("a log that verifies");
            assert_eq!((verified.size, verified.uncovered()), (size, 0));
        }
    }
}

fn target(name: &str) -> TargetName {
    name.parse().expect("a target's name")
}

/// What the operator of every world has.
#[must_use]
pub fn inventory() -> Inventory {
    let resource = |at: &str, native_id: &str, via: &str| Resource {
        target: target(at),
        native_id: native_id.to_owned(),
        via: Some(via.to_owned()),
        tier: Tier::Standard,
        owner: "platform".to_owned(),
    };
    let named = [
        ("artifacts-prod", resource(PROD, "bucket-1", "deploy")),
        ("backups", resource(BACKUP, "bucket-2", "backup")),
    ];
    let named = named.map(|(name, it)| (name.parse().expect("a resource's name"), it));
    Inventory::new(BTreeMap::from(named))
}

/// What may be done with it.
#[must_use]
pub fn catalogue() -> Catalogue {
    let meaning = Meaning {
        summary: "write objects".to_owned(),
        tier: Tier::Standard,
        path: PathUse::Optional,
        persists: false,
        clouds: BTreeMap::new(),
    };
    let write = "object-storage:write".parse().expect("a capability");
    Catalogue(BTreeMap::from([(write, meaning)]))
}

/// What the job `job` asks for, with the token and the proof key of these names. The wish is named
/// after the token.
#[must_use]
pub fn ask(job: &str, token: &str, key: &str, scopes: &[&str]) -> Ask {
    let token = TokenFacts {
        once: OnceKey(format!("token-{token}")),
        issued_at: START,
        expires_at: START.plus(Duration::from_secs(300)),
        remember_until: START.plus(Duration::from_secs(3600)),
    };
    let scopes = scopes.iter().map(|scope| scope.parse().expect("a scope"));
    Ask {
        idempotency_key: format!("wish-{}", token.once.0),
        principal: Principal {
            job: ci_job(job),
            token,
            key: KeyThumbprint(key.to_owned()),
        },
        scopes: scopes.collect(),
        ttl_seconds: None,
        reason: "release 1.2".to_owned(),
    }
}

/// The job of that id.
#[must_use]
pub fn ci_job(id: &str) -> Job {
    let workflow = "acme/shop/.github/workflows/deploy.yml@refs/heads/main".to_owned();
    let issuer = "https://ci.example".to_owned();
    Job {
        provider: Provider::GithubActions,
        key: JobKey::from_parts([issuer.as_str(), "2002", id]),
        issuer,
        repository: Repository {
            id: "2002".to_owned(),
            path: "acme/shop".to_owned(),
            owner_id: "1001".to_owned(),
            visibility: None,
        },
        origin: Origin::Same,
        git_ref: GitRef {
            full: "refs/heads/main".to_owned(),
            kind: "branch".to_owned(),
            protected: None,
        },
        sha: "c0ffee".repeat(6),
        workflow: Workflow {
            top_ref: workflow.clone(),
            top_sha: "c0ffee".repeat(6),
            job_ref: workflow,
            job_sha: "c0ffee".repeat(6),
        },
        environment: None,
        event: "push".to_owned(),
        actor: Actor {
            id: "3003".to_owned(),
            login: "ada".to_owned(),
        },
        run_id: id.to_owned(),
        run_attempt: "1".to_owned(),
        job_id: Some(id.to_owned()),
        runner: None,
        properties: BTreeMap::new(),
    }
}

/// The proof that a lease asked for with this key is the caller's.
#[must_use]
pub fn proof(key: &str) -> Proof {
    Proof::Key(KeyThumbprint(key.to_owned()))
}
