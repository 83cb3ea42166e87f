//! `jitney demo`: plays a delivery pipeline and shows that each step is as promised.

use jitney_demo::DemoOptions;

use crate::arguments::{Demo, Format};
use crate::failure::{BROKEN_PROMISE, Failure};

/// Runs the command. Gives 0 only if every step was as promised.
pub async fn demo(arguments: Demo) -> Result<u8, Failure> {
    let options = DemoOptions {
        format: match arguments.format {
            Format::Text => jitney_demo::Format::Text,
            Format::Json => jitney_demo::Format::Json,
        },
        sandbox_ignores_deny: arguments.sandbox_ignores_deny,
    };
    let as_promised = jitney_demo::run(options, &mut std::io::stdout())
        .await
        .map_err(|error| Failure::unreachable("no_stage", error))?;
    Ok(if as_promised { 0 } else { BROKEN_PROMISE })
}
