//! The API's client, and `run`: a command that has a lease for exactly as long as it runs.
//!
//! - [`Client`]: one key, one broker, every call of the API with its proof.
//! - [`TokenSource`]: where the CI system's tokens come from.
//! - [`run()`]: asks, hands the lease to a command, keeps it alive, gives it back on every way out.
//!
//! Nothing here knows a cloud: what a credential means to a command is in `run::{aws, azure, google}`, and no
//! cloud SDK is linked.

mod address;
mod clock;
mod error;
mod exchange;
mod github;
mod key;
mod pause;
mod requests;
mod run;
mod token;

pub use address::{BadAddress, BrokerAddress};
pub use error::CallError;
pub use key::Key;
pub use requests::{Client, NoClient};
pub use run::{Environment, OnLost, Output, RunOptions, WaitEffective, exit, run};
pub use token::{CiToken, NoToken, TokenSource};
