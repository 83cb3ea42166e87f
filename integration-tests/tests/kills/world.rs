//! One world: three clouds, an installation, a broker that is killed again and again, and a job in
//! every lane, of which some lose their wrapper.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jitney_integration_tests::kills::{
    BUSY_LANES, Bears, Books, Broker, Chance, Cloud, Given, Installation, Job, LeaseSeen, Ledger,
    LedgerKind, Tempo, Vendor, Violation, Way, What, prefix_of, violations,
};
use jitney_sandbox::UnderWay;
use jitney_sandbox::azure::Settings;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::kill::{Kill, Tally, gives, is_giving};
use crate::story::Story;
use crate::trouble;

/// How long jobs work, in milliseconds.
const WORK: std::ops::Range<u64> = 0..600;
/// How many of a hundred jobs lose their wrapper.
const DOOMED_PERCENT: u64 = 50;
/// How many of a hundred kills wait until a call to the cloud is under way. The others come at any
/// moment, some before the process has done anything at all.
const AIMED_PERCENT: u64 = 80;
/// For how long an aimed kill of a broker, and of a wrapper, waits for one.
const BROKER_AIMED_WITHIN: Duration = Duration::from_secs(5);
const WRAPPER_AIMED_WITHIN: Duration = Duration::from_secs(15);
/// How many of a hundred aimed kills of a broker wait for a mint. Left alone, chance would mostly
/// find it taking back what the one before it had left.
const AT_A_MINT_PERCENT: u64 = 65;
const AIM_EVERY: Duration = Duration::from_millis(5);
/// How long a process lives at least, and how much longer than it took aim, in milliseconds. Calls
/// that change something take 80 to 300.
const LIVES: std::ops::Range<u64> = 0..900;
const HESITATES: std::ops::Range<u64> = 0..100;
/// After so many kills of the broker the books are compared while everything goes on.
const LOOK_EVERY: usize = 4;
/// How long everything may take to end once nothing is in its way any more. Where nothing ends a
/// token but time, the call of a renewal whose answer was lost may land for two minutes.
const OVER_WITHIN: Duration = Duration::from_secs(200);
/// The same, for those as well that only time can show to be over: on Azure five minutes after the
/// call's deadline, and a little.
const PATIENT_WITHIN: Duration = Duration::from_secs(420);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long a job tries to get its lease, in seconds.
const PATIENCE: [&str; 2] = ["--patience", "20"];

/// A world under way.
pub struct World {
    pub seed: u64,
    pub chance: Chance,
    pub stage: Arc<Stage>,
    pub broker: Broker,
    alive: usize,
    /// Waits also for leases that only time can show to be over.
    is_patient: bool,
    /// Those whose lanes are kept busy, and who must therefore be able to break a promise.
    vendors: BTreeSet<Vendor>,
    folder: Option<tempfile::TempDir>,
}

/// What its jobs share with it.
pub struct Stage {
    pub cloud: Cloud,
    pub installation: Installation,
    pub story: Story,
    kills: Mutex<Vec<Kill>>,
    closing: AtomicBool,
}

impl Stage {
    fn killed(&self, kill: Kill) {
        let who = kill.lane.map_or_else(
            || "the broker".to_owned(),
            |lane| format!("the wrapper of the job in lane {lane}"),
        );
        self.story.at(kill.at, format!("killed {who}"));
        self.kills.lock().unwrap().push(kill);
    }

    pub fn kills(&self) -> usize {
        self.kills.lock().unwrap().len()
    }

    /// Waits for the moment of a kill: any, or one at which a call is under way that `is_meant`.
    async fn moment(
        &self,
        mut chance: Chance,
        aimed_within: Duration,
        is_meant: impl Fn(&(Vendor, UnderWay)) -> bool,
    ) {
        tokio::time::sleep(chance.millis(LIVES)).await;
        if !chance.percent(AIMED_PERCENT) {
            return;
        }
        let since = Instant::now();
        while since.elapsed() < aimed_within {
            if self.cloud.under_way().await.iter().any(&is_meant) {
                tokio::time::sleep(chance.millis(HESITATES)).await;
                return;
            }
            tokio::time::sleep(AIM_EVERY).await;
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// One job after the other in a lane, until the world closes.
    async fn keep_busy(self: Arc<Self>, lane: usize, doomed_percent: u64, mut chance: Chance) {
        while !self.is_closing() {
            let ci = self.cloud.start_job().await;
            let works = chance.millis(WORK);
            let doom = chance.percent(doomed_percent);
            let moment = chance.branch();
            let mut job = Job::start(&self.installation, &ci, lane, works, &PATIENCE);
            let started = job.started;
            let its_own =
                |call: &(Vendor, UnderWay)| call.1.arrived >= started && gives(lane, call);
            tokio::select! {
                _ = job.ended() => continue,
                () = self.moment(moment, WRAPPER_AIMED_WITHIN, its_own), if doom => {}
            }
            if let Some(at) = job.kill().await {
                let lane = Some(lane);
                self.killed(Kill { lane, started, at });
            }
        }
    }
}

impl World {
    /// A cloud, an installation and a broker that is ready.
    pub async fn begin(kind: LedgerKind, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cloud = Cloud::start(&Installation::estate(folder.path())).await;
        let installation = Installation::lay_out(folder.path(), kind, Tempo::HASTY, &cloud);
        let mut broker = Broker::start(&installation);
        broker.ready().await;
        Self {
            seed,
            chance: Chance::of(seed),
            stage: Arc::new(Stage {
                cloud,
                installation,
                story: Story::default(),
                kills: Mutex::default(),
                closing: AtomicBool::new(false),
            }),
            broker,
            alive: 0,
            is_patient: false,
            vendors: BTreeSet::new(),
            folder: Some(folder),
        }
    }

    /// The same, with minutes of time: PIM removes nothing in its first second, and at the end every
    /// lease must have ended, whatever it takes.
    pub fn patient(mut self) -> Self {
        let azure = &self.stage.cloud.azure;
        azure.set_settings(Settings {
            pim_floor_seconds: 1,
            ..azure.settings()
        });
        self.is_patient = true;
        self
    }

    /// Keeps lanes busy from now on.
    pub fn busy(
        &mut self,
        lanes: impl IntoIterator<Item = usize>,
        doomed_percent: u64,
    ) -> Vec<JoinHandle<()>> {
        let spawn = |lane| {
            self.vendors.insert(Way::of(lane).vendor());
            let chance = self.chance.branch();
            tokio::spawn(Arc::clone(&self.stage).keep_busy(lane, doomed_percent, chance))
        };
        lanes.into_iter().map(spawn).collect()
    }

    /// Kills so many times, then lets everything end and compares the books.
    pub async fn lives_through(mut self, kills: usize) -> Tally {
        let lanes = self.busy(BUSY_LANES, DOOMED_PERCENT);
        let mut lives = 0;
        while self.stage.kills() < kills {
            let faults = trouble::stretch(&mut self.chance);
            self.stage.story.tell(trouble::told(&faults));
            self.stage.cloud.suffers(&faults).await;
            let (moment, started) = (self.chance.branch(), self.broker.started);
            let at_a_mint = self.chance.percent(AT_A_MINT_PERCENT);
            let cloud = Vendor::ALL[usize::try_from(self.chance.within(0..3)).unwrap()];
            let is_meant = |(vendor, call): &(Vendor, UnderWay)| {
                call.arrived >= started
                    && *vendor == cloud
                    && (!at_a_mint || is_giving(&call.action))
            };
            let moment = self.stage.moment(moment, BROKER_AIMED_WITHIN, is_meant);
            moment.await;
            self.kill_broker().await;
            lives += 1;
            if lives % LOOK_EVERY == 0 {
                self.look().await;
            }
        }
        self.comes_to_its_end(lanes).await
    }

    /// Kills the broker, and starts the next one.
    pub async fn kill_broker(&mut self) {
        let replaced = self.broker.is_replaced(&self.stage.installation);
        let (started, at) = replaced.await;
        self.stage.killed(Kill {
            lane: None,
            started,
            at,
        });
    }

    /// Compares what can be compared while everything goes on.
    pub async fn look(&mut self) {
        let books = Books::at_present(&self.stage.installation, &self.stage.cloud).await;
        let works = |given: &&Given| given.what == What::Credential && given.works;
        self.alive += books.given.iter().filter(works).count();
        let revived = books.revived();
        self.must_be_sound(&revived, &books).await;
    }

    /// Takes everything out of the way, waits until all leases have ended, stops the broker in
    /// order and compares the books.
    pub async fn comes_to_its_end(mut self, lanes: Vec<JoinHandle<()>>) -> Tally {
        self.stage.cloud.suffers(&[]).await;
        self.stage.closing.store(true, Ordering::SeqCst);
        for lane in lanes {
            lane.await.unwrap();
        }
        self.broker.ready().await;
        self.stage.story.tell("nothing is in the way any more");
        self.wait_until_over().await;
        self.broker.stop_in_order().await;
        let stage = Arc::clone(&self.stage);
        let books = Books::at_the_end(&stage.installation, &stage.cloud).await;
        self.must_be_sound(&violations(&books), &books).await;
        let able_to_fail = self.must_be_able_to_fail().await;
        let journal = stage.cloud.journal().await;
        let mut tally = Tally::of(&stage.kills.lock().unwrap(), &journal);
        (tally.leases, tally.alive) = (books.leases.len(), self.alive);
        tally.able_to_fail = able_to_fail;
        let credential = |given: &&Given| given.what == What::Credential;
        for given in books.given.iter().filter(credential) {
            *tally.credentials.entry(given.vendor).or_default() += 1;
        }
        tally
    }

    /// Waits until every lease has ended, but for those that only time can show to be over, and
    /// until nothing of those works any more.
    async fn wait_until_over(&self) {
        let stage = &self.stage;
        let within = if self.is_patient {
            PATIENT_WITHIN
        } else {
            OVER_WITHIN
        };
        let since = Instant::now();
        while since.elapsed() < within {
            let open = Ledger(&stage.installation).open_leases();
            let may_wait = |lease: &LeaseSeen| lease.waits_for_time() && !self.is_patient;
            if open.iter().all(may_wait) {
                let books = Books::at_present(&stage.installation, &stage.cloud).await;
                if books.left_behind().is_empty() {
                    return;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // What is still open is told with everything else.
    }

    /// The same probes in clouds that do not do what they were told: if they found nothing now,
    /// they would never have. AWS ignores every Deny, and Google lets disabled accounts be. On
    /// Azure nothing was removed yet, because it is earlier there; and at Google too, since a token
    /// that is dead shows nothing. Gives the clouds that had given what shows it.
    async fn must_be_able_to_fail(&self) -> BTreeSet<Vendor> {
        let stage = &self.stage;
        let then = self.when_something_worked().await;
        let cloud = &stage.cloud;
        cloud
            .order("options", &json!({ "ignore_deny": true }))
            .await;
        cloud.google.set_ignore_disabling(true);
        let now = Timestamp::now().as_second();
        let ago = |vendor| then.get(&vendor).map_or(0, |then| then.as_second() - now);
        cloud.google.clock().set_offset_seconds(ago(Vendor::Google));
        cloud.azure.clock().set_offset_seconds(ago(Vendor::Azure));
        let mut books = Books::at_present(&stage.installation, cloud).await;
        let given = std::mem::take(&mut books.given);
        for vendor in then.keys() {
            let theirs = given.iter().filter(|given| given.vendor == *vendor);
            books.given = theirs.cloned().collect();
            let is_blind = books.left_behind().is_empty();
            assert!(
                !is_blind,
                "seed {}: the probes are blind on {vendor:?}",
                self.seed
            );
        }
        then.into_keys().collect()
    }

    /// Times at which something worked of what is over by now: in a session of AWS's, which lives on
    /// beneath its Deny, on an account of Google's whose bindings stand, and on a slot of Azure's.
    async fn when_something_worked(&self) -> BTreeMap<Vendor, Timestamp> {
        let stage = &self.stage;
        let books = Books::at_present(&stage.installation, &stage.cloud).await;
        let standing = BUSY_LANES
            .into_iter()
            .filter(|lane| Way::of(*lane) == Way::Standing);
        let standing: Vec<String> = standing.map(prefix_of).collect();
        let stands = |given: &&Given| {
            let of = |slot: &String| standing.iter().any(|prefix| slot.contains(prefix));
            matches!(&given.bears, Bears::Slot(slot) if of(slot))
        };
        let since = |given: &Given| given.since;
        let sessions = books.given.iter().filter(|it| it.vendor == Vendor::Aws);
        let session = sessions.filter_map(since).max();
        let token = books.given.iter().filter(stands).filter_map(since).max();
        let rights = books
            .given
            .iter()
            .filter(|given| given.vendor == Vendor::Azure && given.what == What::Right);
        let lasted = rights.filter_map(|given| {
            let (since, until) = (given.since?, given.until?);
            Some((until.duration_since(since), since))
        });
        // By the middle of the one that lasted longest it was in force.
        let right = lasted.max().map(|(lasted, since)| since + lasted / 2);
        let times = [
            (Vendor::Aws, session),
            (Vendor::Google, token),
            (Vendor::Azure, right),
        ];
        let known = times.into_iter().filter_map(|(it, at)| Some((it, at?)));
        known.filter(|(it, _)| self.vendors.contains(it)).collect()
    }

    async fn must_be_sound(&mut self, violations: &[Violation], books: &Books) {
        if violations.is_empty() {
            return;
        }
        let stage = Arc::clone(&self.stage);
        // For the story the log is read also when it is not signed to its end.
        let log = Ledger(&stage.installation).audit_log();
        let books = Books {
            log,
            leases: books.leases.clone(),
            ..Books::default()
        };
        let story = stage
            .story
            .of(violations, &books, &stage.cloud.journal().await);
        let folder = self.folder.take().map(tempfile::TempDir::keep);
        panic!(
            "{} violations with seed {}; everything is kept in {folder:?}\n{story}",
            violations.len(),
            self.seed
        );
    }
}
