//! What happened, in the order in which it did: written down as a world goes on, and told when it
//! comes to a bad end.

use std::fmt::Write as _;
use std::sync::Mutex;

use jiff::Timestamp;
use jitney_core::audit::Entry as LogEntry;
use jitney_integration_tests::kills::{Books, Vendor, Violation};
use jitney_sandbox::Entry as Call;

/// How many violations are told in full, and with how many lines each.
const TOLD_MAX: usize = 3;
const LINES_MAX: usize = 120;

/// Moments of one world.
#[derive(Debug, Default)]
pub struct Story(Mutex<Vec<(Timestamp, String)>>);

impl Story {
    pub fn tell(&self, what: impl Into<String>) {
        self.at(Timestamp::now(), what);
    }

    pub fn at(&self, at: Timestamp, what: impl Into<String>) {
        self.0.lock().unwrap().push((at, what.into()));
    }

    /// What led to the violations: of each lease its entries in the log, the calls about its lane,
    /// and what was done to the processes meanwhile.
    pub fn of(
        &self,
        violations: &[Violation],
        books: &Books,
        journal: &[(Vendor, Call)],
    ) -> String {
        let mut text = String::new();
        for (told, violation) in violations.iter().enumerate() {
            let _ = writeln!(text, "\n{violation}");
            let Some(lease) = violation.lease().filter(|_| told < TOLD_MAX) else {
                continue;
            };
            let entries = books.log.iter();
            let entries: Vec<&LogEntry> = entries
                .filter(|entry| entry.lease_id().is_some_and(|id| id.to_string() == lease))
                .collect();
            let mut lines: Vec<(Timestamp, String)> =
                entries.iter().map(|entry| line_of_log(entry)).collect();
            lines.extend(
                journal
                    .iter()
                    .filter(|(_, call)| is_about(call, &entries))
                    .map(line_of_call),
            );
            lines.extend(self.0.lock().unwrap().iter().cloned());
            lines.sort();
            let begin = entries
                .first()
                .map_or(Timestamp::MIN, |entry| time_of(entry));
            let of_the_lease = lines.iter().filter(|(at, _)| *at >= begin);
            for (at, what) in of_the_lease.take(LINES_MAX) {
                let _ = writeln!(text, "  {at}  {what}");
            }
        }
        text
    }
}

fn time_of(entry: &LogEntry) -> Timestamp {
    Timestamp::from_microsecond(entry.at().as_micros()).unwrap()
}

fn line_of_log(entry: &LogEntry) -> (Timestamp, String) {
    let fields: Vec<String> = entry
        .fields()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let told = format!("log    {} {}", entry.event(), fields.join(" "));
    (time_of(entry), told)
}

fn line_of_call((vendor, call): &(Vendor, Call)) -> (Timestamp, String) {
    let fault = call.fault.as_deref().unwrap_or("-");
    let told = format!(
        "cloud  {vendor:?} {} {} {} fault={fault} finished={} answered={}",
        call.action, call.resource, call.outcome, call.finished, call.answered
    );
    (call.arrived, told)
}

/// Whether a call was about a lease's lane, or about what it is for.
fn is_about(call: &Call, entries: &[&LogEntry]) -> bool {
    let field = |name: &str| entries.iter().find_map(|entry| entry.fields().get(name));
    let lane = field("lane").and_then(|lane| lane.rsplit('/').next());
    let resource = field("scopes").and_then(|scopes| scopes.split(['@', '/']).nth(1));
    let mut words = lane.into_iter().chain(resource);
    words.any(|word| call.resource.contains(word))
}
