//! A lease in our hands: what is known of it now, told to whoever waits for news.

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;
use jitney_api::{CredentialView, LeaseView};
use tokio::sync::{Notify, watch};

use crate::requests::Client;

/// What is served while it lasts.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The credential.
    pub credential: Arc<CredentialView>,
    /// When the credential stops working by itself.
    pub expires_at: Timestamp,
    /// When the lease ends unless it is renewed.
    pub ends_at: Timestamp,
}

impl Serving {
    /// What the broker handed out, or nothing when its times cannot be read.
    pub(crate) fn new(credential: CredentialView, lease: &LeaseView) -> Option<Self> {
        let expires_at: Timestamp = credential.expires_at.parse().ok()?;
        let ends_at: Timestamp = match &lease.ends_at {
            Some(ends_at) => ends_at.parse().ok()?,
            None => return None,
        };
        Some(Self {
            credential: Arc::new(credential),
            expires_at,
            ends_at,
        })
    }

    /// The same credential under another end.
    pub(crate) fn ending_at(&self, ends_at: Timestamp) -> Self {
        Self {
            credential: Arc::clone(&self.credential),
            expires_at: self.expires_at,
            ends_at,
        }
    }

    /// A secret part of the credential, unless it is absent or empty.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.credential.fields.get(name)?.reveal();
        (!field.is_empty()).then_some(field)
    }

    /// What is beside it and no secret, unless it is absent or empty.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let setting = self.credential.settings.get(name)?;
        (!setting.is_empty()).then_some(setting.as_str())
    }

    /// Until when it is of use: a credential may outlive its lease, and then it is refused.
    pub(crate) fn usable_until(&self) -> Timestamp {
        self.expires_at.min(self.ends_at)
    }
}

/// Where a lease stands.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// In force.
    Served(Arc<Serving>),
    /// No more; in words for the job.
    Over(String),
}

/// A lease that `run` holds. Its keepers alone change where it stands.
pub(crate) struct Held {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub target: String,
    /// What kind of credential it has.
    pub kind: String,
    /// The broker it came from.
    pub client: Arc<Client>,
    standing: watch::Sender<Standing>,
    wanted: Notify,
}

impl Held {
    pub(crate) fn new(client: Arc<Client>, lease: &LeaseView, serving: Serving) -> Self {
        let kind = serving.credential.kind.clone();
        Self {
            id: lease.id.clone(),
            target: lease.target.clone(),
            kind,
            client,
            standing: watch::Sender::new(Standing::Served(Arc::new(serving))),
            wanted: Notify::new(),
        }
    }

    /// Where it stands now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// What is served now, unless it is over.
    pub(crate) fn serving(&self) -> Option<Arc<Serving>> {
        match self.standing() {
            Standing::Served(serving) => Some(serving),
            Standing::Over(_) => None,
        }
    }

    /// Where it stands, and every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Tells everybody where it stands, and whether that is news: what is over stays over.
    pub(crate) fn now_stands(&self, standing: Standing) -> bool {
        self.standing.send_if_modified(|now| {
            let changes = matches!(now, Standing::Served(_));
            if changes {
                *now = standing;
            }
            changes
        })
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) {
        let mut standing = self.standing.subscribe();
        let _gone = standing
            .wait_for(|now| matches!(now, Standing::Over(_)))
            .await;
    }

    /// Asks for a fresh credential. However many ask, it is renewed once.
    pub(crate) fn want_fresh(&self) {
        self.wanted.notify_one();
    }

    /// Waits until somebody wants a fresh credential.
    pub(crate) async fn fresh_wanted(&self) {
        self.wanted.notified().await;
    }

    /// How long until `instant` by the broker's clock; zero once it is over.
    pub(crate) fn until(&self, instant: Timestamp) -> Duration {
        self.client.until(instant)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn lease(ends_at: &str) -> LeaseView {
        serde_json::from_value(json!({
            "id": "lease_1", "request": "req_1", "target": "prod", "cloud": "aws",
            "state": "active", "scopes": [], "handle": "h", "ends_at": ends_at,
            "absolute_end": "2026-11-23T01:00:00Z",
            "recall": { "kind": "severs", "within_seconds": 10 },
        }))
        .unwrap()
    }

    fn serving(ends_at: &str, expires_at: &str) -> Option<Serving> {
        let credential = json!({
            "lease": "lease_1", "kind": "aws-session", "expires_at": expires_at, "fields": {},
        });
        Serving::new(serde_json::from_value(credential).unwrap(), &lease(ends_at))
    }

    const SOONER: &str = "2026-11-23T00:00:00Z";
    const LATER: &str = "2026-11-23T00:15:00.5Z";

    #[test]
    fn what_ends_first_ends_the_use() {
        let sooner: Timestamp = SOONER.parse().unwrap();
        assert_eq!(serving(SOONER, LATER).unwrap().usable_until(), sooner);
        assert_eq!(serving(LATER, SOONER).unwrap().usable_until(), sooner);
        assert!(serving("tomorrow", LATER).is_none());
        assert!(serving(SOONER, "never").is_none());
    }

    #[test]
    fn what_is_over_stays_over() {
        let broker = "http://127.0.0.1:1".parse().unwrap();
        let client = Arc::new(Client::new(broker, None).unwrap());
        let held = Held::new(client, &lease(LATER), serving(LATER, LATER).unwrap());
        assert!(held.now_stands(Standing::Over("killed".to_owned())));
        // The answer to a renewal that was under way.
        let renewed = Arc::new(serving(LATER, LATER).unwrap());
        assert!(!held.now_stands(Standing::Served(renewed)));
        assert!(!held.now_stands(Standing::Over("expired".to_owned())));
        assert!(matches!(held.standing(), Standing::Over(why) if why == "killed"));
    }
}
