//! What is measured, one thing after the other. Every phase begins with an empty ledger.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jitney_integration_tests::ledger_laws::wal::Commits;
use jitney_sandbox::ci::{CiIssuer, GithubJob};

use crate::Arguments;
use crate::cloud::Cloud;
use crate::estate::AUDIENCE;
use crate::jitney::Jitney;
use crate::measure::{Round, Side, all_of, arrivals, clients};
use crate::openbao::OpenBao;
use crate::process::own_cpu;

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
    /// Durable commits for each job, those of the background among them.
    pub commits: f64,
}

/// What open leases cost.
pub struct Memory {
    pub leases: usize,
    pub bytes_before: u64,
    pub bytes_open: u64,
    pub bytes_restarted: u64,
    pub restart: Duration,
}

pub struct Bench<'a> {
    arguments: &'a Arguments,
    ci: &'a CiIssuer,
    folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    pub fn new(arguments: &'a Arguments, ci: &'a CiIssuer) -> Self {
        let folder = tempfile::tempdir_in(&arguments.directory).unwrap();
        Self {
            arguments,
            ci,
            folder,
        }
    }

    /// Both sides in turn, so that whatever else the machine does hits both.
    pub async fn throughput(&self) -> Vec<Measured> {
        let mut bao = match &self.arguments.openbao {
            Some(program) => Some(self.openbao(program).await),
            None => None,
        };
        let mut measured = Vec::new();
        for round in 0..self.arguments.rounds {
            for &clients in &self.arguments.clients {
                measured.push(self.jitney_round(round, clients).await);
                if let Some(bao) = &mut bao {
                    measured.push(self.openbao_round(bao, clients).await);
                }
            }
        }
        measured
    }

    async fn jitney(&self, name: &str, jobs: usize) -> Jitney {
        let roles = self.arguments.roles;
        let folder = self.folder.path().join(name);
        Jitney::start(&folder, self.ci, roles, jobs.min(roles * LEASES_PER_ROLE)).await
    }

    async fn jitney_round(&self, round: usize, at_a_time: usize) -> Measured {
        let jobs = usize::try_from(self.arguments.seconds * CYCLES_PER_SECOND_MAX).unwrap();
        let jitney = Arc::new(self.jitney(&format!("{round}-{at_a_time}"), jobs).await);
        let used = || [jitney.broker.cpu(), jitney.cloud.cpu(), own_cpu()];
        let before = used();
        let round = clients(&jitney, at_a_time, self.arguments.length()).await;
        let names = ["broker", "cloud", "clients"];
        Measured {
            side: "jitney",
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
            side: "openbao",
            clients: at_a_time,
            cpu: per_cycle(&["broker", "clients"], &cpu, &used, &round),
            commits: Some(commits),
            round,
        }
    }

    /// As many jobs a second as `per_second` says.
    pub async fn at_load(&self, per_second: f64) -> AtLoad {
        let length = self.arguments.length() * 2;
        let jobs = (per_second * length.as_secs_f64()) as usize + 1;
        let jitney = Arc::new(self.jitney("load", jobs).await);
        let over = Arc::new(AtomicBool::new(false));
        let cloud = tokio::spawn(Cloud::at(&jitney.cloud_url).watch(Arc::clone(&over)));
        let (counted, counting) = (Arc::clone(&jitney), Arc::clone(&over));
        let commits = tokio::task::spawn_blocking(move || commits(&counted, &counting));
        let round = arrivals(&jitney, per_second, length).await;
        over.store(true, Ordering::Relaxed);
        AtLoad {
            per_second,
            round,
            cloud: cloud.await.unwrap(),
            commits: commits.await.unwrap(),
        }
    }

    /// So many leases at a time, all open.
    pub async fn memory(&self, leases: usize) -> Memory {
        let mut jitney = Arc::new(self.jitney("memory", leases).await);
        let bytes_before = jitney.broker.resident_bytes();
        let opener = |jitney: Arc<Jitney>| async move {
            while let Some(job) = jitney.next() {
                jitney.grant(&job).await;
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
    let look = || (Commits::of(&jitney.ledger()), jitney.done());
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
