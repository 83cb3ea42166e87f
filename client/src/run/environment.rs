//! The environment a command starts with: what it had, less CI tokens and what makes them, and with
//! the lease in place of whatever credentials lay about.

use std::ffi::OsStr;

use super::options::{Environment, RunOptions};
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
pub(crate) fn without_tokens(options: &RunOptions) -> Environment {
    let is_among = |names: &[&str], name: &OsStr| names.iter().any(|n| OsStr::new(n) == name);
    let is_kept = |name: &OsStr| options.keep_env.iter().any(|kept| OsStr::new(kept) == name);
    let is_token = |name: &OsStr| {
        let given = options.token_env.as_deref();
        is_among(&MINTING, name) || given.is_some_and(|given| OsStr::new(given) == name)
    };
    let is_there = |name: &OsStr| !options.pristine || is_among(PRISTINE, name);
    let mut left = options.environment.clone();
    left.retain(|name| is_kept(name) || (!is_token(name) && is_there(name)));
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

    /// What is left to a command of such an environment.
    fn left(change: impl FnOnce(&mut RunOptions)) -> Vec<String> {
        let mut options = RunOptions::new(String::new(), Vec::new(), Vec::new());
        options.environment = environment();
        change(&mut options);
        names(&without_tokens(&options))
    }

    #[test]
    fn what_makes_tokens_is_taken_away() {
        assert_eq!(left(|_| ()), ["PATH", "SECRET"]);
    }

    #[test]
    fn a_token_in_a_variable_is_taken_away() {
        let given = |options: &mut RunOptions| options.token_env = Some("SECRET".to_owned());
        assert_eq!(left(given), ["PATH"]);
    }

    #[test]
    fn pristine_leaves_what_finds_programs_and_what_is_asked_for() {
        assert_eq!(left(|options| options.pristine = true), ["PATH"]);
        let kept = |options: &mut RunOptions| {
            options.pristine = true;
            options.keep_env.push("SECRET".to_owned());
        };
        assert_eq!(left(kept), ["PATH", "SECRET"]);
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", environment()).contains("value"));
    }
}
