//! Who proved who they are. A [`Principal`] is made by the verifier alone, from a token whose
//! signature, issuer, audience and times were checked; nothing here parses a `sub`.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The CI systems whose claims are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// GitHub Actions, also on GitHub Enterprise.
    GithubActions,
    /// GitLab CI, on gitlab.com or an instance of one's own.
    GitlabCi,
    /// No CI system: an operator, who rehearses through the broker's socket. No issuer is this.
    Operator,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GithubActions => "github-actions",
            Self::GitlabCi => "gitlab-ci",
            Self::Operator => "operator",
        })
    }
}

/// What one job is, and no other: issuer and ids, never names. Two jobs never share a key; all
/// tokens of one job do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKey(String);

impl JobKey {
    /// Joins the parts that key a job. Each part carries its length, so that no choice of parts
    /// can be mistaken for another.
    #[must_use]
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        for part in parts {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        Self(text)
    }

    /// The key as text, for storing and comparing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The thumbprint of the client's proof key (RFC 7638, SHA-256, base64url).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyThumbprint(pub String);

impl fmt::Display for KeyThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one use of one thing that may be used once: `(issuer, jti)` of a token, or the token's
/// hash when it has no `jti`. A digest, so that the ledger never holds what it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnceKey(pub String);

/// Facts of the token that proved the principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// What makes this token usable once.
    pub once: OnceKey,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// Until when the once-key is remembered. It outlives `exp` by the leeway the verifier allows
    /// and a margin: forgotten sooner, a captured token could be used again in between.
    pub remember_until: Timestamp,
}

/// Where the code of a job comes from, as far as the signed claims tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From the repository the job runs in.
    Same,
    /// From a fork.
    Fork,
    /// The claims do not tell; policies treat it like a fork.
    CannotTell,
}

/// A repository, by id first: names are reused, ids are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The forge's id.
    pub id: String,
    /// `owner/name`, for people. GitLab's owners are nested: `group/subgroup/name`.
    pub path: String,
    /// The owner's id.
    pub owner_id: String,
    /// `public`, `private` or `internal`, when told.
    pub visibility: Option<String>,
}

/// The git ref a job runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRef {
    /// In full: `refs/heads/main`.
    pub full: String,
    /// `branch` or `tag`.
    pub kind: String,
    /// Whether the forge protects it; absent when not told, and absent never matches.
    pub protected: Option<bool>,
}

/// The workflow a job runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// The top-level file with its ref: `acme/shop/.github/workflows/deploy.yml@refs/heads/main`.
    pub top_ref: String,
    /// The commit of the top-level file.
    pub top_sha: String,
    /// The file that defines the job: the reusable workflow, or the top-level one. Where the CI
    /// does not tell what was included, the top-level one.
    pub job_ref: String,
    /// The commit of the file that defines the job.
    pub job_sha: String,
}

/// Who started the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The forge's id.
    pub id: String,
    /// The login, for people.
    pub login: String,
}

/// One job of one CI run, in words that all providers share. Ids are strings, as they are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which CI system.
    pub provider: Provider,
    /// The verified `iss`, exactly.
    pub issuer: String,
    /// What this job is, and no other.
    pub key: JobKey,
    /// The repository it runs in.
    pub repository: Repository,
    /// Where its code comes from.
    pub origin: Origin,
    /// The git ref.
    pub git_ref: GitRef,
    /// The commit.
    pub sha: String,
    /// The workflow.
    pub workflow: Workflow,
    /// The deployment environment, when the job has one.
    pub environment: Option<String>,
    /// The event that started the run, in the CI's own word: `push`, `pull_request_target`,
    /// `merge_request_event`, …
    pub event: String,
    /// Who started it.
    pub actor: Actor,
    /// The run's id.
    pub run_id: String,
    /// Which attempt of the run. Where a retried job is another job, always `1`.
    pub run_attempt: String,
    /// The job's own id within the run, where the CI tells.
    pub job_id: Option<String>,
    /// `github-hosted`, `gitlab-hosted` or `self-hosted`, when told.
    pub runner: Option<String>,
    /// The owner's properties of the repository (`repo_property_*`), without the prefix.
    pub properties: BTreeMap<String, String>,
}

impl Job {
    /// One line for people: `acme/shop run 15523008123.1 (push on refs/heads/main)`. Values come
    /// from outside; whoever prints this to a terminal escapes it.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} run {}.{} ({} on {})",
            self.repository.path, self.run_id, self.run_attempt, self.event, self.git_ref.full
        )
    }
}

/// Who asks: a verified job, the token that proved it and the key that the client holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The job.
    pub job: Job,
    /// The token that proved it.
    pub token: TokenFacts,
    /// The client's proof key. Every later call for the lease proves it again.
    pub key: KeyThumbprint,
}

/// The issuer of an operator's job. It is no URL, so no CI system has it.
const OPERATORS: &str = "jitney:operators";

impl Principal {
    /// An operator who rehearses: who they are is what the broker's socket says. `rehearsal` is
    /// used once.
    #[must_use]
    pub fn operator(person: &str, rehearsal: &str, now: Timestamp) -> Self {
        let none = || "-".to_owned();
        let job = Job {
            provider: Provider::Operator,
            issuer: OPERATORS.to_owned(),
            key: JobKey::from_parts([OPERATORS, rehearsal]),
            repository: Repository {
                id: none(),
                path: OPERATORS.to_owned(),
                owner_id: none(),
                visibility: None,
            },
            origin: Origin::CannotTell,
            git_ref: GitRef {
                full: none(),
                kind: none(),
                protected: None,
            },
            sha: none(),
            workflow: Workflow {
                top_ref: none(),
                top_sha: none(),
                job_ref: none(),
                job_sha: none(),
            },
            environment: None,
            event: "rehearsal".to_owned(),
            actor: Actor {
                id: person.to_owned(),
                login: person.to_owned(),
            },
            run_id: rehearsal.to_owned(),
            run_attempt: "1".to_owned(),
            job_id: None,
            runner: None,
            properties: BTreeMap::new(),
        };
        Self {
            token: TokenFacts {
                once: OnceKey(format!("{OPERATORS} {rehearsal}")),
                issued_at: now,
                expires_at: now,
                remember_until: now,
            },
            // Nobody holds a key: no call proves that the lease is theirs.
            key: KeyThumbprint(format!("{OPERATORS} {rehearsal}")),
            job,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_job_key_cannot_run_into_each_other() {
        let one = JobKey::from_parts(["iss", "12", "3"]);
        assert_ne!(one, JobKey::from_parts(["iss", "1", "23"]));
        assert_ne!(one, JobKey::from_parts(["iss", "12:3"]));
        assert_ne!(JobKey::from_parts(["a", ""]), JobKey::from_parts(["a"]));
    }
}
