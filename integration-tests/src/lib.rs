//! What the tests of the whole are made of: laws, fakes that behave, and worlds to let them loose
//! in.

pub mod fake_cloud;
pub mod fixtures;
pub mod ledger_laws;
