//! What a JSON body may contain, and Google's words for one that does not fit.
//!
//! Each operation says what it takes as a [`Kind`]. A body that passes comes out without its `null`s and under the
//! names of the API, so that handlers read it without looking twice.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::errors::ApiError;

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Flag,
    Int32,
    /// Written as text, read as text or number.
    Int64,
    /// Base64 in either alphabet.
    Bytes,
    /// Seconds, as `600s` or `1.5s`.
    Duration,
    /// RFC 3339 in UTC.
    Time,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Comma-separated field names.
    Mask,
    List(&'static Kind),
    /// Any keys, values of one kind.
    Table(&'static Kind),
    Object(&'static [(&'static str, Kind)]),
}

/// The body of a call, checked. An empty body counts as an empty object.
pub(crate) fn read(body: &[u8], kind: &Kind) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let message = format!("Invalid JSON payload received. {error}.");
        ApiError::bad_field("", message)
    })?;
    checked(kind, value, "")
}

fn checked(kind: &Kind, value: Value, path: &str) -> Result<Value, ApiError> {
    match kind {
        Kind::Object(fields) => object(fields, value, path),
        Kind::List(item) => {
            let Value::Array(items) = value else {
                return Err(misfit(path, "TYPE_MESSAGE", &value));
            };
            let items = items.into_iter().enumerate();
            items
                .map(|(index, value)| checked(item, value, &format!("{path}[{index}]")))
                .collect()
        }
        Kind::Table(item) => {
            let Value::Object(entries) = value else {
                return Err(misfit(path, "TYPE_MESSAGE", &value));
            };
            let entries = entries.into_iter().map(|(key, value)| {
                let value = checked(item, value, &format!("{path}.{key}"))?;
                Ok((key, value))
            });
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        scalar => scalar_value(scalar, value, path),
    }
}

fn object(fields: &[(&str, Kind)], value: Value, path: &str) -> Result<Value, ApiError> {
    let Value::Object(given) = value else {
        return Err(misfit(path, "TYPE_MESSAGE", &value));
    };
    let mut kept = Map::new();
    for (given_name, value) in given {
        let known = fields
            .iter()
            .find(|(name, _)| *name == given_name || snake_case(name) == given_name);
        let Some((name, kind)) = known else {
            return Err(unknown_name(&given_name, path));
        };
        // Clients send fields that they have no value for as `null`.
        if value.is_null() {
            continue;
        }
        let inner = if path.is_empty() {
            (*name).to_owned()
        } else {
            format!("{path}.{name}")
        };
        kept.insert((*name).to_owned(), checked(kind, value, &inner)?);
    }
    Ok(Value::Object(kept))
}

/// Protocol buffers also read a field under the name it has in their own language.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}

fn unknown_name(name: &str, path: &str) -> ApiError {
    let place = if path.is_empty() {
        String::new()
    } else {
        format!(" at '{path}'")
    };
    ApiError::bad_field(
        path,
        format!(
            "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
        ),
    )
}

fn misfit(path: &str, type_name: &str, value: &Value) -> ApiError {
    ApiError::bad_field(
        path,
        format!("Invalid value at '{path}' ({type_name}), {value}"),
    )
}

fn scalar_value(kind: &Kind, value: Value, path: &str) -> Result<Value, ApiError> {
    match kind {
        Kind::Text | Kind::Mask if value.is_string() => Ok(value),
        Kind::Text | Kind::Mask => Err(misfit(path, "TYPE_STRING", &value)),
        Kind::Flag if value.is_boolean() => Ok(value),
        Kind::Flag => Err(misfit(path, "TYPE_BOOL", &value)),
        Kind::Int32 => match whole_number(&value).and_then(|number| i32::try_from(number).ok()) {
            Some(number) => Ok(Value::from(number)),
            None => Err(misfit(path, "TYPE_INT32", &value)),
        },
        Kind::Int64 => match whole_number(&value) {
            Some(number) => Ok(Value::String(number.to_string())),
            None => Err(misfit(path, "TYPE_INT64", &value)),
        },
        Kind::Bytes => match value.as_str() {
            Some(text) if STANDARD.decode(text).is_ok() || URL_SAFE.decode(text).is_ok() => {
                Ok(value)
            }
            Some(_) => Err(ApiError::bad_field(
                path,
                format!(
                    "Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for {value}"
                ),
            )),
            None => Err(misfit(path, "TYPE_BYTES", &value)),
        },
        Kind::Duration => duration(value, path),
        Kind::Time => match value.as_str().map(str::parse::<Timestamp>) {
            Some(Ok(_)) => Ok(value),
            _ => Err(ApiError::bad_field(
                path,
                format!(
                    "Invalid value at '{path}' (type.googleapis.com/google.protobuf.Timestamp), Field '{path}', \
                     Invalid time format: {value}"
                ),
            )),
        },
        Kind::Choice(names) => match value.as_str() {
            Some(name) if names.contains(&name) => Ok(value),
            _ => Err(misfit(path, "TYPE_ENUM", &value)),
        },
        Kind::List(_) | Kind::Table(_) | Kind::Object(_) => Ok(value),
    }
}

/// Protocol buffers read a number also from a text.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn duration(value: Value, path: &str) -> Result<Value, ApiError> {
    let illegal = |what: &str| {
        ApiError::bad_field(
            path,
            format!(
                "Invalid value at '{path}' (type.googleapis.com/google.protobuf.Duration), Field '{path}', \
                 Illegal duration format; {what}"
            ),
        )
    };
    let Some(text) = value.as_str() else {
        return Err(illegal("duration must be a string"));
    };
    if !text.ends_with('s') {
        return Err(illegal("duration must end with 's'"));
    }
    match read_duration(text) {
        Some(_) => Ok(value),
        None => Err(illegal("the number of seconds is not a number")),
    }
}

/// `600s` or `1.5s`, with at most nine digits after the point.
pub(crate) fn read_duration(text: &str) -> Option<SignedDuration> {
    let number = text.strip_suffix('s')?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|char| char.is_ascii_digit());
    let negative = seconds.starts_with('-');
    let seconds = seconds.strip_prefix('-').unwrap_or(seconds);
    if !is_digits(seconds) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let duration = SignedDuration::new(seconds.parse().ok()?, nanos);
    Some(if negative { -duration } else { duration })
}

/// How a duration is written.
pub(crate) fn written_duration(duration: SignedDuration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        nanos => format!("{}.{:09}s", duration.as_secs(), nanos.abs()),
    }
}

/// Building an answer: a field with nothing to say is left out, as protocol buffers do.
pub(crate) trait And {
    /// The same object with one more field, if there is a value.
    fn and(self, name: &str, value: Option<Value>) -> Value;
}

impl And for Value {
    fn and(mut self, name: &str, value: Option<Value>) -> Value {
        if let (Some(fields), Some(value)) = (self.as_object_mut(), value) {
            fields.insert(name.to_owned(), value);
        }
        self
    }
}

/// A text, unless it is empty.
pub(crate) fn said(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::from(text))
}

/// A list, unless it is empty.
pub(crate) fn listed(items: Vec<Value>) -> Option<Value> {
    (!items.is_empty()).then_some(Value::Array(items))
}

/// Reading a checked body.
pub(crate) trait Fields {
    /// The text of a field; `None` when absent or empty, which protocol buffers do not tell apart.
    fn text(&self, name: &str) -> Option<&str>;
    /// The texts of a list; empty when absent.
    fn texts(&self, name: &str) -> Vec<String>;
    /// The items of a list; empty when absent.
    fn items(&self, name: &str) -> &[Value];
}

impl Fields for Value {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.items(name).iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    fn items(&self, name: &str) -> &[Value] {
        self.get(name)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
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
    use serde_json::json;

    const SAMPLE: Kind = Kind::Object(&[
        ("lifetime", Kind::Duration),
        ("scope", Kind::List(&Kind::Text)),
        (
            "policy",
            Kind::Object(&[("etag", Kind::Bytes), ("version", Kind::Int32)]),
        ),
        ("updateMask", Kind::Mask),
        ("size", Kind::Int64),
    ]);

    fn message(body: Value) -> String {
        read(body.to_string().as_bytes(), &SAMPLE)
            .unwrap_err()
            .message
    }

    #[test]
    fn what_fits_passes_without_nulls_and_under_its_own_name() {
        let body =
            json!({ "lifetime": "600s", "scope": null, "update_mask": "bindings", "size": 5 });
        let read = read(body.to_string().as_bytes(), &SAMPLE).unwrap();
        assert_eq!(
            read,
            json!({ "lifetime": "600s", "updateMask": "bindings", "size": "5" })
        );
        assert_eq!(super::read(b"", &SAMPLE).unwrap(), json!({}));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        assert_eq!(
            message(json!({ "lifetimes": "600s" })),
            "Invalid JSON payload received. Unknown name \"lifetimes\": Cannot find field."
        );
        assert_eq!(
            message(json!({ "policy": { "etags": "" } })),
            "Invalid JSON payload received. Unknown name \"etags\" at 'policy': Cannot find field."
        );
        assert_eq!(
            message(json!({ "scope": [5] })),
            "Invalid value at 'scope[0]' (TYPE_STRING), 5"
        );
        assert_eq!(
            message(json!({ "policy": { "version": "v3" } })),
            "Invalid value at 'policy.version' (TYPE_INT32), \"v3\""
        );
        assert!(message(json!({ "lifetime": "600" })).ends_with("duration must end with 's'"));
        assert!(message(json!({ "policy": { "etag": "!" } })).contains("Base64"));
        assert!(
            read(b"{", &SAMPLE)
                .unwrap_err()
                .message
                .starts_with("Invalid JSON payload")
        );
    }

    #[test]
    fn durations_are_seconds_with_at_most_nine_digits_after_the_point() {
        assert_eq!(
            read_duration("1.5s"),
            Some(SignedDuration::from_millis(1_500))
        );
        assert_eq!(read_duration("-3s"), Some(SignedDuration::from_secs(-3)));
        for wrong in [
            "",
            "s",
            "1",
            "1.s",
            ".5s",
            "1.0000000001s",
            "1m",
            "1e3s",
            "+1s",
        ] {
            assert_eq!(read_duration(wrong), None, "{wrong}");
        }
        assert_eq!(
            written_duration(SignedDuration::from_millis(1_500)),
            "1.500000000s"
        );
    }
}
