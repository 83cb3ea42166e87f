//! The laws of the ledger: what [`jitney_core::ledger::Ledger`] promises, one sentence each, with
//! its test. A ledger is done when all of them hold.
//!
//! A ledger from outside is judged by giving a way to make stores:
//!
//! ```
//! use jitney_integration_tests::ledger_laws::{Broken, LAWS, Stores, judge};
//!
//! async fn my_ledger_keeps_them(mine: &dyn Stores) {
//!     let broken: Vec<Broken> = judge(mine, LAWS).await;
//!     assert!(broken.is_empty(), "{broken:#?}");
//! }
//! ```
//!
//! The laws speak only to the port. What a kill, a full disk or a second process does is beyond
//! it; a ledger tests that beside its code.

mod audit;
mod claims;
mod due;
mod durability;
mod holds;
mod lanes;
mod once;
mod refusals;
mod rows;
mod sample;
mod shares;
mod sheets;
#[cfg(test)]
mod tests;
pub mod wal;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::ledger::{CannotRead, CommitError, Ledger};

/// A ledger's storage, which outlives the ledger that works on it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens the store. It is opened again only after the ledger that was opened before it was
    /// dropped.
    async fn open(&self) -> Result<Arc<dyn Ledger>, Broken>;
}

/// Where the laws get their stores from.
#[async_trait]
pub trait Stores: Send + Sync {
    /// A store that is empty and that nobody else uses.
    async fn empty(&self) -> Result<Box<dyn Store>, Broken>;
}

/// One law.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its name; never changed, never used again.
    pub name: &'static str,
    /// What it says.
    pub sentence: &'static str,
    /// Its test.
    pub check: for<'a> fn(&'a dyn Stores) -> Check<'a>,
}

impl fmt::Debug for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.sentence)
    }
}

/// What the test of a law comes to.
pub type Check<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// How a law was broken, or why it could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The law, once it is known which.
    pub law: &'static str,
    /// What was seen and what was expected.
    pub how: String,
}

impl Broken {
    /// Says how. The law's name is filled in by [`judge`].
    pub fn because(how: impl Into<String>) -> Self {
        let how = how.into();
        Self { law: "", how }
    }
}

impl From<CommitError> for Broken {
    fn from(error: CommitError) -> Self {
        Self::because(format!("a lawful commit was not taken: {error:?}"))
    }
}

impl From<CannotRead> for Broken {
    fn from(error: CannotRead) -> Self {
        Self::because(error.to_string())
    }
}

/// Judges by each of `laws` and gives back those that were broken.
pub async fn judge(stores: &dyn Stores, laws: &[Law]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for law in laws {
        if let Err(found) = (law.check)(stores).await {
            broken.push(Broken {
                law: law.name,
                ..found
            });
        }
    }
    broken
}

/// Pairs the tests of laws with their sentences; the name of the law is the function's.
macro_rules! laws {
    ($($room:ident :: $name:ident = $sentence:literal),+ $(,)?) => {
        [$(Law {
            name: stringify!($name),
            sentence: $sentence,
            check: |stores| Box::pin($room::$name(stores)),
        }),+]
    };
}
/// Every law, in the order in which a new ledger will want to keep them.
pub const LAWS: &[Law] = &laws![
    rows::a_row_is_read_back_as_it_was_written = "a row is read back exactly as it was written",
    rows::a_row_is_written_over_the_version_before_it =
        "a row is written only over the version before it, the first over none",
    rows::of_many_writers_of_one_version_one_succeeds =
        "of many who write the same version of a row, one succeeds and the others conflict",
    rows::rows_are_found_many_at_once =
        "rows are found many at once, and what is not there is not among them",
    rows::open_leases_are_counted = "open leases are counted by their state",
    rows::leases_are_found_by_their_request =
        "the leases of a request are found by it, and no others",
    rows::leases_are_listed_newest_first =
        "leases are listed newest first, by job, ended ones only on demand",
    rows::leases_are_listed_page_by_page =
        "leases are listed page by page, by state too, each once",
    refusals::a_transaction_is_applied_whole = "everything that a transaction holds is applied",
    refusals::an_empty_transaction_changes_nothing =
        "a transaction with nothing in it is taken and changes nothing",
    refusals::a_conflict_applies_nothing =
        "a transaction with one row in a wrong version is a conflict and applies nothing",
    refusals::a_taken_name_applies_nothing =
        "a transaction that claims a taken name is refused and applies nothing",
    refusals::a_replay_applies_nothing =
        "a transaction that uses something again is refused and applies nothing",
    refusals::a_budget_exceeded_applies_nothing =
        "a transaction that exceeds a budget is refused and applies nothing",
    refusals::a_lost_lane_applies_nothing =
        "a transaction by a hand that lost its lane is refused and applies nothing",
    refusals::a_sheet_that_moved_applies_nothing = "a transaction about a sheet in another version than it thinks is refused and applies nothing",
    once::a_once_key_stays_bound_to_its_first_use =
        "a once-key stays bound to its first use, which every later use is told",
    once::of_many_uses_of_one_key_one_succeeds =
        "of many who use the same once-key, one succeeds and is told to the others",
    claims::a_name_belongs_to_one_lease =
        "a name belongs to one lease until that lease gives it back",
    claims::of_many_claims_of_one_name_one_succeeds =
        "of many leases that claim the same name, one has it",
    shares::each_share_is_counted_by_itself =
        "a budget counts what is open of its job, repository, tenant or lane, and no other",
    shares::holds_are_counted =
        "a budget counts holds beside open leases, so that request-and-release burns no room",
    shares::what_is_over_is_not_counted =
        "a budget counts no lease that has ended, no hold that was dropped and no request",
    shares::a_budget_is_counted_after_the_transaction =
        "a budget is counted as things are once the transaction is applied",
    shares::no_crowd_exceeds_a_budget = "however many ask at once, a budget is never exceeded",
    holds::a_hold_is_prolonged_and_never_shortened =
        "a hold of the same lane and handle is prolonged and never shortened",
    holds::a_hold_prolonged_meanwhile_stays =
        "a hold that was prolonged in the meantime is not dropped by who saw the shorter one",
    holds::holds_are_told_apart_by_lane_and_handle = "holds are told apart by lane and handle",
    holds::a_hold_covers_what_was_issued_last =
        "a hold placed again covers what was issued last, or nobody knows until when",
    holds::a_watermark_stands_beside_the_grants =
        "a watermark is held beside the grants of its lane, and comes from no lease",
    sheets::a_sheet_is_written_over_the_version_before_it =
        "a sheet is written only over the version before it, the first over none",
    sheets::sheets_are_found_by_how_they_begin =
        "sheets are found by how their names begin, in the order of their names",
    sheets::of_many_writers_of_one_sheet_one_succeeds =
        "of many who write the same version of a sheet, one succeeds",
    sheets::nothing_slips_past_a_sheet_that_moves =
        "nothing that asserts a sheet is applied after the sheet has moved",
    lanes::a_lane_has_one_hand = "a lane is one hand's until its claim has run out",
    lanes::epochs_only_grow =
        "a lane taken over has a higher epoch, and the hand before it is fenced off",
    lanes::a_hand_that_was_not_relieved_keeps_its_epoch =
        "a hand that comes back to a lane which nobody took in between has the same epoch",
    lanes::a_fence_knows_its_lane = "a fence passes only the present epoch of its own lane",
    lanes::of_many_hands_one_claims_a_lane = "of many hands that claim a lane, one gets it",
    lanes::a_raised_epoch_takes_the_lane_away =
        "a lane whose epoch is raised has no hand, and whoever claims it gets a higher one still",
    due::a_lane_to_be_looked_at_is_due = "a lane that must be looked at is due, and its look moves",
    due::due_lanes_come_longest_due_first =
        "the lanes of due leases and holds come once each, the longest due first",
    due::what_is_over_is_not_due = "a lease that has ended and a hold that was dropped are not due",
    due::a_lane_shows_all_that_must_be_done =
        "a lane shows every lease under revocation, every other that is due, and every hold",
    due::a_lane_shows_what_core_revokes =
        "a lease that core revokes is shown by its lane before it is due",
    due::due_requests_are_requests = "due requests come longest due first, and are requests",
    due::the_next_due_time_is_the_earliest =
        "the next due time is the earliest of requests, leases and holds, or there is none",
    audit::the_sequence_is_the_number_of_entries =
        "a commit gives the number of audit entries there are then",
    audit::entries_are_their_canonical_bytes =
        "audit entries are stored as their canonical bytes, in the order they were given",
    audit::the_tree_is_the_one_over_the_entries =
        "the root is the one over the stored entries, also when many commit at once",
    audit::entries_of_one_transaction_stand_together =
        "the entries of one transaction stand together",
    audit::entries_are_read_in_pages = "audit entries are read from any place, as many as asked",
    audit::checkpoints_are_kept_oldest_first = "checkpoints are kept, oldest first, each once",
    audit::no_checkpoint_is_ahead_of_the_log =
        "a checkpoint for more entries than there are is not stored",
    durability::what_was_acknowledged_survives =
        "what was acknowledged is there when the store is opened again",
    durability::epochs_and_claims_survive =
        "epochs, claims of names and budgets hold when the store is opened again",
    durability::a_caller_who_is_gone_leaves_no_half =
        "a commit whose caller is gone is applied whole or not at all",
    durability::what_was_acknowledged_can_be_read_at_once =
        "what was acknowledged is seen by whoever reads after it",
];

/// That something is as it should be.
fn same<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Result<(), Broken> {
    if seen == expected {
        Ok(())
    } else {
        let how = format!("{what}: seen {seen:?}, expected {expected:?}");
        Err(Broken::because(how))
    }
}

/// That a commit was refused for exactly this reason.
fn refused<T: fmt::Debug + PartialEq>(
    what: &str,
    seen: Result<T, CommitError>,
    expected: CommitError,
) -> Result<(), Broken> {
    same(what, &seen, &Err(expected))
}
