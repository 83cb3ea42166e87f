//! What every call needs: core, who may ask, and the driver.

use std::sync::Arc;

use jitney_api::LeaseView;
use jitney_core::audit::SigningKey;
use jitney_core::books::FoundLease;
use jitney_core::time::Timestamp;
use jitney_core::usecase::Core;
use jitney_identity::Verifier;
use jitney_identity::dpop::ReplayWindow;
use tokio::sync::{Semaphore, watch};
use url::Url;

use crate::admin::rehearsals::Rehearsals;
use crate::alarms::Alarms;
use crate::crew::Crew;
use crate::driver::Driver;
use crate::hooks::Ears;
use crate::metrics::Metrics;
use crate::view;

/// The most calls that are worked on at a time, those that wait for a change among them. Bounds
/// what callers without a proof can make the broker do.
pub(crate) const CALLS_MAX: usize = 1024;

/// Everything a call is answered from.
pub(crate) struct Service {
    pub(crate) core: Arc<Core>,
    pub(crate) verifier: Verifier,
    pub(crate) replay: ReplayWindow,
    /// The address by which clients know the broker: proofs are made for it.
    pub(crate) public_url: Url,
    pub(crate) crew: Crew,
    pub(crate) driver: Arc<Driver>,
    pub(crate) ears: Ears,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) alarms: Option<Alarms>,
    pub(crate) audit_key: SigningKey,
    pub(crate) room: Semaphore,
    pub(crate) rehearsals: Rehearsals,
    /// True once the broker is about to stop: whoever waits is answered now.
    pub(crate) closing: watch::Sender<bool>,
}

impl Service {
    pub(crate) fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// The address of a path, as clients know it.
    pub(crate) fn address_of(&self, path: &str) -> Url {
        let mut url = self.public_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url
    }

    /// A lease as its job sees it.
    pub(crate) fn show(&self, lease: &FoundLease) -> LeaseView {
        let adapter = self.core.adapters.get(&lease.terms().plan.lane.target);
        view::lease(
            lease,
            adapter.map_or("", |adapter| adapter.cloud().as_str()),
        )
    }

    /// Signs the audit log as it stands.
    pub(crate) async fn seal(&self) {
        if let Err(error) = self.core.seal_audit_log(&self.audit_key).await {
            tracing::error!(%error, "the audit log is not sealed; it will be tried again");
        }
    }
}
