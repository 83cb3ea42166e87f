//! The real broker, measured over HTTP on loopback: `jitney serve` with its ledger on disk, `jitney
//! sandbox` as the cloud in a process of its own. And its ledgers alone. `./bench` runs it;
//! `docs/benchmarks.md` says what the numbers mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod beats;
mod cloud;
mod commits;
mod cycles;
mod estate;
mod jitney;
mod ledger;
mod measure;
mod openbao;
mod process;
mod report;
mod scale;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jitney_sandbox::ci::{CiIssuer, CiOptions};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where ledgers lie: a folder on the disk that is to be measured.
    #[arg(
        long,
        default_value = "target",
        overrides_with = "directory",
        global = true
    )]
    directory: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What is to be measured.
#[derive(Subcommand)]
enum What {
    /// Whole job cycles: a CI token goes in, a credential comes out, the lease is given back.
    Cycles(cycles::Arguments),
    /// A ledger with a long past, and many leases that beat.
    Scale(scale::Arguments),
    /// The durable commits of a ledger alone.
    Commits(commits::Arguments),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments = Arguments::parse();
    let ci = CiIssuer::start(CiOptions::default()).await.unwrap();
    match &arguments.what {
        What::Cycles(cycles) => cycles::run(cycles, &arguments.directory, &ci).await,
        What::Scale(scale) => scale::run(scale, &arguments.directory, &ci).await,
        What::Commits(commits) => commits::run(commits, &arguments.directory).await,
    }
}
