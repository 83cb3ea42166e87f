//! What was measured, as people read it.

use std::time::Duration;

use crate::cycles::{AtLoad, Measured, Memory, OPENBAO};
use crate::measure::{Cycle, quantile};
use crate::scale::Scale;

/// The round with the median rate among those of a side with so many clients.
fn median<'a>(rounds: &'a [Measured], side: &str, clients: usize) -> Option<&'a Measured> {
    let mut of_both: Vec<&Measured> = rounds
        .iter()
        .filter(|measured| measured.side == side && measured.clients == clients)
        .collect();
    of_both.sort_by(|one, other| one.round.per_second().total_cmp(&other.round.per_second()));
    of_both.get(of_both.len() / 2).copied()
}

/// Everything but OpenBao, in the order in which it was measured.
fn ours(rounds: &[Measured]) -> Vec<&'static str> {
    let mut sides = Vec::new();
    for measured in rounds {
        if measured.side != OPENBAO && !sides.contains(&measured.side) {
            sides.push(measured.side);
        }
    }
    sides
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
    println!("ledger   clients  cycles/s   p50 ms   p99 ms  per cycle");
    let ours = ours(rounds);
    for clients in all_clients(rounds) {
        for side in ours.iter().copied().chain([OPENBAO]) {
            if let Some(measured) = median(rounds, side, clients) {
                line(measured);
            }
        }
        let rate = |side| median(rounds, side, clients).map(|measured| measured.round.per_second());
        for side in &ours {
            if let (Some(ours), Some(theirs)) = (rate(side), rate(OPENBAO)) {
                println!("{side} is {:.2} times OpenBao", ours / theirs);
            }
        }
        println!();
    }
    if !rounds.iter().any(|measured| measured.side == OPENBAO) {
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
    println!("{side:<8} {clients:>7} {rate:>9.0} {p50:>8.2} {p99:>8.2}  {told}");
}

/// Waits at a load that can be borne.
pub fn load(ledger: &str, load: &AtLoad) {
    let times = |of: fn(&Cycle) -> Duration| load.round.cycles.iter().map(of).collect();
    println!(
        "\nAt 60 % of the most on {ledger}, {:.0} jobs a second, arriving by the clock\n",
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
    if let Some(commits) = load.commits {
        println!("durable commits per job, counted in the write-ahead log: {commits:.2}");
    }
}

/// What open leases cost.
pub fn memory(ledger: &str, memory: &Memory) {
    println!("\nResident memory of the broker on {ledger}\n");
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

/// A ledger with a long past.
pub fn scale(scale: &Scale) {
    let Scale {
        ledger,
        leases,
        beating,
        loading,
        ..
    } = scale;
    println!("\n{leases} leases on {ledger}, {beating} of them open and beating\n");
    let loaded = loading.took.as_secs_f64();
    println!(
        "made and loaded in {loaded:.1} s with {} audit entries, {:.0} leases a second, \
         the importer in {:.0} MiB at most",
        loading.entries,
        *leases as f64 / loaded,
        mebibytes(loading.bytes_most)
    );
    println!("\nwhat                              empty      full   ratio");
    let told = |what: &str, [empty, full]: [f64; 2]| {
        println!(
            "{what:<30} {empty:>8.2}  {full:>8.2}  {:>6.2}",
            full / empty
        );
    };
    let seconds = scale.ready_after.map(|took| took.as_secs_f64());
    told("ready after, s", seconds);
    told("resident memory, MiB", scale.bytes.map(mebibytes));
    for (when, waits) in [("nobody beats", &scale.quiet), ("all beat", &scale.beaten)] {
        for (name, share) in [("p50", 0.50), ("p99", 0.99)] {
            let wait = |cycles: &[Cycle], of: fn(&Cycle) -> Duration| {
                quantile(cycles.iter().map(of).collect(), share)
            };
            let both = |of| [wait(&waits.empty, of), wait(&waits.full, of)];
            told(
                &format!("request {name}, {when}, ms"),
                both(|cycle| cycle.grant),
            );
            told(
                &format!("release {name}, {when}, ms"),
                both(|cycle| cycle.release),
            );
        }
    }
    println!(
        "\nresident memory of the full one, at most: {:.1} MiB",
        mebibytes(scale.bytes_most)
    );
    let beats = scale.beats.len();
    let (p50, p99) = (
        quantile(scale.beats.clone(), 0.50),
        quantile(scale.beats.clone(), 0.99),
    );
    println!("{beats} beats, all heard: p50 {p50:.2} ms, p99 {p99:.2} ms");
    let verified = scale.verifying.took.as_secs_f64();
    println!(
        "verified in {verified:.2} s, {:.2} s for a million entries: {}",
        verified * 1e6 / loading.entries as f64,
        scale.verifying.told
    );
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
