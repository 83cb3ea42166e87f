//! `jitney sandbox`: the sandbox of AWS and a CI issuer for other programs.

use std::path::Path;

use jitney_sandbox::aws::estate::Estate;
use jitney_sandbox::ci::{CiIssuer, CiOptions};
use jitney_sandbox::{AwsOptions, AwsSandbox};
use serde_json::json;

use crate::arguments;
use crate::failure::{Failure, USAGE};
use crate::terminal::say;

/// What exists in the cloud unless a file says otherwise: the estate of the example configuration.
const ESTATE: &str = include_str!("../../../examples/estate.toml");

/// The clouds and the CI of a sandbox. Dropped, they stop.
pub struct Sandbox {
    pub aws: AwsSandbox,
    pub ci: CiIssuer,
}

/// Runs the command: prints one line of JSON, and serves until standard input ends, so that it
/// never outlives whoever started it.
pub async fn sandbox(arguments: arguments::Sandbox) -> Result<u8, Failure> {
    let sandbox = start(arguments.estate.as_deref()).await?;
    let line = json!({
        "aws": {
            "url": sandbox.aws.url(),
            "region": sandbox.aws.region(),
            "accounts": sandbox.aws.accounts(),
        },
        "ci": { "url": sandbox.ci.url() },
    });
    say(&line.to_string())?;
    let until_end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    match tokio::task::spawn_blocking(until_end).await {
        Ok(Ok(_)) => Ok(0),
        Ok(Err(error)) => Err(Failure::internal(&error)),
        Err(error) => Err(Failure::internal(&error)),
    }
}

/// Starts both, on free ports of loopback.
pub async fn start(estate: Option<&Path>) -> Result<Sandbox, Failure> {
    let estate = match estate {
        Some(file) => {
            Estate::read(file).map_err(|error| Failure::configuration("bad_estate", error))?
        }
        None => toml::from_str(ESTATE).map_err(|error| Failure::internal(&error))?,
    };
    let aws = AwsSandbox::start(AwsOptions::new(estate))
        .await
        .map_err(|error| Failure::new(USAGE, "sandbox", error))?;
    let ci = CiIssuer::start(CiOptions::default())
        .await
        .map_err(|error| Failure::unreachable(error.code(), error))?;
    Ok(Sandbox { aws, ci })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_estate_of_the_example_holds_together() {
        let estate: Estate = toml::from_str(ESTATE).unwrap();
        assert_eq!(estate.accounts.len(), 1);
        AwsSandbox::start(AwsOptions::new(estate)).await.unwrap();
    }
}
