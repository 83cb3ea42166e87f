//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::logging::LogFormat;

/// Just-in-time privileges for delivery pipelines: a job gets what its task needs while the task
/// runs, and loses it when the task ends.
#[derive(Debug, Parser)]
#[command(name = "jitney", version, propagate_version = true)]
pub struct Arguments {
    /// How the log on standard error looks; `JITNEY_LOG` says how much of it there is.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker.
    Serve(ConfigurationFile),
    /// Play a delivery pipeline against a sandbox of AWS, and show each step as it happens.
    Demo(Demo),
    /// Run a broker to try things with: with a sandbox of AWS and a CI issuer, on loopback.
    Dev(Dev),
    /// Run a command with a lease for exactly as long as it runs.
    Run(Box<Run>),
    /// Run the sandbox of AWS and a CI issuer for other programs, until standard input ends.
    Sandbox(Sandbox),
    /// Look at leases in a ledger, and end them.
    #[command(subcommand)]
    Lease(Lease),
    /// Look at kill orders: what `lease revoke` began.
    #[command(subcommand)]
    Order(OrderCommand),
    /// Recover from a ledger that went back in time: cut everything that could have been issued.
    Recover(Recover),
    /// Look through a target for what bears this installation's stamp and belongs to nothing.
    Sweep(Sweep),
    /// Say how the running broker and its leases are.
    Status(Status),
    /// Look at everything that can be set up wrongly, and say what to change.
    Doctor(Doctor),
    /// Verify or export the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// The installation's own keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Move a whole ledger: into a file, out of one, or into another ledger.
    #[command(subcommand)]
    Ledger(Ledger),
}

impl Command {
    /// Whether the process is a broker, whose log is what its operator watches.
    pub const fn is_a_broker(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Dev(_))
    }
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigurationFile {
    /// The configuration file. Variables such as `JITNEY__BROKER__LISTEN` change its keys.
    #[arg(
        long,
        value_name = "FILE",
        env = "JITNEY_CONFIG",
        default_value = "jitney.toml"
    )]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// Take a real lease in this target through the running broker, end it, and measure how long
    /// the cloud takes. Nobody is given the lease, and nothing else is looked at.
    #[arg(long, value_name = "TARGET")]
    pub rehearse: Option<String>,
    /// What to rehearse with; otherwise the first thing in the target that can be read.
    #[arg(long, value_name = "SCOPE", requires = "rehearse")]
    pub scope: Option<String>,
    /// Who rehearses; otherwise the name of the user this command runs as. Stands in the audit log.
    #[arg(long, value_name = "NAME", requires = "rehearse")]
    pub person: Option<String>,
    /// How the measurement looks.
    #[arg(long, value_enum, default_value_t, requires = "rehearse")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// How the steps are shown.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Play it in a cloud that ignores every Deny: the demonstration must notice.
    #[arg(long)]
    pub sandbox_ignores_deny: bool,
}

#[derive(Debug, Args)]
pub struct Dev {
    /// Keep everything in this folder, and go on with what is there; otherwise it is gone at the end.
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
}

#[derive(Debug, Args)]
pub struct Sandbox {
    /// What exists in the cloud, as TOML or JSON; otherwise a small shop.
    #[arg(long, value_name = "FILE")]
    pub estate: Option<PathBuf>,
}

/// What to do when the broker or the lease is lost.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum OnLost {
    /// Say so, and let the command run on.
    #[default]
    Warn,
    /// End the command.
    Kill,
}

/// How the command gets its credential.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Output {
    /// From an endpoint on loopback that SDKs ask again and again.
    #[default]
    Loopback,
    /// In environment variables, which cannot be refreshed.
    Env,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The broker: `https://host[:port]`, or `http://127.0.0.1:port`.
    #[arg(long, value_name = "URL", env = "JITNEY_BROKER")]
    pub broker: String,
    /// For what: `capability@resource[/path]`. May be given up to 16 times.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub scopes: Vec<String>,
    /// For how long at a time: `900`, `15m`, `1h`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub ttl: Option<u32>,
    /// Why.
    #[arg(long = "for", value_name = "REASON")]
    pub reason: Option<String>,
    /// The audience of CI tokens, when it is not the broker's address.
    #[arg(long, env = "JITNEY_AUDIENCE")]
    pub audience: Option<String>,
    /// The audience of CI tokens that show the job alive, when it is not the audience and `/beat`.
    #[arg(long, value_name = "AUDIENCE", env = "JITNEY_BEAT_AUDIENCE")]
    pub beat_audience: Option<String>,
    /// A file with a CI token; without it and `--token-env`, GitHub's runner is asked.
    #[arg(long, value_name = "FILE", env = "JITNEY_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The variable with the job's CI token, which GitLab's `id_tokens` names. The command does not
    /// get it.
    #[arg(long, value_name = "NAME", env = "JITNEY_TOKEN_ENV")]
    pub token_env: Option<String>,
    /// Certificates of the broker's own authority, PEM.
    #[arg(long, value_name = "FILE", env = "JITNEY_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// How long to try to get the lease.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub patience: Option<u32>,
    /// Start the command only once the cloud accepts its credential, and give up after this time:
    /// `120`, `2m`. Without a time, after what the cloud's provider says that it may take.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = seconds,
        num_args = 0..=1,
        require_equals = true
    )]
    pub wait_effective: Option<Option<u32>>,
    /// What to do when the broker or the lease is lost.
    #[arg(long, value_enum, default_value_t)]
    pub on_lost: OnLost,
    /// Start the command with a nearly empty environment.
    #[arg(long)]
    pub pristine: bool,
    /// Pass these variables on although they would not be.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub keep_env: Vec<String>,
    /// How the command gets its credential.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// The command and its arguments, behind `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Lease {
    /// List leases, the newest first.
    List(LeaseList),
    /// Show one lease.
    Show(LeaseShow),
    /// End every lease that something is true of, now.
    Revoke(LeaseRevoke),
    /// Declare a lease over without evidence: it is no longer revoked, and stays visible for ever.
    WriteOff(LeaseWriteOff),
}

#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Write everything that is in the ledger into a file. No broker may run on it.
    Export(LedgerExport),
    /// Fill an empty ledger from such a file, whole or not at all.
    Import(LedgerImport),
    /// Fill another configuration's empty ledger with what is in this one. No broker may run on
    /// either.
    Migrate(LedgerMigrate),
}

#[derive(Debug, Args)]
pub struct LedgerExport {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The file to make; otherwise it goes to standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LedgerImport {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The file to read; otherwise it comes from standard input.
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LedgerMigrate {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The configuration whose ledger is filled.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// How answers look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub struct LeaseList {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// Also those that have ended.
    #[arg(long)]
    pub all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// How the answer looks.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct LeaseShow {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The lease's id.
    pub id: String,
    /// How the answer looks.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct LeaseWriteOff {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The lease's id.
    pub id: String,
    #[command(flatten)]
    pub signed: Signed,
}

/// Who says so, and why.
#[derive(Debug, Args)]
pub struct Signed {
    /// Who says so. Stands in the audit log, beside the user this command runs as.
    #[arg(long, value_name = "NAME")]
    pub person: String,
    /// Why. Stands in the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Which leases. All that is given must be true of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Aim {
    /// Of this issuer's jobs: its `iss`.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// Of this repository's jobs: its id, or its path as the CI last told it.
    #[arg(long, value_name = "REPOSITORY")]
    pub repo: Option<String>,
    /// On this target.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// On this resource.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// This one.
    #[arg(long, value_name = "LEASE")]
    pub lease: Option<String>,
    /// Asked for at this moment or later: `2026-11-23T09:30:00Z`.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

#[derive(Debug, Args)]
pub struct LeaseRevoke {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    #[command(flatten)]
    pub aim: Aim,
    /// Cut the roles they are sessions of at once: other jobs' leases of those roles fall too.
    #[arg(long)]
    pub cut_role: bool,
    /// Only say what it would be about.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// List kill orders, the latest first.
    List(Status),
    /// Show one, and how far it is.
    Show(OrderShow),
}

#[derive(Debug, Args)]
pub struct OrderShow {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The order's id.
    pub id: String,
    /// How the answer looks.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// Only say what it would cut.
    #[arg(long)]
    pub dry_run: bool,
    /// The ledger was restored, although no cloud may bear a later stamp.
    #[arg(long)]
    pub restored: bool,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, Args)]
pub struct Sweep {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// The target.
    pub target: String,
    /// End what is found, not only tell of it.
    #[arg(long)]
    pub act: bool,
    /// At most so many.
    #[arg(long, default_value_t = 10)]
    pub cap: u32,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// How the answer looks.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Say whether the audit log is the one that was signed.
    Verify(AuditVerify),
    /// Write the audit log to a file that anybody can verify.
    Export(AuditExport),
}

#[derive(Debug, Args)]
pub struct AuditVerify {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// Verify this ledger instead of the configured one.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "export")]
    pub ledger: Option<PathBuf>,
    /// Verify this export instead of a ledger.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub export: Option<PathBuf>,
    /// The key it must be signed with, `name+id+base64`; otherwise the configured one.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A checkpoint that was kept elsewhere: shows a log that was cut off at its end.
    #[arg(long = "witness", value_name = "FILE")]
    pub witnesses: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AuditExport {
    #[command(flatten)]
    pub configuration: ConfigurationFile,
    /// Where to write it; otherwise standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the keys that are not there yet, readable by their owner only.
    Init(ConfigurationFile),
    /// Show the key with which anybody can verify the audit log.
    Show(ConfigurationFile),
}

/// Reads `900`, `900s`, `15m` or `1h` as seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3_600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let count: Option<u32> = digits.then(|| number.parse().ok()).flatten();
    count
        .and_then(|count| count.checked_mul(unit))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "expected a time such as `900`, `15m` or `1h`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_one_reading() {
        for (text, expected) in [("900", 900), ("30s", 30), ("15m", 900), ("1h", 3_600)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "0",
            "m",
            "-1",
            "1d",
            "1.5h",
            "+5",
            "99999999999",
            "2000000h",
            "1 m",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
