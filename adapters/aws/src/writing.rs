//! One pass over the lists of one role: they are brought to what is due and what is held, read
//! back, and judged.
//!
//! It works on a [`RoleLists`] and knows neither IAM nor a runtime, so that a simulation can let
//! everything go wrong around it.

use core::time::Duration;

use jitney_core::adapter::{Epoch, Hand, Mark, Pass, Revocations};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::lease::Revoking;
use jitney_core::time::Timestamp;

use crate::adapter::{TOLD_REVOKING, own_fault};
use crate::deny_list::{Denied, List, in_seconds};
use crate::judge::{Case, Found, judge};
use crate::list_name::ListName;
use crate::pen::{Lists, Pen, Stood};

/// The lists on one role, and the time that passes while they are written.
pub trait RoleLists: Sync {
    /// The role, for the log.
    fn role(&self) -> &str;

    /// The broker's clock.
    fn now(&self) -> Timestamp;

    /// How much time has passed, by a clock that nobody sets.
    fn passed(&self) -> Duration;

    /// How far our clock and AWS's are apart, as the last answer showed; nothing when it did not.
    fn skew(&self) -> Option<Duration>;

    /// Waits until so much time has passed.
    fn rest_until(&self, passed: Duration) -> impl Future<Output = ()> + Send;

    /// The names of the lists; nothing when there is no such role.
    fn names(&self) -> impl Future<Output = Result<Option<Vec<ListName>>, Fault>> + Send;

    /// What a list says. Nothing when it is not there; one that denies nothing when it is not a
    /// list as we write it.
    fn list(&self, name: ListName) -> impl Future<Output = Result<Option<List>, Fault>> + Send;

    /// Writes a list whole. False when there is no such role.
    fn put(
        &self,
        name: ListName,
        denied: &Denied,
        mark: Mark,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Removes a list. One that is not there is removed.
    fn remove(&self, name: ListName) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From a Deny that was read back to its being in force.
    pub settle: Duration,
    /// How far the clocks may be apart.
    pub skew: Duration,
    /// Between two writes.
    pub interval: Duration,
}

/// Ends what is due and keeps ended what is held. `cloud_now` is AWS's time, where it may decide
/// about a lease.
///
/// # Errors
/// When the lists could not be brought to what was asked and time has ended nothing either.
pub async fn pass<L: RoleLists>(
    lists: &L,
    pen: &mut Pen,
    hand: Hand,
    (due, holds): (&[Recorded<Revoking>], &[Hold]),
    cloud_now: Option<Timestamp>,
    times: Times,
) -> Result<Pass, Fault> {
    let mut over = Revocations::new();
    let mut open = Vec::new();
    for case in due.iter().map(|lease| Case::of(lease)) {
        match case.expired(cloud_now, times.skew) {
            Some(expired) => {
                over.insert(case.lease, Ok(expired));
            }
            None => open.push(case),
        }
    }
    let handles = open.iter().map(|case| Held::Grant(case.handle.clone()));
    let held = holds.iter().map(|hold| in_seconds(&hold.held));
    let wanted: Denied = handles.chain(held).collect();
    let mut pass = match enforce(lists, pen, hand, &wanted, times).await {
        Ok(enforced) => judged(&open, &wanted, enforced, times, lists.now()),
        // What time has ended is over whether or not IAM answers.
        Err(fault) if !over.is_empty() => {
            tracing::warn!(role = lists.role(), code = fault.code, fault = %fault.logged,
                "the list of ended sessions could not be brought up to date");
            Pass {
                leases: all(&open, &fault),
                unreached: true,
                ..Pass::default()
            }
        }
        Err(fault) => return Err(fault),
    };
    pass.leases.append(&mut over);
    Ok(pass)
}

fn all(cases: &[Case], fault: &Fault) -> Revocations {
    let stumbled = |case: &Case| (case.lease, Err(fault.clone()));
    cases.iter().map(stumbled).collect()
}

/// Why nothing may be taken off a role: what must stay there is not known.
#[derive(Debug, Clone, Copy)]
enum Restraint {
    /// A later hand has written it, of this epoch.
    Hand(Epoch),
    /// It was written from a later ledger, which had come so far.
    Ledger(Mark),
    /// What is held is held until a moment, and our clock does not tell which it is: so far it is
    /// from AWS's, where that is known.
    Clock(Option<Duration>),
}

/// What was done about a role's list, and what was found there.
struct Enforced {
    /// What is denied now, if it was ours to say.
    found: Result<Found, Restraint>,
    mark_seen: Option<Mark>,
    undone: Vec<Held>,
}

fn judged(
    open: &[Case],
    wanted: &Denied,
    enforced: Enforced,
    times: Times,
    now: Timestamp,
) -> Pass {
    let unreached = match &enforced.found {
        Ok(Found::Lists { after, .. }) => !wanted.iter().all(|held| after.contains_key(held)),
        Ok(Found::RoleGone) | Err(_) => false,
    };
    let mut pass = Pass {
        mark_seen: enforced.mark_seen,
        undone: enforced.undone,
        unreached,
        ..Pass::default()
    };
    match enforced.found {
        Ok(found) => {
            let judged = |case: &Case| {
                let judged = judge(case, &found, times.settle, times.skew, now);
                (case.lease, Ok(judged))
            };
            pass.leases = open.iter().map(judged).collect();
        }
        Err(restraint) => {
            pass.leases = all(open, &restrained(restraint));
            match restraint {
                Restraint::Hand(epoch) => pass.superseded_by = Some(epoch),
                Restraint::Ledger(_) => {}
                Restraint::Clock(_) => pass.clock_disagrees = true,
            }
        }
    }
    pass
}

/// Brings a role's list to what is wanted, and says what was found.
async fn enforce<L: RoleLists>(
    policies: &L,
    pen: &mut Pen,
    hand: Hand,
    wanted: &Denied,
    times: Times,
) -> Result<Enforced, Fault> {
    let names = policies.names().await?;
    // That answer was a look at AWS's clock.
    let skew = policies.skew();
    let clock = skew
        .is_none_or(|skew| skew > times.skew)
        .then_some(Restraint::Clock(skew));
    let Some(names) = names else {
        tracing::warn!(
            role = policies.role(),
            "the role is gone; its sessions are waited for"
        );
        return Ok(Enforced {
            found: clock.map_or(Ok(Found::RoleGone), Err),
            mark_seen: None,
            undone: Vec::new(),
        });
    };
    let newest = names.iter().map(|name| name.epoch).max();
    let later_hand = newest
        .filter(|epoch| *epoch > hand.epoch)
        .map(Restraint::Hand);
    let (mut lists, mut mark_seen) = (Lists::new(), None);
    for name in names {
        if let Some(list) = policies.list(name).await? {
            mark_seen = mark_seen.max(Some(list.mark));
            if name.epoch <= hand.epoch {
                lists.insert(name, list.denied);
            }
        }
    }
    let later_ledger = mark_seen
        .filter(|mark| *mark > hand.mark)
        .map(Restraint::Ledger);
    let before: Denied = lists.values().flatten().cloned().collect();
    let undone = undone(policies.role(), pen, &lists, wanted);
    let mut writing = Writing {
        policies,
        pen,
        lists,
        hand,
        times,
    };
    let found = match later_hand.or(later_ledger).or(clock) {
        None => Ok(match writing.bring(wanted).await? {
            Some(after) => Found::Lists { before, after },
            None => Found::RoleGone,
        }),
        Some(restraint) => {
            writing.add(wanted).await?;
            Err(restraint)
        }
    };
    Ok(Enforced {
        found,
        mark_seen,
        undone,
    })
}

fn restrained(restraint: Restraint) -> Fault {
    let (code, logged) = match restraint {
        Restraint::Hand(Epoch(epoch)) => (
            "aws_superseded",
            format!("the role is written by a later hand, of epoch {epoch}"),
        ),
        Restraint::Ledger(mark) => (
            "aws_ledger_behind",
            format!("the role is written from a later ledger, which had come to {mark}"),
        ),
        Restraint::Clock(Some(skew)) => (
            "aws_clock_disagrees",
            format!(
                "AWS's clock is {} s from ours: nothing is taken off the role until it is set right",
                skew.as_secs()
            ),
        ),
        Restraint::Clock(None) => (
            "aws_clock_disagrees",
            "AWS's answers do not tell its time: nothing is taken off the role".to_owned(),
        ),
    };
    let kind = FaultKind::Retryable { after: None };
    own_fault(kind, code, TOLD_REVOKING, logged)
}

/// What this process last read under its own name, wants to stand, and finds nowhere any more:
/// somebody else took it off.
fn undone(role: &str, pen: &Pen, lists: &Lists, wanted: &Denied) -> Vec<Held> {
    let is_gone = |held: &&Held| !lists.values().any(|list| list.contains(*held));
    let stood = pen.last_read().filter(|held| wanted.contains(held));
    let gone: Vec<Held> = stood.filter(is_gone).cloned().collect();
    if !gone.is_empty() {
        let held: Vec<String> = gone.iter().map(Held::to_string).collect();
        tracing::error!(
            role,
            ?held,
            "ended sessions were taken off the role's list by somebody else; they are put back"
        );
    }
    gone
}

/// One pass over one role.
struct Writing<'a, L> {
    policies: &'a L,
    pen: &'a mut Pen,
    lists: Lists,
    hand: Hand,
    times: Times,
}

impl<L: RoleLists> Writing<'_, L> {
    /// Brings the list to exactly what is wanted, and removes older ones once that is safe. Gives
    /// what the list then denies; nothing when the role is gone.
    async fn bring(&mut self, wanted: &Denied) -> Result<Option<Stood>, Fault> {
        if wanted.is_empty() {
            return self.clear().await.map(Some);
        }
        let name = self.name(wanted);
        if self.lists.get(&name) != Some(wanted) {
            if !self.write(name, wanted).await? {
                return Ok(None);
            }
            let read = self.policies.list(name).await?.unwrap_or_default();
            self.lists.insert(name, read.denied);
        }
        let list = self.lists.get(&name).cloned().unwrap_or_default();
        let keeps = self.keeps(name, &list, wanted);
        self.pen.read(&list, keeps, self.policies.passed());
        self.remove_older(name).await?;
        Ok(Some(self.pen.stood(self.policies.passed())))
    }

    /// A hand that was superseded, whose ledger went back in time or whose clock jumped takes
    /// nothing away: it adds its Denies beside what is there.
    async fn add(&mut self, wanted: &Denied) -> Result<(), Fault> {
        let known: Denied = self.lists.values().flatten().cloned().collect();
        if wanted.is_subset(&known) {
            return Ok(());
        }
        let all: Denied = known.union(wanted).cloned().collect();
        let name = self.name(&all);
        self.write(name, &all).await.map(|_| ())
    }

    /// Whether `list` under `name` has everything wanted that the other lists have: only then can
    /// they go.
    fn keeps(&self, name: ListName, list: &Denied, wanted: &Denied) -> bool {
        self.lists
            .iter()
            .filter(|(other, _)| **other != name)
            .flat_map(|(_, handles)| handles.intersection(wanted))
            .all(|handle| list.contains(handle))
    }

    fn name(&mut self, wanted: &Denied) -> ListName {
        let now = self.policies.now();
        self.pen.name(self.hand.epoch, &self.lists, wanted, now)
    }

    /// Writes a list. False when the role is gone.
    async fn write(&mut self, name: ListName, list: &Denied) -> Result<bool, Fault> {
        match self.put(name, list).await {
            Err(fault) if fault.code == "aws_deny_list_full" => {
                if self.make_room(name, list).await? {
                    self.put(name, list).await
                } else {
                    tracing::error!(
                        role = self.policies.role(),
                        entries = list.len(),
                        "the role has no room left for the list of ended sessions: sessions that \
                         should end go on until they expire; remove inline policies from the role"
                    );
                    Err(fault)
                }
            }
            answered => answered,
        }
    }

    async fn put(&mut self, name: ListName, list: &Denied) -> Result<bool, Fault> {
        // About one write a second and role: AWS's own rate is not published, and what ends in
        // between shares the next write.
        if let Some(last) = self.pen.last_write {
            self.policies.rest_until(last + self.times.interval).await;
        }
        let sending = self.pen.sending(list, self.policies.passed());
        let answer = self.policies.put(name, list, self.hand.mark).await;
        self.heard(sending, &answer);
        answer
    }

    /// Takes note of an answer, if it is one.
    fn heard<T>(&mut self, sending: crate::pen::Sending, answer: &Result<T, Fault>) {
        let unclear = |fault: &Fault| match fault.kind {
            FaultKind::Ambiguous => true,
            FaultKind::Retryable { .. } | FaultKind::Permanent | FaultKind::LedgerBehind { .. } => {
                false
            }
        };
        if !answer.as_ref().err().is_some_and(unclear) {
            self.pen.answered(sending);
        }
    }

    /// Nothing is wanted any more: every list goes.
    async fn clear(&mut self) -> Result<Stood, Fault> {
        let names: Vec<ListName> = self.lists.keys().copied().collect();
        for name in names {
            if self.pen.current() == Some(name) {
                // A removal that lands late would take with it what is written there next.
                let sending = self.pen.sending(&Denied::new(), self.policies.passed());
                let answer = self.policies.remove(name).await;
                self.heard(sending, &answer);
                answer?;
            } else {
                self.policies.remove(name).await?;
            }
        }
        Ok(Stood::new())
    }

    /// Removes what older names hold, once the list in use has held all of it for as long as a
    /// Deny takes to be in force: IAM promises no order between two changes.
    async fn remove_older(&mut self, name: ListName) -> Result<(), Fault> {
        let (stands, passed) = (self.pen.stands_since(), self.policies.passed());
        if stands.is_none_or(|since| passed < since + self.times.settle) {
            return Ok(());
        }
        let older: Vec<ListName> = self.lists.keys().copied().filter(|n| *n != name).collect();
        for old in older {
            self.policies.remove(old).await?;
            self.lists.remove(&old);
        }
        Ok(())
    }

    /// The role is full, and some of it may be our own: a list whose wanted entries other lists
    /// have too can go at once. True when something went.
    async fn make_room(&mut self, name: ListName, wanted: &Denied) -> Result<bool, Fault> {
        let mut made = false;
        let names: Vec<ListName> = self.lists.keys().copied().filter(|n| *n != name).collect();
        for candidate in names {
            let needed = self
                .lists
                .get(&candidate)
                .map(|list| list & wanted)
                .unwrap_or_default();
            let elsewhere: Denied = self
                .lists
                .iter()
                .filter(|(other, _)| **other != candidate)
                .flat_map(|(_, list)| list.iter().cloned())
                .collect();
            if needed.is_subset(&elsewhere) {
                self.policies.remove(candidate).await?;
                self.lists.remove(&candidate);
                made = true;
            }
        }
        Ok(made)
    }
}
