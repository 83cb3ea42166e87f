//! `jitney dev`: a broker to try things with. The configuration is the example's, with the sandbox
//! in the place of AWS and GitHub; everything lies in one folder.

use std::fs;
use std::path::{Path, PathBuf};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jitney_aws::Identities;
use jitney_sandbox::ci::{GithubJob, RunningJob};
use toml::{Table, Value};

use super::sandbox::{self, Sandbox};
use super::serve::{Stop, start, until_stopped};
use crate::arguments::Dev;
use crate::configuration::{self, Configuration};
use crate::failure::Failure;
use crate::terminal::say;
use crate::{keys, wiring};

const CONFIGURATION: &str = include_str!("../../../examples/jitney.toml");
const POLICY: &str = include_str!("../../../examples/policies/shop.cedar");
const TARGET: &str = "acme-prod";
const ACCOUNT: &str = "111122223333";
const USER: &str = "jitney";

/// Runs the command.
pub async fn dev(arguments: Dev) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    let sandbox = sandbox::start(None).await?;
    // Kept until the end: dropping it removes the folder.
    let temporary = match arguments.directory {
        Some(_) => None,
        None => {
            Some(tempfile::tempdir().map_err(|error| Failure::unreachable("no_folder", error))?)
        }
    };
    let folder = match (&arguments.directory, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err(Failure::internal("there is no folder")),
    };
    let file = lay_out(&folder, &arguments.listen.to_string(), &sandbox)?;
    let configuration = configuration::read(&file, [])?;
    keys::make_missing(&configuration)?;
    let identity = identity(&sandbox)?;
    let options =
        wiring::wire_as(&configuration, |_| Ok(Identities::one(identity.clone()))).await?;
    let broker = start(options).await?;
    let job = sandbox.ci.job(GithubJob::push_to_main());
    explain(&configuration, broker.url().as_str(), &sandbox, &job)?;
    until_stopped(broker, stop).await
}

/// Writes the configuration and the policy. Ports differ from start to start, so the
/// configuration is written anew; a policy that is there stays.
fn lay_out(folder: &Path, listen: &str, sandbox: &Sandbox) -> Result<PathBuf, Failure> {
    let cannot = |error: std::io::Error| {
        let told = format!("`{}` cannot be written to: {error}", folder.display());
        Failure::unreachable("no_folder", told)
    };
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).map_err(cannot)?;
    let policy = policies.join("shop.cedar");
    if !policy.exists() {
        fs::write(&policy, POLICY).map_err(cannot)?;
    }
    let mut table: Table = CONFIGURATION
        .parse()
        .map_err(|error| Failure::internal(&error))?;
    set(table.get_mut("broker"), [("listen", Value::from(listen))])?;
    let issuer = table.get_mut("issuers").and_then(|all| all.get_mut(0));
    let ours = [
        ("url", Value::from(sandbox.ci.url())),
        ("allow_private", Value::from(true)),
    ];
    set(issuer, ours)?;
    let target = table.get_mut("targets").and_then(|all| all.get_mut(TARGET));
    let ours = [
        ("endpoint_url", Value::from(sandbox.aws.url())),
        ("settle_seconds", Value::from(1)),
    ];
    set(target, ours)?;
    let file = folder.join("jitney.toml");
    let text = toml::to_string(&table).map_err(|error| Failure::internal(&error))?;
    fs::write(&file, text).map_err(cannot)?;
    Ok(file)
}

fn set(
    section: Option<&mut Value>,
    keys: impl IntoIterator<Item = (&'static str, Value)>,
) -> Result<(), Failure> {
    let table = section.and_then(Value::as_table_mut);
    let table = table.ok_or_else(|| Failure::internal("the example lacks a section"))?;
    for (key, value) in keys {
        table.insert(key.to_owned(), value);
    }
    Ok(())
}

/// The identity that the sandbox's estate has for Jitney.
fn identity(sandbox: &Sandbox) -> Result<SharedCredentialsProvider, Failure> {
    let key = sandbox.aws.user_key(ACCOUNT, USER);
    let key = key.ok_or_else(|| Failure::internal("the sandbox has no user for jitney"))?;
    let credentials = Credentials::new(
        key.access_key_id,
        key.secret_access_key,
        None,
        None,
        "sandbox",
    );
    Ok(SharedCredentialsProvider::new(credentials))
}

fn explain(
    configuration: &Configuration,
    broker: &str,
    sandbox: &Sandbox,
    job: &RunningJob,
) -> Result<(), Failure> {
    let audience = configuration
        .issuers
        .first()
        .map_or("", |issuer| issuer.audience.as_str());
    say(&format!("the broker listens on {broker}"))?;
    say(&format!(
        "its configuration is {}",
        configuration.file.display()
    ))?;
    say("\nIn another shell, be a deploy job of acme/shop on main:\n")?;
    say(&format!(
        "  export JITNEY_BROKER={}",
        broker.trim_end_matches('/')
    ))?;
    say(&format!("  export JITNEY_AUDIENCE={audience}"))?;
    for (name, value) in job.environment() {
        say(&format!("  export {name}='{value}'"))?;
    }
    say(&format!("  export AWS_ENDPOINT_URL={}", sandbox.aws.url()))?;
    say(&format!("  export AWS_REGION={}", sandbox.aws.region()))?;
    say("\n  jitney run --scope object-storage:write@artifacts-prod/releases/ -- \\")?;
    say("      aws s3 cp README.md s3://artifacts-prod/releases/README.md\n")?;
    say("What is leased, and the log of it:\n")?;
    say(&format!(
        "  jitney lease list --all --config {}",
        configuration.file.display()
    ))?;
    say(&format!(
        "  jitney audit verify --config {}\n",
        configuration.file.display()
    ))?;
    say("Stop with ctrl-c.")
}
