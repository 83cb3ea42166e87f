//! One job, one inventory and one policy from which every test starts: accepted as they stand.
//! A test changes one thing and says what must become of it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jitney_core::catalogue::{Catalogue, Inventory, Resource, Tier, Wanted, resolve};
use jitney_core::decision::{Decide, Decision, Question};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::principal::{KeyThumbprint, OnceKey, Principal, TokenFacts};
use jitney_core::time::Timestamp;
use jitney_policies::{CannotLoad, CedarPolicies, SourceFile, Sources};
use serde_json::{Value, json};

pub const STARTER: &str = include_str!("../../starter.cedar");
pub const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub const RELEASES: &str = "object-storage:write@artifacts-prod/releases/";

/// The job of `acme/shop` that deploys from its protected main branch.
pub fn deploy_job() -> Value {
    let workflow = "acme/shop/.github/workflows/deploy.yml@refs/heads/main";
    let sha = "9f3182061f1e2cca4702c368cbc039b7dc9d4485";
    json!({
        "provider": "github-actions",
        "issuer": ISSUER,
        "key": "1:a",
        "repository": { "id": "2002", "path": "acme/shop", "owner_id": "1001", "visibility": "private" },
        "origin": "same",
        "git_ref": { "full": "refs/heads/main", "kind": "branch", "protected": true },
        "sha": sha,
        "workflow": { "top_ref": workflow, "top_sha": sha, "job_ref": workflow, "job_sha": sha },
        "environment": "production",
        "event": "push",
        "actor": { "id": "31337", "login": "octo-dev" },
        "run_id": "15523008123",
        "run_attempt": "1",
        "job_id": "43210987654",
        "runner": "github-hosted",
        "properties": { "data_classification": "restricted" },
    })
}

/// `change` laid over `base`: members replace members, `null` takes one away.
pub fn merged(base: Value, change: &Value) -> Value {
    match (base, change) {
        (Value::Object(mut base), Value::Object(change)) => {
            for (name, value) in change {
                if value.is_null() {
                    base.remove(name);
                    continue;
                }
                let old = base.remove(name).unwrap_or(Value::Null);
                base.insert(name.clone(), merged(old, value));
            }
            Value::Object(base)
        }
        (_, change) => change.clone(),
    }
}

/// What a request looks like.
#[derive(Debug, Clone)]
pub struct Asking {
    pub job: Value,
    pub scopes: Vec<String>,
    pub ttl: Duration,
    pub reason: String,
    pub recall: Option<Recall>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            job: deploy_job(),
            scopes: vec![RELEASES.to_owned()],
            ttl: Duration::from_secs(900),
            reason: "release 1.2".to_owned(),
            recall: Some(Recall::Severs { within_seconds: 10 }),
        }
    }
}

impl Asking {
    pub fn change(change: Value) -> Self {
        Self {
            job: merged(deploy_job(), &change),
            ..Self::default()
        }
    }

    pub fn scope(scope: &str) -> Self {
        Self {
            scopes: vec![scope.to_owned()],
            ..Self::default()
        }
    }

    pub fn ttl(seconds: u64) -> Self {
        Self {
            ttl: Duration::from_secs(seconds),
            ..Self::default()
        }
    }

    pub fn ask(&self, policies: &CedarPolicies) -> Decision {
        self.with_question(|question| policies.decide(question))
    }

    pub fn with_question<T>(&self, use_it: impl FnOnce(&Question<'_>) -> T) -> T {
        let principal = Principal {
            job: serde_json::from_value(self.job.clone()).expect("a job"),
            token: TokenFacts {
                once: OnceKey("once".to_owned()),
                issued_at: Timestamp::from_seconds(1),
                expires_at: Timestamp::from_seconds(2),
                remember_until: Timestamp::from_seconds(3),
            },
            key: KeyThumbprint("key".to_owned()),
        };
        let guarantees = self.recall.map(|recall| Guarantees {
            ttl_seconds_min: 900,
            ttl_seconds_max: 3600,
            recall,
            ends_by_itself: true,
            because: Vec::new(),
        });
        let wanted: Vec<Wanted> = self
            .scopes
            .iter()
            .map(|scope| resolve(&scope.parse().unwrap(), &inventory(), &catalogue()).unwrap())
            .collect();
        use_it(&Question {
            principal: &principal,
            wanted: &wanted,
            ttl: self.ttl,
            reason: &self.reason,
            guarantees: guarantees.as_ref(),
        })
    }
}

pub fn catalogue() -> Catalogue {
    jitney_policies::catalogue(None).unwrap()
}

pub fn inventory() -> Inventory {
    let resource = |native_id: &str, tier| Resource {
        target: "acme-prod".parse().unwrap(),
        native_id: native_id.to_owned(),
        via: None,
        tier,
        owner: "platform".to_owned(),
    };
    Inventory::new(BTreeMap::from([
        (
            "artifacts-prod".parse().unwrap(),
            resource("arn:aws:s3:::acme-artifacts-prod", Tier::Standard),
        ),
        (
            "ledger-prod".parse().unwrap(),
            resource("arn:aws:s3:::acme-ledger-prod", Tier::Critical),
        ),
        (
            "network-prod".parse().unwrap(),
            resource("arn:aws:iam::111122223333:role/network", Tier::High),
        ),
    ]))
}

pub fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

pub fn sources(files: Vec<SourceFile>) -> Sources {
    Sources {
        files,
        catalogue: catalogue(),
        issuers: BTreeSet::from([ISSUER.to_owned()]),
        clouds: BTreeMap::from([("acme-prod".parse().unwrap(), "aws".parse().unwrap())]),
    }
}

pub fn load(files: Vec<SourceFile>) -> Result<CedarPolicies, CannotLoad> {
    CedarPolicies::load(&sources(files))
}

pub fn starter() -> CedarPolicies {
    load(vec![file("starter.cedar", STARTER)]).unwrap()
}

/// A rule for the deploy job with a condition of the test's own.
pub fn permit(id: &str, action: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\") @reason(\"a test\") permit (principal, action == Action::\"{action}\", resource) \
         when {{ principal.repository.id == \"2002\" && principal.repository.owner_id == \"1001\" }} \
         when {{ {condition} }};\n"
    )
}
