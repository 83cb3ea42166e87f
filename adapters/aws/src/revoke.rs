//! Taking back: one list of Denies on each role, brought to what is due and what is held.

use core::time::Duration;

use async_trait::async_trait;
use jitney_core::adapter::{Epoch, Revocations, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use tokio::time::sleep_until;

use crate::adapter::{AwsAdapter, TOLD_REVOKING, own_fault};
use crate::cloud_clock::CloudClock;
use crate::deny_list::{Handles, ListName};
use crate::judge::{Case, Found, judge};
use crate::pen::{Lists, Pen};
use crate::plan::LANE_PREFIX;
use crate::role_policies::RolePolicies;

#[async_trait]
impl Revoke for AwsAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Revocations, Fault> {
        let role = self.role_of(lane)?;
        let skew = self.config().skew();
        let cases: Vec<Case> = due.iter().map(|lease| Case::of(lease)).collect();
        let cloud_now = self.cloud_now(&cases, skew).await;
        let mut revocations = Revocations::new();
        let mut open = Vec::new();
        for case in cases {
            match case.expired(cloud_now, skew) {
                Some(over) => {
                    revocations.insert(case.lease, Ok(over));
                }
                None => open.push(case),
            }
        }
        let wanted: Handles = open
            .iter()
            .map(|case| &case.handle)
            .chain(holds.iter().map(|hold| &hold.handle))
            .cloned()
            .collect();
        let enforced = self.enforce(role, epoch, &wanted).await;
        match enforced {
            Ok(found) => {
                let (settle, now) = (self.config().settle(), self.clock.now());
                revocations.extend(open.iter().map(|case| {
                    let judged = judge(case, &found, settle, skew, now);
                    (case.lease, Ok(judged))
                }));
                Ok(revocations)
            }
            // What time has ended is over whether or not IAM answers.
            Err(fault) if !revocations.is_empty() => {
                tracing::warn!(%lane, code = fault.code, fault = %fault.logged,
                    "the list of ended sessions could not be brought up to date");
                revocations.extend(open.iter().map(|case| (case.lease, Err(fault.clone()))));
                Ok(revocations)
            }
            Err(fault) => Err(fault),
        }
    }
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

    /// Brings a role's list to what is wanted, and says what was found.
    async fn enforce(&self, role: &str, epoch: Epoch, wanted: &Handles) -> Result<Found, Fault> {
        let pen = self.pens.of(role);
        let mut pen = pen.lock().await;
        let policies = RolePolicies {
            clients: &self.clients,
            installation: &self.planner.installation,
            role,
        };
        let Some(names) = policies.names().await? else {
            tracing::warn!(role, "the role is gone; its sessions are waited for");
            return Ok(Found::RoleGone);
        };
        let newer = names.iter().copied().find(|name| name.epoch > epoch);
        let mut lists = Lists::new();
        for name in names.into_iter().filter(|name| name.epoch <= epoch) {
            if let Some(handles) = policies.list(name).await? {
                lists.insert(name, handles);
            }
        }
        let before: Handles = lists.values().flatten().cloned().collect();
        let mut hand = Hand {
            policies,
            pen: &mut pen,
            lists,
            clock: &self.clock,
            interval: Duration::from_millis(self.config().write_interval_milliseconds.into()),
            settle: self.config().settle(),
        };
        let after = match newer {
            None => hand.bring(epoch, wanted).await?,
            Some(newer) => {
                hand.add(epoch, wanted).await?;
                let Epoch(newer) = newer.epoch;
                let logged = format!("role {role} is written by a later hand, of epoch {newer}");
                let permanent = FaultKind::Permanent;
                return Err(own_fault(
                    permanent,
                    "aws_superseded",
                    TOLD_REVOKING,
                    logged,
                ));
            }
        };
        Ok(match after {
            Some(after) => Found::Lists { before, after },
            None => Found::RoleGone,
        })
    }
}

/// One pass over one role.
struct Hand<'a> {
    policies: RolePolicies<'a>,
    pen: &'a mut Pen,
    lists: Lists,
    clock: &'a CloudClock,
    interval: Duration,
    settle: Duration,
}

impl Hand<'_> {
    /// Brings the list to exactly what is wanted, and removes older ones once that is safe. Gives
    /// what the list then denies; nothing when the role is gone.
    async fn bring(&mut self, epoch: Epoch, wanted: &Handles) -> Result<Option<Handles>, Fault> {
        if wanted.is_empty() {
            return self.clear().await.map(Some);
        }
        let name = self.pen.name(epoch, &self.lists, wanted, self.clock.now());
        let found = self.lists.get(&name);
        self.tell_what_is_missing(wanted, found);
        if found != Some(wanted) {
            if !self.write(name, wanted).await? {
                return Ok(None);
            }
            let read = self.policies.list(name).await?.unwrap_or_default();
            self.lists.insert(name, read);
        }
        let list = self.lists.get(&name).cloned().unwrap_or_default();
        let keeps = self.keeps(name, &list, wanted);
        self.pen.read(list.clone(), keeps, self.clock.now());
        self.remove_older(name).await?;
        Ok(Some(list))
    }

    /// A hand that was superseded, or whose ledger went back in time, takes nothing away: it adds
    /// its Denies beside those of the later hand.
    async fn add(&mut self, epoch: Epoch, wanted: &Handles) -> Result<(), Fault> {
        let known: Handles = self.lists.values().flatten().cloned().collect();
        if wanted.is_subset(&known) {
            return Ok(());
        }
        let all: Handles = known.union(wanted).cloned().collect();
        let name = self.pen.name(epoch, &self.lists, &all, self.clock.now());
        self.write(name, &all).await.map(|_| ())
    }

    /// Whether `list` under `name` has everything wanted that the other lists have: only then can
    /// they go.
    fn keeps(&self, name: ListName, list: &Handles, wanted: &Handles) -> bool {
        self.lists
            .iter()
            .filter(|(other, _)| **other != name)
            .flat_map(|(_, handles)| handles.intersection(wanted))
            .all(|handle| list.contains(handle))
    }

    /// Says aloud what was there and is no longer.
    fn tell_what_is_missing(&self, wanted: &Handles, found: Option<&Handles>) {
        let is_gone = |handle: &&Handle| !found.is_some_and(|found| found.contains(*handle));
        let stood = self.pen.last_read().intersection(wanted);
        let gone: Vec<&str> = stood.filter(is_gone).map(Handle::as_str).collect();
        if !gone.is_empty() {
            tracing::error!(role = self.policies.role, handles = ?gone,
                "ended sessions were taken off the role's list by somebody else; they are put \
                 back");
        }
    }

    /// Writes a list. False when the role is gone.
    async fn write(&mut self, name: ListName, list: &Handles) -> Result<bool, Fault> {
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

    async fn put(&mut self, name: ListName, list: &Handles) -> Result<bool, Fault> {
        // About one write a second and role: AWS's own rate is not published, and what ends in
        // between shares the next write.
        if let Some(last) = self.pen.last_write {
            sleep_until(last + self.interval).await;
        }
        let sending = self.pen.sending(list);
        let answer = self.policies.put(name, list).await;
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
    async fn clear(&mut self) -> Result<Handles, Fault> {
        let names: Vec<ListName> = self.lists.keys().copied().collect();
        for name in names {
            if self.pen.current() == Some(name) {
                // A removal that lands late would take with it what is written there next.
                let sending = self.pen.sending(&Handles::new());
                let answer = self.policies.remove(name).await;
                self.heard(sending, &answer);
                answer?;
            } else {
                self.policies.remove(name).await?;
            }
        }
        Ok(Handles::new())
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
    async fn make_room(&mut self, name: ListName, wanted: &Handles) -> Result<bool, Fault> {
        let mut made = false;
        let names: Vec<ListName> = self.lists.keys().copied().filter(|n| *n != name).collect();
        for candidate in names {
            let needed = self
                .lists
                .get(&candidate)
                .map(|list| list & wanted)
                .unwrap_or_default();
            let elsewhere: Handles = self
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
