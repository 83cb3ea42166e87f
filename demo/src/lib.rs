//! The demonstration: a delivery pipeline against a cloud that enforces, on loopback and in one
//! process.
//!
//! [`run`] starts the AWS sandbox, a CI issuer and a broker on a fresh SQLite ledger, and plays
//! the [`story`]: each step says what was promised and what the cloud really answered. Nothing is
//! staged: the client, the broker, the adapter and AWS's own SDK are the ones a pipeline uses.

mod clock;
mod estate;
mod hands;
mod report;
mod stage;
mod story;

use std::io::Write;

pub use report::{Format, Step};
pub use stage::CannotStage;

/// How to play.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoOptions {
    /// How to show the steps.
    pub format: Format,
    /// Start a sandbox that ignores every Deny. The demonstration must notice.
    pub sandbox_ignores_deny: bool,
}

/// Plays the demonstration and shows it on `out`. True when every step was as promised.
///
/// # Errors
/// When the stage cannot be set: no loopback port, no temporary directory.
pub async fn run(options: DemoOptions, out: &mut (dyn Write + Send)) -> Result<bool, CannotStage> {
    let stage = stage::Stage::set(options.sandbox_ignores_deny).await?;
    let mut report = report::Report::new(options.format, out);
    story::play(stage, &mut report).await?;
    Ok(report.close())
}
