//! GitHub Actions, on github.com, `ghe.com` and Enterprise Server: every claim of its tokens, typed,
//! and their translation into a [`Job`]. `sub` is a display string whose format each repository can
//! change, so it has to be there but is never read; claims with ids say the same and cannot be
//! forged by naming an environment `x:ref:refs/heads/main`.

use std::collections::BTreeMap;

use jitney_core::principal::{Actor, GitRef, Job, JobKey, Origin, Provider, Repository, Workflow};

use crate::claims::bad;
use crate::compact::SignedClaims;
use crate::refusal::Refusal;

/// Custom properties of a repository arrive under this prefix.
const PROPERTY_PREFIX: &str = "repo_property_";
/// The most custom properties that are read.
const PROPERTIES_MAX: usize = 128;

/// Stands in a job key where an old Enterprise Server names no job. Ids are digits, so no id can be
/// mistaken for it.
const NO_JOB_ID: &str = "-";

/// Events that run the code of the repository itself, as pushed by someone who may push there.
/// Whatever else starts a run (`pull_request_target`, `workflow_run`, `issue_comment`, a merge
/// queue, an event GitHub adds tomorrow) may run or be steered by foreign code, and the claims do
/// not tell.
const EVENTS_OF_THE_REPOSITORY: &[&str] = &[
    "create",
    "push",
    "release",
    "repository_dispatch",
    "schedule",
    "workflow_dispatch",
];

/// Claims by these names are read or deliberately not needed; others are new to us.
const KNOWN: &[&str] = &[
    "actor",
    "actor_id",
    "aud",
    "base_ref",
    "check_run_id",
    "enterprise",
    "enterprise_id",
    "environment",
    "environment_node_id",
    "event_name",
    "exp",
    "head_ref",
    "iat",
    "iss",
    "issuer_scope",
    "job_workflow_ref",
    "job_workflow_sha",
    "jti",
    "nbf",
    "ref",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_attempt",
    "run_id",
    "run_number",
    "runner_environment",
    "sha",
    "sub",
    "workflow",
    "workflow_ref",
    "workflow_sha",
];

/// The claims of one GitHub Actions token. Ids are decimal numbers kept as the strings that were
/// signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubClaims {
    /// `actor`: the login of who started the run.
    pub actor: String,
    /// `actor_id`.
    pub actor_id: String,
    /// `base_ref`: the target branch of a pull request.
    pub base_ref: Option<String>,
    /// `check_run_id`: the job. Absent on older Enterprise Servers.
    pub check_run_id: Option<String>,
    /// `enterprise`: its slug.
    pub enterprise: Option<String>,
    /// `enterprise_id`.
    pub enterprise_id: Option<String>,
    /// `environment`: the deployment environment.
    pub environment: Option<String>,
    /// `environment_node_id`.
    pub environment_node_id: Option<String>,
    /// `event_name`: what started the run.
    pub event_name: String,
    /// `head_ref`: the source branch of a pull request.
    pub head_ref: Option<String>,
    /// `issuer_scope`.
    pub issuer_scope: Option<String>,
    /// `job_workflow_ref`: the file that defines the job, with its ref.
    pub job_workflow_ref: String,
    /// `job_workflow_sha`: that file's commit.
    pub job_workflow_sha: String,
    /// `ref`, in full.
    pub git_ref: String,
    /// `ref_protected`.
    pub ref_protected: Option<bool>,
    /// `ref_type`: `branch` or `tag`.
    pub ref_type: String,
    /// `repository`: `owner/name`.
    pub repository: String,
    /// `repository_id`.
    pub repository_id: String,
    /// `repository_owner`: its login.
    pub repository_owner: String,
    /// `repository_owner_id`.
    pub repository_owner_id: String,
    /// `repository_visibility`: `public`, `private` or `internal`.
    pub repository_visibility: Option<String>,
    /// `run_attempt`: 1 for the first.
    pub run_attempt: String,
    /// `run_id`.
    pub run_id: String,
    /// `run_number`: counts the runs of one workflow.
    pub run_number: Option<String>,
    /// `runner_environment`: `github-hosted` or `self-hosted`.
    pub runner_environment: Option<String>,
    /// `sha`: the commit.
    pub sha: String,
    /// `workflow`: its display name.
    pub workflow: Option<String>,
    /// `workflow_ref`: the top-level file, with its ref.
    pub workflow_ref: String,
    /// `workflow_sha`: that file's commit.
    pub workflow_sha: String,
    /// `repo_property_*`, without the prefix.
    pub properties: BTreeMap<String, String>,
}

impl GithubClaims {
    /// Reads all claims that GitHub documents.
    ///
    /// # Errors
    /// `missing_claim` or `bad_claim`.
    pub(crate) fn read(claims: &SignedClaims) -> Result<Self, Refusal> {
        let text = |name| claims.text(name).map(str::to_owned);
        let optional = |name| Ok(claims.optional_text(name)?.map(str::to_owned));
        let id = |name| claims.id(name).map(str::to_owned);
        let optional_id = |name| Ok(claims.optional_id(name)?.map(str::to_owned));
        let commit = |name| claims.commit(name).map(str::to_owned);
        let read = Self {
            actor: text("actor")?,
            actor_id: id("actor_id")?,
            base_ref: optional("base_ref")?,
            check_run_id: optional_id("check_run_id")?,
            enterprise: optional("enterprise")?,
            enterprise_id: optional_id("enterprise_id")?,
            environment: optional("environment")?,
            environment_node_id: optional("environment_node_id")?,
            event_name: text("event_name")?,
            head_ref: optional("head_ref")?,
            issuer_scope: optional("issuer_scope")?,
            job_workflow_ref: text("job_workflow_ref")?,
            job_workflow_sha: commit("job_workflow_sha")?,
            git_ref: text("ref")?,
            ref_protected: claims.optional_flag("ref_protected")?,
            ref_type: text("ref_type")?,
            repository: text("repository")?,
            repository_id: id("repository_id")?,
            repository_owner: text("repository_owner")?,
            repository_owner_id: id("repository_owner_id")?,
            repository_visibility: optional("repository_visibility")?,
            run_attempt: id("run_attempt")?,
            run_id: id("run_id")?,
            run_number: optional_id("run_number")?,
            runner_environment: optional("runner_environment")?,
            sha: commit("sha")?,
            workflow: optional("workflow")?,
            workflow_ref: text("workflow_ref")?,
            workflow_sha: commit("workflow_sha")?,
            properties: properties(claims)?,
        };
        read.agree()
    }

    /// Names that a person will read together have to say the same thing.
    fn agree(self) -> Result<Self, Refusal> {
        let owner = self.repository.split_once('/').map(|(owner, _)| owner);
        // GitHub's names differ in more than case.
        if !owner.is_some_and(|owner| owner.eq_ignore_ascii_case(&self.repository_owner)) {
            return Err(bad("repository", "`repository_owner`, `/` and a name"));
        }
        if !self.git_ref.starts_with("refs/") {
            return Err(bad("ref", "a full git ref that begins with `refs/`"));
        }
        Ok(self)
    }

    /// Where the code of the job comes from, as far as the claims tell. GitHub never says "fork".
    fn origin(&self) -> Origin {
        let own_event = EVENTS_OF_THE_REPOSITORY.contains(&self.event_name.as_str());
        let own_ref =
            self.git_ref.starts_with("refs/heads/") || self.git_ref.starts_with("refs/tags/");
        let no_pull_request = self.head_ref.is_none() && self.base_ref.is_none();
        if own_event && own_ref && no_pull_request {
            Origin::Same
        } else {
            Origin::CannotTell
        }
    }

    fn key(&self, issuer: &str) -> JobKey {
        let job = self.check_run_id.as_deref();
        job_key(
            issuer,
            &self.repository_id,
            &self.run_id,
            &self.run_attempt,
            job.unwrap_or(NO_JOB_ID),
        )
    }

    /// The claims in the words that all providers share.
    pub(crate) fn job(&self, issuer: &str) -> Job {
        Job {
            provider: Provider::GithubActions,
            issuer: issuer.to_owned(),
            key: self.key(issuer),
            repository: Repository {
                id: self.repository_id.clone(),
                path: self.repository.clone(),
                owner_id: self.repository_owner_id.clone(),
                visibility: self.repository_visibility.clone(),
            },
            origin: self.origin(),
            git_ref: GitRef {
                full: self.git_ref.clone(),
                kind: self.ref_type.clone(),
                protected: self.ref_protected,
            },
            sha: self.sha.clone(),
            workflow: Workflow {
                top_ref: self.workflow_ref.clone(),
                top_sha: self.workflow_sha.clone(),
                job_ref: self.job_workflow_ref.clone(),
                job_sha: self.job_workflow_sha.clone(),
            },
            environment: self.environment.clone(),
            event: self.event_name.clone(),
            actor: Actor {
                id: self.actor_id.clone(),
                login: self.actor.clone(),
            },
            run_id: self.run_id.clone(),
            run_attempt: self.run_attempt.clone(),
            job_id: self.check_run_id.clone(),
            runner: self.runner_environment.clone(),
            properties: self.properties.clone(),
        }
    }
}

/// What a job is, and no other: for its tokens, and for what GitHub says of it by webhook. Without
/// a `check_run_id` all jobs of one attempt share their key, and no word about one of them fits it.
pub(crate) fn job_key(
    issuer: &str,
    repository_id: &str,
    run_id: &str,
    run_attempt: &str,
    check_run_id: &str,
) -> JobKey {
    JobKey::from_parts([issuer, repository_id, run_id, run_attempt, check_run_id])
}

/// The names of claims that are new to us. They are no reason to refuse: GitHub adds claims, and a
/// claim that nothing reads decides nothing.
pub(crate) fn unknown(claims: &SignedClaims) -> impl Iterator<Item = &str> {
    claims
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !KNOWN.contains(name) && !name.starts_with(PROPERTY_PREFIX))
}

fn properties(claims: &SignedClaims) -> Result<BTreeMap<String, String>, Refusal> {
    let mut properties = BTreeMap::new();
    for (name, _) in claims.iter() {
        let Some(property) = name.strip_prefix(PROPERTY_PREFIX) else {
            continue;
        };
        if properties.len() == PROPERTIES_MAX {
            return Err(bad(name, "at most 128 repository properties"));
        }
        let named = !property.is_empty() && property.bytes().all(|b| b.is_ascii_graphic());
        if !named {
            return Err(bad(name, "a property name of printable ASCII"));
        }
        if let Some(value) = claims.optional_list(name)? {
            properties.insert(property.to_owned(), value.to_owned());
        }
    }
    Ok(properties)
}

#[cfg(test)]
mod tests;
