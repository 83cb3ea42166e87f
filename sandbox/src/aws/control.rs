//! The sandbox's own controls over HTTP, for tests in other processes: `/_sandbox/…` on the same port.
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/journal` | every call so far |
//! | `GET /_sandbox/under-way` | the calls that have arrived and are not over |
//! | `GET /_sandbox/sessions` | every session that was given out |
//! | `GET /_sandbox/status` | clock, options, limits, armed faults, root keys |
//! | `POST /_sandbox/clock` | `offset_seconds`, `advance_seconds`, `wire_offset_seconds` |
//! | `POST /_sandbox/faults` | arms a fault; `DELETE` disarms all; `PUT` arms a list in place of all |
//! | `POST /_sandbox/options` | `ignore_deny`, `iam_lag_seconds`, `limits` |
//! | `POST /_sandbox/would-allow` | `session`, `action`, `resource`: what would be decided now |
//! | `POST /_sandbox/reset` | back to the estate |
//!
//! There is no authentication: the port is on loopback. The `Host` must be a loopback name as well, so that a
//! page in a browser cannot reach it under a name of its own.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Fault;

use super::cloud::Cloud;
use super::estate::{Account, User};
use super::limits::RateLimits;
use crate::call::{Answer, Call};

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
struct OptionsOrder {
    ignore_deny: Option<bool>,
    iam_lag_seconds: Option<i64>,
    limits: Option<RateLimits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WouldAllowOrder {
    session: String,
    action: String,
    resource: String,
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
        (&Method::GET, "sessions") => Ok(sessions(cloud)),
        (&Method::GET, "status") => Ok(status(cloud)),
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
        (&Method::POST, "options") => read(call).map(|order| set_options(cloud, &order)),
        (&Method::POST, "would-allow") => read(call).and_then(|order| would_allow(cloud, &order)),
        (&Method::POST, "reset") => reset(cloud),
        _ => return Some(refused(404, "there is no such control")),
    };
    Some(match obeyed {
        Ok(value) => written(200, &value),
        Err(message) => refused(400, &message),
    })
}

fn read<T: for<'de> Deserialize<'de>>(call: &Call) -> Result<T, String> {
    serde_json::from_slice(&call.body).map_err(|error| error.to_string())
}

fn written(status: u16, value: &Value) -> Answer {
    let mut answer = Answer::empty(status).with("content-type", "application/json");
    answer.body = Bytes::from(value.to_string());
    answer
}

fn refused(status: u16, message: &str) -> Answer {
    written(status, &json!({ "error": message }))
}

fn sessions(cloud: &Cloud) -> Value {
    let sessions: Vec<_> = cloud
        .keyring
        .sessions()
        .iter()
        .map(|session| session.info())
        .collect();
    json!({ "sessions": sessions })
}

/// The keys are the sandbox's own and guard nothing else.
fn status(cloud: &Cloud) -> Value {
    json!({
        "clock": {
            "now": cloud.clock.now().to_string(),
            "offset_seconds": cloud.clock.offset_seconds(),
            "wire_offset_seconds": cloud.clock.wire_offset_seconds(),
        },
        "options": {
            "ignore_deny": cloud.settings.ignore_deny(),
            "iam_lag_seconds": cloud.settings.iam_lag_seconds(),
            "limits": cloud.rates.limits(),
        },
        "faults": cloud.faults.armed(),
        "region": cloud.estate.region,
        "accounts": accounts(cloud),
    })
}

/// Every account with the keys of its root and its users.
pub(crate) fn accounts(cloud: &Cloud) -> Value {
    let user = |user: &User| json!({ "name": user.name, "access_keys": user.access_keys });
    let account = |account: &Account| {
        let users: Vec<Value> = account.users.iter().map(user).collect();
        json!({ "id": account.id, "root": account.root, "users": users })
    };
    cloud.estate.accounts.iter().map(account).collect()
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

fn set_options(cloud: &Cloud, order: &OptionsOrder) -> Value {
    if let Some(ignore) = order.ignore_deny {
        cloud.settings.set_ignore_deny(ignore);
    }
    if let Some(seconds) = order.iam_lag_seconds {
        cloud.settings.set_iam_lag_seconds(seconds);
    }
    if let Some(limits) = order.limits {
        cloud.rates.set_limits(limits);
    }
    status(cloud)
}

fn would_allow(cloud: &Cloud, order: &WouldAllowOrder) -> Result<Value, String> {
    let decision = cloud
        .would_allow(&order.session, &order.action, &order.resource)
        .ok_or_else(|| format!("there is no session `{}`", order.session))?;
    Ok(
        json!({ "allowed": decision.is_allowed(), "verdict": decision.verdict, "layer": decision.layer }),
    )
}

fn reset(cloud: &Cloud) -> Result<Value, String> {
    cloud.reset().map_err(|error| error.to_string())?;
    Ok(status(cloud))
}
