//! The Azure tenant of the story: two subscriptions, one for each way of giving roles, and a pool of
//! identities that have no rights of their own.

use std::path::Path;

use jitney_azure::{BROKER_SUBJECT, SLOT_SUBJECT_PREFIX};
use jitney_sandbox::azure::builtin;
use jitney_sandbox::azure::estate::{App, Estate, ResourceGroup, StorageAccount, Subscription};
use jitney_sandbox::azure::{Permission, RoleDefinition};
use serde_json::{Value, json};
use uuid::Uuid;

/// Where packages are, with roles given by Privileged Identity Management.
pub const PROD: Place = Place {
    subscription: Uuid::from_u128(0x1111_1111_0000_4000_8000_0000_0000_0001),
    account: "acmepackages",
    mode: "pim",
};
/// Where previews are, with plain role assignments.
pub const PREVIEW: Place = Place {
    subscription: Uuid::from_u128(0x1111_1111_0000_4000_8000_0000_0000_0002),
    account: "acmepreviews",
    mode: "rbac",
};
/// The container that the pipeline writes, in both.
pub const CONTAINER: &str = "packages";
/// One that it must not touch.
pub const OTHER_CONTAINER: &str = "customers";

const TENANT: Uuid = Uuid::from_u128(0x9999_9999_0000_4000_8000_0000_0000_0001);
/// Writes blobs, and neither deletes a container nor makes keys that sign for it. No built-in role
/// is that narrow.
const BLOB_WRITER: Uuid = Uuid::from_u128(0xdddd_dddd_0000_4000_8000_0000_0000_0001);
const BROKER: u128 = 100;
const SLOTS_EACH: u128 = 6;

/// A subscription with one storage account.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    subscription: Uuid,
    /// The storage account.
    pub account: &'static str,
    mode: &'static str,
}

impl Place {
    /// The container that the pipeline writes, as Azure names it.
    pub fn container(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/shop/providers/Microsoft.Storage/storageAccounts/{}\
             /blobServices/default/containers/{CONTAINER}",
            self.subscription, self.account
        )
    }

    /// The slots of this subscription: each an application of its own.
    fn slots(&self) -> impl Iterator<Item = (String, u128)> {
        let first = if self.mode == PROD.mode { 1 } else { 11 };
        let mode = self.mode;
        (first..first + SLOTS_EACH).map(move |number| (format!("{mode}-{number}"), number))
    }

    fn exists(&self) -> Subscription {
        let account = StorageAccount::new(self.account)
            .container(CONTAINER)
            .container(OTHER_CONTAINER)
            .blob(OTHER_CONTAINER, "people.csv", "not for pipelines");
        Subscription::new(self.subscription, self.mode)
            .group(ResourceGroup::new("shop").account(account))
    }

    /// The target's configuration.
    pub fn target(&self, url: &str, authorities: &Path, settle_seconds: u32) -> Value {
        let slots: serde_json::Map<String, Value> = self
            .slots()
            .map(|(name, number)| {
                let slot = json!({
                    "client_id": client(number), "object_id": object(number), "carries": "blobs",
                });
                (name, slot)
            })
            .collect();
        json!({
            "tenant": TENANT,
            "subscription": self.subscription,
            "mode": self.mode,
            "credentials": { "from": "issuer", "client_id": client(BROKER) },
            "endpoint_url": url,
            "authority_url": url,
            "certificate_authorities_file": authorities,
            "roles": { "blob-writer": BLOB_WRITER },
            "slots": slots,
            "settle_seconds": settle_seconds,
            "elevate_deadline_seconds": 10,
        })
    }
}

const fn client(number: u128) -> Uuid {
    Uuid::from_u128(0xcccc_cccc_0000_4000_8000_0000_0000_0000 + number)
}

const fn object(number: u128) -> Uuid {
    Uuid::from_u128(0xeeee_eeee_0000_4000_8000_0000_0000_0000 + number)
}

/// The tenant. Every slot trusts the broker's own issuer, and has no role.
pub fn estate(issuer: &str) -> Estate {
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let writes = Permission {
        data_actions: vec![format!("{blobs}/write"), format!("{blobs}/add/action")],
        ..Permission::default()
    };
    let app = |number, name: &str, subject: &str| {
        App::new(client(number), object(number), name).trusts(issuer, subject)
    };
    let estate = Estate::new(TENANT)
        .role(RoleDefinition::custom(BLOB_WRITER, "Blob Writer", writes))
        .app(app(BROKER, "broker", BROKER_SUBJECT));
    [PROD, PREVIEW].into_iter().fold(estate, |estate, place| {
        let scope = format!("/subscriptions/{}", place.subscription);
        let administrator = builtin::USER_ACCESS_ADMINISTRATOR;
        let estate = estate.subscription(place.exists()).assignment(
            &scope,
            administrator,
            object(BROKER),
            None,
        );
        place.slots().fold(estate, |estate, (name, number)| {
            estate.app(app(number, &name, &format!("{SLOT_SUBJECT_PREFIX}{name}")))
        })
    })
}
