//! Conditional requests: `If-Match` and `If-None-Match`.

use crate::aws::errors::AwsError;
use crate::call::Call;

use super::storage::Object;

/// Before a write: `If-None-Match: *` keeps what is there, `If-Match` replaces only what the caller has seen.
pub(super) fn check_write(call: &Call, present: Option<&Object>) -> Result<(), AwsError> {
    match call.header("if-none-match") {
        None => {}
        Some("*") if present.is_none() => {}
        Some("*") => return Err(precondition_failed("If-None-Match")),
        Some(_) => {
            let message = "A header you provided implies functionality that is not implemented: If-None-Match";
            return Err(AwsError::new(501, "NotImplemented", message));
        }
    }
    match (call.header("if-match"), present) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(no_such_key()),
        (Some(expected), Some(object)) if is_same(expected, object) => Ok(()),
        (Some(_), Some(_)) => Err(precondition_failed("If-Match")),
    }
}

/// Before a read.
pub(super) fn check_read(call: &Call, object: &Object) -> Result<(), AwsError> {
    if call
        .header("if-match")
        .is_some_and(|expected| !is_same(expected, object))
    {
        return Err(precondition_failed("If-Match"));
    }
    if call
        .header("if-none-match")
        .is_some_and(|known| is_same(known, object))
    {
        return Err(AwsError::new(304, "NotModified", "Not Modified"));
    }
    Ok(())
}

fn is_same(tag: &str, object: &Object) -> bool {
    tag == "*" || tag.trim_matches('"') == object.entity_tag
}

fn precondition_failed(condition: &str) -> AwsError {
    let message =
        format!("At least one of the pre-conditions you specified did not hold: {condition}");
    AwsError::new(412, "PreconditionFailed", message)
}

pub(super) fn no_such_key() -> AwsError {
    AwsError::new(404, "NoSuchKey", "The specified key does not exist.")
}
