//! What the calls about policies have in common, whatever the policy belongs to.

use serde_json::{Value, json};

use super::access::{Target, Verdict};
use super::directory::Resource;
use super::errors::ApiError;
use super::policy::{Document, Proposed, Writing};
use super::route::Incoming;
use super::schema::{And, Fields, listed};

/// Something whose policy a call is about.
pub(crate) struct Owner {
    pub(crate) resource: Resource,
    pub(crate) target: Target,
    /// Whether conditions of its policy may ask which roles a call changes.
    pub(crate) may_ask_for_modified_grants: bool,
}

/// The version somebody asked for; 1 when they did not ask.
pub(crate) fn requested(version: Option<i64>) -> Result<i32, ApiError> {
    match version {
        None | Some(0 | 1) => Ok(1),
        Some(3) => Ok(3),
        Some(other) => Err(ApiError::bad_field(
            "options.requested_policy_version",
            format!("Invalid requested policy version ({other}). It must be 0, 1 or 3."),
        )),
    }
}

/// The policy as reads show it.
pub(crate) fn shown(incoming: &Incoming<'_>, resource: &Resource) -> Result<Document, ApiError> {
    let directory = incoming.cloud.directory.read();
    Ok(directory.policy(resource)?.shown(incoming.now).clone())
}

/// Replaces the policy by the one in the body, if the caller may change what it changes.
pub(crate) fn replace(
    incoming: &Incoming<'_>,
    owner: &Owner,
    permission: &str,
    refusal: ApiError,
) -> Result<Document, ApiError> {
    let policy = incoming
        .body
        .get("policy")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let proposed = Proposed::read(&policy, incoming.body.text("updateMask"))?;
    write(incoming, owner, permission, refusal, proposed)
}

/// Replaces the policy by a proposed one. Compared, judged and written under one lock: two writers that read the
/// same etag cannot both win.
pub(crate) fn write(
    incoming: &Incoming<'_>,
    owner: &Owner,
    permission: &str,
    refusal: ApiError,
    proposed: Proposed,
) -> Result<Document, ApiError> {
    let mut directory = incoming.cloud.directory.write();
    let standing = directory.policy(&owner.resource)?.written().clone();
    let writing = Writing {
        around: &*directory,
        new_etag: incoming.cloud.identifiers.etag(),
        may_ask_for_modified_grants: owner.may_ask_for_modified_grants,
    };
    let next = proposed.after(&standing, &writing);
    // A caller who may not write is told so, and not what is wrong with the policy.
    let changed = next
        .as_ref()
        .map(|next| standing.roles_changed(next))
        .unwrap_or_default();
    let target = owner
        .target
        .clone()
        .with("iam.googleapis.com/modifiedGrantsByRole", json!(changed));
    let token = incoming.token.as_deref();
    if directory.decide(token, permission, &target, incoming.now) != Verdict::Allowed {
        return Err(refusal);
    }
    let mut next = next?;
    if incoming.cloud.settings.habits().etags_stay && next.says_the_same(&standing) {
        next.etag.clone_from(&standing.etag);
    }
    let delays = incoming.cloud.settings.delays();
    directory
        .policy_mut(&owner.resource)?
        .write(next.clone(), incoming.now, delays);
    Ok(next)
}

/// The answer of `testIamPermissions`: of what was asked, what the caller holds. On a resource that is not there
/// nobody holds anything.
pub(crate) fn granted(incoming: &Incoming<'_>, target: Option<&Target>) -> Result<Value, ApiError> {
    granted_of(incoming, target, &incoming.body.texts("permissions"))
}

pub(crate) fn granted_of(
    incoming: &Incoming<'_>,
    target: Option<&Target>,
    asked: &[String],
) -> Result<Value, ApiError> {
    let directory = incoming.cloud.directory.read();
    let unknown = asked
        .iter()
        .find(|permission| !directory.has_permission(permission));
    if let Some(unknown) = unknown {
        return Err(ApiError::invalid(format!(
            "Permission {unknown} is not valid for this resource."
        )));
    }
    drop(directory);
    let holds = |permission: &&String| {
        target.is_some_and(|target| {
            incoming
                .cloud
                .may(incoming.token.as_deref(), permission, target)
        })
    };
    let granted = asked
        .iter()
        .filter(holds)
        .map(|permission| json!(permission))
        .collect();
    Ok(json!({}).and("permissions", listed(granted)))
}
