//! Strict clouds and a CI issuer on loopback, that *enforce* what was granted and revoked.
//!
//! Adapters, the demo and the tests talk to them with the clouds' own SDKs. This crate depends on no other crate of
//! the workspace, so that an adapter and its judge cannot share a misreading.
//!
//! [`aws`] is STS, IAM and a subset of S3; [`azure`] is Entra ID, role assignments, Privileged Identity Management and
//! a subset of Blob storage; [`gcp`] is IAM Credentials, STS, IAM, Resource Manager, Privileged Access Manager and a
//! subset of Cloud Storage; [`ci`] issues the identity tokens that jobs bring. Each operation says in its
//! documentation who judges it.

pub mod aws;
pub mod azure;
pub mod ci;
pub mod clock;
pub mod estate_file;
pub mod faults;
pub mod gcp;
pub mod journal;

mod call;
mod connection;
mod controls;
mod draws;
mod lagged;
mod port;
mod quota;
mod shared;
mod signing_key;
mod time_text;
mod tls;
mod visit;

pub use aws::{AwsOptions, AwsSandbox, SessionInfo};
pub use azure::{AzureOptions, AzureSandbox};
pub use clock::SandboxClock;
pub use faults::{Fault, FaultKind, Faults};
pub use gcp::{GcpOptions, GcpSandbox};
pub use journal::{Entry, Journal, UnderWay};
pub use port::CannotListen;
