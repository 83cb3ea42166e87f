//! Leases on AWS, against our own strict sandbox and against MiniStack, which shares no code with
//! it: the laws, what AWS alone has, and what a plan allows under generous resource policies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod beyond;
mod bite;
mod estate;
mod laws;
mod lists;
mod older_lists;
mod orders;
mod rehearsing;
mod sessions;
mod stage;
mod steps;
