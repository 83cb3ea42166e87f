//! What a capability means on AWS: the catalogue's terms, read strictly. A catalogue is the
//! operator's file, so it is checked here like any other input: an action with a wildcard in it
//! would grant what no reviewer of a scope can see.

use serde::Deserialize;

/// The terms of one capability's AWS column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Terms {
    /// Actions on the objects of a bucket, narrowed to the scope's path.
    Objects {
        /// The service whose actions these are.
        service: Service,
        /// Allowed on `bucket/path`.
        object_actions: Vec<Action>,
        /// Allowed on the bucket, narrowed by the prefix that is listed.
        list_actions: Vec<Action>,
        /// What the service calls on the job's behalf: never granted, never denied.
        companion_actions: Vec<Action>,
    },
    /// Everything the role may do; the resource is the role itself.
    Role {},
}

/// A service with objects and prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    S3,
}

impl Service {
    /// The condition key that carries the prefix of a listing.
    pub(crate) const fn prefix_key(self) -> &'static str {
        match self {
            Self::S3 => "s3:prefix",
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
        }
    }
}

/// `service:Name`, one action and no pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Action(String);

impl Action {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn is_of(&self, service: Service) -> bool {
        self.0
            .split_once(':')
            .is_some_and(|(prefix, _)| prefix == service.as_str())
    }
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_action = text.split_once(':').is_some_and(|(service, name)| {
            !service.is_empty()
                && !name.is_empty()
                && service
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && name.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if is_action && text.len() <= 128 {
            Ok(Self(text))
        } else {
            let seen: String = text
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect();
            Err(format!(
                "`{seen}` is not one action, as in `s3:GetObject`, without wildcards"
            ))
        }
    }
}

impl Terms {
    /// Reads the terms of a column.
    pub(crate) fn read(terms: &serde_json::Value) -> Result<Self, String> {
        let terms: Self = Self::deserialize(terms).map_err(|error| error.to_string())?;
        if let Self::Objects {
            service,
            object_actions,
            list_actions,
            ..
        } = &terms
        {
            if object_actions.is_empty() && list_actions.is_empty() {
                return Err("it allows no action at all".to_owned());
            }
            let foreign = object_actions
                .iter()
                .chain(list_actions)
                .find(|action| !action.is_of(*service));
            if let Some(action) = foreign {
                let (action, service) = (action.as_str(), service.as_str());
                return Err(format!("`{action}` is not an action of `{service}`"));
            }
            if let Some(action) = list_actions.iter().find(|a| object_actions.contains(a)) {
                let action = action.as_str();
                return Err(format!("`{action}` is both on objects and on buckets"));
            }
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_are_read_strictly() {
        let good = json!({
            "kind": "objects", "service": "s3", "object_actions": ["s3:GetObject"],
            "list_actions": ["s3:ListBucket"], "companion_actions": ["kms:Decrypt"],
        });
        assert!(Terms::read(&good).is_ok());
        assert_eq!(
            Terms::read(&json!({ "kind": "role" })).unwrap(),
            Terms::Role {}
        );
        for (key, value) in [
            ("kind", json!("queue")),
            ("service", json!("dynamodb")),
            ("object_actions", json!(["s3:*"])),
            ("object_actions", json!(["*"])),
            ("object_actions", json!(["s3:Get*"])),
            ("object_actions", json!(["s3:GetObject?"])),
            ("object_actions", json!(["sts:AssumeRole"])),
            ("object_actions", json!(["s3:GetObject\",\"s3:PutObject"])),
            ("object_actions", json!(["s3:ListBucket"])),
            ("list_actions", json!(["iam:ListRoles"])),
            ("companion_actions", json!(["kms:*"])),
            ("actions", json!([])),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(Terms::read(&bad).is_err(), "{bad}");
        }
        assert!(Terms::read(&json!({ "kind": "role", "role": "x" })).is_err());
        let mut empty = good;
        (empty["object_actions"], empty["list_actions"]) = (json!([]), json!([]));
        assert!(Terms::read(&empty).is_err());
    }
}
