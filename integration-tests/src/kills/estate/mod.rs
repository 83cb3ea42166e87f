//! What there is in each cloud, and how a configuration speaks of it.

pub mod aws;
pub mod azure;
pub mod google;
