//! What AWS is told beside the [common controls](crate::controls).
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/sessions` | every session that was given out |
//! | `POST /_sandbox/options` | `ignore_deny`, `iam_lag_seconds`, `limits` |
//! | `POST /_sandbox/would-allow` | `session`, `action`, `resource`: what would be decided now |

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::estate::{Account, User};
use super::limits::RateLimits;
use crate::call::Call;
use crate::clock::SandboxClock;
use crate::controls::{Controlled, Obeyed, read, status};
use crate::faults::Faults;
use crate::journal::Journal;

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

    /// The keys are the sandbox's own and guard nothing else.
    fn particulars(&self) -> Value {
        json!({
            "options": {
                "ignore_deny": self.settings.ignore_deny(),
                "iam_lag_seconds": self.settings.iam_lag_seconds(),
                "limits": self.rates.limits(),
            },
            "region": self.estate.region,
            "accounts": accounts(self),
        })
    }

    fn obey(&self, method: &Method, order: &str, call: &Call) -> Option<Obeyed> {
        Some(match (method, order) {
            (&Method::GET, "sessions") => Ok(sessions(self)),
            (&Method::POST, "options") => read(call).map(|order| set_options(self, &order)),
            (&Method::POST, "would-allow") => {
                read(call).and_then(|order| would_allow(self, &order))
            }
            _ => return None,
        })
    }
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

/// Every account with the keys of its root and its users.
pub(crate) fn accounts(cloud: &Cloud) -> Value {
    let user = |user: &User| json!({ "name": user.name, "access_keys": user.access_keys });
    let account = |account: &Account| {
        let users: Vec<Value> = account.users.iter().map(user).collect();
        json!({ "id": account.id, "root": account.root, "users": users })
    };
    cloud.estate.accounts.iter().map(account).collect()
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
