//! A stage for real processes: three clouds, a broker and jobs; brokers and jobs are processes of
//! their own that can be killed, stopped, cut off and run out of disk. And the audit that then
//! compares the clouds' own books with the ledger.
//!
//! A stage that cannot be set is a failed test, so this module panics.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod audit;
mod balancer;
mod broker;
mod chance;
mod cloud;
mod estate;
mod given;
mod installation;
mod job;
mod lanes;
mod ledger;

pub use audit::{Books, Violation, violations};
pub use balancer::Balancer;
pub use broker::Broker;
pub use chance::Chance;
pub use cloud::{CiJob, Cloud};
pub use estate::aws::role_of;
pub use estate::google::prefix_of;
pub use given::{Bears, Given, What};
pub use installation::{Installation, LedgerKind, Tempo};
pub use job::Job;
pub use lanes::{AWS_LANES, BUSY_LANES, PROMPT_LANES, Vendor, Way, bucket_of};
pub use ledger::{LeaseSeen, Ledger};

use std::path::PathBuf;

/// The binary that the workspace built, beside the test that asks.
#[must_use]
pub fn jitney() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    let built = test.parent().and_then(|folder| folder.parent());
    let binary = built.expect("tests are built into a folder").join("jitney");
    assert!(
        binary.exists(),
        "`{}` is missing: build the workspace first",
        binary.display()
    );
    binary
}
