//! `AssumeRole`: who may have a session of a role, and what that session is.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::aws::authority::iso8601;
use crate::aws::credentials::{Principal, Session};
use crate::aws::directory::account_of;
use crate::aws::errors::AwsError;
use crate::aws::evaluate::{Policy, ResourceSide};
use crate::aws::query_protocol::Params;
use crate::aws::server::Incoming;
use crate::aws::xml::Xml;

use super::parameters::{CHAINED_SECONDS_MAX, TOKEN_BYTES_MAX, Wanted};
use super::session_tags::{SessionTags, chained_from};

/// A token without policies and tags, in bytes.
const TOKEN_BYTES_BASE: usize = 356;

/// What is needed of the role, copied so that the directory is not locked while deciding.
struct Target {
    account: String,
    id: String,
    name: String,
    arn: String,
    trust: Policy,
    max_session_seconds: i64,
}

/// `AssumeRole`.
///
/// Judge: boto3, by botocore's model of `sts`; the AWS SDK for Rust.
pub(crate) fn assume_role(incoming: &Incoming<'_>, params: &Params) -> Result<Xml, AwsError> {
    let wanted = Wanted::read(params)?;
    if matches!(incoming.standing.principal, Principal::Root { .. }) {
        return Err(AwsError::access_denied(
            "Roles may not be assumed by root accounts.",
        ));
    }
    let target = find_role(incoming, &wanted)?;
    let tags = SessionTags::of(&wanted, &incoming.standing.principal)?;
    let source_identity = settled_source_identity(&wanted, &incoming.standing.principal)?;
    authorise(
        incoming,
        &wanted,
        &target,
        &tags,
        source_identity.as_deref(),
    )?;
    let seconds = settled_duration(&wanted, &target, &incoming.standing.principal)?;
    check_policy_arns(incoming, &wanted, &target)?;

    let token_bytes = (TOKEN_BYTES_BASE + wanted.packed_bytes).max(wanted.minimum_token_bytes);
    let secret = incoming.cloud.identifiers.secret();
    let token = incoming.cloud.identifiers.session_token(token_bytes);
    let session = Arc::new(Session {
        access_key_id: incoming.cloud.identifiers.access_key_id("ASIA"),
        account: target.account,
        role_name: target.name,
        role_id: target.id,
        role_arn: target.arn,
        session_name: wanted.session_name.clone(),
        tags: tags.tags,
        transitive_keys: tags.transitive_keys,
        source_identity,
        policy: wanted.policy.clone(),
        policy_arns: wanted.policy_arns.clone(),
        caller_arn: incoming.standing.caller.arn(),
        issued: incoming.now,
        expires: incoming
            .now
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(incoming.now),
    });
    // Recorded before it is answered: a lost answer is still a session the books must show.
    incoming
        .cloud
        .keyring
        .add_session(Arc::clone(&session), secret.clone(), token.clone());
    Ok(result(&session, &wanted, &secret, &token))
}

fn result(session: &Session, wanted: &Wanted, secret: &str, token: &str) -> Xml {
    let mut xml = Xml::new();
    xml.element("Credentials", |xml| {
        xml.leaf("AccessKeyId", &session.access_key_id);
        xml.leaf("SecretAccessKey", secret);
        xml.leaf("SessionToken", token);
        xml.leaf("Expiration", &iso8601(session.expires));
    });
    xml.element("AssumedRoleUser", |xml| {
        xml.leaf("AssumedRoleId", &session.user_id());
        xml.leaf("Arn", &session.arn());
    });
    xml.optional_leaf("SourceIdentity", session.source_identity.as_deref());
    if wanted.packed_bytes > 0 {
        xml.leaf("PackedPolicySize", &wanted.packed_percent().to_string());
    }
    xml.leaf(
        "SessionTokenUtilization",
        &(token.len() * 100).div_ceil(TOKEN_BYTES_MAX).to_string(),
    );
    xml.leaf("SessionTokenSize", &token.len().to_string());
    xml
}

/// A role nobody knows is answered like one that does not trust the caller, so that names cannot be probed.
fn find_role(incoming: &Incoming<'_>, wanted: &Wanted) -> Result<Target, AwsError> {
    let directory = incoming.cloud.directory.read();
    let found = directory
        .enforced_role(&wanted.role_arn, incoming.now)
        .map(|(role, rules)| Target {
            account: account_of(&role.arn).unwrap_or_default().to_owned(),
            id: role.id.clone(),
            name: role.name.clone(),
            arn: role.arn.clone(),
            trust: rules.trust.clone(),
            max_session_seconds: role.max_session_seconds,
        });
    found.ok_or_else(|| {
        AwsError::access_denied(format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            incoming.standing.caller.arn(),
            wanted.role_arn
        ))
    })
}

/// A source identity cannot be changed once it is set, also not through a chain of roles.
fn settled_source_identity(
    wanted: &Wanted,
    caller: &Principal,
) -> Result<Option<String>, AwsError> {
    let inherited = chained_from(caller).and_then(|session| session.source_identity.clone());
    match (inherited, &wanted.source_identity) {
        (Some(inherited), Some(asked)) if inherited != *asked => Err(AwsError::access_denied(
            "The source identity of the calling session cannot be changed.",
        )),
        (Some(inherited), _) => Ok(Some(inherited)),
        (None, asked) => Ok(asked.clone()),
    }
}

/// `sts:AssumeRole` always, `sts:TagSession` when the session will have tags, `sts:SetSourceIdentity` when it
/// will have a source identity: passed or handed on.
fn authorise(
    incoming: &Incoming<'_>,
    wanted: &Wanted,
    target: &Target,
    tags: &SessionTags,
    source_identity: Option<&str>,
) -> Result<(), AwsError> {
    let mut keys: Vec<(&str, Vec<String>)> =
        vec![("sts:RoleSessionName", vec![wanted.session_name.clone()])];
    if let Some(external_id) = &wanted.external_id {
        keys.push(("sts:ExternalId", vec![external_id.clone()]));
    }
    if let Some(source_identity) = source_identity {
        keys.push(("sts:SourceIdentity", vec![source_identity.to_owned()]));
    }
    let request_tags: Vec<(String, String)> = tags
        .tags
        .iter()
        .map(|(key, value)| (format!("aws:RequestTag/{key}"), value.to_owned()))
        .collect();
    for (key, value) in &request_tags {
        keys.push((key, vec![value.clone()]));
    }
    if !tags.tags.is_empty() {
        keys.push(("aws:TagKeys", tags.tags.keys()));
    }
    if !tags.transitive_keys.is_empty() {
        keys.push(("sts:TransitiveTagKeys", tags.transitive_keys.clone()));
    }
    let check = |action: &str| {
        let side = ResourceSide {
            account: target.account.clone(),
            policy: Some(target.trust.clone()),
            must_allow: true,
        };
        incoming
            .standing
            .check(action, &target.arn, &keys, Some(side))
    };
    check("sts:AssumeRole")?;
    if !tags.tags.is_empty() {
        check("sts:TagSession")?;
    }
    if source_identity.is_some() {
        check("sts:SetSourceIdentity")?;
    }
    Ok(())
}

/// Too long is refused, never shortened: a caller that relied on the longer time would find out too late.
fn settled_duration(wanted: &Wanted, target: &Target, caller: &Principal) -> Result<i64, AwsError> {
    let seconds = wanted.duration_seconds.unwrap_or(CHAINED_SECONDS_MAX);
    if chained_from(caller).is_some() && seconds > CHAINED_SECONDS_MAX {
        return Err(AwsError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    if seconds > target.max_session_seconds {
        return Err(AwsError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(seconds)
}

/// Managed session policies must be there, in the role's own account.
fn check_policy_arns(
    incoming: &Incoming<'_>,
    wanted: &Wanted,
    target: &Target,
) -> Result<(), AwsError> {
    let directory = incoming.cloud.directory.read();
    let is_usable = |arn: &&String| {
        account_of(arn) == Some(target.account.as_str()) && directory.managed_policy(arn).is_some()
    };
    match wanted.policy_arns.iter().find(|arn| !is_usable(arn)) {
        Some(arn) => Err(AwsError::malformed_policy(format!(
            "The policy `{arn}` is not in the role's account"
        ))),
        None => Ok(()),
    }
}
