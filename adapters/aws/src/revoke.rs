//! Taking back: one list of Denies on each role, brought to what is due and what is held.

use core::time::Duration;

use async_trait::async_trait;
use jitney_core::adapter::{Epoch, Hand, Mark, Page, Pass, Revocations, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use tokio::time::sleep_until;

use crate::adapter::{AwsAdapter, TOLD_REVOKING, own_fault};
use crate::cloud_clock::CloudClock;
use crate::deny_list::{Denied, in_seconds};
use crate::judge::{Case, Found, judge};
use crate::list_name::ListName;
use crate::pen::{Lists, Pen, Stood};
use crate::plan::LANE_PREFIX;
use crate::role_policies::RolePolicies;

#[async_trait]
impl Revoke for AwsAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let role = self.role_of(lane)?;
        let skew = self.config().skew();
        let cases: Vec<Case> = due.iter().map(|lease| Case::of(lease)).collect();
        let cloud_now = self.cloud_now(&cases, skew).await;
        let mut over = Revocations::new();
        let mut open = Vec::new();
        for case in cases {
            match case.expired(cloud_now, skew) {
                Some(expired) => {
                    over.insert(case.lease, Ok(expired));
                }
                None => open.push(case),
            }
        }
        let handles = open.iter().map(|case| Held::Grant(case.handle.clone()));
        let held = holds.iter().map(|hold| in_seconds(&hold.held));
        let wanted: Denied = handles.chain(held).collect();
        let mut pass = match self.enforce(role, hand, &wanted).await {
            Ok(enforced) => self.judged(&open, enforced),
            // What time has ended is over whether or not IAM answers.
            Err(fault) if !over.is_empty() => {
                tracing::warn!(%lane, code = fault.code, fault = %fault.logged,
                    "the list of ended sessions could not be brought up to date");
                Pass {
                    leases: all(&open, &fault),
                    ..Pass::default()
                }
            }
            Err(fault) => return Err(fault),
        };
        pass.leases.append(&mut over);
        Ok(pass)
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        self.look_through(after).await
    }
}

fn all(cases: &[Case], fault: &Fault) -> Revocations {
    let stumbled = |case: &Case| (case.lease, Err(fault.clone()));
    cases.iter().map(stumbled).collect()
}

/// Who has written a role, and knows more of it than we do.
#[derive(Debug, Clone, Copy)]
enum Later {
    /// A hand of this epoch.
    Hand(Epoch),
    /// A ledger that has come so far.
    Ledger(Mark),
}

/// What was done about a role's list, and what was found there.
struct Enforced {
    /// What is denied now; whoever is later than us when it is not ours to say.
    found: Result<Found, Later>,
    mark_seen: Option<Mark>,
    undone: Vec<Held>,
}

impl AwsAdapter {
    fn role_of<'a>(&self, lane: &'a LaneId) -> Result<&'a str, Fault> {
        let role = lane.name.strip_prefix(LANE_PREFIX);
        let is_role = |role: &&str| crate::arn::is_role_name(role);
        match role.filter(is_role) {
            Some(role) if lane.target == self.planner.target => Ok(role),
            _ => {
                let logged = format!("`{lane}` is not a lane of `{}`", self.planner.target);
                Err(own_fault(
                    FaultKind::Permanent,
                    "aws_not_our_lane",
                    TOLD_REVOKING,
                    logged,
                ))
            }
        }
    }

    /// AWS's time, if it may decide about a case.
    async fn cloud_now(&self, cases: &[Case], skew: Duration) -> Option<Timestamp> {
        let latest = self.clock.now().plus(skew);
        if !cases.iter().any(|case| latest > case.dead_at(skew)) {
            return None;
        }
        if self.clock.at_least().is_none()
            && let Err(fault) = self.look_at_clock().await
        {
            tracing::warn!(code = fault.code, fault = %fault.logged,
                "AWS's clock could not be looked at: what time has ended stays open");
        }
        self.clock.at_least()
    }

    fn judged(&self, open: &[Case], enforced: Enforced) -> Pass {
        let (settle, skew) = (self.config().settle(), self.config().skew());
        let now = self.clock.now();
        let (leases, superseded_by) = match enforced.found {
            Ok(found) => {
                let judged = |case: &Case| (case.lease, Ok(judge(case, &found, settle, skew, now)));
                (open.iter().map(judged).collect(), None)
            }
            Err(later) => (
                all(open, &outdone(later)),
                match later {
                    Later::Hand(epoch) => Some(epoch),
                    Later::Ledger(_) => None,
                },
            ),
        };
        Pass {
            leases,
            mark_seen: enforced.mark_seen,
            superseded_by,
            undone: enforced.undone,
        }
    }

    /// Brings a role's list to what is wanted, and says what was found.
    async fn enforce(&self, role: &str, hand: Hand, wanted: &Denied) -> Result<Enforced, Fault> {
        let pen = self.pens.of(role);
        let mut pen = pen.lock().await;
        let policies = self.policies_of(role);
        let Some(names) = policies.names().await? else {
            tracing::warn!(role, "the role is gone; its sessions are waited for");
            return Ok(Enforced {
                found: Ok(Found::RoleGone),
                mark_seen: None,
                undone: Vec::new(),
            });
        };
        let newest = names.iter().map(|name| name.epoch).max();
        let later_hand = newest.filter(|epoch| *epoch > hand.epoch).map(Later::Hand);
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
            .map(Later::Ledger);
        let before: Denied = lists.values().flatten().cloned().collect();
        let undone = undone(role, &pen, &lists, wanted);
        let mut writing = Writing {
            policies,
            pen: &mut pen,
            lists,
            clock: &self.clock,
            hand,
            interval: Duration::from_millis(self.config().write_interval_milliseconds.into()),
            settle: self.config().settle(),
        };
        let found = match later_hand.or(later_ledger) {
            None => Ok(match writing.bring(wanted).await? {
                Some(after) => Found::Lists { before, after },
                None => Found::RoleGone,
            }),
            Some(later) => {
                writing.add(wanted).await?;
                Err(later)
            }
        };
        Ok(Enforced {
            found,
            mark_seen,
            undone,
        })
    }

    pub(crate) fn policies_of<'a>(&'a self, role: &'a str) -> RolePolicies<'a> {
        RolePolicies {
            clients: &self.clients,
            installation: &self.planner.installation,
            role,
        }
    }
}

fn outdone(later: Later) -> Fault {
    let (code, logged) = match later {
        Later::Hand(Epoch(epoch)) => (
            "aws_superseded",
            format!("the role is written by a later hand, of epoch {epoch}"),
        ),
        Later::Ledger(mark) => (
            "aws_ledger_behind",
            format!("the role is written from a later ledger, which had come to {mark}"),
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
struct Writing<'a> {
    policies: RolePolicies<'a>,
    pen: &'a mut Pen,
    lists: Lists,
    clock: &'a CloudClock,
    hand: Hand,
    interval: Duration,
    settle: Duration,
}

impl Writing<'_> {
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
        self.pen.read(&list, keeps, self.clock.now());
        self.remove_older(name).await?;
        Ok(Some(self.pen.stood()))
    }

    /// A hand that was superseded, or whose ledger went back in time, takes nothing away: it adds
    /// its Denies beside those of the later hand.
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
        let now = self.clock.now();
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
                        role = self.policies.role,
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
            sleep_until(last + self.interval).await;
        }
        let sending = self.pen.sending(list);
        let answer = self.policies.put(name, list, self.hand.mark).await;
        self.heard(sending, &answer);
        answer
    }

    /// Takes note of an answer, if it is one.
    fn heard<T>(&mut self, sending: crate::pen::Sending, answer: &Result<T, Fault>) {
        let unclear = |fault: &Fault| match fault.kind {
            FaultKind::Ambiguous => true,
            FaultKind::Retryable { .. } | FaultKind::Permanent => false,
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
                let sending = self.pen.sending(&Denied::new());
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
        let (stands, now) = (self.pen.stands_since(), self.clock.now());
        if stands.is_none_or(|since| now < since.plus(self.settle)) {
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
