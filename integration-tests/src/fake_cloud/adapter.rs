//! The cloud's adapter: what core calls.

use core::time::Duration;
use std::collections::BTreeSet;

use async_trait::async_trait;
use jitney_core::adapter::{
    Elevate, Hand, Mark, Page, Pass, Reach, Revocations, Revoke, Stamped, StampedKind,
};
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Credential, Elevation, Shown};
use jitney_core::evidence::{Evidence, Held, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::id::{CloudName, LeaseId, TargetName};
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::ledger::RowId;
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::time::Timestamp;

use super::mishap::{fault, lost};
use super::{FLOOR, SLOT_SETTLE, SlotVice, Slots, TOKEN_LIFE};
use super::{FakeCloud, LANDS_WITHIN, MintMishap, RevokeMishap, SESSION_LIFE, SETTLE, Session};
use super::{State, Style};

/// How soon the adapter looks again at what it had to write or delete a second time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[async_trait]
impl Elevate for FakeCloud {
    fn cloud(&self) -> &CloudName {
        &self.name
    }

    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        let first = wanted.first().map(|it| &it.resource.target);
        first.map_or_else(Vec::new, |target| self.pool(target))
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        if order.ttl > self.life() {
            return Err(CannotPlan {
                code: "fake_too_long",
                told: "the fake cloud's sessions do not live so long".to_owned(),
                logged: format!("{} s were asked for", order.ttl.as_secs()),
            });
        }
        let (lane, lane_capacity) = self.lane_of(order)?;
        Ok(Plan {
            lane,
            lane_capacity,
            terms: serde_json::Value::Null,
            summary: Vec::new(),
            answers_within_seconds: 0,
            lands_within_seconds: whole_seconds(LANDS_WITHIN),
            lives_seconds: whole_seconds(self.life()),
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 1,
                ttl_seconds_max: whole_seconds(self.life()),
                recall: Recall::Severs {
                    within_seconds: whole_seconds(self.severs_within()),
                },
                ends_by_itself: self.style != Style::Slots,
                because: Vec::new(),
            },
        })
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let lane = |resource: &&Resource| LaneId {
            target: resource.target.clone(),
            name: resource.via.clone().unwrap_or_else(|| "main".to_owned()),
        };
        match self.style {
            Style::Denies | Style::Deletes => resources.iter().map(lane).collect(),
            Style::Slots => {
                let targets = resources.iter().map(|resource| &resource.target);
                targets.flat_map(|target| self.pool(target)).collect()
            }
        }
    }

    fn reach(&self) -> Reach {
        Reach {
            issues_within: LANDS_WITHIN,
            lives: self.life(),
            settles: match self.style {
                Style::Denies | Style::Deletes => SETTLE,
                Style::Slots => SLOT_SETTLE,
            },
            watermarks: self.style == Style::Denies,
            grants_stay: self.style == Style::Slots,
        }
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        let terms = intent.terms();
        self.mint(terms, terms.answer_by, Some(intent.mark())).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        self.mint(lease.terms(), lease.answer_by(), None).await
    }
}

#[async_trait]
impl Probe for FakeCloud {
    fn in_force(&self, _: &Plan) -> InForce {
        InForce {
            within: SETTLE,
            says: "the fake cloud says 4 s",
        }
    }

    async fn probe(&self, _: &Terms, _: &Wanted, shown: &Shown) -> Probed {
        let instead = self.lock().probe_says.clone();
        if let Some(instead) = instead {
            return instead;
        }
        match shown.field("secret") {
            Some(credential) if self.would_allow(credential) => Probed::Accepted,
            Some(_) => Probed::Refused,
            None => Probed::CannotTell {
                why: "it is no credential of the fake cloud".to_owned(),
            },
        }
    }
}

impl FakeCloud {
    fn pool(&self, target: &TargetName) -> Vec<LaneId> {
        let slot = |number| LaneId {
            target: target.clone(),
            name: format!("slot-{number:02}"),
        };
        match self.style {
            Style::Denies | Style::Deletes => Vec::new(),
            Style::Slots => (0..self.lock().slots.pool).map(slot).collect(),
        }
    }

    /// The lane of what is ordered, and how much room it has.
    fn lane_of(&self, order: &Order<'_>) -> Result<(LaneId, u32), CannotPlan> {
        let via = order.wanted.first().and_then(|it| it.resource.via.clone());
        let shared = || LaneId {
            target: order.target.clone(),
            name: via.unwrap_or_else(|| "main".to_owned()),
        };
        if self.style != Style::Slots {
            return Ok((shared(), self.lock().lane_capacity));
        }
        let pool = self.pool(order.target);
        let slot = order.slot.filter(|slot| pool.contains(slot));
        let slot = slot.ok_or_else(|| CannotPlan {
            code: "fake_no_slot",
            told: "no identity is there to carry it".to_owned(),
            logged: format!("{:?} is not one of the pool", order.slot),
        })?;
        let has_room = self.lock().slots.has(SlotVice::HasRoomForTwo);
        Ok((slot.clone(), if has_room { 2 } else { 1 }))
    }

    const fn life(&self) -> Duration {
        match self.style {
            Style::Denies | Style::Deletes => SESSION_LIFE,
            Style::Slots => TOKEN_LIFE,
        }
    }

    const fn severs_within(&self) -> Duration {
        match self.style {
            Style::Denies | Style::Deletes => SETTLE,
            Style::Slots => FLOOR.saturating_add(SLOT_SETTLE),
        }
    }

    /// Makes a session. With a mark, a right is given to its identity first.
    async fn mint(
        &self,
        terms: &Terms,
        answer_by: Timestamp,
        gives: Option<Mark>,
    ) -> Result<Elevation, Fault> {
        let covered_until = self.covered_until(terms.id).await;
        let now = self.clock.now();
        let mut state = self.lock();
        state.mint_calls += 1;
        if self.style == Style::Slots {
            may_give(&state.slots, terms, answer_by, gives, now)?;
        }
        let mishap = (!state.mints.is_empty()).then(|| state.mints.remove(0));
        let (after, longer) = match mishap {
            Some(MintMishap::Retryable) => {
                let kind = FaultKind::Retryable { after: None };
                return Err(fault(kind, "fake_throttled"));
            }
            Some(MintMishap::Permanent) => {
                return Err(fault(FaultKind::Permanent, "fake_refused"));
            }
            Some(MintMishap::LedgerBehind(bears)) => {
                let kind = FaultKind::LedgerBehind { bears };
                return Err(fault(kind, "fake_ledger_behind"));
            }
            Some(MintMishap::LostBefore) => return Err(lost()),
            Some(MintMishap::LandsLater(after)) => (after, Duration::ZERO),
            Some(MintMishap::LivesLonger(longer)) => (Duration::ZERO, longer),
            Some(MintMishap::LostAfter) | None => (Duration::ZERO, Duration::ZERO),
        };
        let session = Session {
            credential: format!("fake-credential-{}", state.books.sessions().len()),
            handle: terms.handle.clone(),
            lane: terms.plan.lane.clone(),
            lease: terms.id,
            minted_at: now.plus(after),
            expires_at: now.plus(after).plus(self.life()).plus(longer),
            covered_until,
        };
        state.books.mint(session.clone());
        if let Some(mark) = gives.filter(|_| self.style == Style::Slots) {
            state.slots.give(terms, mark, session.minted_at);
        }
        match mishap {
            Some(MintMishap::LostAfter | MintMishap::LandsLater(_)) => Err(lost()),
            _ => Ok(Elevation {
                fingerprint: format!("fingerprint of {}", terms.handle),
                credential: Credential::new(
                    "fake-session",
                    [("secret", session.credential)],
                    session.expires_at,
                ),
                provider_request: None,
            }),
        }
    }

    /// Until when the ledger, at this moment, knows that something of a lease may work. It is read
    /// from the stored bytes: an answer by way of core's types would be core's word for itself.
    async fn covered_until(&self, lease: LeaseId) -> Option<Timestamp> {
        let row = self.ledger.row(RowId::Lease(lease)).await.ok()??;
        let body: serde_json::Value = serde_json::from_str(&row.body).ok()?;
        let open = row.state == "elevating" || row.state == "active";
        let until = body.get("exposed_until")?.as_i64()?;
        open.then(|| Timestamp::from_micros(until))
    }
}

#[async_trait]
impl Revoke for FakeCloud {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.revoke_calls += 1;
        let mishap = (!state.revokes.is_empty()).then(|| state.revokes.remove(0));
        if state.revoking_is_down {
            return Err(fault(FaultKind::Ambiguous, "fake_down"));
        }
        if let Some(RevokeMishap::Throttled(after)) = mishap {
            let kind = FaultKind::Retryable { after: Some(after) };
            return Err(fault(kind, "fake_throttled"));
        }
        if self.style == Style::Slots {
            let pass = state.slots.pass((lane, hand), due, holds, now);
            return after(mishap, pass);
        }
        let mut pass = Pass {
            mark_seen: state.books.mark(lane),
            superseded_by: state.books.take_pen(lane, hand.epoch).err(),
            clock_disagrees: matches!(mishap, Some(RevokeMishap::ClockDisagrees)),
            ..Pass::default()
        };
        if pass.took_nothing_away(hand) {
            return Ok(pass);
        }
        pass.leases = match self.style {
            Style::Denies => deny(&mut state, (lane, hand), due, holds, now),
            Style::Deletes | Style::Slots => delete(&mut state, due, now),
        };
        after(mishap, pass)
    }

    async fn sweep(&self, _after: Option<String>) -> Result<Page, Fault> {
        if self.lock().looking_is_down {
            return Err(fault(FaultKind::Ambiguous, "fake_unseen"));
        }
        if self.style == Style::Slots {
            let found = self.given().into_iter().map(|right| Stamped {
                native: format!("{} on {}", right.handle, right.slot),
                lane: right.slot,
                held: Held::Grant(right.handle),
                mark: Some(right.mark),
                kind: StampedKind::Grant,
            });
            return Ok(Page {
                found: found.collect(),
                next: None,
            });
        }
        let stamped = |(lane, held, mark): (LaneId, Held, Option<Mark>)| Stamped {
            native: format!("{held} in {lane}"),
            lane,
            held,
            mark,
            kind: StampedKind::Enforcement,
        };
        Ok(Page {
            found: self
                .lock()
                .books
                .entries()
                .into_iter()
                .map(stamped)
                .collect(),
            next: None,
        })
    }
}

/// Whether a slot's identity may be given something, or a credential be made for it.
fn may_give(
    slots: &Slots,
    terms: &Terms,
    answer_by: Timestamp,
    gives: Option<Mark>,
    now: Timestamp,
) -> Result<(), Fault> {
    if now >= answer_by {
        let kind = FaultKind::Retryable { after: None };
        return Err(fault(kind, "fake_too_late"));
    }
    if gives.is_some() && slots.is_in_use(&terms.plan.lane, now) {
        return Err(fault(FaultKind::Permanent, "fake_slot_in_use"));
    }
    Ok(())
}

/// What a pass comes to when this goes wrong.
fn after(mishap: Option<RevokeMishap>, pass: Pass) -> Result<Pass, Fault> {
    match mishap {
        Some(RevokeMishap::LostAfter) => Err(lost()),
        Some(RevokeMishap::SaysNothing) => Ok(Pass::default()),
        Some(RevokeMishap::Throttled(_) | RevokeMishap::ClockDisagrees) | None => Ok(pass),
    }
}

/// Brings the deny list to what is due and held, and says of each lease what follows.
fn deny(
    state: &mut State,
    (lane, hand): (&LaneId, Hand),
    due: &[Recorded<Revoking>],
    holds: &[Hold],
    now: Timestamp,
) -> Revocations {
    // What has expired needs no entry; written for it, one would stay with nobody to drop it.
    let alive = due.iter().filter(|lease| now < lease.exposed_until());
    let ending = alive.map(|lease| grant(lease));
    let wanted: BTreeSet<Held> = ending
        .chain(holds.iter().map(|hold| hold.held.clone()))
        .collect();
    let before = state.books.write_list(lane, hand, &wanted, now);
    due.iter()
        .map(|lease| {
            let was_there = before.contains(&grant(lease));
            (lease.terms().id, Ok(denied(lease, was_there, now)))
        })
        .collect()
}

fn grant(lease: &Revoking) -> Held {
    Held::Grant(lease.terms().handle.clone())
}

fn denied(lease: &Recorded<Revoking>, was_there: bool, now: Timestamp) -> Revocation {
    let until = lease.exposed_until();
    if now >= until {
        return Revocation::Evident {
            evidence: Evidence::Expired { at: now },
            hold_until: None,
        };
    }
    match lease.written_at() {
        // A stranger undid it. It was written again just now, which has not settled.
        Some(_) if !was_there => Revocation::NotYet {
            written: false,
            look_again: now.plus(LOOK_AGAIN),
            exposed_until: until,
        },
        Some(written_at) if now >= written_at.plus(SETTLE) => Revocation::Evident {
            evidence: Evidence::Settled {
                written_at,
                settle_seconds: whole_seconds(SETTLE),
            },
            hold_until: Some(until),
        },
        Some(written_at) => settling(written_at),
        None => settling(now),
    }
}

fn settling(written_at: Timestamp) -> Revocation {
    let settled = written_at.plus(SETTLE);
    Revocation::NotYet {
        written: true,
        look_again: settled,
        exposed_until: settled,
    }
}

/// Deletes what is there. What is not there is reported as absent, whenever that is: whether
/// absence proves anything is core's business.
fn delete(state: &mut State, due: &[Recorded<Revoking>], now: Timestamp) -> Revocations {
    due.iter()
        .map(|lease| {
            let revocation = if state.books.delete(&lease.terms().handle, now) {
                Revocation::NotYet {
                    written: true,
                    look_again: now.plus(LOOK_AGAIN),
                    exposed_until: now,
                }
            } else {
                Revocation::Evident {
                    evidence: Evidence::Absent { at: now },
                    hold_until: None,
                }
            };
            (lease.terms().id, Ok(revocation))
        })
        .collect()
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
