//! The laws of an adapter: one sentence each, with its test.
//!
//! Whoever adds a cloud writes a [`Stage`] on which the laws can play (an adapter, a cloud it talks
//! to, and a hand in that cloud that is not the adapter's) and calls [`judge`]. The adapter is done
//! when every law holds. A law that a cloud's stand-in cannot show is waived with a reason; a
//! waiver fails on the day its law holds, so that none outlives its reason.
//!
//! A law asks the cloud, never the adapter, whether something works.
//!
//! In some clouds, identities of ours are given privileges instead of sessions being made. What is
//! true of these alone is asked of a stage that has [`SlotStage`], and of no other; a judge counts
//! what it did not ask.

mod clock;
mod ending;
mod giving;
mod hands;
mod law;
mod probing;
mod relay;
mod scribe;
mod slots;
mod trouble;
mod verdict;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::Wanted;
use jitney_core::plan::LaneId;

pub use clock::{SetClock, StageClock, SystemClock};
pub use ending::writing_as;
pub use law::{Held, Kind, LAWS, Law};
pub use probing::{begin_rehearsal, rehearse, watch_rehearsal};
pub use relay::{Meddling, Relay};
pub use scribe::{Scribe, Taken};
pub use verdict::{Verdict, Waiver, judge};

/// What a job holds of a credential: its fields by name.
pub type Revealed = BTreeMap<&'static str, String>;

/// What can go wrong between an adapter and its cloud. Where giving takes several calls, the first
/// of them is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The next call that gives is carried out, and its answer is lost.
    AnswerLost,
    /// The next call that gives is refused because there were too many.
    Busy,
    /// The next call that gives meets an error of the server, which says nothing of what was done.
    ServerError,
    /// The next change of what ends leases is cut off, and carried out this many seconds later.
    ChangeLandsLate {
        /// From the cut to the change, by the stage's clock.
        after_seconds: u64,
    },
}

/// Where the laws play: a cloud, or its stand-in, with an adapter that talks to it.
#[async_trait]
pub trait Stage: Send + Sync {
    /// An adapter as a process has it that has just started: it remembers nothing.
    fn adapter(&self) -> Arc<dyn Adapter>;

    /// An adapter that talks to an address at which nobody listens.
    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter>;

    /// What writes the leases of this stage down. Its clock is the stage's.
    fn scribe(&self) -> &Scribe;

    /// How long a change of what gives or of what ends leases takes in this cloud until it is in
    /// force.
    fn settles(&self) -> Duration;

    /// What the laws ask for: one scope, narrower than its resource, and whose privilege can be
    /// tried.
    fn wanted(&self) -> Wanted;

    /// Tries, with a credential, what its scope says. The cloud's own answer.
    ///
    /// # Errors
    /// When the cloud neither did it nor refused it.
    async fn works(&self, credential: &Revealed) -> Result<bool, String>;

    /// Tries, with a credential, everything near its scope and beyond it. Gives what went through.
    ///
    /// # Errors
    /// When the cloud neither did it nor refused it.
    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String>;

    /// Lets something go wrong, once.
    fn trouble(&self, trouble: Trouble);

    /// How many grants the cloud has made so far, whoever heard of them. Nothing when it cannot be
    /// asked.
    async fn grants_made(&self) -> Option<usize>;

    /// A stranger removes from the cloud whatever ends the leases of a lane. In a slot: gives back
    /// what was taken from it, as it was.
    ///
    /// # Errors
    /// When the stranger could not.
    async fn undo(&self, lane: &LaneId) -> Result<(), String>;

    /// What this installation has in the cloud for a lane, by name. In a slot, that is what gives:
    /// an identity without privileges, or one that is switched off, is how a slot should be.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String>;

    /// Whether what belongs to others in the lane is as it was.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    async fn others_are_intact(&self, lane: &LaneId) -> Result<bool, String>;

    /// What only a cloud with slots can show. Absent where leases share a lane.
    fn slots(&self) -> Option<&dyn SlotStage> {
        None
    }
}

/// A stage in a cloud that gives to identities of ours. It has at least [`SLOTS_MIN`] of them, and
/// a clock that can be set on: their quarantine is longer than anybody waits.
#[async_trait]
pub trait SlotStage: Send + Sync {
    /// Another scope that the same slots can carry, with nothing in common with what
    /// [`wanted`](Stage::wanted) may do.
    fn wanted_beside(&self) -> Wanted;

    /// Tries, with a credential, what the scope says that lies beside. The cloud's own answer.
    ///
    /// # Errors
    /// When the cloud neither did it nor refused it.
    async fn works_beside(&self, credential: &Revealed) -> Result<bool, String>;
}

/// The most slots that a law uses up on its stage.
pub const SLOTS_MIN: usize = 4;

/// Makes stages. Each law plays on one of its own.
#[async_trait]
pub trait Stages: Send + Sync {
    /// A fresh stage.
    ///
    /// # Errors
    /// When the cloud cannot be set up.
    async fn stage(&self) -> Result<Box<dyn Stage>, String>;
}

/// Says that something ought to be so.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(otherwise()) }
}
