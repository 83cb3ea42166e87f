//! What there is in the sandbox, and who may do what there from the start.

use jitney_azure::{BROKER_SUBJECT, SLOT_SUBJECT_PREFIX};
use jitney_sandbox::azure::builtin;
use jitney_sandbox::azure::estate::{App, Estate, ResourceGroup, StorageAccount, Subscription};
use jitney_sandbox::azure::{Permission, RoleDefinition};
use serde_json::{Value, json};
use uuid::Uuid;

pub const TENANT: Uuid = Uuid::from_u128(0x11111111_0000_4000_8000_000000000001);
pub const SUBSCRIPTION: Uuid = Uuid::from_u128(0xaaaaaaaa_0000_4000_8000_000000000001);
pub const ACCOUNT: &str = "artifactsprod";
pub const CONTAINER: &str = "artifacts";
pub const OTHER_CONTAINER: &str = "reports";
pub const WRITER: Uuid = Uuid::from_u128(0xdddddddd_0000_4000_8000_000000000001);
/// Writes blobs, and deletes containers as the built-in contributor does.
pub const WIDE_WRITER: Uuid = Uuid::from_u128(0xdddddddd_0000_4000_8000_000000000002);
/// Takes role assignments away: something that a whole role does to Resource Manager itself.
pub const TIDIER: Uuid = Uuid::from_u128(0xdddddddd_0000_4000_8000_000000000003);
/// How many slots carry blobs.
const SLOTS: u128 = 6;
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";

/// An application, by its number.
pub const fn client(number: u128) -> Uuid {
    Uuid::from_u128(0xcccccccc_0000_4000_8000_000000000000 + number)
}

/// Its service principal.
pub const fn object(number: u128) -> Uuid {
    Uuid::from_u128(0xeeeeeeee_0000_4000_8000_000000000000 + number)
}

pub const BROKER: u128 = 100;
/// Who owns the subscription, and is none of us.
pub const STRANGER: u128 = 101;
/// Who has a role on the same container, and has nothing to do with us.
pub const NEIGHBOUR: u128 = 102;
pub const STRANGERS_NAME: &str = "stranger";
/// The slot for whole roles.
pub const ROLE_SLOT: u128 = 50;

pub fn group() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop")
}

pub fn container(name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}/blobServices/default/containers\
         /{name}",
        group()
    )
}

/// The slots that carry blobs, by name and number.
pub fn blob_slots() -> impl Iterator<Item = (String, u128)> {
    (1..=SLOTS).map(|number| (format!("blobs-{number}"), number))
}

fn writer(id: Uuid, actions: &[&str]) -> RoleDefinition {
    let permission = Permission {
        actions: actions.iter().map(|&action| action.to_owned()).collect(),
        data_actions: vec![format!("{BLOBS}write"), format!("{BLOBS}add/action")],
        ..Permission::default()
    };
    RoleDefinition::custom(id, "Blob Writer", permission)
}

fn tidier() -> RoleDefinition {
    let assignments = "Microsoft.Authorization/roleAssignments";
    let permission = Permission {
        actions: vec![
            format!("{assignments}/read"),
            format!("{assignments}/delete"),
        ],
        ..Permission::default()
    };
    RoleDefinition::custom(TIDIER, "Tidier", permission)
}

/// The whole of it, trusting an issuer.
pub fn of(issuer: &str) -> Estate {
    let account = StorageAccount::new(ACCOUNT)
        .container(CONTAINER)
        .blob(CONTAINER, "releases/seed", "seed")
        .blob(CONTAINER, "other/seed", "seed")
        .container(OTHER_CONTAINER)
        .blob(OTHER_CONTAINER, "seed", "seed");
    let delete = "Microsoft.Storage/storageAccounts/blobServices/containers/delete";
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let app = |number, name: &str| App::new(client(number), object(number), name);
    let slot = |number, name: &str| {
        app(number, name).trusts(issuer, &format!("{SLOT_SUBJECT_PREFIX}{name}"))
    };
    let mut estate = Estate::new(TENANT)
        .subscription(
            Subscription::new(SUBSCRIPTION, "prod")
                .group(ResourceGroup::new("shop").account(account)),
        )
        .role(writer(WRITER, &[]))
        .role(writer(WIDE_WRITER, &[delete]))
        .role(tidier())
        .app(app(BROKER, "broker").trusts(issuer, BROKER_SUBJECT))
        .app(slot(STRANGER, STRANGERS_NAME))
        .app(app(NEIGHBOUR, "neighbour"))
        .app(slot(ROLE_SLOT, "role-1"))
        .assignment(
            &subscription,
            builtin::USER_ACCESS_ADMINISTRATOR,
            object(BROKER),
            None,
        )
        .assignment(&subscription, builtin::OWNER, object(STRANGER), None)
        .assignment(&container(CONTAINER), WRITER, object(NEIGHBOUR), None);
    for (name, number) in blob_slots() {
        estate = estate.app(slot(number, &name));
    }
    estate
}

/// Every slot as a configuration has it.
pub fn slots() -> Value {
    let slot = |number, carries: &str| json!({ "client_id": client(number), "object_id": object(number), "carries": carries });
    let mut slots = json!({ "role-1": slot(ROLE_SLOT, "role") });
    for (name, number) in blob_slots() {
        slots[name] = slot(number, "blobs");
    }
    slots
}

/// A target's configuration of it.
pub fn target(url: &str, authorities: &str, change: &Value) -> Value {
    let mut target = json!({
        "tenant": TENANT, "subscription": SUBSCRIPTION,
        "credentials": { "from": "issuer", "client_id": client(BROKER) },
        "endpoint_url": url, "authority_url": url, "blob_endpoint_url": url,
        "certificate_authorities_file": authorities,
        "roles": { "blob-writer": WRITER }, "slots": slots(),
    });
    for (key, value) in change.as_object().unwrap() {
        target[key] = value.clone();
    }
    target
}
