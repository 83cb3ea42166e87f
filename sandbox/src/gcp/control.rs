//! The sandbox's own controls over HTTP, for tests in other processes: `/_sandbox/…` on the same port.
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/journal` | every call so far |
//! | `GET /_sandbox/under-way` | the calls that have arrived and are not over |
//! | `GET /_sandbox/tokens` | every token that was given out, without the tokens themselves |
//! | `GET /_sandbox/routes` | every operation, with its method and path |
//! | `GET /_sandbox/status` | clock, options, limits, armed faults |
//! | `POST /_sandbox/clock` | `offset_seconds`, `advance_seconds`, `wire_offset_seconds` |
//! | `POST /_sandbox/faults` | arms a fault; `DELETE` disarms all; `PUT` arms a list in place of all |
//! | `POST /_sandbox/options` | `ignore_disabling`, `lags`, `limits` |
//! | `POST /_sandbox/token` | `principal`, perhaps `scopes` and `lifetime_seconds`: a token as its workload would have it |
//! | `POST /_sandbox/standing` | `principal`: everything that gives it rights |
//! | `POST /_sandbox/would-allow` | `token` (a fingerprint), `permission`, `resource`: what would be decided now |
//! | `POST /_sandbox/evaluate` | `expression` and the circumstances: what a condition would say |
//! | `POST /_sandbox/reset` | back to the estate |
//!
//! There is no authentication: the port is on loopback. The `Host` must be a loopback name as well, so that a
//! page in a browser cannot reach it under a name of its own.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cloud::{Cloud, Lags};
use super::expressions::{Attributes, Circumstances, Expression};
use super::limits::RateLimits;
use super::route;
use crate::call::{Answer, Call};
use crate::faults::Fault;

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
    ignore_disabling: Option<bool>,
    lags: Option<Lags>,
    limits: Option<RateLimits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    principal: String,
    scopes: Option<Vec<String>>,
    lifetime_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StandingOrder {
    principal: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WouldAllowOrder {
    token: String,
    permission: String,
    resource: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateOrder {
    expression: String,
    time: String,
    #[serde(default)]
    resource_name: String,
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
        (&Method::GET, "tokens") => Ok(tokens(cloud)),
        (&Method::GET, "routes") => Ok(json!({ "routes": route::listed() })),
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
        (&Method::POST, "token") => read(call).and_then(|order| token(cloud, order)),
        (&Method::POST, "standing") => read::<StandingOrder>(call).and_then(|order| {
            serde_json::to_value(cloud.standing(&order.principal)).map_err(|e| e.to_string())
        }),
        (&Method::POST, "would-allow") => read(call).and_then(|order| would_allow(cloud, &order)),
        (&Method::POST, "evaluate") => read(call).and_then(|order| evaluate(&order)),
        (&Method::POST, "reset") => cloud
            .reset()
            .map(|()| status(cloud))
            .map_err(|error| error.to_string()),
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

fn tokens(cloud: &Cloud) -> Value {
    let tokens: Vec<_> = cloud
        .tokens
        .all()
        .iter()
        .map(|token| token.info())
        .collect();
    json!({ "tokens": tokens })
}

fn status(cloud: &Cloud) -> Value {
    json!({
        "clock": {
            "now": cloud.clock.now().to_string(),
            "offset_seconds": cloud.clock.offset_seconds(),
            "wire_offset_seconds": cloud.clock.wire_offset_seconds(),
        },
        "options": {
            "ignore_disabling": cloud.settings.ignores_disabling(),
            "lags": cloud.settings.lags(),
            "limits": cloud.rates.limits(),
        },
        "faults": cloud.faults.armed(),
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

fn set_options(cloud: &Cloud, order: &OptionsOrder) -> Value {
    if let Some(ignore) = order.ignore_disabling {
        cloud.settings.set_ignore_disabling(ignore);
    }
    if let Some(lags) = order.lags {
        cloud.settings.set_lags(lags);
    }
    if let Some(limits) = order.limits {
        cloud.rates.set_limits(limits);
    }
    status(cloud)
}

fn token(cloud: &Cloud, order: TokenOrder) -> Result<Value, String> {
    let token = cloud.token_for(&order.principal, order.scopes, order.lifetime_seconds);
    let token = token.ok_or_else(|| format!("there is nobody `{}`", order.principal))?;
    Ok(json!({ "token": token }))
}

fn would_allow(cloud: &Cloud, order: &WouldAllowOrder) -> Result<Value, String> {
    let verdict = cloud.would_allow(&order.token, &order.permission, &order.resource);
    let verdict = verdict.ok_or("there is no such token, or no such resource")?;
    Ok(json!({ "verdict": verdict }))
}

/// What a condition says, or that it does not parse or cannot be evaluated.
fn evaluate(order: &EvaluateOrder) -> Result<Value, String> {
    let time: Timestamp = order
        .time
        .parse()
        .map_err(|_| "the time is not RFC 3339".to_owned())?;
    let circumstances = Circumstances {
        time,
        resource_name: order.resource_name.clone(),
        resource_type: "storage.googleapis.com/Object",
        resource_service: "storage.googleapis.com",
        attributes: Attributes::new(),
    };
    Ok(match Expression::condition(&order.expression) {
        Err(reason) => json!({ "unreadable": reason }),
        Ok(expression) => match expression.try_holds(&circumstances) {
            Ok(holds) => json!({ "holds": holds }),
            Err(reason) => json!({ "failed": reason }),
        },
    })
}
