//! The use cases and the reconciler, in worlds where clouds, ledgers and processes fail.
//!
//! After every turn both promises are checked by comparing what the clouds would allow with what
//! the ledger says; at the end of every test nothing may be left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod crashes;
mod ends;
mod granting;
mod hands;
mod laws_of_slots;
mod ledger_faults;
mod looking_back;
mod orders;
mod outage;
mod outage_histories;
mod past;
mod ports;
mod recovering;
mod rehearsing;
mod renewing;
mod repeats;
mod revoking;
mod room;
mod silence;
mod slots;
mod slots_recovering;
mod sweeping;

use core::time::Duration;

use jitney_core::audit::Event;
use jitney_core::books::{FoundLease, Recorded};
use jitney_core::credential::Credential;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::lease::{Active, End, Outcome};
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Ask, Core, Submission};
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{PROD_SCOPE, World, ask};
use tempfile::TempDir;

/// A world whose clouds deny, and the folder that goes away with it.
fn world() -> (World, TempDir) {
    world_that(Style::Denies)
}

fn world_that(style: Style) -> (World, TempDir) {
    let folder = TempDir::new().unwrap();
    (World::new(folder.path(), style), folder)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the job `1`, with the key `key`, asks for in most tests.
fn wish() -> Ask {
    ask("1", "1", "key", &[PROD_SCOPE])
}

/// A job that was granted what it asked for.
struct Grant {
    request: RequestId,
    leases: Vec<(LeaseId, String)>,
}

impl Grant {
    fn only(&self) -> (LeaseId, &str) {
        assert_eq!(self.leases.len(), 1);
        (self.leases[0].0, &self.leases[0].1)
    }
}

fn secret(lease: (Recorded<Active>, Credential)) -> (LeaseId, String) {
    let id = lease.0.terms().id;
    (id, lease.1.reveal_to_job()["secret"].to_string())
}

fn granted(submission: Submission) -> Grant {
    match submission {
        Submission::Granted {
            request, leases, ..
        } => Grant {
            request,
            leases: leases.into_iter().map(secret).collect(),
        },
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn submit(core: &Core, ask: Ask) -> Grant {
    granted(core.submit(ask).await.unwrap())
}

async fn refused(core: &Core, ask: Ask) -> Refusal {
    core.submit(ask).await.unwrap_err()
}

async fn events(world: &World) -> Vec<Event> {
    let entries = world.entries().await;
    entries.iter().map(|entry| entry.event()).collect()
}

/// How often something is in the audit log.
async fn times(world: &World, event: Event) -> usize {
    let events = events(world).await;
    events.iter().filter(|seen| **seen == event).count()
}

/// Why a lease is being revoked or was; absent while it is not.
fn why(lease: &FoundLease) -> Option<End> {
    match lease {
        FoundLease::Revoking(lease) => Some(lease.why()),
        FoundLease::Ended(ended) => match ended.outcome() {
            Outcome::Revoked { why, .. } => Some(*why),
            Outcome::NeverGranted { .. } | Outcome::WrittenOff { .. } => None,
        },
        FoundLease::Doubtful(_) | FoundLease::Active(_) => None,
    }
}

/// How a lease ended; absent while it has not.
fn outcome(lease: &FoundLease) -> Option<&Outcome> {
    match lease {
        FoundLease::Ended(ended) => Some(ended.outcome()),
        _ => None,
    }
}
