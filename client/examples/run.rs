//! `run` as a program of its own, without the rest of `jitney`: what the tests in `tests/jobs`
//! start and send signals to.
//!
//! ```text
//! run [--name value]... [--flag]... -- command [argument]...
//! ```

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use jitney_client::{OnLost, Output, RunOptions, WaitEffective, exit, run};

fn main() -> ExitCode {
    let Some(options) = options(std::env::args_os().skip(1)) else {
        return ExitCode::from(exit::USAGE);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(run(options))),
        Err(_) => ExitCode::from(exit::INTERNAL),
    }
}

fn options(mut words: impl Iterator<Item = OsString>) -> Option<RunOptions> {
    let mut options = RunOptions::new(String::new(), Vec::new(), Vec::new());
    loop {
        let name = words.next()?;
        match name.to_str()? {
            "--" => break,
            "--pristine" => options.pristine = true,
            "--env" => options.output = Output::Env,
            "--wait-effective" => options.wait_effective = WaitEffective::AsPromised,
            "--kill" => options.on_lost = OnLost::Kill,
            // Without a controlling terminal, as in a CI system.
            "--new-session" => drop(nix::unistd::setsid()),
            with_value => {
                let value = words.next()?.into_string().ok()?;
                set(&mut options, with_value, value)?;
            }
        }
    }
    options.command = words.collect();
    Some(options)
}

fn set(options: &mut RunOptions, name: &str, value: String) -> Option<()> {
    match name {
        "--broker" => options.broker = value,
        "--scope" => options.scopes.push(value),
        "--ttl" => options.ttl_seconds = Some(value.parse().ok()?),
        "--reason" => options.reason = Some(value),
        "--token-file" => options.token_file = Some(value.into()),
        "--token-env" => options.token_env = Some(value),
        "--keep-env" => options.keep_env.push(value),
        "--wait-at-most" => {
            let most = Duration::from_secs(value.parse().ok()?);
            options.wait_effective = WaitEffective::AtMost(most);
        }
        "--patience" => options.patience = Duration::from_secs(value.parse().ok()?),
        _ => return None,
    }
    Some(())
}
