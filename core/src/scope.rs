//! Scopes: the provider-neutral wish `capability@resource[/path]`.
//!
//! ```text
//! scope      = capability "@" resource [ "/" path ]
//! capability = service ":" verb          ; both: a-z, 0-9, "-", beginning with a letter
//! resource   = a-z, 0-9, "-"             ; the operator's name, see `ResourceName`
//! path       = segment *( "/" segment ) [ "/" ]
//! segment    = 1*( A-Z a-z 0-9 "." "_" "-" "=" "+" )   ; never "." or ".."
//! ```
//!
//! A path that ends in `/` is a prefix and covers what lies beneath it; any other path is one
//! exact object. Whole segments only: `releases/` does not cover `releases-evil/x`. The alphabet
//! is an allow-list, because paths end up inside policy languages where `*`, `?`, `$` and quotes
//! have meanings of their own.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{BadId, ResourceName, is_name};

/// The longest path, in bytes. AWS keys may have 1024; the rest is room for the policy around it.
pub const PATH_LENGTH_MAX: usize = 512;
/// The longest scope text that is looked at.
pub const SCOPE_LENGTH_MAX: usize = 768;
/// The most scopes one request may name.
pub const SCOPES_MAX: usize = 16;

/// `service:verb`, a row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability {
    service: String,
    verb: String,
}

impl Capability {
    /// The part before the colon, e.g. `object-storage`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The part after the colon, e.g. `write`.
    #[must_use]
    pub fn verb(&self) -> &str {
        &self.verb
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.verb)
    }
}

impl FromStr for Capability {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.split_once(':') {
            Some((service, verb)) if is_name(service) && is_name(verb) => Ok(Self {
                service: service.to_owned(),
                verb: verb.to_owned(),
            }),
            _ => Err(BadId::new(
                "capability",
                "`service:verb`, as in `object-storage:write`",
                text,
            )),
        }
    }
}

impl TryFrom<String> for Capability {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.to_string()
    }
}

/// What part of a resource a scope covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// The whole resource.
    Whole,
    /// Everything beneath a prefix; the text ends in `/`.
    Prefix(String),
    /// One object, by its exact name; the text does not end in `/`.
    Exact(String),
}

impl Path {
    /// Reads the part of a scope after `resource/`.
    ///
    /// # Errors
    /// When it is empty, too long, or has a segment outside the allowed alphabet.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let wrong = || {
            BadId::new(
                "path",
                "segments of `A-Z a-z 0-9 . _ - = +` (never `.` or `..`), at most 512 bytes, \
                 a prefix ending in `/`",
                text,
            )
        };
        let inner = text.strip_suffix('/').unwrap_or(text);
        if text.len() > PATH_LENGTH_MAX || !inner.split('/').all(is_segment) {
            return Err(wrong());
        }
        let is_prefix = text.ends_with('/');
        Ok(if is_prefix {
            Self::Prefix(text.to_owned())
        } else {
            Self::Exact(text.to_owned())
        })
    }

    /// Whether everything `other` covers is covered by `self` too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole, Self::Whole | Self::Prefix(_) | Self::Exact(_)) => true,
            (Self::Prefix(_) | Self::Exact(_), Self::Whole) | (Self::Exact(_), Self::Prefix(_)) => {
                false
            }
            // A prefix ends in `/`, so starting with it means whole segments.
            (Self::Prefix(mine), Self::Prefix(theirs) | Self::Exact(theirs)) => {
                theirs.starts_with(mine.as_str())
            }
            (Self::Exact(mine), Self::Exact(theirs)) => mine == theirs,
        }
    }
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-=+".contains(&b))
}

/// A provider-neutral wish: `object-storage:write@artifacts-prod/releases/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    /// What is to be done.
    pub capability: Capability,
    /// To what.
    pub resource: ResourceName,
    /// To which part of it.
    pub path: Path,
}

impl Scope {
    /// Whether granting `self` would grant everything `other` asks for: the same capability on
    /// the same resource, on a path that covers the other's.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.capability == other.capability
            && self.resource == other.resource
            && self.path.covers(&other.path)
    }

    /// This scope narrowed to `path`, or nothing when that would widen it.
    #[must_use]
    pub fn narrowed(&self, path: Path) -> Option<Self> {
        self.path.covers(&path).then(|| Self {
            path,
            ..self.clone()
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.capability, self.resource)?;
        match &self.path {
            Path::Whole => Ok(()),
            Path::Prefix(path) | Path::Exact(path) => write!(f, "/{path}"),
        }
    }
}

impl FromStr for Scope {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let wrong = || {
            BadId::new(
                "scope",
                "`capability@resource[/path]`, as in `object-storage:write@artifacts-prod/releases/`",
                text,
            )
        };
        if text.len() > SCOPE_LENGTH_MAX {
            return Err(wrong());
        }
        let (capability, rest) = text.split_once('@').ok_or_else(wrong)?;
        let capability = capability.parse()?;
        let (resource, path) = match rest.split_once('/') {
            None => (rest, Path::Whole),
            Some((resource, path)) => (resource, Path::parse(path)?),
        };
        Ok(Self {
            capability,
            resource: resource.parse()?,
            path,
        })
    }
}

impl TryFrom<String> for Scope {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_covers_whole_segments_only() {
        let prefix = scope("object-storage:write@artifacts-prod/releases/");
        for inside in ["releases/", "releases/1.2/", "releases/1.2/app.tar"] {
            assert!(prefix.covers(&scope(&format!(
                "object-storage:write@artifacts-prod/{inside}"
            ))));
        }
        for outside in ["releases-evil/x", "release/x", "releases", "Releases/x"] {
            assert!(!prefix.covers(&scope(&format!(
                "object-storage:write@artifacts-prod/{outside}"
            ))));
        }
        assert!(!prefix.covers(&scope("object-storage:write@artifacts-prod")));
        assert!(!prefix.covers(&scope("object-storage:read@artifacts-prod/releases/")));
        assert!(!prefix.covers(&scope("object-storage:write@artifacts/releases/")));
    }

    #[test]
    fn hostile_texts_are_refused() {
        let long = format!("a:b@c/{}", "x".repeat(PATH_LENGTH_MAX + 1));
        for bad in [
            "",
            "@",
            "a@b",
            "a:b",
            "a:b@",
            "a:b@c/",
            "a:b@c//",
            "a:b@c/x//y",
            "a:b@c//x",
            "a:b@c/../x",
            "a:b@c/./x",
            "a:b@c/x/..",
            "a:b@c/*",
            "a:b@c/x?",
            "a:b@c/${aws:userid}",
            "a:b@c/x'y",
            "a:b@c/x\"y",
            "a:b@c/x y",
            "a:b@c/x\n",
            "a:b@c/%2e%2e/",
            "a:b@c@d",
            "a:b:c@d",
            "A:b@c",
            "a:b@C",
            "a:b@c/\u{0430}",
            " a:b@c",
            "a:b@c ",
            long.as_str(),
        ] {
            assert!(
                bad.parse::<Scope>().is_err(),
                "{bad:?} was taken for a scope"
            );
        }
        assert!(
            format!("a:b@c/{}", "x".repeat(PATH_LENGTH_MAX))
                .parse::<Scope>()
                .is_ok()
        );
    }

    fn segment() -> impl Strategy<Value = String> {
        "[a-c]{1,2}(-[a-c])?"
    }

    fn path() -> impl Strategy<Value = Path> {
        (prop::collection::vec(segment(), 0..4), any::<bool>()).prop_map(|(segments, prefix)| {
            let text = segments.join("/");
            match (text.is_empty(), prefix) {
                (true, _) => Path::Whole,
                (false, true) => Path::Prefix(format!("{text}/")),
                (false, false) => Path::Exact(text),
            }
        })
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(path in path()) {
            let scope = Scope { path, ..scope("object-storage:read@artifacts-prod") };
            prop_assert_eq!(scope.to_string().parse::<Scope>().unwrap(), scope);
        }

        #[test]
        fn narrowing_only_narrows(from in path(), to in path(), probe in path()) {
            let wide = Scope { path: from, ..scope("object-storage:read@artifacts-prod") };
            if let Some(narrow) = wide.narrowed(to) {
                let probe = Scope { path: probe, ..wide.clone() };
                prop_assert!(!narrow.covers(&probe) || wide.covers(&probe));
            }
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Scope>();
        }
    }
}
