//! The running cloud: everything the services share.

use std::sync::{Mutex, PoisonError, RwLockWriteGuard};

use uuid::Uuid;

use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::shared::Shared;

use super::entra::IssuerKeys;
use super::estate::{App, Estate, FEDERATED_CREDENTIALS_MAX, FederatedCredential};
use super::identifiers::Identifiers;
use super::limits::{RateLimits, Rates};
use super::settings::Settings;
use super::tenant::{EstateError, Tenant};
use super::vault::VaultKeys;
use super::world::World;

/// Everything behind the port.
pub(crate) struct Cloud {
    pub(crate) estate: Estate,
    pub(crate) tenant: Tenant,
    pub(crate) clock: SandboxClock,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) identifiers: Identifiers,
    pub(crate) rates: Rates,
    pub(crate) issuer_keys: IssuerKeys,
    pub(crate) vault_keys: VaultKeys,
    settings: Mutex<Settings>,
    world: Shared<World>,
}

impl Cloud {
    pub(crate) fn found(
        estate: Estate,
        seed: Option<u64>,
        settings: Settings,
        limits: RateLimits,
        vault_keys: VaultKeys,
    ) -> Result<Cloud, EstateError> {
        let tenant = Tenant::found(&estate)?;
        let identifiers = Identifiers::new(seed);
        let clock = SandboxClock::default();
        let world = World::found(&estate, &tenant, clock.now(), || identifiers.guid())?;
        Ok(Cloud {
            estate,
            tenant,
            clock,
            faults: Faults::default(),
            journal: Journal::default(),
            identifiers,
            rates: Rates::new(limits),
            issuer_keys: IssuerKeys::default(),
            vault_keys,
            settings: Mutex::new(settings),
            world: Shared::new(world),
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_settings(&self, settings: Settings) {
        // What came due under the old settings came due under them.
        drop(self.world());
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        drop(self.world());
    }

    /// The world as it is now: whatever the clock has made due is done first.
    pub(crate) fn world(&self) -> RwLockWriteGuard<'_, World> {
        let mut world = self.world.write();
        world.settle(&self.settings(), self.clock.now());
        world
    }

    /// One more federated credential for an app.
    pub(crate) fn trust(
        &self,
        client_id: Uuid,
        credential: FederatedCredential,
    ) -> Result<(), String> {
        self.with_app(client_id, |app| {
            if app.federated.len() >= FEDERATED_CREDENTIALS_MAX {
                return Err(format!(
                    "an app has at most {FEDERATED_CREDENTIALS_MAX} federated credentials"
                ));
            }
            app.federated.push(credential);
            Ok(())
        })
    }

    /// Switches an app's sign-in off or on. Tokens that it has go on.
    pub(crate) fn set_disabled(&self, client_id: Uuid, disabled: bool) -> Result<(), String> {
        self.with_app(client_id, |app| {
            app.disabled = disabled;
            Ok(())
        })
    }

    fn with_app(
        &self,
        client_id: Uuid,
        change: impl FnOnce(&mut App) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut world = self.world();
        let app = world.apps.iter_mut().find(|app| app.client_id == client_id);
        change(app.ok_or_else(|| format!("there is no app `{client_id}`"))?)
    }

    /// Switches a version of a key off or on.
    pub(crate) fn set_key(&self, name: &str, version: &str, enabled: bool) -> Result<(), String> {
        let mut world = self.world();
        let found = world.keys.version_mut(name, version);
        let found = found.ok_or_else(|| format!("there is no key `{name}/{version}`"))?;
        found.enabled = enabled;
        Ok(())
    }

    /// Back to the estate, with an empty journal and no offsets.
    pub(crate) fn reset(&self) -> Result<(), EstateError> {
        self.faults.clear();
        self.clock.set_offset_seconds(0);
        self.clock.set_wire_offset_seconds(0);
        let now = self.clock.now();
        let world = World::found(&self.estate, &self.tenant, now, || self.identifiers.guid())?;
        *self.world.write() = world;
        self.issuer_keys.forget();
        self.journal.clear();
        Ok(())
    }
}
