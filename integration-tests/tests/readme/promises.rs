//! What the adapters promise for each row of the catalogue, as they come out of the box.

use std::sync::Arc;
use std::time::Duration;

use jitney_aws::{AwsAdapter, AwsTarget};
use jitney_azure::{Assertion, AzureAdapter, AzureTarget, CannotSign, Mode, SignAssertion};
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Meaning, Resource, Wanted};
use jitney_core::guarantee::Recall;
use jitney_core::handle::StampKey;
use jitney_core::id::LeaseId;
use jitney_core::plan::Order;
use jitney_core::scope::{Capability, Path, Scope};
use jitney_core::time::{Clock, Timestamp};
use jitney_gcp::{GcpAdapter, GcpTarget, Identity};
use jitney_integration_tests::fixtures;
use serde_json::{Value, json};

const TARGET: &str = "acme-prod";

/// A column: its title, its adapter, and what a resource is there, objects and roles.
struct Column {
    title: &'static str,
    adapter: Arc<dyn Adapter>,
    objects: (&'static str, Option<&'static str>),
    role: (&'static str, Option<&'static str>),
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

/// Nothing is signed for a promise.
#[derive(Debug)]
struct Unused;

#[async_trait::async_trait]
impl SignAssertion for Unused {
    async fn sign(&self, _: &str, _: &str, _: Duration) -> Result<Assertion, CannotSign> {
        Err(CannotSign::Refused("nothing is called".to_owned()))
    }
}

fn aws() -> Column {
    let config = json!({ "account": "111122223333", "region": "eu-central-1" });
    let config: AwsTarget = serde_json::from_value(config).unwrap();
    let identities = jitney_aws::Identities::of(&config).expect("no endpoint in the environment");
    let (target, installation) = (TARGET.parse().unwrap(), "acme".parse().unwrap());
    let adapter = AwsAdapter::new(target, config, installation, &identities, Arc::new(Stopped));
    let role = "arn:aws:iam::111122223333:role/leases";
    Column {
        title: "AWS",
        adapter: Arc::new(adapter.unwrap()),
        objects: ("arn:aws:s3:::artifacts-prod", Some(role)),
        role: (role, None),
    }
}

fn azure(mode: Mode, title: &'static str) -> Column {
    let id = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
    let slot = |number, carries| json!({ "client_id": id(number), "object_id": id(number + 50), "carries": carries });
    let config: AzureTarget = serde_json::from_value(json!({
        "tenant": id(1), "subscription": id(2), "mode": mode,
        "credentials": { "from": "issuer", "client_id": id(3) },
        "roles": { "blob-writer": id(4), "blob-deleter": id(5) },
        "slots": { "blobs-1": slot(6, "blobs"), "role-1": slot(7, "role") },
    }))
    .unwrap();
    let identities = jitney_azure::Identities::of(&config, Arc::new(Unused)).unwrap();
    let (target, installation) = (TARGET.parse().unwrap(), "acme".parse().unwrap());
    let adapter = AzureAdapter::new(target, config, installation, identities, Arc::new(Stopped));
    Column {
        title,
        adapter: Arc::new(adapter.unwrap()),
        objects: (
            "/subscriptions/00000000-0000-4000-8000-000000000002/resourceGroups/shop/providers\
             /Microsoft.Storage/storageAccounts/acme/blobServices/default/containers/artifacts",
            None,
        ),
        role: (
            "/subscriptions/00000000-0000-4000-8000-000000000002/resourceGroups/shop",
            Some("00000000-0000-4000-8000-000000000008"),
        ),
    }
}

fn gcp() -> Column {
    let config: GcpTarget = serde_json::from_value(json!({
        "project": "acme-prod",
        "pools": { "deploy": { "accounts": ["jitney-001@acme-prod.iam.gserviceaccount.com"] } },
        "roles": { "object-deleter": "projects/acme-prod/roles/jitneyObjectDeleter" },
    }))
    .unwrap();
    let (target, installation) = (TARGET.parse().unwrap(), "acme".parse().unwrap());
    let identity = Identity::token("never sent".to_owned());
    let adapter = GcpAdapter::new(
        target,
        config,
        installation,
        identity,
        Arc::new(Stopped),
        [],
    );
    Column {
        title: "Google Cloud",
        adapter: Arc::new(adapter.unwrap()),
        objects: (
            "//storage.googleapis.com/projects/_/buckets/artifacts-prod",
            Some("deploy"),
        ),
        role: (
            "//iam.googleapis.com/projects/acme-prod/roles/deployer",
            Some("deploy"),
        ),
    }
}

impl Column {
    /// The promise for one row.
    fn cell(&self, capability: &Capability, meaning: &Meaning) -> String {
        let Some(column) = meaning.clouds.get(self.adapter.cloud()) else {
            return "–".to_owned();
        };
        let kind = column.terms.get("kind").and_then(Value::as_str);
        let is_role = kind.is_some_and(|kind| kind.ends_with("role"));
        let (native_id, via) = if is_role { self.role } else { self.objects };
        let resource = Resource {
            target: TARGET.parse().unwrap(),
            native_id: native_id.to_owned(),
            via: via.map(str::to_owned),
            tier: meaning.tier,
            owner: "platform".to_owned(),
        };
        match self.recall(capability, meaning, resource) {
            Recall::Severs { within_seconds } => format!("severs within {}", told(within_seconds)),
            Recall::Lapses { within_seconds } => format!("lapses within {}", told(within_seconds)),
        }
    }

    fn recall(&self, capability: &Capability, meaning: &Meaning, resource: Resource) -> Recall {
        let wanted = [Wanted {
            scope: Scope {
                capability: capability.clone(),
                resource: "artifacts-prod".parse().unwrap(),
                path: Path::Whole,
            },
            resource,
            meaning: meaning.clone(),
        }];
        let asked = &["object-storage:read@artifacts-prod"];
        let principal = fixtures::ask("job", "token", "key", asked).principal;
        let stamp = StampKey::new("acme".parse().unwrap(), &[7; 32]).unwrap();
        let slots = self.adapter.slots(&wanted);
        let order = Order {
            wanted: &wanted,
            target: &TARGET.parse().unwrap(),
            ttl: Duration::from_secs(900),
            lasts: Duration::from_secs(900),
            slot: slots.first(),
            handle: &stamp.handle(LeaseId::fresh()),
            job: &principal.job,
        };
        let plan = self.adapter.plan(&order);
        let plan = plan.unwrap_or_else(|why| panic!("`{capability}` on {}: {why}", self.title));
        self.adapter.guarantees(&plan).recall
    }
}

/// A time as people say it: whole minutes, hours or days where it is a few of them.
fn told(seconds: u32) -> String {
    let units = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let unit = units.iter().find(|(unit, _)| seconds >= 2 * unit);
    match unit {
        Some((unit, name)) => format!("{} {name}", seconds.div_ceil(*unit)),
        None => format!("{seconds} s"),
    }
}

/// The whole table.
pub fn table() -> String {
    let columns = [
        aws(),
        azure(Mode::Pim, "Azure, by PIM"),
        azure(Mode::Rbac, "Azure, by role assignment"),
        gcp(),
    ];
    let row = |first: &str, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let titles = columns.iter().map(|column| column.title.to_owned());
    let mut table = row("capability", titles.collect());
    table.push_str(&format!("|{}\n", "---|".repeat(columns.len() + 1)));
    for (capability, meaning) in &jitney_policies::catalogue(None).unwrap().0 {
        let cells = columns
            .iter()
            .map(|column| column.cell(capability, meaning));
        table.push_str(&row(&format!("`{capability}`"), cells.collect()));
    }
    table
}
