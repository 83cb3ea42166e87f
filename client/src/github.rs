//! GitHub Actions: asking the runner for a token, and telling a job that gets none why.
//!
//! A runner sets two variables for a job that may ask. When they are missing there are three
//! reasons, with three different cures; people lose hours over which it is, so it is found out
//! here from what else the runner says.

use std::io::Read as _;

use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::address::may_carry_secrets;
use crate::exchange::{Body, http_client};
use crate::run::Environment;
use crate::token::{CiToken, GithubDoor, ISSUER_PATIENCE, NoToken, TOKEN_BYTES_MAX, nested};

/// Where a token is asked for.
pub(crate) const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// The bearer for asking: whoever has it can be the job.
pub(crate) const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The same bearer under another name.
pub(crate) const RUNTIME_TOKEN: &str = "ACTIONS_RUNTIME_TOKEN";

/// The largest answer of the token service, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * TOKEN_BYTES_MAX;
/// The most that is read of the event or of a workflow file, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

const PERMISSIONS: &str = "permissions:\n  id-token: write\n  contents: read";

/// The runner's door to tokens.
pub(crate) fn find(environment: &Environment) -> Result<GithubDoor, NoToken> {
    let (Some(url), Some(bearer)) = (environment.get(REQUEST_URL), environment.get(REQUEST_TOKEN))
    else {
        return Err(why_none(environment));
    };
    let malformed = || {
        NoToken::new(
            "token_service",
            format!("`{REQUEST_URL}` is not an encrypted address: only the runner should set it"),
        )
    };
    let url = Url::parse(url).map_err(|_| malformed())?;
    // The bearer goes there, and with it the job.
    if !may_carry_secrets(&url) {
        return Err(malformed());
    }
    let loopback = url.scheme() == "http";
    let http = http_client(loopback, &[])
        .map_err(|_| NoToken::new("token_service", "no HTTP client could be made"))?;
    Ok(GithubDoor {
        url,
        bearer: Zeroizing::new(bearer.to_owned()).into(),
        http,
    })
}

/// Why the runner gave this job no door.
fn why_none(environment: &Environment) -> NoToken {
    if let Some(nested) = nested(environment) {
        return nested;
    }
    if environment.get("GITHUB_ACTIONS") != Some("true") {
        return NoToken::new(
            "no_ci",
            "no CI system was found that gives tokens: run this in a GitHub Actions job, or name \
             what holds a token: in a GitLab job the variable with `--token-env`, elsewhere a file \
             with `--token-file`",
        );
    }
    if is_fork_pull_request(environment) {
        return NoToken::new(
            "fork_pull_request",
            "GitHub gives no tokens to a pull request from a fork, and no setting changes that: \
             run this job on `push` to a branch of the repository itself, or after the merge",
        );
    }
    if calls_a_reusable_workflow(environment) {
        return NoToken::new(
            "reusable_workflow_permission",
            format!(
                "this job was given no right to ask for tokens, and its workflow calls a reusable \
                 one: the right must stand in both. In the calling workflow, beside `uses:`, and \
                 in the called one, beside `runs-on:`, add\n{PERMISSIONS}"
            ),
        );
    }
    NoToken::new(
        "missing_permission",
        format!(
            "this job was given no right to ask for tokens. In its workflow file, beside \
             `runs-on:`, add\n{PERMISSIONS}\nIf the job is in a reusable workflow, the calling \
             job needs the same lines beside `uses:`"
        ),
    )
}

/// By ids, from the event the runner stored: a name can be taken over, and the head's repository
/// is absent once a fork was deleted.
fn is_fork_pull_request(environment: &Environment) -> bool {
    if environment.get("GITHUB_EVENT_NAME") != Some("pull_request") {
        return false;
    }
    let event = environment
        .get("GITHUB_EVENT_PATH")
        .and_then(read_bounded)
        .and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(event) = event else { return false };
    let head = event.pointer("/pull_request/head/repo/id");
    let base = event.pointer("/repository/id");
    base.is_some() && head != base
}

/// Looks into the top workflow's file, where it is checked out.
fn calls_a_reusable_workflow(environment: &Environment) -> bool {
    let file = environment
        .get("GITHUB_WORKFLOW_REF")
        .and_then(|name| name.split_once('@'))
        .and_then(|(name, _ref)| {
            name.find("/.github/workflows/")
                .and_then(|at| name.get(at..))
        });
    let (Some(file), Some(workspace)) = (file, environment.get("GITHUB_WORKSPACE")) else {
        return false;
    };
    if file.contains("..") {
        return false;
    }
    let text = read_bounded(&format!("{workspace}{file}")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix("uses:"))
        .any(|called| called.contains(".github/workflows/"))
}

fn read_bounded(path: &str) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[derive(Deserialize)]
struct Minted {
    value: Zeroized,
}

/// Wiped when dropped, also inside of an answer that is only half understood.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Zeroized(Zeroizing<String>);

impl From<String> for Zeroized {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// A fresh token.
pub(crate) async fn mint(door: &GithubDoor, audience: &str) -> Result<CiToken, NoToken> {
    let mut url = door.url.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    let asked = door
        .http
        .get(url)
        .bearer_auth(door.bearer.reveal())
        .header("accept", "application/json")
        .timeout(ISSUER_PATIENCE);
    let silent = |why: String| {
        NoToken::passing(
            "token_service_silent",
            format!("GitHub's token service does not answer: {why}"),
        )
    };
    let answer = asked
        .send()
        .await
        .map_err(|error| silent(crate::exchange::root_cause(&error)))?;
    let status = answer.status();
    let body = Body::read(answer, ANSWER_BYTES_MAX)
        .await
        .map_err(|error| silent(error.to_string()))?;
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(silent(format!("it says {status}")));
    }
    if !status.is_success() {
        return Err(refused(status.as_u16(), &body));
    }
    let minted: Option<Minted> = body.json().ok();
    minted
        .and_then(|minted| CiToken::checked(&minted.value.0))
        .ok_or_else(|| {
            NoToken::new(
                "token_service",
                "GitHub's token service answered with something that is no token",
            )
        })
}

fn refused(status: u16, body: &Body) -> NoToken {
    let said = body
        .json::<Refusal>()
        .map(|refusal| crate::run::escaped(&refusal.message))
        .unwrap_or_default();
    NoToken::new(
        "token_service_refused",
        format!("GitHub's token service refuses this job a token ({status}): `{said}`"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let mut environment = Environment::default();
        environment.set("GITHUB_ACTIONS", "true");
        for (name, value) in pairs {
            environment.set(name, value);
        }
        environment
    }

    fn refusal(environment: &Environment) -> NoToken {
        find(environment).err().unwrap()
    }

    #[test]
    fn a_job_without_the_right_is_told_the_exact_lines() {
        let refusal = refusal(&environment(&[]));
        assert_eq!(refusal.code(), "missing_permission");
        assert!(
            refusal
                .to_string()
                .contains("permissions:\n  id-token: write\n  contents: read\n")
        );
    }

    #[test]
    fn outside_of_a_ci_system_nothing_is_said_of_permissions() {
        let refusal = refusal(&Environment::default());
        assert_eq!(refusal.code(), "no_ci");
        assert!(refusal.to_string().contains("--token-file"));
    }

    #[test]
    fn a_fork_is_known_by_its_repositorys_id() {
        let dir = tempfile::tempdir().unwrap();
        let event = dir.path().join("event.json");
        let path = event.to_str().unwrap().to_owned();
        let with = |head: &str| {
            let text = format!(
                r#"{{"repository":{{"id":7,"full_name":"a/b"}},"pull_request":{{"head":{{"repo":{head}}}}}}}"#
            );
            std::fs::write(&event, text).unwrap();
            refusal(&environment(&[
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_EVENT_PATH", &path),
            ]))
        };
        assert_eq!(
            with(r#"{"id":8,"full_name":"c/b"}"#).code(),
            "fork_pull_request"
        );
        // Same name, other repository: a deleted and recreated one is a fork's equal.
        assert_eq!(
            with(r#"{"id":8,"full_name":"a/b"}"#).code(),
            "fork_pull_request"
        );
        assert_eq!(with("null").code(), "fork_pull_request");
        // A branch of the repository itself: the right is what is missing.
        assert_eq!(
            with(r#"{"id":7,"full_name":"a/b"}"#).code(),
            "missing_permission"
        );
    }

    #[test]
    fn a_workflow_that_calls_another_needs_the_right_twice() {
        let dir = tempfile::tempdir().unwrap();
        let workflows = dir.path().join(".github/workflows");
        std::fs::create_dir_all(&workflows).unwrap();
        let with = |text: &str| {
            std::fs::write(workflows.join("release.yml"), text).unwrap();
            refusal(&environment(&[
                (
                    "GITHUB_WORKFLOW_REF",
                    "a/b/.github/workflows/release.yml@refs/heads/main",
                ),
                ("GITHUB_WORKSPACE", dir.path().to_str().unwrap()),
            ]))
        };
        let calling = "jobs:\n  x:\n    uses: a/b/.github/workflows/deploy.yml@main\n";
        let refusal = with(calling);
        assert_eq!(refusal.code(), "reusable_workflow_permission");
        assert!(refusal.to_string().contains("  id-token: write"));
        let plain = "jobs:\n  x:\n    steps:\n      - uses: actions/checkout@v5\n";
        assert_eq!(with(plain).code(), "missing_permission");
    }

    #[test]
    fn inside_of_another_run_the_cure_is_another() {
        let nested = environment(&[(crate::run::NESTED_IN, "req_1")]);
        assert_eq!(refusal(&nested).code(), "nested_run");
    }

    #[test]
    fn the_bearer_is_not_sent_in_the_clear() {
        let door = |url: &str| {
            find(&environment(&[
                (REQUEST_URL, url),
                (REQUEST_TOKEN, "canary-9"),
            ]))
            .map(|_| ())
            .map_err(|refusal| refusal.to_string())
        };
        assert!(door("https://issuer.example/token?api-version=2.0").is_ok());
        assert!(door("http://127.0.0.1:9/token").is_ok());
        for bad in [
            "http://issuer.example/token",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!door(bad).unwrap_err().contains("canary-9"), "{bad}");
        }
    }
}
