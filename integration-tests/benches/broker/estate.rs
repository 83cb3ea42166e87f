//! The estate that is elevated in: one account, many roles and buckets, and a rule for each; and
//! the configuration of the broker before it.

use std::fs;
use std::path::{Path, PathBuf};

use jitney_integration_tests::kills::LedgerKind;
use jitney_sandbox::ci::CiIssuer;
use serde_json::{Map, Value, json};

pub const INSTALLATION: &str = "bench";
pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-central-1";
pub const AUDIENCE: &str = "https://jitney.acme.example";
/// How the broker calls the sandbox. Opens nothing else.
pub const ACCESS_KEY_ID: &str = "AKIAJITNEYBENCH00000";
pub const SECRET_ACCESS_KEY: &str = "only-for-the-sandbox-0000000000000000000";
/// How long a lease here lives, in seconds.
pub const LEASE_SECONDS: u32 = 900;
/// The longest that one may live: while a ledger is filled, those that are in it grow old.
pub const LEASE_SECONDS_MAX: u32 = 3_600;

/// In what one installation differs from another.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub ci: &'a CiIssuer,
    pub ledger: LedgerKind,
    pub roles: usize,
    /// The longest that a job may be silent, in seconds.
    pub silence_seconds: u32,
}

/// The scope that job number `n` asks for.
pub fn scope(n: usize, roles: usize) -> String {
    format!("object-storage:write@store-{}/releases/", n % roles)
}

pub fn role_arn(n: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/jitney-{n}")
}

/// Writes what the cloud holds.
pub fn write_estate(folder: &Path, roles: usize) -> PathBuf {
    let user = format!("arn:aws:iam::{ACCOUNT}:user/jitney");
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": user},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {"StringLike": {"aws:RequestTag/jitney:lease": "?*"}},
    }]});
    let may = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": [
            "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity",
            "iam:ListRolePolicies", "iam:GetRolePolicy",
            "iam:PutRolePolicy", "iam:DeleteRolePolicy",
        ],
        "Resource": format!("arn:aws:iam::{ACCOUNT}:role/jitney-*"),
    }, {
        "Effect": "Allow",
        "Action": "iam:ListRoles",
        "Resource": "*",
    }]});
    let role = |n: usize| {
        let store = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::store-{n}"), format!("arn:aws:s3:::store-{n}/*")],
        }]});
        json!({"name": format!("jitney-{n}"), "trust": trust, "inline": {"store": store}})
    };
    let estate = json!({"region": REGION, "accounts": [{
        "id": ACCOUNT,
        "users": [{
            "name": "jitney",
            "access_keys": [
                {"access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY},
            ],
            "inline": {"jitney": may},
        }],
        "roles": (0..roles).map(role).collect::<Vec<_>>(),
        "buckets": (0..roles).map(|n| json!({"name": format!("store-{n}")})).collect::<Vec<_>>(),
    }]});
    let file = folder.join("estate.json");
    fs::write(&file, estate.to_string()).unwrap();
    file
}

/// Writes the broker's configuration and its policy: as operators write them, but for the budgets,
/// which are meant to stop exactly what a bench does.
pub fn write_configuration(folder: &Path, setup: &Setup<'_>, port: u16, cloud: &str) -> PathBuf {
    let roles = setup.roles;
    let resources: Map<String, Value> = (0..roles)
        .map(|n| {
            let resource = json!({
                "target": "acme-prod",
                "native_id": format!("arn:aws:s3:::store-{n}"),
                "via": role_arn(n),
                "tier": "standard",
                "owner": "platform",
            });
            (format!("store-{n}"), resource)
        })
        .collect();
    let configuration = json!({
        "installation": INSTALLATION,
        "broker": {"listen": format!("127.0.0.1:{port}")},
        "ledger": setup.ledger.section(folder),
        "keys": {"stamp_secret_file": "stamp.key", "audit_key_file": "audit.key"},
        "policies": {"directory": "policies"},
        "issuers": [{
            "name": "ci", "url": setup.ci.url(), "provider": "github-actions", "audience": AUDIENCE,
            "allow_private": true,
        }],
        "targets": {"acme-prod": {
            "cloud": "aws", "account": ACCOUNT, "region": REGION, "endpoint_url": cloud,
            // The cloud's quotas are lifted: what is measured is the broker.
            "iam_writes_per_second": 1_000, "iam_reads_per_second": 10_000,
        }},
        "resources": resources,
        "limits": {
            "leases_per_job_max": 1_000_000,
            "leases_per_repository_max": 1_000_000,
            "leases_per_tenant_max": 1_000_000,
            "window_seconds": LEASE_SECONDS_MAX,
        },
        "silence": {"limit_seconds": setup.silence_seconds},
    });
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).unwrap();
    let rules: String = (0..roles).map(rule).collect();
    fs::write(policies.join("bench.cedar"), rules).unwrap();
    let file = folder.join("jitney.toml");
    fs::write(&file, toml::to_string(&configuration).unwrap()).unwrap();
    file
}

/// The starter policy's first rule, about one store.
fn rule(n: usize) -> String {
    format!(
        r#"
@id("deploy-writes-store-{n}")
@reason("the deploy workflow of acme/shop publishes releases from its protected main branch")
permit (
    principal,
    action == Action::"object-storage:write",
    resource == Resource::"store-{n}"
)
when
{{
    principal.repository.id == "2002" &&
    principal.repository.owner_id == "1001" &&
    principal.git_ref.full == "refs/heads/main" &&
    principal.git_ref has protected &&
    principal.git_ref.protected &&
    principal.workflow.top_ref == "acme/shop/.github/workflows/deploy.yml@refs/heads/main" &&
    context.path.within.contains("releases/") &&
    context.ttl_seconds <= {LEASE_SECONDS_MAX}
}};
"#
    )
}
