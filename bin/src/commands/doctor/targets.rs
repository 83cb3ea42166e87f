//! What was set up in the clouds, as far as it can be looked at without changing anything.

use core::time::Duration;
use std::sync::Arc;

use jitney_aws::{AwsTarget, Identities, examine};
use jitney_azure::AzureTarget;
use jitney_broker::SystemClock;
use jitney_core::id::TargetName;
use jitney_core::time::Clock as _;
use jitney_gcp::GcpTarget;

use super::{Finding, Report};
use crate::configuration::{CloudTarget, Configuration};
use crate::failure::Failure;
use crate::wiring;

/// A clock that is further off than this makes lost calls land when nobody expects them: nothing is
/// minted then.
const SKEW_SECONDS_MAX: u64 = 60;
/// A clock that is further off than this should be looked after.
const SKEW_SECONDS_WELL: u64 = 5;

/// Looks at every target.
pub(super) async fn look(
    configuration: &Configuration,
    report: &mut Report,
) -> Result<(), Failure> {
    for (name, target) in &configuration.targets {
        let place = format!("target {name}");
        match target {
            CloudTarget::Aws(account) => aws(&place, account, report).await?,
            CloudTarget::Azure(subscription) => {
                azure(configuration, name, subscription, report).await?;
            }
            CloudTarget::Gcp(project) => gcp(configuration, name, project, report).await?,
        }
    }
    Ok(())
}

async fn aws(place: &str, account: &AwsTarget, report: &mut Report) -> Result<(), Failure> {
    let identities = match Identities::of(account) {
        Err(error) => return report.line(place, &Finding::Wrong(error.to_string())),
        Ok(identities) => identities,
    };
    let found = examine(account, &identities, Arc::new(SystemClock)).await;
    for (role, who) in [("granter", &found.granter), ("revoker", &found.revoker)] {
        let finding = match who {
            Ok(arn) => Finding::Well(format!("{role} is `{arn}`")),
            Err(why) => Finding::Wrong(format!(
                "the {role} is not known to AWS, or is the wrong one: {why}; look at the target's \
                 `credentials`"
            )),
        };
        report.line(place, &finding)?;
    }
    report.line(place, &clock("AWS", found.skew))
}

async fn azure(
    configuration: &Configuration,
    name: &TargetName,
    subscription: &AzureTarget,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = format!("target {name}");
    let ready = wiring::own_issuer(configuration)
        .and_then(|issuer| wiring::azure_identities(issuer.as_ref(), name, subscription))
        .and_then(|identities| Ok((identities, wiring::catalogue_of(configuration)?)));
    let (identities, catalogue) = match ready {
        Err(failure) => return report.line(&place, &Finding::Wrong(failure.to_string())),
        Ok(ready) => ready,
    };
    let resources = configuration.resources.values();
    let here: Vec<_> = resources
        .filter(|resource| resource.target == *name)
        .collect();
    let found = jitney_azure::examine(
        subscription,
        &identities,
        &configuration.installation,
        &here,
        &catalogue,
        SystemClock.now(),
    )
    .await;
    for told in found.well {
        report.line(&place, &Finding::Well(told))?;
    }
    for told in found.wrong {
        report.line(&place, &Finding::Wrong(told))?;
    }
    report.line(&place, &clock("Azure", found.skew))
}

async fn gcp(
    configuration: &Configuration,
    name: &TargetName,
    project: &GcpTarget,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = format!("target {name}");
    let adapter = match wiring::gcp(configuration, name, project) {
        Err(failure) => return report.line(&place, &Finding::Wrong(failure.to_string())),
        Ok(adapter) => adapter,
    };
    let found = adapter.examine().await;
    for (what, how) in &found.looks {
        let finding = match how {
            Ok(well) => Finding::Well(format!("{what}: {well}")),
            Err(wrong) => Finding::Wrong(format!("{what}: {wrong}")),
        };
        report.line(&place, &finding)?;
    }
    report.line(&place, &clock("Google", found.skew))
}

/// What a cloud's clock says of ours.
fn clock(cloud: &str, skew: Option<Duration>) -> Finding {
    match skew.map(|skew| skew.as_secs()) {
        None => Finding::NotLookedAt(format!("clock: {cloud} did not answer")),
        Some(seconds) if seconds > SKEW_SECONDS_MAX => Finding::Wrong(format!(
            "clock: {seconds} s from {cloud}'s, and beyond {SKEW_SECONDS_MAX} s nothing is granted: \
             set up NTP"
        )),
        Some(seconds) if seconds > SKEW_SECONDS_WELL => Finding::Wrong(format!(
            "clock: {seconds} s from {cloud}'s; tokens and proofs will be refused soon: set up NTP"
        )),
        Some(_) => Finding::Well(format!("clock: as {cloud}'s")),
    }
}
