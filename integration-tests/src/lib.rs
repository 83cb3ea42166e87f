//! What the tests of the whole are made of: laws that any ledger and any adapter can be held to,
//! fakes that behave, and worlds to let them loose in.

pub mod adapter_laws;
pub mod fake_cloud;
pub mod fixtures;
pub mod kills;
pub mod ledger_laws;
pub mod past;
pub mod postgres;
pub mod simulation;
