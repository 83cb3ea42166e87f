//! A broker on a ledger with a long past: a million leases that have ended, with their audit log,
//! and ten thousand that are open and beat. Beside it, in the same minutes, a broker on an empty
//! ledger.
//!
//! The past is made of lives that a broker of this installation has led, copied; and it is loaded
//! as operators move a ledger, by `jitney ledger import`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jitney_client::Client;
use jitney_core::audit::SigningKey;
use jitney_core::handle::StampKey;
use jitney_core::time::Timestamp;
use jitney_integration_tests::kills::LedgerKind;
use jitney_integration_tests::past::{Lives, Past};
use jitney_sandbox::ci::CiIssuer;

use crate::beats::{BEAT_EVERY, Beats};
use crate::estate::{INSTALLATION, LEASE_SECONDS_MAX, Setup};
use crate::jitney::{Jitney, Site};
use crate::ledger::{self, LedgerName};
use crate::measure::{Cycle, Round, arrivals, clients};
use crate::process::Process;
use crate::report;

/// As an operator gets it who sets none.
const SILENCE_SECONDS: u32 = 45;
/// How many keys there are for each role. A key may call 256 times in a minute.
const KEYS_PER_ROLE: usize = 2;
/// How often the importer's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the lives that are copied may take to end.
const OVER_WITHIN: Duration = Duration::from_secs(180);

/// How large it is, and for how long it is measured.
#[derive(Args)]
pub struct Arguments {
    /// How many leases there ever were.
    #[arg(long, default_value_t = 1_000_000)]
    leases: usize,
    /// How many of them are open, and beat.
    #[arg(long, default_value_t = 10_000)]
    beating: usize,
    /// For how many that have ended something is still held.
    #[arg(long, default_value_t = 1_000)]
    held: usize,
    /// How many roles they are spread over. AWS's quota leaves a role room for about 200.
    #[arg(long, default_value_t = 128)]
    roles: usize,
    /// How many jobs come in a second while their waits are measured.
    #[arg(long, default_value_t = 20)]
    jobs: usize,
    /// For how long at a time, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many times, on the full ledger and on the empty one in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Which ledgers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [LedgerName::Sqlite, LedgerName::Postgres])]
    ledger: Vec<LedgerName>,
}

/// What was measured of one ledger.
pub struct Scale {
    pub ledger: &'static str,
    pub leases: usize,
    pub beating: usize,
    pub loading: Loading,
    /// Empty, then full.
    pub ready_after: [Duration; 2],
    pub bytes: [u64; 2],
    pub bytes_most: u64,
    pub quiet: Waits,
    pub beaten: Waits,
    pub beats: Vec<Duration>,
    pub verifying: Verifying,
}

/// What it took to fill the ledger.
pub struct Loading {
    pub took: Duration,
    pub bytes_most: u64,
    pub entries: u64,
}

/// What jobs waited, on the empty ledger and on the full one.
#[derive(Default)]
pub struct Waits {
    pub empty: Vec<Cycle>,
    pub full: Vec<Cycle>,
}

/// What it took to verify the audit log.
pub struct Verifying {
    pub took: Duration,
    pub told: String,
}

/// Measures, and tells.
pub async fn run(arguments: &Arguments, directory: &Path, ci: &CiIssuer) {
    assert!(arguments.beating + arguments.held < arguments.leases);
    for (name, kind) in ledger::ready(&arguments.ledger).await {
        let folder = tempfile::tempdir_in(directory).unwrap();
        let bench = Bench {
            arguments,
            ci,
            folder: folder.path(),
        };
        report::scale(&bench.measure(name, kind).await);
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    ci: &'a CiIssuer,
    folder: &'a Path,
}

/// Open leases whose jobs hold these keys.
struct Held(HashMap<String, Arc<Client>>);

impl Bench<'_> {
    async fn measure(&self, name: LedgerName, kind: LedgerKind) -> Scale {
        let setup = Setup {
            ci: self.ci,
            ledger: kind,
            roles: self.arguments.roles,
            silence_seconds: SILENCE_SECONDS,
        };
        let mut empty = self.site("empty", &setup).await.start().await;
        let (site, held, lives) = self.lives(&setup).await;
        site.empty_ledger(&setup);
        let (loading, keys) = self.load(&site, &lives, held).await;
        let full = site.start().await;
        let ready_after = [empty.restart().await, full.ready_after];
        let (mut empty, mut full) = (Arc::new(empty), Arc::new(full));
        let quiet = self.waits(&empty, &full).await;
        // Nobody was heard for a while: a broker that begins counts silence anew.
        for broker in [&mut empty, &mut full] {
            Arc::get_mut(broker).unwrap().restart().await;
        }
        let beats = Beats::start(keys);
        tokio::time::sleep(BEAT_EVERY + BEAT_EVERY / 3).await;
        let beaten = self.waits(&empty, &full).await;
        let bytes = [empty.broker.resident_bytes(), full.broker.resident_bytes()];
        let beats = beats.stop().await;
        let full = Arc::get_mut(&mut full).unwrap();
        let bytes_most = full.broker.resident_bytes_most();
        full.broker.kill();
        Scale {
            ledger: name.as_str(),
            leases: self.arguments.leases,
            beating: self.arguments.beating,
            loading,
            ready_after,
            bytes,
            bytes_most,
            quiet,
            beaten,
            beats,
            verifying: verify(&full.site),
        }
    }

    async fn site(&self, name: &str, setup: &Setup<'_>) -> Site {
        Site::lay_out(&self.folder.join(name), setup).await
    }

    /// Lives for the copies, as a broker leads them: some that are over, and some that are open, by
    /// the ids of their leases.
    async fn lives(&self, setup: &Setup<'_>) -> (Site, Held, Lives) {
        let jitney = Arc::new(self.site("full", setup).await.start().await);
        let mut held = HashMap::new();
        for job in jitney.site.mint(self.ci, setup.roles * KEYS_PER_ROLE, 1) {
            let view = jitney.grant(&job, LEASE_SECONDS_MAX).await;
            held.insert(view.leases[0].id.clone(), job.client);
        }
        jitney.queue(self.ci, setup.roles);
        clients(&jitney, 8, OVER_WITHIN).await;
        let since = Instant::now();
        while open_leases(&jitney.site) > held.len() {
            assert!(since.elapsed() < OVER_WITHIN, "leases do not end");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let Ok(jitney) = Arc::try_unwrap(jitney) else {
            panic!("nobody else holds it")
        };
        let site = jitney.into_site();
        let dump = site.file("lives.dump");
        said(site.command(&["ledger", "export"]).arg("--out").arg(&dump));
        let lives = Lives::read(BufReader::new(File::open(dump).unwrap())).unwrap();
        (site, Held(held), lives)
    }

    /// Fills the ledger. Gives each key with the open leases that are its own.
    async fn load(
        &self,
        site: &Site,
        lives: &Lives,
        held: Held,
    ) -> (Loading, Vec<(Arc<Client>, Vec<String>)>) {
        let arguments = self.arguments;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let past = Past {
            leases: arguments.leases,
            open: arguments.beating,
            held: arguments.held,
            now: Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap()),
        };
        let keys = (stamp_key(site), audit_key(site));
        let began = Instant::now();
        let log = site.file("import.log");
        let mut import = Process::start(&mut site.command(&["ledger", "import"]), &[], &log);
        let out = BufWriter::with_capacity(1 << 20, import.input());
        let (written, bytes_most) = std::thread::scope(|threads| {
            let written = threads.spawn(|| lives.write(&past, (&keys.0, &keys.1), out).unwrap());
            let mut most = 0;
            let ended_well = loop {
                most = import.resident_bytes_most().max(most);
                if let Some(ended_well) = import.ended_well() {
                    break ended_well;
                }
                std::thread::sleep(LOOK_EVERY);
            };
            assert!(ended_well, "{}", fs::read_to_string(&log).unwrap());
            (written.join().unwrap(), most)
        });
        let (counts, open) = written;
        let loading = Loading {
            took: began.elapsed(),
            bytes_most,
            entries: counts.entries,
        };
        let copied = lives.open().map(|lease| lease.to_string());
        let mut keys: Vec<_> = copied
            .map(|lease| (Arc::clone(&held.0[&lease]), Vec::new()))
            .collect();
        let count = keys.len();
        for (number, lease) in open.iter().enumerate() {
            keys[number % count].1.push(lease.to_string());
        }
        keys.retain(|(_, leases)| !leases.is_empty());
        (loading, keys)
    }

    /// Jobs on both ledgers in turn, so that whatever else the machine does hits both.
    async fn waits(&self, empty: &Arc<Jitney>, full: &Arc<Jitney>) -> Waits {
        let mut waits = Waits::default();
        for _ in 0..self.arguments.rounds {
            waits.empty.extend(self.jobs(empty).await.cycles);
            waits.full.extend(self.jobs(full).await.cycles);
        }
        waits
    }

    async fn jobs(&self, jitney: &Arc<Jitney>) -> Round {
        let Arguments { jobs, seconds, .. } = *self.arguments;
        jitney.queue(self.ci, jobs * usize::try_from(seconds).unwrap());
        arrivals(jitney, jobs as f64, Duration::from_secs(seconds)).await
    }
}

/// Runs a command of which a good end is expected, and gives what it said.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn open_leases(site: &Site) -> usize {
    let list = ["lease", "list", "--format", "json", "--limit", "100000"];
    let leases: Vec<serde_json::Value> =
        serde_json::from_str(&said(&mut site.command(&list))).unwrap();
    leases.len()
}

fn verify(site: &Site) -> Verifying {
    let began = Instant::now();
    let told = said(&mut site.command(&["audit", "verify"]));
    Verifying {
        took: began.elapsed(),
        told: told.lines().next().unwrap_or_default().to_owned(),
    }
}

fn seed(site: &Site, name: &str) -> [u8; 32] {
    let text = fs::read_to_string(site.file(name)).unwrap();
    STANDARD.decode(text.trim()).unwrap().try_into().unwrap()
}

fn stamp_key(site: &Site) -> StampKey {
    StampKey::new(INSTALLATION.parse().unwrap(), &seed(site, "stamp.key")).unwrap()
}

fn audit_key(site: &Site) -> SigningKey {
    let name = format!("jitney/{INSTALLATION}/audit");
    SigningKey::from_seed(&name, &seed(site, "audit.key")).unwrap()
}
