//! Which job may have which privilege: the catalogue of capabilities, the guardrails, and the
//! crate that asks the operator's rules.
//!
//! Rules are written in Cedar and checked against a schema before anything is served: a rule that
//! cannot be read, that misses its reason, or that trusts a name where an id exists stops the
//! start. When a request is decided, each of its scopes is one Cedar question and the strictest
//! answer stands; `forbid` beats `permit`, nothing said is a denial, and an error inside any rule
//! is a denial too.
//!
//! ```text
//! sources ─► catalogue ─► schema ─► rule ─► review ─► load ─► CedarPolicies
//!                                                               │
//! question ─► facts ─► slices ─► evaluate ─► explain ─► Decision
//! ```

#![deny(missing_docs)]

mod catalogue;
mod digest;
mod evaluate;
mod explain;
mod facts;
mod load;
mod nearest;
mod problem;
mod quote;
mod review;
mod rule;
mod schema;
mod shape;
mod slices;
mod sources;
mod words;

pub use catalogue::{CAPABILITIES_MAX, catalogue};
pub use load::{CedarPolicies, RULES_MAX, Sources};
pub use problem::{CannotLoad, Place, Problem};
pub use sources::{FILE_BYTES_MAX, FILES_MAX, SourceFile, read_policies, read_text};

// The world of the tests beside this crate calls it by its name.
#[cfg(test)]
extern crate self as jitney_policies;
#[cfg(test)]
#[path = "../tests/world/mod.rs"]
mod world;
