//! `jitney`: one binary for the broker, the jobs and the people around them.

mod arguments;
mod commands;
mod configuration;
mod failure;
mod keys;
mod ledgers;
mod logging;
mod operators;
mod signing;
mod terminal;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use commands::{
    audit, demo, dev, doctor, keys as key_files, lease, ledger, operate, run, sandbox, serve,
};
use failure::{Failure, INTERNAL, USAGE};

/// A job's call makes many small allocations that another thread frees. With the C library's allocator
/// they cost the broker a seventh of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return told_by_clap(&error),
    };
    logging::start(arguments.log_format, arguments.command.is_a_broker());
    let outcome = choose_cryptography()
        .and_then(|()| runtime())
        .and_then(|runtime| runtime.block_on(command(arguments.command)));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal::warn(&format!("jitney: {failure}"));
            ExitCode::from(failure.exit)
        }
    }
}

/// Gives the code that the process returns.
async fn command(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Serve(arguments) => serve::serve(arguments).await,
        Command::Demo(arguments) => demo::demo(arguments).await,
        Command::Dev(arguments) => dev::dev(arguments).await,
        Command::Run(arguments) => Ok(run::run(*arguments).await),
        Command::Sandbox(arguments) => sandbox::sandbox(arguments).await,
        Command::Lease(arguments) => lease::lease(arguments).await,
        Command::Order(arguments) => operate::order(arguments).await,
        Command::Recover(arguments) => operate::recover(arguments).await,
        Command::Sweep(arguments) => operate::sweep(arguments).await,
        Command::Status(arguments) => operate::status(arguments).await,
        Command::Doctor(arguments) => doctor::doctor(arguments).await,
        Command::Audit(arguments) => audit::audit(arguments).await,
        Command::Ledger(arguments) => ledger::ledger(arguments).await,
        Command::Keys(arguments) => key_files::keys(arguments),
    }
}

/// Help and version are answers; everything else is a wrong command line.
fn told_by_clap(error: &clap::Error) -> ExitCode {
    // Without a place to print there is nobody to tell.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// One implementation for TLS and for tokens, chosen before anything needs it: with a second one
/// linked in, the libraries would otherwise stop at their first use.
fn choose_cryptography() -> Result<(), Failure> {
    let tls = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tokens = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    if tls.is_ok() && tokens.is_ok() {
        return Ok(());
    }
    Err(Failure::internal("the cryptography was chosen twice"))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(INTERNAL, "no_threads", error))
}
