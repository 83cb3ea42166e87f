//! The one hand of this process that writes a policy. Policies are shared with others, and by many
//! leases: edits queue up, and whatever waits shares the next read, change and write. Between
//! brokers and with everybody else the etag decides: whoever comes second reads again.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use jitney_core::time::Timestamp;
use tokio::sync::oneshot;

use crate::adapter::own_fault;
use crate::classify::{Failed, TOLD_UNKNOWN};
use crate::connect::Purpose;
use crate::limits::{CONFLICTS_MAX, POLICY_AGE_SECONDS_MAX};
use crate::names::{AccountEmail, PolicyName};
use crate::policy::{Binding, Policy, Refused, Which};
use crate::slot::Freshness;

const TOLD_MOOT: &str = "what is asked for is granted for ever to the account that was to carry the lease; the \
     platform team must look";
const TOLD_FULL: &str = "the policy has no room for one more lease; try again later";
const TOLD_LATE: &str = "Google was not asked in time; try again";

/// Where policies are kept, and the time that passes while one is written.
pub(crate) trait Store: Send + Sync + 'static {
    /// Whether somebody else takes away than gives: then no write can do both.
    fn has_two_hands(&self) -> bool;

    /// Reads a policy, in the version that has conditions.
    fn get(
        &self,
        on: &PolicyName,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Policy, Fault>> + Send;

    /// Writes a policy whole, unless it was changed since it was read.
    fn set(
        &self,
        on: &PolicyName,
        policy: &Policy,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// The broker's clock.
    fn now(&self) -> Timestamp;

    /// How much time has passed, by a clock that nobody sets.
    fn passed(&self) -> Duration;

    /// Waits.
    fn rest(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Some part of a time, another each time it is asked.
    fn some_of(&self, time: Duration) -> Duration;

    /// Does something whether or not anybody waits for it.
    fn go_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(work);
    }
}

/// A change to be made.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// A binding is added, unless it is past a moment.
    Add(Binding, Timestamp),
    /// An account is removed from bindings of ours.
    Remove(AccountEmail, Which),
}

/// What became of an edit: the leases whose bindings were removed.
pub(crate) type Edited = Result<Vec<Handle>, Fault>;

struct Ticket {
    edit: Edit,
    done: oneshot::Sender<Edited>,
}

impl Ticket {
    fn is_removal(&self) -> bool {
        matches!(self.edit, Edit::Remove(..))
    }

    fn close(self, edited: Edited) {
        // Whoever waited may be gone. The policy is as it is all the same.
        let _ = self.done.send(edited);
    }
}

#[derive(Default)]
struct Desk {
    waiting: Vec<Ticket>,
    is_writing: bool,
    last_write: Option<Duration>,
    last_read: Option<(Duration, Policy)>,
}

/// One policy.
pub(crate) struct PolicyLane<S> {
    on: PolicyName,
    store: Arc<S>,
    installation: InstallationName,
    interval: Duration,
    desk: Mutex<Desk>,
}

/// What one try of a batch came to.
enum Tried {
    /// Every ticket is closed.
    Closed,
    /// Somebody else changed the policy in between.
    Changed(Vec<Ticket>, Fault),
    /// Google does not take it as it is.
    Refused(Vec<Ticket>, Fault),
}

impl<S: Store> PolicyLane<S> {
    pub(crate) fn new(
        on: PolicyName,
        store: Arc<S>,
        installation: InstallationName,
        interval: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            on,
            store,
            installation,
            interval,
            desk: Mutex::default(),
        })
    }

    /// The policy, as it was of late or as it is now.
    pub(crate) async fn look(
        &self,
        freshness: Freshness,
        purpose: Purpose,
    ) -> Result<Policy, Fault> {
        let age = Duration::from_secs(POLICY_AGE_SECONDS_MAX);
        let passed = self.store.passed();
        let known = self.with(|desk| desk.last_read.clone());
        match known.filter(|(at, _)| freshness == Freshness::OfLate && passed <= *at + age) {
            Some((_, policy)) => Ok(policy),
            None => self.read(purpose).await,
        }
    }

    /// Makes a change, together with whatever else waits. It goes on when nobody waits for it any
    /// more: half of a batch cannot be given up.
    pub(crate) async fn edit(self: &Arc<Self>, edit: Edit) -> Edited {
        let (done, edited) = oneshot::channel();
        let begins = self.with(|desk| {
            desk.waiting.push(Ticket { edit, done });
            !core::mem::replace(&mut desk.is_writing, true)
        });
        if begins {
            self.store.go_on(Arc::clone(self).work());
        }
        edited.await.unwrap_or_else(|_| {
            let logged = format!("the writer of the policy of {} stopped", self.on);
            Err(own_fault(
                FaultKind::Ambiguous,
                "gcp_no_answer",
                TOLD_UNKNOWN,
                logged,
            ))
        })
    }

    /// Writes the policy back as it was read. Gives whether it has another etag then; nothing when
    /// somebody else changed it meanwhile.
    pub(crate) async fn write_back(&self, purpose: Purpose) -> Result<Option<bool>, Fault> {
        self.pace().await;
        let before = self.read(purpose).await?;
        let written = self.store.set(&self.on, &before, purpose).await;
        let passed = self.store.passed();
        self.with(|desk| (desk.last_write, desk.last_read) = (Some(passed), None));
        match written {
            Ok(()) => {}
            Err(failed) if failed.is_conflict() => return Ok(None),
            Err(failed) => return Err(failed.fault),
        }
        let after = self.read(purpose).await?;
        let is_alone = before.says_the_same(&after);
        Ok(is_alone.then(|| before.etag() != after.etag()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(&self, purpose: Purpose) -> Result<Policy, Fault> {
        let at = self.store.passed();
        let policy = self.store.get(&self.on, purpose).await?;
        self.with(|desk| desk.last_read = Some((at, policy.clone())));
        Ok(policy)
    }

    async fn work(self: Arc<Self>) {
        loop {
            let batch = self.with(|desk| {
                desk.is_writing = !desk.waiting.is_empty();
                core::mem::take(&mut desk.waiting)
            });
            if batch.is_empty() {
                return;
            }
            for part in self.parts(batch) {
                self.carry_out(part).await;
            }
        }
    }

    /// What one hand writes at once. What takes away goes first: it makes room.
    fn parts(&self, batch: Vec<Ticket>) -> Vec<Vec<Ticket>> {
        if !self.store.has_two_hands() {
            return vec![batch];
        }
        let (takes, gives): (Vec<_>, Vec<_>) = batch.into_iter().partition(Ticket::is_removal);
        let parts = [takes, gives].into_iter();
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Carries a batch out. One that is refused is carried out one by one, what takes away first:
    /// a lease that Google does not take must not keep another from ending.
    async fn carry_out(&self, batch: Vec<Ticket>) {
        let Some((mut refused, fault)) = self.attempt(batch).await else {
            return;
        };
        if refused.len() == 1 {
            refused
                .into_iter()
                .for_each(|it| it.close(Err(fault.clone())));
            return;
        }
        refused.sort_by_key(|ticket| !ticket.is_removal());
        for ticket in refused {
            if let Some((alone, fault)) = self.attempt(vec![ticket]).await {
                alone
                    .into_iter()
                    .for_each(|it| it.close(Err(fault.clone())));
            }
        }
    }

    /// Tries until nobody else is faster. Gives the tickets of a batch that Google refused.
    async fn attempt(&self, batch: Vec<Ticket>) -> Option<(Vec<Ticket>, Fault)> {
        let mut waiting = batch;
        for tries in 0..CONFLICTS_MAX {
            match self.once(waiting).await {
                Tried::Closed => return None,
                Tried::Refused(tickets, fault) => return Some((tickets, fault)),
                Tried::Changed(tickets, fault) if tries + 1 == CONFLICTS_MAX => {
                    tickets
                        .into_iter()
                        .for_each(|it| it.close(Err(fault.clone())));
                    return None;
                }
                Tried::Changed(tickets, _) => waiting = tickets,
            }
            let most = Duration::from_millis(100) * 2_u32.saturating_pow(tries.min(6));
            self.store.rest(self.store.some_of(most)).await;
        }
        None
    }

    /// Reads, changes, and writes if there is something to write.
    async fn once(&self, tickets: Vec<Ticket>) -> Tried {
        self.pace().await;
        let purpose = match tickets.iter().all(Ticket::is_removal) {
            true => Purpose::Takes,
            false => Purpose::Gives,
        };
        let before = match self.read(purpose).await {
            Ok(before) => before,
            Err(fault) => {
                tickets
                    .into_iter()
                    .for_each(|it| it.close(Err(fault.clone())));
                return Tried::Closed;
            }
        };
        let mut policy = before.clone();
        let changes = self.change(&mut policy, tickets);
        if policy == before {
            changes
                .into_iter()
                .for_each(|(it, gone)| it.close(Ok(gone)));
            return Tried::Closed;
        }
        let written = self.store.set(&self.on, &policy, purpose).await;
        let passed = self.store.passed();
        self.with(|desk| (desk.last_write, desk.last_read) = (Some(passed), None));
        let tickets = |changes: Vec<(Ticket, _)>| changes.into_iter().map(|it| it.0).collect();
        match written {
            Ok(()) => self.conclude(changes).await,
            Err(failed) if failed.is_conflict() => {
                return Tried::Changed(tickets(changes), failed.fault);
            }
            Err(failed) => match failed.fault.kind {
                FaultKind::Permanent => return Tried::Refused(tickets(changes), failed.fault),
                FaultKind::Ambiguous
                | FaultKind::Retryable { .. }
                | FaultKind::LedgerBehind { .. } => changes
                    .into_iter()
                    .for_each(|(it, _)| it.close(Err(failed.fault.clone()))),
            },
        }
        Tried::Closed
    }

    /// Makes the changes, those that take away first: they make room. What cannot be added is
    /// refused at once, and nobody else waits for it.
    fn change(&self, policy: &mut Policy, mut tickets: Vec<Ticket>) -> Vec<(Ticket, Vec<Handle>)> {
        tickets.sort_by_key(|ticket| !ticket.is_removal());
        let mut changes = Vec::new();
        for ticket in tickets {
            let changed = match &ticket.edit {
                Edit::Remove(account, which) => {
                    Ok(policy.remove(account, which, &self.installation))
                }
                Edit::Add(_, by) if self.store.now() >= *by => Err(self.late()),
                Edit::Add(binding, _) => {
                    let added = policy.add(binding, &self.installation);
                    added
                        .map(|()| Vec::new())
                        .map_err(|why| refused(&self.on, &why))
                }
            };
            match changed {
                Ok(gone) => changes.push((ticket, gone)),
                Err(fault) => ticket.close(Err(fault)),
            }
        }
        changes
    }

    fn late(&self) -> Fault {
        let logged = format!("the time to write the policy of {} was over", self.on);
        let kind = FaultKind::Retryable { after: None };
        own_fault(kind, "gcp_not_asked_in_time", TOLD_LATE, logged)
    }

    /// Not more often than a policy takes: "Rapid updates … might result in throttling errors"
    /// (Cloud Storage, one a second for each bucket).
    async fn pace(&self) {
        let last = self.with(|desk| desk.last_write);
        let wait = last.map(|last| (last + self.interval).saturating_sub(self.store.passed()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            self.store.rest(wait).await;
        }
    }

    /// The policy was written. What was to be gone is looked for once more.
    async fn conclude(&self, changes: Vec<(Ticket, Vec<Handle>)>) {
        let read = match changes.iter().any(|(ticket, _)| ticket.is_removal()) {
            true => Some(self.read(Purpose::Takes).await),
            false => None,
        };
        for (ticket, gone) in changes {
            let edited = match (&ticket.edit, &read) {
                (Edit::Add(..), _) | (Edit::Remove(..), None) => Ok(gone),
                (Edit::Remove(..), Some(Err(fault))) => Err(fault.clone()),
                (Edit::Remove(account, which), Some(Ok(policy))) => {
                    let left = policy.clone().remove(account, which, &self.installation);
                    if left.is_empty() {
                        Ok(gone)
                    } else {
                        Err(self.still_there())
                    }
                }
            };
            ticket.close(edited);
        }
    }

    fn still_there(&self) -> Fault {
        let logged = format!(
            "a binding that was removed from {} reads back as there",
            self.on
        );
        let kind = FaultKind::Retryable { after: None };
        own_fault(
            kind,
            "gcp_not_read_back",
            crate::adapter::TOLD_REVOKING,
            logged,
        )
    }
}

/// What a binding that cannot be added means to the job and to the operator.
pub(crate) fn refused(on: &PolicyName, why: &Refused) -> Fault {
    let (kind, code, told) = match why {
        Refused::Moot { .. } => (FaultKind::Permanent, "gcp_lease_is_moot", TOLD_MOOT),
        // Bindings leave as leases end, so the same may be taken later.
        Refused::TooManyMembers(_) | Refused::TooManyConditions { .. } => (
            FaultKind::Retryable { after: None },
            "gcp_policy_full",
            TOLD_FULL,
        ),
    };
    own_fault(kind, code, told, format!("the policy of {on}: {why}"))
}

#[cfg(test)]
mod tests;
