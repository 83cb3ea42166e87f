//! `run`: a command that has a lease for exactly as long as it runs.
//!
//! ```text
//! request ─► (wait until it is in force) ─► export ─► start ─► beat, renew, pass signals on ─► end ─► endpoint gone ─► release
//! ```
//!
//! The release is on every way out: the command's own end, a signal, a command that cannot be
//! started, a panic of ours. Only a `SIGKILL` of this process skips it; then the broker hears
//! nothing more and ends the lease.

mod aws;
mod azure;
mod beats;
mod child;
mod effective;
mod environment;
pub mod exit;
mod export;
mod failure;
mod google;
mod handing;
mod held;
mod loopback;
mod news;
mod notice;
mod options;
mod renewals;
mod session;
mod signals;
mod supervise;

use core::future::Future;
use std::ffi::OsString;
use std::sync::Arc;

use jitney_api::{RequestBody, beat_audience};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) use environment::NESTED_IN;
pub(crate) use notice::escaped;
pub use options::{Environment, OnLost, Output, RunOptions, WaitEffective};

use crate::address::BrokerAddress;
use crate::requests::Client;
use crate::token::TokenSource;
use beats::Life;
use child::Running;
use export::Export;
use failure::Failure;
use held::Held;
use news::News;
use session::{RELEASE_PATIENCE, Session, Wish};
use signals::Signals;

/// Runs a command with a lease. Gives the exit code for this process: the command's own, or one
/// of [`exit`].
pub async fn run(options: RunOptions) -> u8 {
    match with_lease(options).await {
        Ok(code) => code,
        Err(failure) => {
            failure.announce();
            failure.exit
        }
    }
}

async fn with_lease(options: RunOptions) -> Result<u8, Failure> {
    let wish = wish(&options)?;
    let on_terminal = child::on_terminal();
    let mut signals = Signals::listen(on_terminal).map_err(|error| {
        Failure::new(exit::INTERNAL, format!("signals cannot be heard: {error}"))
    })?;
    let mut opening = Box::pin(Session::open(&wish));
    let (session, news) = tokio::select! {
        opened = &mut opening => opened?,
        signal = signals.asked_to_end() => {
            // The broker may be granting in this moment: what comes in time is given back.
            if let Ok(Ok((session, _))) = timeout(RELEASE_PATIENCE, opening).await {
                session.close().await;
            }
            return Ok(exit::by_signal(signal as i32));
        }
    };
    let leases = session.leases.clone();
    let request = session.request.clone();
    let work = work(options, on_terminal, request, leases, signals, news);
    let ended = shielded(work).await;
    session.close().await;
    ended
}

/// Comes back even when `work` panics: what follows it is the release.
async fn shielded(
    work: impl Future<Output = Result<u8, Failure>> + Send + 'static,
) -> Result<u8, Failure> {
    tokio::spawn(work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            exit::INTERNAL,
            "jitney made a mistake and ended the command",
        ))
    })
}

/// Everything between the grant and the release. The endpoint and its files are gone when this
/// comes back.
async fn work(
    options: RunOptions,
    on_terminal: bool,
    request: String,
    leases: Vec<Arc<Held>>,
    mut signals: Signals,
    mut news: mpsc::Receiver<News>,
) -> Result<u8, Failure> {
    let waiting = effective::wait(options.wait_effective, &leases, &mut news);
    tokio::select! {
        in_force = waiting => in_force?,
        signal = signals.asked_to_end() => return Ok(exit::by_signal(signal as i32)),
    }
    let export = Export::of(&leases, options.output).await?;
    let mut environment = environment::without_tokens(&options);
    export.apply(&mut environment);
    environment.set(NESTED_IN, request);
    let (program, arguments) = command(&options.command)?;
    let running = Running::start(program, arguments, &environment, on_terminal)?;
    Ok(supervise::supervise(running, &mut signals, &mut news, options.on_lost).await)
}

fn command(words: &[OsString]) -> Result<(&OsString, &[OsString]), Failure> {
    words
        .split_first()
        .ok_or_else(|| Failure::usage("there is no command to run: put it behind `--`"))
}

/// Everything that can be wrong before the broker is asked.
fn wish(options: &RunOptions) -> Result<Wish, Failure> {
    command(&options.command)?;
    let body = RequestBody {
        scopes: options.scopes.clone(),
        ttl_seconds: options.ttl_seconds,
        reason: options.reason.clone(),
    };
    body.check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let broker: BrokerAddress = options
        .broker
        .parse()
        .map_err(|error: crate::BadAddress| Failure::configuration(error.to_string()))?;
    let audience = options.audience.clone().unwrap_or_else(|| broker.origin());
    let authorities = match &options.ca_file {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            let path = path.display();
            Failure::configuration(format!("`{path}` cannot be read: {error}"))
        })?),
    };
    let client = Client::new(broker, authorities.as_deref())
        .map_err(|error| Failure::configuration(error.to_string()))?;
    let source = source(options, &audience)?;
    Ok(Wish {
        client: Arc::new(client),
        life: Arc::new(Life {
            source,
            beat_audience: options
                .beat_audience
                .clone()
                .unwrap_or_else(|| beat_audience(&audience)),
            audience,
        }),
        body,
        output: options.output,
        patience: options.patience,
    })
}

/// Where the job's tokens come from.
fn source(options: &RunOptions, audience: &str) -> Result<TokenSource, Failure> {
    let environment = &options.environment;
    match (&options.token_env, &options.token_file) {
        (Some(_), Some(_)) => {
            let told = "the token is either in a file or in a variable: name one of them";
            return Err(Failure::usage(told));
        }
        (Some(name), None) => TokenSource::in_variable(environment, name, audience),
        (None, file) => TokenSource::find(environment, file.clone()),
    }
    .map_err(|error| Failure::configuration(format!("{error} ({})", error.code())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn a_panic_comes_back_as_an_exit_code() {
        assert_eq!(shielded(async { Ok(7) }).await.unwrap(), 7);
        let mishap = shielded(async { panic!("for the test") }).await;
        assert_eq!(mishap.unwrap_err().exit, exit::INTERNAL);
    }

    #[test]
    fn what_is_wrong_is_found_before_the_broker_is_asked() {
        let broker = "http://127.0.0.1:1".to_owned();
        let scopes = vec!["object-storage:read@a".to_owned()];
        let options = RunOptions::new(broker, scopes, vec!["true".into()]);
        let options = RunOptions {
            token_file: Some("token".into()),
            ..options
        };
        let code = |change: fn(&mut RunOptions)| {
            let mut options = options.clone();
            change(&mut options);
            wish(&options).map_or_else(|failure| failure.exit, |_| 0)
        };
        assert_eq!(code(|_| ()), 0);
        assert_eq!(code(|o| o.command.clear()), exit::USAGE);
        assert_eq!(code(|o| o.scopes.clear()), exit::USAGE);
        assert_eq!(code(|o| o.ttl_seconds = Some(0)), exit::USAGE);
        let plain = |o: &mut RunOptions| o.broker = "http://broker.example".to_owned();
        assert_eq!(code(plain), exit::CONFIGURATION);
        let no_ca = |o: &mut RunOptions| o.ca_file = Some("/nowhere/ca.pem".into());
        assert_eq!(code(no_ca), exit::CONFIGURATION);
        let empty_ca = |o: &mut RunOptions| o.ca_file = Some("/dev/null".into());
        assert_eq!(code(empty_ca), exit::CONFIGURATION);
        let two_tokens = |o: &mut RunOptions| o.token_env = Some("ID_TOKEN".to_owned());
        assert_eq!(code(two_tokens), exit::USAGE);
        let no_token = |o: &mut RunOptions| {
            o.token_file = None;
            o.environment = Environment::default();
        };
        assert_eq!(code(no_token), exit::CONFIGURATION);
    }
}
