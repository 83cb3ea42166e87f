//! The Security Token Service: `AssumeRole` and `GetCallerIdentity`.
//!
//! `AssumeRoleWithWebIdentity`, `AssumeRoleWithSAML`, `GetSessionToken` and `GetFederationToken` are not here and
//! are answered with `InvalidAction`.

mod assume_role;
mod parameters;
mod session_tags;

use super::credentials::Principal;
use super::errors::AwsError;
use super::query_protocol::{Params, answer};
use super::server::Incoming;
use super::xml::Xml;
use crate::call::Answer;

pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const VERSION: &str = "2011-06-15";

/// Answers a call to STS.
pub(crate) fn serve(incoming: &Incoming<'_>, action: &str) -> Result<Answer, AwsError> {
    let params = Params::of(incoming.call);
    let known = matches!(action, "AssumeRole" | "GetCallerIdentity");
    if !known || params.optional("Version") != Some(VERSION) {
        let version = params.optional("Version").unwrap_or("-");
        return Err(AwsError::new(
            400,
            "InvalidAction",
            format!("Could not find operation {action} for version {version}"),
        ));
    }
    let account = incoming
        .standing
        .caller
        .account()
        .ok_or_else(missing_token)?;
    incoming.cloud.rates.take_sts(account, &incoming.region)?;
    let result = match action {
        "AssumeRole" => assume_role::assume_role(incoming, &params)?,
        _ => get_caller_identity(incoming, account),
    };
    Ok(answer(
        NAMESPACE,
        action,
        Some(&result),
        &incoming.request_id,
    ))
}

fn missing_token() -> AwsError {
    AwsError::new(
        403,
        "MissingAuthenticationToken",
        "Request is missing Authentication Token",
    )
}

/// `GetCallerIdentity`: who the caller is. No policy can deny it, which is why an EKS token, which is a signed
/// call of it, is stopped by no Deny.
///
/// Judge: boto3, by botocore's model of `sts`.
fn get_caller_identity(incoming: &Incoming<'_>, account: &str) -> Xml {
    let user_id = match &incoming.standing.principal {
        Principal::Session(session) => session.user_id(),
        Principal::User { account, name } => {
            let directory = incoming.cloud.directory.read();
            let user = directory
                .account(account)
                .and_then(|account| account.users.get(name));
            user.map(|user| user.id.clone()).unwrap_or_default()
        }
        Principal::Root { .. } | Principal::Anonymous => account.to_owned(),
    };
    let mut xml = Xml::new();
    xml.leaf("Arn", &incoming.standing.caller.arn());
    xml.leaf("UserId", &user_id);
    xml.leaf("Account", account);
    xml
}
