//! The Google Cloud project of the story: a bucket, and a pool of service accounts that are disabled
//! while they carry no lease.

use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};
use serde_json::{Value, json};

/// The bucket that the pipeline writes.
pub const BUCKET: &str = "acme-reports";
/// What the pipeline reads there.
pub const REPORT: &str = "releases/1.0.csv";
/// One that it must not touch.
pub const OTHER_BUCKET: &str = "acme-customers";
/// Whose token the broker calls Google with.
pub const BROKER: &str = "jitney-broker@acme-data.iam.gserviceaccount.com";

const PROJECT: &str = "acme-data";
const POOL: &str = "deploy";
const ACCOUNTS: usize = 6;

/// The bucket, as Google names it.
pub fn bucket() -> String {
    format!("//storage.googleapis.com/projects/_/buckets/{BUCKET}")
}

/// The pool that carries grants on it.
pub const VIA: &str = POOL;

fn names() -> impl Iterator<Item = String> {
    (1..=ACCOUNTS).map(|number| format!("jitney-{number:03}"))
}

/// The project. The broker enables and disables the pool's accounts, makes their tokens and writes
/// the bucket's policy.
pub fn estate() -> Estate {
    let broker = format!("serviceAccount:{BROKER}");
    let to_broker = |role: &str| Binding::new(role, &[broker.as_str()]);
    let project = Project::new(PROJECT, 111_122_223_333)
        .account(ServiceAccount::new("jitney-broker"))
        .binding(to_broker("roles/iam.serviceAccountAdmin"))
        .bucket(
            Bucket::new(BUCKET)
                .object(REPORT, "a report")
                .object("releases-evil/people.csv", "not for pipelines")
                .binding(to_broker("roles/storage.admin")),
        )
        .bucket(Bucket::new(OTHER_BUCKET).object("people.csv", "not for pipelines"));
    let project = names().fold(project, |project, name| {
        let account = ServiceAccount::new(&name).disabled();
        project.account(account.binding(to_broker("roles/iam.serviceAccountTokenCreator")))
    });
    Estate::new().project(project)
}

/// The target's configuration.
pub fn target(url: &str, settle_seconds: u32) -> Value {
    let accounts: Vec<String> = names()
        .map(|name| format!("{name}@{PROJECT}.iam.gserviceaccount.com"))
        .collect();
    json!({
        "project": PROJECT,
        "endpoint_url": url,
        "pools": { POOL: { "accounts": accounts } },
        "settle_seconds": settle_seconds,
        "elevate_deadline_seconds": 10,
    })
}
