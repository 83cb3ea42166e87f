//! `jitney run`: hands the command line to the client, which does everything else.

use core::time::Duration;

use jitney_client::{OnLost, Output, RunOptions, WaitEffective};

use crate::arguments;

/// Runs the command. Gives its exit code, or one of the client's own.
pub async fn run(arguments: arguments::Run) -> u8 {
    let usual = RunOptions::new(arguments.broker, arguments.scopes, arguments.command);
    let patience = arguments.patience.map_or(usual.patience, |seconds| {
        Duration::from_secs(seconds.into())
    });
    jitney_client::run(RunOptions {
        ca_file: arguments.ca_file,
        audience: arguments.audience,
        beat_audience: arguments.beat_audience,
        token_file: arguments.token_file,
        token_env: arguments.token_env,
        ttl_seconds: arguments.ttl,
        reason: arguments.reason,
        patience,
        wait_effective: match arguments.wait_effective {
            None => WaitEffective::No,
            Some(None) => WaitEffective::AsPromised,
            Some(Some(most)) => WaitEffective::AtMost(Duration::from_secs(most.into())),
        },
        on_lost: match arguments.on_lost {
            arguments::OnLost::Warn => OnLost::Warn,
            arguments::OnLost::Kill => OnLost::Kill,
        },
        pristine: arguments.pristine,
        keep_env: arguments.keep_env,
        output: match arguments.output {
            arguments::Output::Loopback => Output::Loopback,
            arguments::Output::Env => Output::Env,
        },
        ..usual
    })
    .await
}
