//! Whole job cycles through the real broker: a CI token goes in, a credential comes out, the lease
//! is given back. Over HTTP on loopback, `jitney serve` with SQLite on disk, `jitney sandbox` as
//! the cloud in a process of its own. `./bench cycles` runs it, beside OpenBao when that is there;
//! `docs/benchmarks.md` says what the numbers mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod cloud;
mod estate;
mod jitney;
mod measure;
mod openbao;
mod phases;
mod process;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jitney_sandbox::ci::{CiIssuer, CiOptions};

/// What is measured, and for how long.
#[derive(Parser)]
struct Arguments {
    /// How long one round takes, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many rounds; the median is told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many clients work at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    clients: Vec<usize>,
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
    /// Where ledgers lie: a folder on the disk that is to be measured.
    #[arg(long, default_value = "target", overrides_with = "directory")]
    directory: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments = Arguments::parse();
    let ci = CiIssuer::start(CiOptions::default()).await.unwrap();
    let bench = phases::Bench::new(&arguments, &ci);
    let rounds = bench.throughput().await;
    report::throughput(&rounds);
    // As the guides to latency ask: not at the knee, but where a broker would be run.
    let most = report::median_rate(&rounds, "jitney");
    report::load(&bench.at_load(most * 0.6).await);
    if arguments.leases > 0 {
        report::memory(&bench.memory(arguments.leases).await);
    }
}
