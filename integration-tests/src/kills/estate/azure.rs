//! The Azure tenant: a subscription for each way of giving roles, with a container for each lane and
//! a pool of identities that have no rights of their own.

use std::path::Path;

use jitney_sandbox::azure::builtin;
use jitney_sandbox::azure::estate::{
    App, Estate, FederatedCredential, ResourceGroup, StorageAccount, Subscription,
};
use jitney_sandbox::azure::{Permission, RoleDefinition};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::kills::lanes::{Way, bucket_of, carried_by};
use crate::kills::{Cloud, Tempo};

const TENANT: Uuid = Uuid::from_u128(0x9999_9999_0000_4000_8000_0000_0000_0001);
/// Writes blobs, and neither deletes a container nor makes keys that sign for it.
const BLOB_WRITER: Uuid = Uuid::from_u128(0xdddd_dddd_0000_4000_8000_0000_0000_0001);
/// The application that the broker calls Azure as.
const BROKER: u128 = 1;
/// More slots than there are leases: one rests for as long as a token lives, an hour and a half.
const SLOTS: u128 = 96;
/// The least that a target takes for its deadline, in seconds.
const DEADLINE_SECONDS_MIN: u32 = 5;

/// The two ways.
pub(in crate::kills) const WAYS: [Way; 2] = [Way::Rbac, Way::Pim];

/// What stands before a slot's number, as its target has it.
const fn mode(way: Way) -> &'static str {
    match way {
        Way::Pim => "pim",
        Way::Session | Way::Account | Way::Standing | Way::Bounded | Way::Rbac => "rbac",
    }
}

pub(in crate::kills) fn target_name(way: Way) -> String {
    format!("acme-azure-{}", mode(way))
}

fn subscription(way: Way) -> Uuid {
    let number = if way == Way::Pim { 2 } else { 1 };
    Uuid::from_u128(0x1111_1111_0000_4000_8000_0000_0000_0000 + number)
}

fn account(way: Way) -> String {
    format!("artifacts{}", mode(way))
}

/// The slots of a way: their name, and the number of their application.
fn slots(way: Way) -> impl Iterator<Item = (String, u128)> {
    let first = if way == Way::Pim { 2_000 } else { 1_000 };
    (0..SLOTS).map(move |number| (format!("{}-{number:02}", mode(way)), first + number))
}

const fn client(number: u128) -> Uuid {
    Uuid::from_u128(0xcccc_cccc_0000_4000_8000_0000_0000_0000 + number)
}

const fn object(number: u128) -> Uuid {
    Uuid::from_u128(0xeeee_eeee_0000_4000_8000_0000_0000_0000 + number)
}

/// The lane of the ledger that a service principal is, if it is a slot.
pub(in crate::kills) fn slot_of(principal: Uuid) -> Option<String> {
    let is_slot = |way: &Way| slots(*way).any(|(_, number)| object(number) == principal);
    let way = WAYS.into_iter().find(is_slot)?;
    Some(format!("{}/slot/{principal}", target_name(way)))
}

fn container(way: Way, lane: usize) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/shop/providers/Microsoft.Storage/storageAccounts/{}\
         /blobServices/default/containers/{}",
        subscription(way),
        account(way),
        bucket_of(lane)
    )
}

/// The tenant. Nobody is trusted yet.
pub(in crate::kills) fn estate() -> Estate {
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let writes = Permission {
        data_actions: vec![format!("{blobs}/write"), format!("{blobs}/add/action")],
        ..Permission::default()
    };
    let estate = Estate::new(TENANT)
        .role(RoleDefinition::custom(BLOB_WRITER, "Blob Writer", writes))
        .app(App::new(client(BROKER), object(BROKER), "broker"));
    WAYS.into_iter().fold(estate, |estate, way| {
        let containers = carried_by(way).fold(StorageAccount::new(&account(way)), |all, lane| {
            all.container(&bucket_of(lane))
        });
        let exists = Subscription::new(subscription(way), mode(way))
            .group(ResourceGroup::new("shop").account(containers));
        let estate = estate.subscription(exists).assignment(
            &format!("/subscriptions/{}", subscription(way)),
            builtin::USER_ACCESS_ADMINISTRATOR,
            object(BROKER),
            None,
        );
        slots(way).fold(estate, |estate, (name, number)| {
            estate.app(App::new(client(number), object(number), &name))
        })
    })
}

/// Whom the applications must trust: the broker's own issuer, each for a subject of its own.
pub(in crate::kills) fn trust(issuer: &str) -> impl Iterator<Item = (Uuid, FederatedCredential)> {
    let broker = (
        client(BROKER),
        FederatedCredential::new(issuer, "jitney:broker"),
    );
    let slots = WAYS.into_iter().flat_map(slots).map(move |(name, number)| {
        let subject = format!("jitney:slot:{name}");
        (client(number), FederatedCredential::new(issuer, &subject))
    });
    core::iter::once(broker).chain(slots)
}

/// The configuration of one way's target.
pub(in crate::kills) fn target(cloud: &Cloud, tempo: Tempo, way: Way, authorities: &Path) -> Value {
    let url = cloud.azure.url();
    let slot = |number| json!({ "client_id": client(number), "object_id": object(number), "carries": "blobs" });
    let slots: Map<String, Value> = slots(way)
        .map(|(name, number)| (name, slot(number)))
        .collect();
    json!({ "cloud": "azure", "tenant": TENANT, "subscription": subscription(way),
        "mode": mode(way), "credentials": { "from": "issuer", "client_id": client(BROKER) },
        "endpoint_url": url, "authority_url": url, "certificate_authorities_file": authorities,
        "roles": { "blob-writer": BLOB_WRITER }, "slots": slots,
        "settle_seconds": tempo.settle_seconds,
        "elevate_deadline_seconds": tempo.elevate_deadline_seconds.max(DEADLINE_SECONDS_MIN) })
}

/// A lane's resource.
pub(in crate::kills) fn resource(lane: usize) -> Value {
    let way = Way::of(lane);
    json!({ "target": target_name(way), "native_id": container(way, lane) })
}
