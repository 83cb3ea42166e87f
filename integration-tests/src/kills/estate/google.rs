//! The Google Cloud project: a bucket for each lane, and a pool of accounts of the lane's own.

use std::path::Path;

use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};
use serde_json::{Map, Value, json};

use crate::kills::lanes::{Vendor, Way, bucket_of, lanes_of};
use crate::kills::{Cloud, Tempo};

pub(in crate::kills) const TARGET: &str = "acme-google";
/// Whose token the broker calls Google with.
pub(in crate::kills) const BROKER: &str = "jitney-broker@acme-data.iam.gserviceaccount.com";
/// How far the clocks may be apart, in seconds.
const SKEW_SECONDS: u32 = 5;

const PROJECT: &str = "acme-data";
/// More accounts than a lane has leases: one rests for ten minutes, and no world takes as long.
const ACCOUNTS: usize = 48;
const VIEWER: &str = "roles/storage.objectViewer";

/// The accounts of a lane's pool, by what stands before their `@`.
fn names_of(lane: usize) -> impl Iterator<Item = String> {
    let count = if Way::of(lane) == Way::Bounded {
        1
    } else {
        ACCOUNTS
    };
    (1..=count).map(move |number| format!("{}{number:03}", prefix_of(lane)))
}

/// How the accounts of a lane's pool are called.
#[must_use]
pub fn prefix_of(lane: usize) -> String {
    format!("jitney-{lane:02}-")
}

fn email(name: &str) -> String {
    format!("{name}@{PROJECT}.iam.gserviceaccount.com")
}

/// The accounts of a lane's pool.
pub(in crate::kills) fn accounts_of(lane: usize) -> impl Iterator<Item = String> {
    names_of(lane).map(|name| email(&name))
}

/// The lane of the ledger that an account is.
pub(in crate::kills) fn slot_of(lane: usize, account: &str) -> String {
    let carries = match Way::of(lane) {
        Way::Bounded => "boundary",
        Way::Session | Way::Account | Way::Standing | Way::Rbac | Way::Pim => "account",
    };
    format!("{TARGET}/{carries}/{account}")
}

fn native(lane: usize) -> String {
    format!(
        "//storage.googleapis.com/projects/_/buckets/{}",
        bucket_of(lane)
    )
}

/// Where a token of the lane is tried.
pub(in crate::kills) fn object_of(lane: usize) -> String {
    format!(
        "projects/_/buckets/{}/objects/releases/probe",
        bucket_of(lane)
    )
}

/// The project.
pub(in crate::kills) fn estate() -> Estate {
    let broker = format!("serviceAccount:{BROKER}");
    let to_broker = |role: &str| Binding::new(role, &[broker.as_str()]);
    let project = Project::new(PROJECT, 111_122_223_333)
        .account(ServiceAccount::new("jitney-broker"))
        .binding(to_broker("roles/iam.serviceAccountAdmin"));
    let project = lanes_of(Vendor::Google).fold(project, |project, lane| {
        let way = Way::of(lane);
        let bucket = Bucket::new(&bucket_of(lane)).binding(to_broker("roles/storage.admin"));
        let members: Vec<String> = accounts_of(lane)
            .map(|email| format!("serviceAccount:{email}"))
            .collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let project = project.bucket(match way {
            Way::Standing | Way::Bounded => bucket.binding(Binding::new(VIEWER, &members)),
            Way::Session | Way::Account | Way::Rbac | Way::Pim => bucket,
        });
        names_of(lane).fold(project, |project, name| {
            let account = ServiceAccount::new(&name);
            let account = match way {
                Way::Bounded => account,
                Way::Session | Way::Account | Way::Standing | Way::Rbac | Way::Pim => {
                    account.disabled()
                }
            };
            project.account(account.binding(to_broker("roles/iam.serviceAccountTokenCreator")))
        })
    });
    Estate::new().project(project)
}

/// The target's configuration. The broker's own token is in a file.
pub(in crate::kills) fn target(cloud: &Cloud, tempo: Tempo, token: &Path) -> Value {
    let pools: Map<String, Value> = lanes_of(Vendor::Google)
        .map(|lane| (pool_of(lane), pool(lane)))
        .collect();
    json!({ "cloud": "gcp", "project": PROJECT, "endpoint_url": cloud.google.url(),
        "credentials": { "from": "token-file", "path": token }, "pools": pools,
        "settle_seconds": tempo.settle_seconds,
        "write_interval_milliseconds": tempo.pause_milliseconds,
        "account_writes_per_minute": 60_000,
        "elevate_deadline_seconds": tempo.elevate_deadline_seconds,
        "clock_skew_seconds": SKEW_SECONDS })
}

fn pool_of(lane: usize) -> String {
    format!("pool-{lane:02}")
}

fn pool(lane: usize) -> Value {
    let mut pool = json!({ "accounts": accounts_of(lane).collect::<Vec<_>>() });
    let more = match Way::of(lane) {
        Way::Standing => Some(("standing", json!([{ "on": native(lane), "role": VIEWER }]))),
        Way::Bounded => Some(("mode", json!("cab"))),
        Way::Session | Way::Account | Way::Rbac | Way::Pim => None,
    };
    if let (Some(pool), Some((key, value))) = (pool.as_object_mut(), more) {
        pool.insert(key.to_owned(), value);
    }
    pool
}

/// A lane's resource.
pub(in crate::kills) fn resource(lane: usize) -> Value {
    json!({ "target": TARGET, "native_id": native(lane), "via": pool_of(lane) })
}
