//! The Google Cloud sandbox over plain HTTP: what is granted works, what is not is refused, and what was revoked
//! stays refused. Google's own clients judge the same in `judges/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod accounts;
mod boundaries;
mod cloud;
mod conditions;
mod control;
mod credentials;
mod faults;
mod federation;
mod grants;
mod lags;
mod policies;
mod quarantine;
mod storage;
mod uploads;
