//! The AWS sandbox under the AWS SDK for Rust: what is granted works, what is not is refused, and what was revoked
//! stays refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bypasses;
mod chains;
mod cloud;
mod control;
mod faults;
mod iam;
mod limits;
mod managed;
mod revocation;
mod s3;
mod s3_uploads;
mod signatures;
mod sts;
