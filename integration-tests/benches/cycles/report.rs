//! What was measured, as people read it.

use std::time::Duration;

use crate::measure::{Cycle, quantile};
use crate::phases::{AtLoad, Measured, Memory};

/// The round with the median rate among those of a side with so many clients.
fn median<'a>(rounds: &'a [Measured], side: &str, clients: usize) -> Option<&'a Measured> {
    let mut of_both: Vec<&Measured> = rounds
        .iter()
        .filter(|measured| measured.side == side && measured.clients == clients)
        .collect();
    of_both.sort_by(|one, other| one.round.per_second().total_cmp(&other.round.per_second()));
    of_both.get(of_both.len() / 2).copied()
}

fn all_clients(rounds: &[Measured]) -> Vec<usize> {
    let mut all: Vec<usize> = rounds.iter().map(|measured| measured.clients).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The highest of the median rates of a side.
pub fn median_rate(rounds: &[Measured], side: &str) -> f64 {
    let rates = all_clients(rounds).into_iter();
    let rates = rates.filter_map(|clients| median(rounds, side, clients));
    rates
        .map(|measured| measured.round.per_second())
        .fold(0.0, f64::max)
}

/// Cycles a second, side by side.
pub fn throughput(rounds: &[Measured]) {
    println!("Whole cycles, median of the rounds\n");
    println!("side    clients  cycles/s   p50 ms   p99 ms  per cycle");
    for clients in all_clients(rounds) {
        for side in ["jitney", "openbao"] {
            if let Some(measured) = median(rounds, side, clients) {
                line(measured);
            }
        }
        let rate = |side| median(rounds, side, clients).map(|measured| measured.round.per_second());
        if let (Some(ours), Some(theirs)) = (rate("jitney"), rate("openbao")) {
            println!("ratio   {clients:>7} {:>9.1}", ours / theirs);
        }
    }
    if !rounds.iter().any(|measured| measured.side == "openbao") {
        println!("OpenBao was not there to be compared with: `./bench cycles` installs it");
    }
}

fn line(measured: &Measured) {
    let Measured {
        side,
        clients,
        round,
        cpu,
        commits,
    } = measured;
    let whole: Vec<Duration> = round.cycles.iter().map(Cycle::whole).collect();
    let (p50, p99) = (quantile(whole.clone(), 0.50), quantile(whole, 0.99));
    let mut told: Vec<String> = cpu
        .iter()
        .map(|(process, milliseconds)| format!("{process} {milliseconds:.2} ms CPU"))
        .collect();
    told.extend(commits.map(|commits| format!("{commits:.1} commits")));
    let (rate, told) = (round.per_second(), told.join(", "));
    println!("{side:<7} {clients:>7} {rate:>9.0} {p50:>8.2} {p99:>8.2}  {told}");
}

/// Waits at a load that can be borne.
pub fn load(load: &AtLoad) {
    let times = |of: fn(&Cycle) -> Duration| load.round.cycles.iter().map(of).collect();
    println!(
        "\nAt 60 % of that, {:.0} jobs a second, arriving by the clock\n",
        load.per_second
    );
    println!("what                            p50 ms   p99 ms");
    for (what, times) in [
        (
            "request, the cloud's call in it",
            times(|cycle| cycle.grant),
        ),
        ("the cloud's call by itself", load.cloud.clone()),
        ("release", times(|cycle| cycle.release)),
    ] {
        let (p50, p99) = (quantile(times.clone(), 0.50), quantile(times, 0.99));
        println!("{what:<31} {p50:>6.2} {p99:>8.2}");
    }
    println!(
        "durable commits per job, counted in the write-ahead log: {:.2}",
        load.commits
    );
}

/// What open leases cost.
pub fn memory(memory: &Memory) {
    let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    println!("\nResident memory of the broker\n");
    println!(
        "just started                    {:>7.1} MiB",
        mebibytes(memory.bytes_before)
    );
    println!(
        "with {:>6} open leases         {:>7.1} MiB",
        memory.leases,
        mebibytes(memory.bytes_open)
    );
    println!(
        "killed and started on them      {:>7.1} MiB",
        mebibytes(memory.bytes_restarted)
    );
    println!(
        "ready again after               {:>7.0} ms",
        memory.restart.as_secs_f64() * 1e3
    );
}
