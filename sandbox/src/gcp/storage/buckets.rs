//! Buckets and their policies.

use serde_json::{Value, json};

use super::store::written_time;
use super::{READ_SCOPES, bucket, demand};
use crate::call::Answer;
use crate::gcp::access::Target;
use crate::gcp::directory::{Bucket, Resource};
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::policies::{self, Owner};
use crate::gcp::policy::Proposed;
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::And;

pub(super) fn list(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let name = incoming
        .query("project")
        .ok_or_else(|| ApiError::invalid("Required parameter: project"))?;
    let project = incoming.cloud.directory.read().project(&name).cloned();
    let project =
        project.ok_or_else(|| ApiError::invalid(format!("Unknown project id: {name}")))?;
    demand(
        incoming,
        "storage.buckets.list",
        &Target::project(&project.id),
    )?;
    let prefix = incoming.query("prefix").unwrap_or_default();
    let directory = incoming.cloud.directory.read();
    let buckets = directory
        .buckets
        .values()
        .filter(|bucket| bucket.project == project.id && bucket.name.starts_with(&prefix));
    let items: Vec<Value> = buckets
        .map(|bucket| as_json(incoming, bucket, project.number))
        .collect();
    Ok(incoming.ok(&json!({ "kind": "storage#buckets", "items": items })))
}

pub(super) fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let name = bucket(incoming)?;
    demand(incoming, "storage.buckets.get", &Target::bucket(name))?;
    let directory = incoming.cloud.directory.read();
    let found = directory
        .buckets
        .get(name)
        .and_then(|bucket| Some((bucket, directory.project(&bucket.project)?.number)));
    let (found, number) =
        found.ok_or_else(|| ApiError::not_found("The specified bucket does not exist."))?;
    Ok(incoming.ok(&as_json(incoming, found, number)))
}

fn as_json(incoming: &Incoming<'_>, bucket: &Bucket, project_number: u64) -> Value {
    let created = written_time(bucket.created);
    json!({
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": format!("{}/storage/v1/b/{}", incoming.call.base_url(), bucket.name),
        "name": bucket.name,
        "projectNumber": project_number.to_string(),
        "location": "EUROPE-WEST3",
        "locationType": "region",
        "storageClass": "STANDARD",
        "etag": "CAE=",
        "metageneration": "1",
        "timeCreated": created,
        "updated": created,
        "iamConfiguration": {
            "uniformBucketLevelAccess": { "enabled": true, "lockedTime": created },
            "bucketPolicyOnly": { "enabled": true, "lockedTime": created },
            "publicAccessPrevention": "inherited",
        },
    })
}

pub(super) fn get_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let name = bucket(incoming)?;
    demand(
        incoming,
        "storage.buckets.getIamPolicy",
        &Target::bucket(name),
    )?;
    let asked = incoming
        .query("optionsRequestedPolicyVersion")
        .map(|text| text.parse().unwrap_or(-1));
    let asked = policies::requested(asked)?;
    let document = policies::shown(incoming, &Resource::Bucket(name.to_owned()))?;
    if asked < document.version() {
        return Err(ApiError::invalid(format!(
            "Requested policy version ({asked}) cannot be less than the existing policy version ({}). For more \
             information, please refer to https://cloud.google.com/iam/docs/policies#versions.",
            document.version()
        ))
        .into());
    }
    Ok(incoming.ok(&document.as_storage_json(name)))
}

pub(super) fn set_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    const PERMISSION: &str = "storage.buckets.setIamPolicy";
    let name = bucket(incoming)?;
    let target = Target::bucket(name);
    demand(incoming, PERMISSION, &target)?;
    incoming.cloud.rates.take_bucket_update(name)?;
    let owner = Owner {
        resource: target.resource.clone(),
        target,
        may_ask_for_modified_grants: false,
    };
    let refusal = ApiError::new(Code::PermissionDenied, "Forbidden");
    let proposed = Proposed::read(&incoming.body, None)?;
    let document =
        policies::write(incoming, &owner, PERMISSION, refusal, proposed).map_err(in_own_words)?;
    Ok(incoming.ok(&document.as_storage_json(name)))
}

/// A lost race is a failed precondition in Cloud Storage's words.
fn in_own_words(error: ApiError) -> ApiError {
    match error.code {
        Code::Stale => {
            let message = "At least one of the pre-conditions you specified did not hold.";
            ApiError::new(Code::Stale, message)
        }
        _ => error,
    }
}

pub(super) fn test_permissions(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let name = bucket(incoming)?;
    incoming.caller(READ_SCOPES)?;
    let asked: Vec<String> = incoming
        .call
        .query_pairs()
        .into_iter()
        .filter(|(name, _)| name == "permissions")
        .map(|(_, value)| value)
        .collect();
    let granted = policies::granted_of(incoming, Some(&Target::bucket(name)), &asked)?;
    let kind = json!("storage#testIamPermissionsResponse");
    Ok(incoming.ok(&granted.and("kind", Some(kind))))
}
