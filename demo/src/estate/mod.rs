//! The clouds of the story, as an estate has them.

pub mod aws;
pub mod azure;
pub mod google;
