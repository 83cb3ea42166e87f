//! Reading and deleting objects.

use super::store::{Object, Preconditions};
use super::{bucket, demand, downloads};
use crate::call::Answer;
use crate::gcp::access::Target;
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::route::{Failure, Incoming};

pub(super) fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let bucket = bucket(incoming)?;
    let name = incoming.capture("object");
    demand(
        incoming,
        "storage.objects.get",
        &Target::object(bucket, name),
    )?;
    let object = found(incoming, bucket, name)?;
    preconditions(incoming)?.check(Some(&object))?;
    if incoming.query("alt").as_deref() == Some("media") {
        return Ok(downloads::media(incoming.call, &object)?);
    }
    Ok(incoming.ok(&object.as_json(&incoming.call.base_url(), bucket, name)))
}

pub(super) fn delete(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let bucket = bucket(incoming)?;
    let name = incoming.capture("object");
    demand(
        incoming,
        "storage.objects.delete",
        &Target::object(bucket, name),
    )?;
    let object = found(incoming, bucket, name)?;
    preconditions(incoming)?.check(Some(&object))?;
    incoming.cloud.objects.write().remove(bucket, name);
    Ok(Answer::empty(204))
}

/// The object, of the asked generation. Who may not list the bucket is not told that it is missing.
fn found(incoming: &Incoming<'_>, bucket: &str, name: &str) -> Result<Object, ApiError> {
    let asked = number(incoming, "generation")?;
    let object = incoming.cloud.objects.read().find(bucket, name).cloned();
    let object = object.filter(|object| asked.is_none_or(|asked| asked == object.generation));
    object.map_or_else(
        || {
            demand(incoming, "storage.objects.list", &Target::bucket(bucket))?;
            Err(ApiError::not_found(format!(
                "No such object: {bucket}/{name}"
            )))
        },
        Ok,
    )
}

/// What the query demands of what is there.
pub(super) fn preconditions(incoming: &Incoming<'_>) -> Result<Preconditions, ApiError> {
    Ok(Preconditions {
        generation: number(incoming, "ifGenerationMatch")?,
        not_generation: number(incoming, "ifGenerationNotMatch")?,
        metageneration: number(incoming, "ifMetagenerationMatch")?,
        not_metageneration: number(incoming, "ifMetagenerationNotMatch")?,
    })
}

fn number(incoming: &Incoming<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    let number = incoming.query(name).map(|text| {
        text.parse().map_err(|_| {
            ApiError::new(
                Code::InvalidArgument,
                format!("Invalid long value: '{text}' for {name}."),
            )
        })
    });
    number.transpose()
}
