//! The broker: core's use cases behind an HTTP API, and the driver that brings what is due to its
//! end.
//!
//! ```text
//! connection ─► edge ─► authenticate ─► requests, leases ─► crew ─► core's use cases
//!                                                             │
//!                                       driver ─► core's reconciler (takes no hints)
//! ```
//!
//! Use cases run in the [`crew`], never inside a connection: a client that hangs up cannot stop a
//! commit halfway. What a client cannot be given any more is taken back ([`delivery`]). This crate
//! knows no cloud and no store.

#![deny(missing_docs)]

mod admin;
mod alarms;
mod authenticate;
mod body;
mod broker;
mod clock;
mod crew;
mod delivery;
mod driver;
mod edge;
mod hooks;
mod issuer;
mod leases;
mod listener;
mod looking_back;
pub mod metrics;
mod probes;
mod problem;
mod requests;
mod router;
mod service;
pub mod view;
mod watch;

pub use alarms::{Alarms, CannotAlarm};
pub use broker::{Broker, BrokerOptions, RunningBroker};
pub use clock::SystemClock;
pub use hooks::Hooks;
pub use listener::{CannotStart, Tls};
pub use metrics::{MeasuredLedger, Metrics};
