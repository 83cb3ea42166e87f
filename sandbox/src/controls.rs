//! What every cloud is told in the same way by tests in other processes, at `/_sandbox/…` on its own port.
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sandbox/journal` | every call so far |
//! | `GET /_sandbox/under-way` | the calls that have arrived and are not over |
//! | `GET /_sandbox/status` | clock, armed faults, and what the cloud adds |
//! | `POST /_sandbox/clock` | `offset_seconds`, `advance_seconds`, `wire_offset_seconds` |
//! | `POST /_sandbox/faults` | arms a fault; `DELETE` disarms all; `PUT` arms a list in place of all |
//! | `POST /_sandbox/reset` | back to the estate |
//!
//! A cloud's own `control.rs` has the rest. There is no authentication: the port is on loopback. The
//! `Host` must be a loopback name as well, so that a page in a browser cannot reach it under a name of
//! its own.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::Journal;

const PREFIX: &str = "/_sandbox/";

/// What an order was answered, or what is wrong with it.
pub(crate) type Obeyed = Result<Value, String>;

/// A cloud that is told what to do.
pub(crate) trait Controlled {
    fn clock(&self) -> &SandboxClock;
    fn faults(&self) -> &Faults;
    fn journal(&self) -> &Journal;

    /// Everything is as at the start.
    fn begin_anew(&self) -> Result<(), String>;

    /// What a status says beside the clock and the faults: an object.
    fn particulars(&self) -> Value;

    /// An order that only this cloud knows; `None` when it does not know it either.
    fn obey(&self, method: &Method, order: &str, call: &Call) -> Option<Obeyed>;
}

/// Answers a control call; `None` when the call is for the cloud.
pub(crate) fn answer(cloud: &impl Controlled, call: &Call) -> Option<Answer> {
    let order = call.path.strip_prefix(PREFIX)?;
    if !call.is_for_loopback() {
        return Some(refused(403, "the host must be a loopback name"));
    }
    let obeyed = obey(cloud, order, call).or_else(|| cloud.obey(&call.method, order, call));
    Some(match obeyed {
        Some(Ok(value)) => Answer::json(200, &value),
        Some(Err(message)) => refused(400, &message),
        None => refused(404, "there is no such control"),
    })
}

fn obey(cloud: &impl Controlled, order: &str, call: &Call) -> Option<Obeyed> {
    let (journal, faults) = (cloud.journal(), cloud.faults());
    let changed = match (&call.method, order) {
        (&Method::GET, "journal") => {
            return Some(Ok(
                json!({ "entries": journal.entries(), "forgotten": journal.forgotten() }),
            ));
        }
        (&Method::GET, "under-way") => return Some(Ok(json!({ "calls": journal.under_way() }))),
        (&Method::GET, "status") => Ok(()),
        (&Method::POST, "clock") => read(call).map(|order| set(cloud.clock(), &order)),
        (&Method::POST, "faults") => read(call).map(|fault| faults.arm(fault)),
        (&Method::PUT, "faults") => read(call).map(|list| faults.set(list)),
        (&Method::DELETE, "faults") => {
            faults.clear();
            Ok(())
        }
        (&Method::POST, "reset") => cloud.begin_anew(),
        _ => return None,
    };
    Some(changed.map(|()| status(cloud)))
}

/// The body of an order.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(call: &Call) -> Result<T, String> {
    serde_json::from_slice(&call.body).map_err(|error| error.to_string())
}

/// How the cloud is now.
pub(crate) fn status(cloud: &impl Controlled) -> Value {
    let clock = cloud.clock();
    let mut status = cloud.particulars();
    let common = json!({
        "clock": {
            "now": clock.now().to_string(),
            "offset_seconds": clock.offset_seconds(),
            "wire_offset_seconds": clock.wire_offset_seconds(),
        },
        "faults": cloud.faults().armed(),
    });
    if let (Value::Object(status), Value::Object(common)) = (&mut status, common) {
        status.extend(common);
    }
    status
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    offset_seconds: Option<i64>,
    advance_seconds: Option<i64>,
    wire_offset_seconds: Option<i64>,
}

fn set(clock: &SandboxClock, order: &ClockOrder) {
    if let Some(seconds) = order.offset_seconds {
        clock.set_offset_seconds(seconds);
    }
    if let Some(seconds) = order.advance_seconds {
        clock.advance_seconds(seconds);
    }
    if let Some(seconds) = order.wire_offset_seconds {
        clock.set_wire_offset_seconds(seconds);
    }
}

fn refused(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }))
}
