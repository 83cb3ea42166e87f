//! What Azure is told beside the [common controls](crate::controls).
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/tokens` | every access token that was given out, without the token |
//! | `GET /_sandbox/grants` | every role assignment there ever was, from when to when |
//! | `POST /_sandbox/keeps` | `principal`: what gives it rights now, or will |
//! | `POST /_sandbox/would-allow` | `principal`, `action`, `scope`: what would be decided now |
//! | `POST /_sandbox/settings` | some or all [settings](super::Settings), the others stay |
//! | `POST /_sandbox/limits` | [rates](super::RateLimits) |
//! | `POST /_sandbox/trust` | `client_id`, `issuer`, `subject`, `audience`: one more federated credential |
//! | `POST /_sandbox/app` | `client_id`, `disabled`: an app's sign-in |
//! | `POST /_sandbox/key` | `name`, `version`, `enabled`: a key in a vault |

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::clock::SandboxClock;
use crate::controls::{Controlled, Obeyed, read, status};
use crate::faults::Faults;
use crate::journal::Journal;

use super::cloud::Cloud;
use super::estate::FederatedCredential;
use super::settings::Settings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepsOrder {
    principal: Uuid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WouldAllowOrder {
    principal: Uuid,
    action: String,
    scope: String,
}

#[derive(Deserialize)]
struct TrustOrder {
    client_id: Uuid,
    #[serde(flatten)]
    credential: FederatedCredential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppOrder {
    client_id: Uuid,
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyOrder {
    name: String,
    version: String,
    enabled: bool,
}

impl Controlled for Cloud {
    fn clock(&self) -> &SandboxClock {
        &self.clock
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn begin_anew(&self) -> Result<(), String> {
        self.reset().map_err(|error| error.to_string())
    }

    fn particulars(&self) -> Value {
        json!({
            "settings": self.settings(),
            "limits": self.rates.limits(),
            "tenant_id": self.tenant.id,
            "apps": self.world().apps,
        })
    }

    fn obey(&self, method: &Method, order: &str, call: &Call) -> Option<Obeyed> {
        Some(match (method, order) {
            (&Method::GET, "tokens") => Ok(json!({ "tokens": self.world().tokens })),
            (&Method::GET, "grants") => Ok(json!({ "grants": self.grants() })),
            (&Method::POST, "keeps") => read::<KeepsOrder>(call)
                .map(|order| json!({ "grants": self.keeps(order.principal) })),
            (&Method::POST, "would-allow") => {
                read(call).and_then(|order| would_allow(self, &order))
            }
            (&Method::POST, "settings") => read(call).and_then(|order| set_settings(self, order)),
            (&Method::POST, "limits") => read(call)
                .map(|limits| self.rates.set_limits(limits))
                .map(|()| status(self)),
            (&Method::POST, "trust") => read::<TrustOrder>(call)
                .and_then(|order| self.trust(order.client_id, order.credential))
                .map(|()| status(self)),
            (&Method::POST, "app") => read::<AppOrder>(call)
                .and_then(|order| self.set_disabled(order.client_id, order.disabled))
                .map(|()| status(self)),
            (&Method::POST, "key") => read::<KeyOrder>(call)
                .and_then(|order| self.set_key(&order.name, &order.version, order.enabled))
                .map(|()| status(self)),
            _ => return None,
        })
    }
}

/// What is named is set, and what is not stays.
fn set_settings(cloud: &Cloud, order: Map<String, Value>) -> Result<Value, String> {
    let mut settings = json!(cloud.settings());
    if let Some(members) = settings.as_object_mut() {
        members.extend(order);
    }
    let settings: Settings = serde_json::from_value(settings).map_err(|error| error.to_string())?;
    cloud.set_settings(settings);
    Ok(status(cloud))
}

fn would_allow(cloud: &Cloud, order: &WouldAllowOrder) -> Result<Value, String> {
    let allowed = cloud
        .would_allow(order.principal, &order.action, &order.scope)
        .ok_or_else(|| format!("`{}` is not a scope", order.scope))?;
    Ok(json!({ "allowed": allowed }))
}
