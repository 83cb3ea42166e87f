//! Typed identifiers. Two kinds of id can never be swapped by accident, and every id that comes
//! from outside is checked once, here, so that later code may print, compare and store it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{seen}` is not a {kind}: expected {expected}")]
pub struct BadId {
    kind: &'static str,
    expected: &'static str,
    /// What was given, shortened and with everything but printable ASCII escaped.
    seen: String,
}

impl BadId {
    pub(crate) fn new(kind: &'static str, expected: &'static str, seen: &str) -> Self {
        let seen = seen
            .chars()
            .take(80)
            .flat_map(char::escape_default)
            .collect();
        Self {
            kind,
            expected,
            seen,
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID. Fresh ids are version 7, so that they sort by time.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A fresh id that sorts after those made before it.
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let wrong = || BadId::new($kind, concat!("`", $prefix, "` and 32 hexadecimal digits"), text);
                let digits = text.strip_prefix($prefix).ok_or_else(wrong)?;
                if digits.len() != 32 {
                    return Err(wrong());
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| wrong())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

uuid_id!(
    /// Names one request. Printed as `req_` and 32 hexadecimal digits.
    RequestId, "req_", "request id"
);
uuid_id!(
    /// Names one lease. Printed as `lease_` and 32 hexadecimal digits.
    LeaseId, "lease_", "lease id"
);

uuid_id!(
    /// Names one order of an operator. Printed as `order_` and 32 hexadecimal digits.
    OrderId, "order_", "order id"
);

/// The longest name an operator may give to a target, a resource or an installation.
pub const NAME_LENGTH_MAX: usize = 64;

const NAME_EXPECTED: &str =
    "1 to 64 of `a-z`, `0-9`, `-`, beginning with a letter and not ending in `-`";

pub(crate) fn is_name(text: &str) -> bool {
    let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    let allowed = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    starts && allowed && text.len() <= NAME_LENGTH_MAX && !text.ends_with('-')
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.to_owned().try_into()
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                if is_name(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadId::new($kind, NAME_EXPECTED, &text))
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_id!(
    /// The operator's name for an account, subscription or project behind one adapter
    /// configuration.
    TargetName, "target name"
);
name_id!(
    /// The operator's name for a thing in a cloud.
    ResourceName, "resource name"
);
name_id!(
    /// Names one Jitney installation. Every stamp in a cloud carries it.
    InstallationName, "installation name"
);
name_id!(
    /// Names a cloud's adapter: `aws`, `azure`, `gcp`, or that of an outside adapter.
    CloudName, "cloud name"
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_survive_printing_and_refuse_each_other() {
        let lease = LeaseId::fresh();
        assert_eq!(lease.to_string().parse::<LeaseId>().unwrap(), lease);
        assert!(lease.to_string().parse::<RequestId>().is_err());
        assert!("lease_00".parse::<LeaseId>().is_err());
        // `Uuid::try_parse` would take braces and dashes; one spelling per id, or a lookup misses.
        let dashed = format!("lease_{}", lease.as_uuid());
        assert!(dashed.parse::<LeaseId>().is_err());
    }

    #[test]
    fn names_are_short_plain_ascii() {
        for good in ["a", "artifacts-prod", "a1"] {
            assert!(good.parse::<ResourceName>().is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_LENGTH_MAX + 1);
        for bad in [
            "",
            "A",
            "1a",
            "-a",
            "a-",
            "a_b",
            "a/b",
            "ä",
            "a\n",
            "a b",
            long.as_str(),
        ] {
            assert!(bad.parse::<ResourceName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(NAME_LENGTH_MAX).parse::<ResourceName>().is_ok());
    }

    #[test]
    fn what_was_seen_is_escaped_and_cut() {
        let refusal = format!("\u{1b}[31m{}", "x".repeat(500))
            .parse::<TargetName>()
            .unwrap_err();
        assert!(!refusal.to_string().contains('\u{1b}'));
        assert!(refusal.to_string().len() < 300);
    }
}
