//! Tokens of the CI system: where they come from, and why there may be none.

use core::fmt;
use core::time::Duration;
use std::io::Read as _;
use std::path::PathBuf;

use jitney_api::Secret;
use url::Url;
use zeroize::Zeroizing;

use crate::github;
use crate::run::Environment;

/// The longest token that is read, in bytes. Real ones have one or two thousand.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The longest wait for the CI system's answer.
pub(crate) const ISSUER_PATIENCE: Duration = Duration::from_secs(10);

/// A CI token. Wiped when dropped; it has no printable form.
pub struct CiToken(Zeroizing<String>);

impl CiToken {
    /// Wraps a token.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// A token as it was found. Only what can stand in a header is one.
    pub(crate) fn checked(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let fits = !text.is_empty() && text.len() <= TOKEN_BYTES_MAX;
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        (fits && plain).then(|| Self::new(text.to_owned()))
    }
}

impl fmt::Debug for CiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CiToken(secret)")
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{told}")]
pub struct NoToken {
    code: &'static str,
    told: String,
    may_pass: bool,
}

impl NoToken {
    pub(crate) fn new(code: &'static str, told: impl Into<String>) -> Self {
        Self {
            code,
            told: told.into(),
            may_pass: false,
        }
    }

    /// A reason that may be gone a little later.
    pub(crate) fn passing(code: &'static str, told: impl Into<String>) -> Self {
        Self {
            may_pass: true,
            ..Self::new(code, told)
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Whether the next attempt may find one.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        self.may_pass
    }
}

/// Where CI tokens come from.
pub enum TokenSource {
    /// GitHub Actions: a fresh token for every call.
    Github(GithubDoor),
    /// A file that the CI system writes; read again for every call.
    File(PathBuf),
    /// The one token that the CI system gave the job, in a variable.
    Given(CiToken),
}

/// What a GitHub runner gives a job that may ask for tokens.
pub struct GithubDoor {
    pub(crate) url: Url,
    pub(crate) bearer: Secret,
    pub(crate) http: reqwest::Client,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Github(_) => f.write_str("TokenSource::Github"),
            Self::File(path) => f.debug_tuple("TokenSource::File").field(path).finish(),
            Self::Given(_) => f.write_str("TokenSource::Given"),
        }
    }
}

impl TokenSource {
    /// Finds out where this job's tokens come from: the file, if one is named, or GitHub.
    ///
    /// # Errors
    /// When there is no such place; the text says what to change in which file.
    pub fn find(environment: &Environment, file: Option<PathBuf>) -> Result<Self, NoToken> {
        match file {
            Some(path) => Ok(Self::File(path)),
            None => github::find(environment).map(Self::Github),
        }
    }

    /// The token that stands in a variable, as GitLab gives it.
    ///
    /// # Errors
    /// When there is none; the text says what the job needs in its file.
    pub fn in_variable(
        environment: &Environment,
        name: &str,
        audience: &str,
    ) -> Result<Self, NoToken> {
        let Some(text) = environment.get(name) else {
            return Err(nested(environment).unwrap_or_else(|| {
                NoToken::new(
                    "token_env",
                    format!(
                        "the variable `{name}` is not set. A job of GitLab gets it by these lines \
                         in its part of `.gitlab-ci.yml`\nid_tokens:\n  {name}:\n    aud: {audience}"
                    ),
                )
            }));
        };
        CiToken::checked(text).map(Self::Given).ok_or_else(|| {
            NoToken::new(
                "token_env",
                format!(
                    "the variable `{name}` does not hold a token: expected 1 to {TOKEN_BYTES_MAX} \
                     printable characters"
                ),
            )
        })
    }

    /// Whether every call gives another token.
    #[must_use]
    pub const fn mints(&self) -> bool {
        matches!(self, Self::Github(_))
    }

    /// Whether there is one token and never another.
    pub(crate) const fn is_one(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// A token for this audience.
    ///
    /// # Errors
    /// When the CI system gives none.
    pub async fn token(&self, audience: &str) -> Result<CiToken, NoToken> {
        match self {
            Self::Github(door) => github::mint(door, audience).await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.unwrap_or_else(|_| Err(NoToken::new("token_file", "the token was not read")))
            }
            Self::Given(token) => Ok(CiToken::new(token.reveal().to_owned())),
        }
    }
}

/// Why there is no token inside of another run, if that is where this is.
pub(crate) fn nested(environment: &Environment) -> Option<NoToken> {
    environment.get(crate::run::NESTED_IN)?;
    Some(NoToken::new(
        "nested_run",
        "this command runs inside `jitney run` already, which keeps the CI system's token from it: \
         name all scopes in the outer call",
    ))
}

fn read_file(path: &PathBuf) -> Result<CiToken, NoToken> {
    let refuse = |why: String| {
        let path = path.display();
        NoToken::new("token_file", format!("the token file `{path}` {why}"))
    };
    let file =
        std::fs::File::open(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    // One byte more than allowed shows that there is more.
    let limit = u64::try_from(TOKEN_BYTES_MAX).map_or(u64::MAX, |limit| limit.saturating_add(1));
    let mut text = Zeroizing::new(String::new());
    file.take(limit)
        .read_to_string(&mut text)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    CiToken::checked(&text).ok_or_else(|| {
        refuse(format!(
            "does not hold a token: expected 1 to {TOKEN_BYTES_MAX} printable characters"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    async fn from_file(content: &[u8]) -> Result<CiToken, NoToken> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = TokenSource::File(file.path().to_owned());
        source.token("https://broker.example").await
    }

    #[tokio::test]
    async fn a_file_holds_exactly_one_token() {
        assert_eq!(from_file(b"a.b.c\n").await.unwrap().reveal(), "a.b.c");
        let long = vec![b'a'; TOKEN_BYTES_MAX + 1];
        for bad in [
            &b""[..],
            b"\n",
            b"a b",
            b"a\nb",
            b"\xff",
            "ä".as_bytes(),
            &long,
        ] {
            assert_eq!(from_file(bad).await.unwrap_err().code(), "token_file");
        }
        let longest = vec![b'a'; TOKEN_BYTES_MAX];
        assert!(from_file(&longest).await.is_ok());
    }

    #[tokio::test]
    async fn the_file_is_read_again_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = TokenSource::File(file.path().to_owned());
        for token in ["first", "second"] {
            std::fs::write(file.path(), token).unwrap();
            assert_eq!(source.token("a").await.unwrap().reveal(), token);
        }
        std::fs::remove_file(file.path()).unwrap();
        let refusal = source.token("a").await.unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains(&*file.path().to_string_lossy())
        );
    }

    #[tokio::test]
    async fn a_variable_holds_one_token_for_the_whole_job() {
        let of = |value: &str| {
            let mut environment = Environment::default();
            environment.set("ID_TOKEN", value);
            TokenSource::in_variable(&environment, "ID_TOKEN", "https://broker.example")
        };
        let source = of("a.b.c").unwrap();
        for audience in ["https://broker.example", "https://broker.example/beat"] {
            assert_eq!(source.token(audience).await.unwrap().reveal(), "a.b.c");
        }
        assert!(source.is_one() && !source.mints());
        for bad in ["a b", "a\nb", "ä", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(of(bad).unwrap_err().code(), "token_env");
        }
        let told = of("").unwrap_err().to_string();
        let lines = "id_tokens:\n  ID_TOKEN:\n    aud: https://broker.example";
        assert!(told.contains(lines), "{told}");
        let mut inside = Environment::default();
        inside.set(crate::run::NESTED_IN, "req_0");
        let told = TokenSource::in_variable(&inside, "ID_TOKEN", "a").unwrap_err();
        assert_eq!(told.code(), "nested_run");
    }

    #[test]
    fn debug_shows_no_token() {
        let token = CiToken::new("canary-41".to_owned());
        assert!(!format!("{token:?}").contains("canary-41"));
        assert!(!format!("{:?}", TokenSource::Given(token)).contains("canary-41"));
    }
}
