//! The environment a command starts with: what it had, less what makes CI tokens, and with the
//! lease in place of whatever credentials lay about.

use std::ffi::OsStr;

use super::options::Environment;
use crate::github::{REQUEST_TOKEN, REQUEST_URL, RUNTIME_TOKEN};

/// What could make CI tokens. Taken from the command as hygiene, not as a wall: what runs as the
/// same user can read it elsewhere, and the wall is that a token is of no use without our key.
const MINTING: [&str; 3] = [REQUEST_URL, REQUEST_TOKEN, RUNTIME_TOKEN];

/// What a command has in a nearly empty environment: it must find programs, its home and its
/// language.
const PRISTINE: &[&str] = &[
    "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

/// Set in every command's environment to the request's id. Not a secret: it says that there is a
/// lease, and shows a nested call what it is nested in.
pub(crate) const NESTED_IN: &str = "JITNEY_REQUEST";

/// What must be reached without a proxy.
pub(crate) const LOOPBACK_HOSTS: &[&str] = &["127.0.0.1", "localhost"];

/// The command's environment before the lease is put in.
pub(crate) fn without_minting(
    environment: &Environment,
    pristine: bool,
    keep: &[String],
) -> Environment {
    let is_kept = |name: &OsStr| keep.iter().any(|kept| OsStr::new(kept) == name);
    let is_among = |names: &[&str], name: &OsStr| names.iter().any(|n| OsStr::new(n) == name);
    let mut left = environment.clone();
    left.retain(|name| {
        is_kept(name) || (!is_among(&MINTING, name) && (!pristine || is_among(PRISTINE, name)))
    });
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let mut environment = Environment::default();
        for name in ["PATH", "SECRET", REQUEST_URL, REQUEST_TOKEN, RUNTIME_TOKEN] {
            environment.set(name, "value");
        }
        environment
    }

    fn names(environment: &Environment) -> Vec<String> {
        let names = environment.iter().map(|(name, _)| name.to_string_lossy());
        names.map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn what_makes_tokens_is_taken_away() {
        let left = without_minting(&environment(), false, &[]);
        assert_eq!(names(&left), ["PATH", "SECRET"]);
    }

    #[test]
    fn pristine_leaves_what_finds_programs_and_what_is_asked_for() {
        let left = without_minting(&environment(), true, &[]);
        assert_eq!(names(&left), ["PATH"]);
        let left = without_minting(&environment(), true, &["SECRET".to_owned()]);
        assert_eq!(names(&left), ["PATH", "SECRET"]);
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", environment()).contains("value"));
    }
}
