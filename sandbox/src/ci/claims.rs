//! What GitHub says about a job: every claim of its tokens, with an invented shop as the default.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::keys::random_name;

/// How long a token lives, in seconds from `iat` to `exp`.
pub const TOKEN_LIFETIME_SECONDS: u64 = 300;

/// How far `nbf` lies before `iat`, in seconds.
pub const TOKEN_NOT_BEFORE_SECONDS: u64 = 600;

const SHA: &str = "9f3182061f1e2cca4702c368cbc039b7dc9d4485";
const COMPUTED: &[&str] = &[
    "sub",
    "iss",
    "aud",
    "jti",
    "iat",
    "nbf",
    "exp",
    "workflow_ref",
];
const FIRST_RUN: u64 = 15_523_008_123;
const FIRST_CHECK_RUN: u64 = 43_210_987_654;

// Each job has a run of its own: two leases of one job are rare, two jobs are the rule.
static JOBS_MADE: AtomicU64 = AtomicU64::new(0);

/// The claims of one job. Made by the event that started it, changed by the methods, and by
/// [`GithubJob::claim`] for everything that has no method.
///
/// As on GitHub, all ids are strings, and so are booleans.
#[derive(Clone, Debug)]
pub struct GithubJob {
    claims: Map<String, Value>,
    workflow_file: String,
    subject: Subject,
    // Last word on a claim: a value, or `None` to leave it out.
    changes: Vec<(String, Option<Value>)>,
}

/// The form of `sub`.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// Names with their ids: repositories made or renamed since 15 July 2026.
    Immutable,
    /// Names only.
    Legacy,
}

impl GithubJob {
    /// A push to `main` of `acme/shop` runs `deploy.yml` in the environment `production`.
    pub fn push_to_main() -> Self {
        let made = JOBS_MADE.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": SHA,
            "repository": "acme/shop", "repository_id": "2002", "repository_visibility": "private",
            "repository_owner": "acme", "repository_owner_id": "1001",
            "run_id": FIRST_RUN.saturating_add(made).to_string(),
            "run_number": "418", "run_attempt": "1",
            "check_run_id": FIRST_CHECK_RUN.saturating_add(made).to_string(),
            "actor": "octo-dev", "actor_id": "31337",
            "workflow": "Deploy", "workflow_sha": SHA, "job_workflow_sha": SHA,
            "head_ref": "", "base_ref": "", "event_name": "push",
            "runner_environment": "github-hosted",
            "environment": "production", "environment_node_id": "EN_kwDOexample",
            "enterprise": "acme-corp", "enterprise_id": "77",
            "repo_property_data_classification": "restricted",
        });
        let claims = if let Value::Object(claims) = claims {
            claims
        } else {
            Map::new()
        };
        Self {
            claims,
            workflow_file: "deploy.yml".to_owned(),
            subject: Subject::Immutable,
            changes: Vec::new(),
        }
    }

    /// A pull request from a fork. GitHub gives such a job a token only where the owner has
    /// switched that on for a private repository; the repository claims name the base.
    pub fn pull_request_from_fork() -> Self {
        Self::push_to_main()
            .without_environment()
            .git_ref("refs/pull/7/merge")
            .text("ref_protected", "false")
            .text("event_name", "pull_request")
            .text("head_ref", "feat")
            .text("base_ref", "main")
            .actor("mallory", "66601")
    }

    /// A pull request that runs with the base repository's trust, on the base's ref: the event by
    /// which most pipelines are robbed.
    pub fn pull_request_target() -> Self {
        Self::push_to_main()
            .without_environment()
            .text("event_name", "pull_request_target")
            .text("head_ref", "evil")
            .text("base_ref", "main")
            .actor("mallory", "66601")
    }

    /// A workflow that was started by the end of another one, which a fork may have started.
    pub fn workflow_run() -> Self {
        Self::push_to_main()
            .without_environment()
            .text("event_name", "workflow_run")
            .actor("mallory", "66601")
    }

    /// Another repository (`owner/name`), with its id and its owner's.
    #[must_use]
    pub fn repository(self, path: &str, id: &str, owner_id: &str) -> Self {
        let owner = path.split('/').next().unwrap_or_default().to_owned();
        self.text("repository", path)
            .text("repository_id", id)
            .text("repository_owner", &owner)
            .text("repository_owner_id", owner_id)
    }

    /// Another ref, in full (`refs/tags/v3`).
    #[must_use]
    pub fn git_ref(self, full: &str) -> Self {
        let kind = if full.starts_with("refs/tags/") {
            "tag"
        } else {
            "branch"
        };
        self.text("ref", full).text("ref_type", kind)
    }

    /// Who started the run.
    #[must_use]
    pub fn actor(self, login: &str, id: &str) -> Self {
        self.text("actor", login).text("actor_id", id)
    }

    /// The environment the job runs in. It moves the ref out of `sub`.
    #[must_use]
    pub fn environment(self, name: &str) -> Self {
        self.text("environment", name)
            .text("environment_node_id", "EN_kwDOexample")
    }

    /// A job without an environment: both claims are absent.
    #[must_use]
    pub fn without_environment(mut self) -> Self {
        self.claims.remove("environment");
        self.claims.remove("environment_node_id");
        self
    }

    /// The workflow file that started the run (`deploy.yml`).
    #[must_use]
    pub fn workflow_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.workflow_file);
        self
    }

    /// The reusable workflow the job runs in, with its ref
    /// (`acme/platform/.github/workflows/release.yml@refs/tags/v3`) and commit.
    #[must_use]
    pub fn reusable_workflow(self, reference: &str, sha: &str) -> Self {
        self.text("job_workflow_ref", reference)
            .text("job_workflow_sha", sha)
    }

    /// The `sub` of a repository made before 15 July 2026: names without ids.
    #[must_use]
    pub fn legacy_subject(mut self) -> Self {
        self.subject = Subject::Legacy;
        self
    }

    /// Any claim, with any value. `sub` follows the others; a claim that the issuer computes
    /// (`sub`, `iss`, `aud`, `jti`, the times, `workflow_ref`) is replaced at the very end.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        if COMPUTED.contains(&name) {
            self.changes.push((name.to_owned(), Some(value.into())));
        } else {
            self.claims.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Leaves a claim out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self.changes.push((name.to_owned(), None));
        self
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.claims.insert(name.to_owned(), Value::from(value));
        self
    }

    fn read(&self, name: &str) -> &str {
        self.claims
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// All claims of a token made now. Without an audience, GitHub's default: the owner's page.
    pub(super) fn claims_now(&self, issuer: &str, audience: Option<&str>) -> Value {
        let mut claims = self.claims.clone();
        let workflow = format!(
            "{}/.github/workflows/{}@{}",
            self.read("repository"),
            self.workflow_file,
            self.read("ref")
        );
        claims
            .entry("job_workflow_ref")
            .or_insert_with(|| Value::from(workflow.clone()));
        claims.insert("workflow_ref".to_owned(), Value::from(workflow));
        claims.insert("sub".to_owned(), Value::from(self.subject()));
        claims.insert("iss".to_owned(), Value::from(issuer));
        let owner_page = || format!("https://github.com/{}", self.read("repository_owner"));
        let audience = audience.map_or_else(owner_page, str::to_owned);
        claims.insert("aud".to_owned(), Value::from(audience));
        claims.insert("jti".to_owned(), Value::from(random_name()));
        let now = now_seconds();
        claims.insert("iat".to_owned(), Value::from(now));
        let not_before = now.saturating_sub(TOKEN_NOT_BEFORE_SECONDS);
        claims.insert("nbf".to_owned(), Value::from(not_before));
        let expiry = now.saturating_add(TOKEN_LIFETIME_SECONDS);
        claims.insert("exp".to_owned(), Value::from(expiry));
        for (name, change) in &self.changes {
            match change {
                Some(value) => claims.insert(name.clone(), value.clone()),
                None => claims.remove(name),
            };
        }
        Value::Object(claims)
    }

    /// `repo:…:environment:ENV`, else `repo:…:pull_request`, else `repo:…:ref:REF`. A colon inside
    /// a value is escaped, else an environment could be named so that it reads as a ref.
    fn subject(&self) -> String {
        let repository = self.read("repository");
        let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
        let repository = match self.subject {
            Subject::Legacy => repository.to_owned(),
            Subject::Immutable => format!(
                "{owner}@{}/{name}@{}",
                self.read("repository_owner_id"),
                self.read("repository_id")
            ),
        };
        let context = match (self.claims.get("environment"), self.read("event_name")) {
            (Some(Value::String(name)), _) => format!("environment:{}", name.replace(':', "%3A")),
            (_, "pull_request") => "pull_request".to_owned(),
            _ => format!("ref:{}", self.read("ref").replace(':', "%3A")),
        };
        format!("repo:{repository}:{context}")
    }
}

fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
