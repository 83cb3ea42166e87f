//! What is counted, for Prometheus. One registry per broker, not per process: tests run several
//! brokers in one. No label ever holds a name that jobs choose, so that the number of series is
//! bounded by this program and its configuration.

mod ledger;

use core::time::Duration;

pub use ledger::MeasuredLedger;
use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// The names of what is counted.
pub mod names {
    /// Open leases, by state.
    pub const LEASES: &str = "jitney_leases";
    /// Whether elevations are stopped.
    pub const HALTED: &str = "jitney_halted";
    /// Leases under revocation that are overdue.
    pub const REVOKE_STUCK: &str = "jitney_revoke_stuck";
    /// From the end of a lease until its revocation was written, and until evidence.
    pub const REVOKE_LAG: &str = "jitney_revoke_lag_seconds";
    /// How long the ledger takes to commit.
    pub const LEDGER_COMMIT: &str = "jitney_ledger_commit_seconds";
    /// What clouds were asked to mint, and what came of it.
    pub const MINTS: &str = "jitney_mints_total";
    /// Leases that began to end, by why.
    pub const ENDS: &str = "jitney_ends_total";
    /// How long calls took, by route.
    pub const CALLS: &str = "jitney_call_seconds";
    /// Calls that were refused, by code.
    pub const REFUSALS: &str = "jitney_refusals_total";
    /// Calls to webhooks, by what came of them.
    pub const WEBHOOKS: &str = "jitney_webhooks_total";
    /// Alarms that were to be told elsewhere.
    pub const ALARMS: &str = "jitney_alarms_total";
    /// How old the remembered keys of an issuer are.
    pub const JWKS_AGE: &str = "jitney_jwks_age_seconds";
}

const GAUGES: &[(&str, &str)] = &[
    (names::LEASES, "Open leases, by state, as last looked at."),
    (names::HALTED, "1 while nothing is elevated, 0 otherwise."),
    (
        names::REVOKE_STUCK,
        "Leases whose revocation is overdue: what they gave may still work.",
    ),
    (names::JWKS_AGE, "Age of an issuer's remembered keys."),
];
const COUNTERS: &[(&str, &str)] = &[
    (
        names::MINTS,
        "Mints that were recorded, by what came of them.",
    ),
    (names::ENDS, "Leases that began to end, by why."),
    (names::REFUSALS, "Calls that were refused, by code."),
    (names::WEBHOOKS, "Calls to webhooks, by what came of them."),
    (
        names::ALARMS,
        "Alarms to be told to the webhook, by what came of it.",
    ),
];
const HISTOGRAMS: &[(&str, &str, &[f64])] = &[
    (
        names::REVOKE_LAG,
        "From the end of a lease until its revocation was read back, and until evidence.",
        &[
            0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0,
        ],
    ),
    (
        names::CALLS,
        "From a call's head until its answer, by route; what a cloud took to grant is in it.",
        &[
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
        ],
    ),
    (
        names::LEDGER_COMMIT,
        "How long the ledger took to commit, by what came of it.",
        &[
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
        ],
    ),
];

const METADATA: Metadata<'static> = Metadata::new("jitney", Level::INFO, None);

/// A broker's counters.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = buckets(PrometheusBuilder::new()).build_recorder();
        for (name, help) in GAUGES {
            recorder.describe_gauge((*name).into(), None, (*help).into());
        }
        for (name, help) in COUNTERS {
            recorder.describe_counter((*name).into(), None, (*help).into());
        }
        for (name, help, _) in HISTOGRAMS {
            recorder.describe_histogram((*name).into(), None, (*help).into());
        }
        Self {
            handle: recorder.handle(),
            recorder,
        }
    }
}

fn buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    HISTOGRAMS
        .iter()
        .fold(builder, |builder, (name, _, bounds)| {
            let matcher = Matcher::Full((*name).to_owned());
            // Refused is only an empty list of bounds; quantiles would then stand in for it.
            builder
                .set_buckets_for_metric(matcher, bounds)
                .unwrap_or_default()
        })
}

impl Metrics {
    /// Counts one more.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, &str)]) {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
            .increment(1);
    }

    /// Sets what is so now.
    pub fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.recorder
            .register_gauge(&key(name, labels), &METADATA)
            .set(value);
    }

    /// Notes how long something took.
    pub fn took(&self, name: &'static str, labels: &[(&'static str, &str)], time: Duration) {
        self.recorder
            .register_histogram(&key(name, labels), &METADATA)
            .record(time.as_secs_f64());
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was noted into its histograms. Without it a broker whom nobody scrapes keeps
    /// every single measurement.
    pub(crate) fn fold(&self) {
        self.handle.run_upkeep();
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_with_help_and_buckets() {
        let (metrics, other) = (Metrics::default(), Metrics::default());
        metrics.count(names::REFUSALS, &[("code", "denied")]);
        metrics.count(names::REFUSALS, &[("code", "denied")]);
        metrics.set(names::LEASES, &[("state", "active")], 3.0);
        metrics.took(
            names::REVOKE_LAG,
            &[("until", "written")],
            Duration::from_millis(700),
        );
        let text = metrics.render();
        for line in [
            "# TYPE jitney_refusals_total counter",
            "jitney_refusals_total{code=\"denied\"} 2",
            "jitney_leases{state=\"active\"} 3",
            "# TYPE jitney_revoke_lag_seconds histogram",
            "jitney_revoke_lag_seconds_bucket{until=\"written\",le=\"0.5\"} 0",
            "jitney_revoke_lag_seconds_bucket{until=\"written\",le=\"1\"} 1",
            "# HELP jitney_leases Open leases, by state, as last looked at.",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
        }
        assert_eq!(other.render(), "", "one broker's counts are not another's");
    }
}
