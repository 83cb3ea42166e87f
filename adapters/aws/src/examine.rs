//! Looks at what an operator set up, before a job finds out: who we are at AWS, and how far its
//! clock is from ours. Gives nothing and changes nothing.

use core::time::Duration;
use std::sync::Arc;

use jitney_core::cloud_clock::CloudClock;
use jitney_core::time::Clock;

use crate::adapter::read_fault;
use crate::cloud_clock::cloud_clock;
use crate::config::AwsTarget;
use crate::connect::{Clients, Identities};

/// What one look at a target found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Who assumes roles, as AWS names them.
    pub granter: Result<String, String>,
    /// Who writes deny lists, as AWS names them.
    pub revoker: Result<String, String>,
    /// By how much AWS's clock differs from ours at least; unknown when AWS did not answer.
    pub skew: Option<Duration>,
}

/// Asks AWS who each identity is. The call needs no permission.
pub async fn examine(
    target: &AwsTarget,
    identities: &Identities,
    clock: Arc<dyn Clock>,
) -> Examination {
    let clock = cloud_clock(clock);
    Examination {
        // It may be at home in another account, and assume the target's roles from there.
        granter: who(target, identities, &clock).await.map(|(arn, _)| arn),
        revoker: revoker(target, identities, &clock).await,
        skew: clock.skew(),
    }
}

/// Who writes deny lists: somebody of the target's own account, since only those can.
async fn revoker(
    target: &AwsTarget,
    identities: &Identities,
    clock: &Arc<CloudClock>,
) -> Result<String, String> {
    // The clients that look have the granter's place.
    let revoker = Identities::one(identities.revoker.clone());
    let (arn, account) = who(target, &revoker, clock).await?;
    if account == target.account {
        return Ok(arn);
    }
    Err(format!(
        "`{arn}` is in account `{account}`, and the target is `{}`",
        target.account
    ))
}

async fn who(
    target: &AwsTarget,
    identities: &Identities,
    clock: &Arc<CloudClock>,
) -> Result<(String, String), String> {
    let clients = Clients::new(target, identities, clock);
    let answer = clients.looking.get_caller_identity().send().await;
    let answer = answer.map_err(|error| {
        let fault = read_fault("GetCallerIdentity", &error);
        format!("{}: {}", fault.code, fault.logged)
    })?;
    let arn = answer.arn().unwrap_or("an identity without a name");
    let account = answer.account().unwrap_or_default();
    Ok((arn.to_owned(), account.to_owned()))
}
