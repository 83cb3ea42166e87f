//! What Google Cloud is told beside the [common controls](crate::controls).
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/tokens` | every token that was given out, without the tokens themselves |
//! | `GET /_sandbox/routes` | every operation, with its method and path |
//! | `POST /_sandbox/options` | `habits`, `ignore_disabling`, `lags`, `limits` |
//! | `POST /_sandbox/token` | `principal`, perhaps `scopes` and `lifetime_seconds`: a token as its workload would have it |
//! | `POST /_sandbox/standing` | `principal`: everything that gives it rights |
//! | `POST /_sandbox/would-allow` | `token` (a fingerprint), `permission`, `resource`: what would be decided now |
//! | `POST /_sandbox/evaluate` | `expression` and the circumstances: what a condition would say |

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cloud::{Cloud, Habits, Lags};
use super::expressions::{Attributes, Circumstances, Expression};
use super::limits::RateLimits;
use super::route;
use crate::call::Call;
use crate::clock::SandboxClock;
use crate::controls::{Controlled, Obeyed, read, status};
use crate::faults::Faults;
use crate::journal::Journal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsOrder {
    habits: Option<Habits>,
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
            "options": {
                "habits": self.settings.habits(),
                "ignore_disabling": self.settings.ignores_disabling(),
                "lags": self.settings.lags(),
                "limits": self.rates.limits(),
            },
        })
    }

    fn obey(&self, method: &Method, order: &str, call: &Call) -> Option<Obeyed> {
        Some(match (method, order) {
            (&Method::GET, "tokens") => Ok(tokens(self)),
            (&Method::GET, "routes") => Ok(json!({ "routes": route::listed() })),
            (&Method::POST, "options") => read(call).map(|order| set_options(self, &order)),
            (&Method::POST, "token") => read(call).and_then(|order| token(self, order)),
            (&Method::POST, "standing") => read(call).and_then(|order| standing(self, &order)),
            (&Method::POST, "would-allow") => {
                read(call).and_then(|order| would_allow(self, &order))
            }
            (&Method::POST, "evaluate") => read(call).and_then(|order| evaluate(&order)),
            _ => return None,
        })
    }
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

fn set_options(cloud: &Cloud, order: &OptionsOrder) -> Value {
    if let Some(habits) = order.habits {
        cloud.settings.set_habits(habits);
    }
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

fn standing(cloud: &Cloud, order: &StandingOrder) -> Result<Value, String> {
    serde_json::to_value(cloud.standing(&order.principal)).map_err(|error| error.to_string())
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
