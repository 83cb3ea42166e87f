//! Bodies of requests: which fields may be written, and refusing the others.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::errors::ArmError;

/// Which fields a value may have.
pub(super) enum Fields {
    /// Whatever it is; its type is checked when it is read.
    Any,
    /// An object with these.
    Only(&'static [(&'static str, Fields)]),
    /// A list of such things.
    Each(&'static Fields),
}

/// `properties` of a body. When `strict`, a field that is not in `writable` is refused, at any depth.
pub(super) fn read_properties<T: DeserializeOwned>(
    body: &[u8],
    strict: bool,
    writable: &Fields,
) -> Result<T, ArmError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ArmError::content(format!(
            "The request content was invalid and could not be deserialized: '{error}'."
        ))
    })?;
    let Value::Object(mut members) = value else {
        return Err(ArmError::content("the request content is not an object"));
    };
    let properties = members
        .remove("properties")
        .ok_or_else(|| ArmError::content("the request content has no `properties`"))?;
    if strict {
        if let Some(name) = members.keys().next() {
            return Err(unwritable(name));
        }
        check(&properties, writable, "properties")?;
    }
    serde_json::from_value(properties)
        .map_err(|error| ArmError::content(format!("`properties` is malformed: {error}")))
}

fn check(value: &Value, fields: &Fields, path: &str) -> Result<(), ArmError> {
    match (fields, value) {
        (Fields::Only(known), Value::Object(members)) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                let fields = known.iter().find(|(known, _)| known == name);
                let (_, fields) = fields.ok_or_else(|| unwritable(&path))?;
                check(member, fields, &path)?;
            }
            Ok(())
        }
        (Fields::Each(fields), Value::Array(items)) => {
            items.iter().try_for_each(|item| check(item, fields, path))
        }
        // Another type is told when the value is read.
        _ => Ok(()),
    }
}

fn unwritable(path: &str) -> ArmError {
    ArmError::bad_request(
        "UnwritableField",
        format!(
            "the field `{path}` does not exist or is read-only; Azure would ignore it in silence"
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    const WRITABLE: Fields = Fields::Only(&[
        ("a", Fields::Any),
        ("list", Fields::Each(&Fields::Only(&[("b", Fields::Any)]))),
    ]);

    fn code(body: &str, strict: bool) -> Option<String> {
        let read = read_properties::<Value>(body.as_bytes(), strict, &WRITABLE);
        read.err().map(|error| error.code.into_owned())
    }

    #[test]
    fn what_nobody_may_write_is_refused_at_any_depth() {
        assert_eq!(
            code(r#"{"properties":{"a":1,"list":[{"b":2}]}}"#, true),
            None
        );
        for body in [
            r#"{"properties":{"status":"Granted"}}"#,
            r#"{"properties":{"list":[{"b":2},{"c":2}]}}"#,
            r#"{"properties":{},"id":"x"}"#,
        ] {
            assert_eq!(
                code(body, true).as_deref(),
                Some("UnwritableField"),
                "{body}"
            );
            assert_eq!(code(body, false), None, "{body}");
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for body in ["", "[]", "{}", "{\"properties\":{}"] {
            assert_eq!(
                code(body, true).as_deref(),
                Some("InvalidRequestContent"),
                "{body}"
            );
        }
    }
}
