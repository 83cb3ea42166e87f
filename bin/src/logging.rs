//! The operator's log: to standard error, because standard output is for answers.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// What the log of a broker says unless it is told otherwise.
const OF_A_BROKER: &str = "warn,jitney=info,jitney_broker=info,jitney_core=info,jitney_identity=info,\
                      jitney_aws=info,jitney_gcp=info,jitney_ledger_sqlite=info,jitney_ledger_postgres=info";
/// The same where a person watches something else.
const OF_A_COMMAND: &str = "error";
/// The variable that changes it, in the syntax of `tracing`'s filters.
const FILTER_VARIABLE: &str = "JITNEY_LOG";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts the log of this process.
pub fn start(format: LogFormat, of_a_broker: bool) {
    let usual = if of_a_broker {
        OF_A_BROKER
    } else {
        OF_A_COMMAND
    };
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| usual.into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost. Told on the same standard error it would be a
        // panic, and a full disk that also holds the log would end the broker.
        .log_internal_errors(false)
        .with_ansi(false);
    // A second start finds the first one's log in place, which is as good.
    match format {
        LogFormat::Text => drop(lines.try_init()),
        LogFormat::Json => drop(lines.json().flatten_event(true).try_init()),
    }
}
