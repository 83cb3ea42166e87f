//! Cycles: what is measured, one thing after the other. Every phase begins with an empty ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use jitney_integration_tests::kills::LedgerKind;
use jitney_integration_tests::ledger_laws::wal::Commits;
use jitney_sandbox::ci::{CiIssuer, GithubJob};

use crate::cloud::Cloud;
use crate::estate::{AUDIENCE, LEASE_SECONDS, Setup};
use crate::jitney::{Jitney, Site};
use crate::ledger::{self, LedgerName};
use crate::measure::{Round, Side, all_of, arrivals, clients};
use crate::openbao::OpenBao;
use crate::process::own_cpu;
use crate::report;

/// As many leases and holds of one role as a round makes at most. Its deny list takes about 200.
const LEASES_PER_ROLE: usize = 180;
/// More cycles a second than there will be, so that a round does not run out of jobs.
const CYCLES_PER_SECOND_MAX: u64 = 1_200;
/// How often the write-ahead log is looked at while jobs run.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many clients open the leases that are only held.
const OPENERS: usize = 32;
/// How long OpenBao may take to remove what it made.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);

/// The name of the other side.
pub const OPENBAO: &str = "openbao";

/// What is measured, and for how long.
#[derive(Args)]
pub struct Arguments {
    /// How long one round takes, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many rounds; the median is told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many clients work at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    clients: Vec<usize>,
    /// Which ledgers Jitney keeps, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [LedgerName::Sqlite])]
    ledger: Vec<LedgerName>,
    /// How many roles the leases are spread over. AWS's quota leaves a role room for about 200
    /// leases in 16 minutes, so that this bounds a round.
    #[arg(long, default_value_t = 64)]
    roles: usize,
    /// How many leases are open while memory is looked at; 0 leaves that out.
    #[arg(long, default_value_t = 10_000)]
    leases: usize,
    /// OpenBao's program. Without it there is nothing to compare with, and the report says so.
    #[arg(long, value_name = "FILE")]
    openbao: Option<PathBuf>,
}

impl Arguments {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// A round of one side.
pub struct Measured {
    pub side: &'static str,
    pub clients: usize,
    pub round: Round,
    /// The processor's time of each process, for each cycle, in milliseconds.
    pub cpu: Vec<(&'static str, f64)>,
    /// Durable commits for each cycle, where they were counted.
    pub commits: Option<f64>,
}

/// What a broker does at a load it can bear.
pub struct AtLoad {
    pub per_second: f64,
    pub round: Round,
    /// What the cloud alone took meanwhile, for a call as the broker makes it.
    pub cloud: Vec<Duration>,
    /// Durable commits for each job, those of the background among them, where they were counted.
    pub commits: Option<f64>,
}

/// What open leases cost.
pub struct Memory {
    pub leases: usize,
    pub bytes_before: u64,
    pub bytes_open: u64,
    pub bytes_restarted: u64,
    pub restart: Duration,
}

/// Measures, and tells.
pub async fn run(arguments: &Arguments, directory: &Path, ci: &CiIssuer) {
    let ledgers = ledger::ready(&arguments.ledger).await;
    let folder = tempfile::tempdir_in(directory).unwrap();
    let bench = Bench {
        arguments,
        ci,
        folder,
    };
    let rounds = bench.throughput(&ledgers).await;
    report::throughput(&rounds);
    for (name, kind) in ledgers {
        // As the guides to latency ask: not at the knee, but where a broker would be run.
        let most = report::median_rate(&rounds, name.as_str());
        report::load(name.as_str(), &bench.at_load(kind, most * 0.6).await);
        if arguments.leases > 0 {
            report::memory(name.as_str(), &bench.memory(kind, arguments.leases).await);
        }
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    ci: &'a CiIssuer,
    folder: tempfile::TempDir,
}

impl Bench<'_> {
    /// All sides in turn, so that whatever else the machine does hits all of them.
    async fn throughput(&self, ledgers: &[(LedgerName, LedgerKind)]) -> Vec<Measured> {
        let mut bao = match &self.arguments.openbao {
            Some(program) => Some(self.openbao(program).await),
            None => None,
        };
        let mut measured = Vec::new();
        for _ in 0..self.arguments.rounds {
            for &clients in &self.arguments.clients {
                for (name, kind) in ledgers {
                    measured.push(self.jitney_round(*name, *kind, clients).await);
                }
                if let Some(bao) = &mut bao {
                    measured.push(self.openbao_round(bao, clients).await);
                }
            }
        }
        measured
    }

    /// A broker on an empty ledger, with so many jobs waiting.
    async fn jitney(&self, ledger: LedgerKind, jobs: usize) -> Jitney {
        let setup = Setup {
            ci: self.ci,
            ledger,
            roles: self.arguments.roles,
            // The bench beats for nobody.
            silence_seconds: LEASE_SECONDS,
        };
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let jitney = Site::lay_out(&folder, &setup).await.start().await;
        jitney.queue(self.ci, jobs.min(setup.roles * LEASES_PER_ROLE));
        jitney
    }

    async fn jitney_round(&self, name: LedgerName, kind: LedgerKind, at_a_time: usize) -> Measured {
        let jobs = usize::try_from(self.arguments.seconds * CYCLES_PER_SECOND_MAX).unwrap();
        let jitney = Arc::new(self.jitney(kind, jobs).await);
        let used = || [jitney.broker.cpu(), jitney.site.cloud.cpu(), own_cpu()];
        let before = used();
        let round = clients(&jitney, at_a_time, self.arguments.length()).await;
        let names = ["broker", "cloud", "clients"];
        Measured {
            side: name.as_str(),
            clients: at_a_time,
            cpu: per_cycle(&names, &before, &used(), &round),
            commits: None,
            round,
        }
    }

    async fn openbao(&self, program: &Path) -> Arc<OpenBao> {
        let program = program.canonicalize().unwrap();
        let folder = self.folder.path().canonicalize().unwrap().join("openbao");
        Arc::new(OpenBao::start(&program, &folder, &self.ci.url()).await)
    }

    async fn openbao_round(&self, bao: &mut Arc<OpenBao>, at_a_time: usize) -> Measured {
        // Nobody else holds it between rounds.
        let job = self.ci.job(GithubJob::push_to_main());
        Arc::get_mut(bao)
            .unwrap()
            .log_in_with(job.token(AUDIENCE).unwrap());
        let (cpu, commits) = ([bao.process.cpu(), own_cpu()], bao.commits().await);
        let round = clients(bao, at_a_time, self.arguments.length()).await;
        let used = [bao.process.cpu(), own_cpu()];
        let commits = (bao.commits().await - commits) as f64 / round.cycles.len() as f64;
        bao.settle(REMOVED_WITHIN).await;
        Measured {
            side: OPENBAO,
            clients: at_a_time,
            cpu: per_cycle(&["broker", "clients"], &cpu, &used, &round),
            commits: Some(commits),
            round,
        }
    }

    /// As many jobs a second as `per_second` says.
    async fn at_load(&self, ledger: LedgerKind, per_second: f64) -> AtLoad {
        let length = self.arguments.length() * 2;
        let jobs = (per_second * length.as_secs_f64()) as usize + 1;
        let jitney = Arc::new(self.jitney(ledger, jobs).await);
        let over = Arc::new(AtomicBool::new(false));
        let cloud = tokio::spawn(Cloud::at(&jitney.site.cloud_url).watch(Arc::clone(&over)));
        let (counted, counting) = (Arc::clone(&jitney), Arc::clone(&over));
        let commits = matches!(ledger, LedgerKind::Sqlite)
            .then(|| tokio::task::spawn_blocking(move || commits(&counted, &counting)));
        let round = arrivals(&jitney, per_second, length).await;
        over.store(true, Ordering::Relaxed);
        AtLoad {
            per_second,
            round,
            cloud: cloud.await.unwrap(),
            commits: match commits {
                Some(commits) => Some(commits.await.unwrap()),
                None => None,
            },
        }
    }

    /// So many leases at a time, all open.
    async fn memory(&self, ledger: LedgerKind, leases: usize) -> Memory {
        let mut jitney = Arc::new(self.jitney(ledger, leases).await);
        let bytes_before = jitney.broker.resident_bytes();
        let opener = |jitney: Arc<Jitney>| async move {
            while let Some(job) = jitney.next() {
                jitney.grant(&job, LEASE_SECONDS).await;
            }
        };
        let openers = (0..OPENERS).map(|_| tokio::spawn(opener(Arc::clone(&jitney))));
        all_of(openers.collect()).await;
        let bytes_open = jitney.broker.resident_bytes();
        let alone = Arc::get_mut(&mut jitney).unwrap();
        let restart = alone.restart().await;
        Memory {
            leases,
            bytes_before,
            bytes_open,
            bytes_restarted: alone.broker.resident_bytes(),
            restart,
        }
    }
}

fn per_cycle(
    names: &[&'static str],
    before: &[Duration],
    after: &[Duration],
    round: &Round,
) -> Vec<(&'static str, f64)> {
    let cycles = round.cycles.len() as f64;
    let used = before
        .iter()
        .zip(after)
        .map(|(before, after)| *after - *before);
    let used = used.map(|used| used.as_secs_f64() * 1e3 / cycles);
    names.iter().copied().zip(used).collect()
}

/// Counts durable commits from outside, for each job that came to its end meanwhile. Where the
/// log was started anew between two looks nobody can tell how many there were: neither the
/// commits nor the jobs of that time count.
fn commits(jitney: &Jitney, over: &AtomicBool) -> f64 {
    let look = || (Commits::of(&jitney.site.file("jitney.db")), jitney.done());
    let (mut commits, mut jobs) = (0, 0);
    let mut last = look();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
        let next = look();
        // A log that is being started anew is not one for a moment.
        if let ((Ok(before), done_before), (Ok(after), done_after)) = (&last, &next)
            && let Some(more) = after.since(before)
        {
            commits += more;
            jobs += done_after - done_before;
        }
        last = next;
    }
    commits as f64 / jobs as f64
}
