//! The sandbox's own controls over HTTPS, for tests in other processes: `/_sandbox/…` on the same port.
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/journal` | every call so far |
//! | `GET /_sandbox/under-way` | the calls that have arrived and are not over |
//! | `GET /_sandbox/tokens` | every access token that was given out, without the token |
//! | `GET /_sandbox/grants` | every role assignment there ever was, from when to when |
//! | `POST /_sandbox/keeps` | `principal`: what gives it rights now, or will |
//! | `POST /_sandbox/would-allow` | `principal`, `action`, `scope`: what would be decided now |
//! | `GET /_sandbox/status` | clock, settings, limits, armed faults, apps |
//! | `POST /_sandbox/clock` | `offset_seconds`, `advance_seconds`, `wire_offset_seconds` |
//! | `POST /_sandbox/faults` | arms a fault; `DELETE` disarms all; `PUT` arms a list in place of all |
//! | `POST /_sandbox/settings` | some or all [settings](super::Settings), the others stay |
//! | `POST /_sandbox/limits` | [rates](super::RateLimits) |
//! | `POST /_sandbox/trust` | `client_id`, `issuer`, `subject`, `audience`: one more federated credential |
//! | `POST /_sandbox/app` | `client_id`, `disabled`: an app's sign-in |
//! | `POST /_sandbox/key` | `name`, `version`, `enabled`: a key in a vault |
//! | `POST /_sandbox/reset` | back to the estate |
//!
//! There is no authentication: the port is on loopback. The `Host` must be a loopback name as well, so that a
//! page in a browser cannot reach it under a name of its own.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::call::{Answer, Call};
use crate::faults::Fault;

use super::cloud::Cloud;
use super::estate::FederatedCredential;
use super::settings::Settings;

const PREFIX: &str = "/_sandbox/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    offset_seconds: Option<i64>,
    advance_seconds: Option<i64>,
    wire_offset_seconds: Option<i64>,
}

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

/// Answers a control call; `None` when the call is for the cloud.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Option<Answer> {
    let command = call.path.strip_prefix(PREFIX)?;
    if !call.is_for_loopback() {
        return Some(refused(403, "the host must be a loopback name"));
    }
    let obeyed = match (&call.method, command) {
        (&Method::GET, "journal") => Ok(json!({
            "entries": cloud.journal.entries(),
            "forgotten": cloud.journal.forgotten(),
        })),
        (&Method::GET, "under-way") => Ok(json!({ "calls": cloud.journal.under_way() })),
        (&Method::GET, "tokens") => Ok(json!({ "tokens": cloud.world().tokens })),
        (&Method::GET, "grants") => Ok(json!({ "grants": cloud.grants() })),
        (&Method::GET, "status") => Ok(status(cloud)),
        (&Method::POST, "keeps") => {
            read::<KeepsOrder>(call).map(|order| json!({ "grants": cloud.keeps(order.principal) }))
        }
        (&Method::POST, "would-allow") => read(call).and_then(|order| would_allow(cloud, &order)),
        (&Method::POST, "clock") => read(call).map(|order| set_clock(cloud, &order)),
        (&Method::POST, "faults") => read::<Fault>(call).map(|fault| {
            cloud.faults.arm(fault);
            status(cloud)
        }),
        (&Method::PUT, "faults") => read(call).map(|faults| {
            cloud.faults.set(faults);
            status(cloud)
        }),
        (&Method::DELETE, "faults") => {
            cloud.faults.clear();
            Ok(status(cloud))
        }
        (&Method::POST, "settings") => read(call).and_then(|order| set_settings(cloud, order)),
        (&Method::POST, "limits") => read(call).map(|limits| {
            cloud.rates.set_limits(limits);
            status(cloud)
        }),
        (&Method::POST, "trust") => read::<TrustOrder>(call)
            .and_then(|order| cloud.trust(order.client_id, order.credential))
            .map(|()| status(cloud)),
        (&Method::POST, "app") => read::<AppOrder>(call)
            .and_then(|order| cloud.set_disabled(order.client_id, order.disabled))
            .map(|()| status(cloud)),
        (&Method::POST, "key") => read::<KeyOrder>(call)
            .and_then(|order| cloud.set_key(&order.name, &order.version, order.enabled))
            .map(|()| status(cloud)),
        (&Method::POST, "reset") => reset(cloud),
        _ => return Some(refused(404, "there is no such control")),
    };
    Some(match obeyed {
        Ok(value) => Answer::json(200, &value),
        Err(message) => refused(400, &message),
    })
}

fn read<T: for<'de> Deserialize<'de>>(call: &Call) -> Result<T, String> {
    serde_json::from_slice(&call.body).map_err(|error| error.to_string())
}

fn refused(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }))
}

fn status(cloud: &Cloud) -> Value {
    json!({
        "clock": {
            "now": cloud.clock.now().to_string(),
            "offset_seconds": cloud.clock.offset_seconds(),
            "wire_offset_seconds": cloud.clock.wire_offset_seconds(),
        },
        "settings": cloud.settings(),
        "limits": cloud.rates.limits(),
        "faults": cloud.faults.armed(),
        "tenant_id": cloud.tenant.id,
        "apps": cloud.world().apps,
    })
}

fn set_clock(cloud: &Cloud, order: &ClockOrder) -> Value {
    if let Some(seconds) = order.offset_seconds {
        cloud.clock.set_offset_seconds(seconds);
    }
    if let Some(seconds) = order.advance_seconds {
        cloud.clock.advance_seconds(seconds);
    }
    if let Some(seconds) = order.wire_offset_seconds {
        cloud.clock.set_wire_offset_seconds(seconds);
    }
    status(cloud)
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

fn reset(cloud: &Cloud) -> Result<Value, String> {
    cloud.reset().map_err(|error| error.to_string())?;
    Ok(status(cloud))
}
