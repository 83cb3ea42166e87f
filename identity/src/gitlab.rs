//! GitLab CI, on gitlab.com and on instances of one's own: every claim of its tokens, typed, and
//! their translation into a [`Job`]. `sub` is a display string whose parts each project can choose,
//! so it has to be there but is never read. A job gets its tokens when it begins and no other.

use std::collections::BTreeMap;

use jitney_core::principal::{Actor, GitRef, Job, JobKey, Origin, Provider, Repository, Workflow};

use crate::claims::bad;
use crate::compact::SignedClaims;
use crate::refusal::Refusal;

/// A retried job is another job with another id, so there is one attempt.
const ONLY_ATTEMPT: &str = "1";

/// What starts a pipeline of a project's own code, as pushed by someone who may push there. For
/// `merge_request_event` the ids tell a fork. Others may be steered by a pipeline before them or by
/// another forge (`pipeline`, `parent_pipeline`, `external_pull_request_event`), or are new to us,
/// and the claims do not tell.
const SOURCES_OF_THE_PROJECT: &[&str] = &[
    "api",
    "merge_request_event",
    "push",
    "schedule",
    "trigger",
    "web",
    "webide",
];

/// Claims by these names are read or deliberately not needed; others are new to us.
const KNOWN: &[&str] = &[
    "aud",
    "ci_config_ref_uri",
    "ci_config_sha",
    "deployment_tier",
    "environment",
    "environment_action",
    "environment_protected",
    "exp",
    "groups_direct",
    "iat",
    "iss",
    "job_id",
    "job_namespace_id",
    "job_namespace_path",
    "job_project_id",
    "job_project_path",
    "jti",
    "namespace_id",
    "namespace_path",
    "nbf",
    "pipeline_id",
    "pipeline_source",
    "project_id",
    "project_path",
    "project_visibility",
    "ref",
    "ref_path",
    "ref_protected",
    "ref_type",
    "runner_environment",
    "runner_id",
    "sha",
    "sub",
    "user_access_level",
    "user_email",
    "user_id",
    "user_identities",
    "user_login",
];

/// The claims of one GitLab token. Ids are decimal numbers kept as the strings that were signed;
/// the runner's alone is signed as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitlabClaims {
    /// `ci_config_ref_uri`: the top-level configuration with its ref. What it includes is not told.
    pub ci_config_ref_uri: String,
    /// `ci_config_sha`: its commit.
    pub ci_config_sha: String,
    /// `deployment_tier` of the environment.
    pub deployment_tier: Option<String>,
    /// `environment`: the deployment environment.
    pub environment: Option<String>,
    /// `environment_action`: what the job does to it, `start` for example.
    pub environment_action: Option<String>,
    /// `environment_protected`.
    pub environment_protected: Option<bool>,
    /// `groups_direct`: the groups that the user is in. Empty as well when there are too many.
    pub groups_direct: Vec<String>,
    /// `job_id`. A retried job has another.
    pub job_id: String,
    /// `job_namespace_id`: the owner of the project that the job runs in.
    pub job_namespace_id: Option<String>,
    /// `job_namespace_path`.
    pub job_namespace_path: Option<String>,
    /// `job_project_id`: the project that the job runs in. Older instances do not tell.
    pub job_project_id: Option<String>,
    /// `job_project_path`.
    pub job_project_path: Option<String>,
    /// `namespace_id`: the owner of the project that the code is from.
    pub namespace_id: String,
    /// `namespace_path`.
    pub namespace_path: String,
    /// `pipeline_id`.
    pub pipeline_id: String,
    /// `pipeline_source`: what started the pipeline.
    pub pipeline_source: String,
    /// `project_id`: the project that the code is from, the fork in a pipeline of its merge
    /// request.
    pub project_id: String,
    /// `project_path`.
    pub project_path: String,
    /// `project_visibility`: `public`, `private` or `internal`.
    pub project_visibility: Option<String>,
    /// `ref`, without `refs/heads/` or `refs/tags/`.
    pub short_ref: String,
    /// `ref_path`: the ref in full.
    pub ref_path: String,
    /// `ref_protected`.
    pub ref_protected: Option<bool>,
    /// `ref_type`: `branch` or `tag`.
    pub ref_type: String,
    /// `runner_environment`: `gitlab-hosted` or `self-hosted`.
    pub runner_environment: Option<String>,
    /// `runner_id`.
    pub runner_id: Option<u64>,
    /// `sha`: the commit.
    pub sha: String,
    /// `user_access_level` of the user in the project.
    pub user_access_level: Option<String>,
    /// `user_email`.
    pub user_email: Option<String>,
    /// `user_id`: who started the job.
    pub user_id: String,
    /// `user_login`.
    pub user_login: String,
}

impl GitlabClaims {
    /// Reads all claims that GitLab documents, but for `user_identities`, which are not of GitLab.
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
            ci_config_ref_uri: text("ci_config_ref_uri")?,
            ci_config_sha: commit("ci_config_sha")?,
            deployment_tier: optional("deployment_tier")?,
            environment: optional("environment")?,
            environment_action: optional("environment_action")?,
            environment_protected: claims.optional_flag("environment_protected")?,
            groups_direct: claims.optional_texts("groups_direct")?,
            job_id: id("job_id")?,
            job_namespace_id: optional_id("job_namespace_id")?,
            job_namespace_path: optional("job_namespace_path")?,
            job_project_id: optional_id("job_project_id")?,
            job_project_path: optional("job_project_path")?,
            namespace_id: id("namespace_id")?,
            namespace_path: text("namespace_path")?,
            pipeline_id: id("pipeline_id")?,
            pipeline_source: text("pipeline_source")?,
            project_id: id("project_id")?,
            project_path: text("project_path")?,
            project_visibility: optional("project_visibility")?,
            short_ref: text("ref")?,
            ref_path: text("ref_path")?,
            ref_protected: claims.optional_flag("ref_protected")?,
            ref_type: text("ref_type")?,
            runner_environment: optional("runner_environment")?,
            runner_id: claims.optional_number("runner_id")?,
            sha: commit("sha")?,
            user_access_level: optional("user_access_level")?,
            user_email: optional("user_email")?,
            user_id: id("user_id")?,
            user_login: text("user_login")?,
        };
        read.agree()
    }

    /// Names that a person will read together have to say the same thing.
    fn agree(self) -> Result<Self, Refusal> {
        // The namespace may be nested; the name is what follows the last `/`.
        let owner = self.project_path.rsplit_once('/').map(|(owner, _)| owner);
        if !owner.is_some_and(|owner| owner.eq_ignore_ascii_case(&self.namespace_path)) {
            return Err(bad("project_path", "`namespace_path`, `/` and a name"));
        }
        let folder = match self.ref_type.as_str() {
            "branch" => "refs/heads/",
            "tag" => "refs/tags/",
            _ => return Err(bad("ref_type", "`branch` or `tag`")),
        };
        if self.ref_path.strip_prefix(folder) != Some(self.short_ref.as_str()) {
            return Err(bad("ref_path", "`refs/heads/` or `refs/tags/` and `ref`"));
        }
        Ok(self)
    }

    /// Where the code of the job comes from. An instance that names no `job_project_id` is older
    /// than the difference: its `project_id` is where the job runs, whoever wrote the code.
    fn origin(&self) -> Origin {
        match &self.job_project_id {
            None => Origin::CannotTell,
            Some(runs_in) if *runs_in != self.project_id => Origin::Fork,
            Some(_) if SOURCES_OF_THE_PROJECT.contains(&self.pipeline_source.as_str()) => {
                Origin::Same
            }
            Some(_) => Origin::CannotTell,
        }
    }

    /// By the project that the job runs in, which is what GitLab's webhook names too.
    fn key(&self, issuer: &str) -> JobKey {
        let runs_in = self.job_project_id.as_ref().unwrap_or(&self.project_id);
        job_key(issuer, runs_in, &self.job_id)
    }

    /// The claims in the words that all providers share.
    pub(crate) fn job(&self, issuer: &str) -> Job {
        Job {
            provider: Provider::GitlabCi,
            issuer: issuer.to_owned(),
            key: self.key(issuer),
            repository: Repository {
                id: self.project_id.clone(),
                path: self.project_path.clone(),
                owner_id: self.namespace_id.clone(),
                visibility: self.project_visibility.clone(),
            },
            origin: self.origin(),
            git_ref: GitRef {
                full: self.ref_path.clone(),
                kind: self.ref_type.clone(),
                protected: self.ref_protected,
            },
            sha: self.sha.clone(),
            workflow: Workflow {
                top_ref: self.ci_config_ref_uri.clone(),
                top_sha: self.ci_config_sha.clone(),
                job_ref: self.ci_config_ref_uri.clone(),
                job_sha: self.ci_config_sha.clone(),
            },
            environment: self.environment.clone(),
            event: self.pipeline_source.clone(),
            actor: Actor {
                id: self.user_id.clone(),
                login: self.user_login.clone(),
            },
            run_id: self.pipeline_id.clone(),
            run_attempt: ONLY_ATTEMPT.to_owned(),
            job_id: Some(self.job_id.clone()),
            runner: self.runner_environment.clone(),
            properties: BTreeMap::new(),
        }
    }
}

/// What a job is, and no other: for its tokens, and for what GitLab says of it by webhook. A
/// retried job is another job with another id.
pub(crate) fn job_key(issuer: &str, project_id: &str, job_id: &str) -> JobKey {
    JobKey::from_parts([issuer, project_id, job_id])
}

/// The names of claims that are new to us. They are no reason to refuse: a claim that nothing
/// reads decides nothing.
pub(crate) fn unknown(claims: &SignedClaims) -> impl Iterator<Item = &str> {
    claims
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !KNOWN.contains(name))
}

#[cfg(test)]
mod tests;
