//! The broker of the histories: as much of a ledger as an account needs, and what it does with it.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Epoch, Hand, Mark};
use jitney_core::evidence::{Held, Hold, Revocation};
use jitney_core::fault::FaultKind;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::world::{Fake, Luck, ROLE, at, bucket, readers};
use crate::capability::TokenScope;
use crate::entitlement::Given;
use crate::judge::{Case, Times};
use crate::lending::{Loan, condition_ends, lend, lend_on};
use crate::limits::{CONDITION_MARGIN_SECONDS, LANDS_LATE_SECONDS};
use crate::taking::{Watch, take_back};
use crate::terms::{Grant, Terms, Way};

const TIMES: Times = Times {
    settle: Duration::from_secs(60),
    skew: Duration::from_secs(60),
};
const TOKEN_SECONDS: u32 = 900;
const LASTS: i64 = 3_600;
const ANSWER_WITHIN: i64 = 45;

/// A lease as the ledger has it.
pub(super) struct Open {
    handle: Handle,
    revoking: bool,
    exposed_until: i64,
    written_at: Option<i64>,
    absolute_end: i64,
}

/// As much of a ledger as an account needs: one open lease at most, and holds.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) open: Option<Open>,
    pub(super) holds: Vec<Hold>,
    pub(super) sequence: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Wait(i64),
    Lend(Vec<Luck>),
    Renew(Vec<Luck>),
    End,
    Look(Vec<Luck>),
    /// The ledger is restored from a backup that knows of no lease here.
    Restore,
    StrangerEnables,
}

pub(super) struct History {
    pub(super) fake: Fake,
    pub(super) ledger: Ledger,
    watch: Watch,
    terms: Terms,
    handles: u64,
}

/// How the account of a history comes to its privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Binding,
    Grant,
}

impl History {
    pub(super) fn new(by: By) -> Self {
        let grant = Grant {
            on: bucket(),
            role: ROLE.parse().unwrap(),
            narrowed: None,
        };
        let entitlements = BTreeSet::from([readers()]);
        let (way, entitlements) = match by {
            By::Binding => (Way::Own(vec![grant]), BTreeSet::new()),
            By::Grant => {
                let gives = BTreeSet::from([Given {
                    role: ROLE.to_owned(),
                    condition: None,
                }]);
                let entitled = Way::Entitled {
                    entitlements: entitlements.clone(),
                    gives,
                };
                (entitled, entitlements)
            }
        };
        let terms = Terms {
            account: "jitney-001@acme-pool.iam.gserviceaccount.com"
                .parse()
                .unwrap(),
            token_seconds: TOKEN_SECONDS,
            token_scopes: BTreeSet::from([TokenScope::everything()]),
            way,
        };
        Self {
            fake: Fake::new(entitlements),
            ledger: Ledger::default(),
            watch: Watch::default(),
            terms,
            handles: 0,
        }
    }

    fn now(&self) -> i64 {
        self.fake.with(|world| world.now)
    }

    pub(super) async fn take(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => self.fake.with(|world| world.pass_time(*seconds)),
            Step::Lend(luck) => self.lend(luck).await,
            Step::Renew(luck) => self.renew(luck).await,
            Step::End => self.end(),
            Step::Look(luck) => self.look(luck).await,
            Step::Restore => {
                let sequence = self.ledger.sequence.saturating_sub(3);
                self.ledger = Ledger {
                    sequence,
                    ..Ledger::default()
                };
            }
            Step::StrangerEnables => self.fake.with(|world| {
                // Whoever does that wakes what rests; that is not ours to prevent.
                if world.lent_to.is_none() {
                    world.stranger_was_here = true;
                    world.enabled = true;
                }
            }),
        }
    }

    fn loan<'a>(&'a self, handle: &'a Handle, absolute_end: i64) -> Loan<'a> {
        let now = self.now();
        let exposed = now + ANSWER_WITHIN + i64::from(LANDS_LATE_SECONDS) + 60;
        let exposed = exposed + i64::from(TOKEN_SECONDS);
        let ends = absolute_end + i64::try_from(CONDITION_MARGIN_SECONDS).unwrap();
        Loan {
            terms: &self.terms,
            handle,
            mark: Mark {
                era: 0,
                sequence: self.ledger.sequence,
            },
            answer_by: at(now + ANSWER_WITHIN),
            absolute_end: at(absolute_end),
            lives_until: at(exposed.max(ends)),
        }
    }

    /// One lease at a time, and none while something is held: as far as the ledger knows.
    async fn lend(&mut self, luck: &[Luck]) {
        if self.ledger.open.is_some() || !self.ledger.holds.is_empty() {
            return;
        }
        self.handles += 1;
        self.ledger.sequence += 1;
        let handle = Handle::try_from(format!("{:019}", self.handles)).unwrap();
        let absolute_end = self.now() + LASTS;
        self.fake.with(|world| {
            world.luck = luck.to_vec();
            world.asking = Some(handle.clone());
        });
        let exposed = self.now() + ANSWER_WITHIN + i64::from(LANDS_LATE_SECONDS) + 60;
        let loan = self.loan(&handle, absolute_end);
        let lent = lend(&self.fake, &loan).await;
        let (revoking, exposed_until) = match lent {
            Ok(token) => (false, token.expires_at.as_seconds()),
            Err(fault) if fault.kind == FaultKind::Ambiguous => {
                (true, exposed + i64::from(TOKEN_SECONDS))
            }
            Err(_) => return,
        };
        self.ledger.open = Some(Open {
            handle,
            revoking,
            exposed_until,
            written_at: None,
            absolute_end,
        });
    }

    async fn renew(&mut self, luck: &[Luck]) {
        let now = self.now();
        let Some(open) = self.ledger.open.as_mut().filter(|it| !it.revoking) else {
            return;
        };
        let exposed = now + ANSWER_WITHIN + i64::from(LANDS_LATE_SECONDS + TOKEN_SECONDS) + 60;
        open.exposed_until = open.exposed_until.max(exposed);
        let (handle, absolute_end) = (open.handle.clone(), open.absolute_end);
        self.fake.with(|world| {
            world.luck = luck.to_vec();
            world.asking = Some(handle.clone());
        });
        let loan = self.loan(&handle, absolute_end);
        let _ = lend_on(&self.fake, &loan).await;
    }

    fn end(&mut self) {
        if let Some(open) = &mut self.ledger.open {
            open.revoking = true;
        }
    }

    async fn look(&mut self, luck: &[Luck]) {
        let now = self.now();
        let is_held = |hold: &Hold| hold.until > at(now);
        let cases: Vec<Case> = self
            .ledger
            .open
            .iter()
            .filter(|open| open.revoking)
            .map(|open| Case {
                lease: LeaseId::fresh(),
                handle: open.handle.clone(),
                policies: BTreeSet::from([bucket()]),
                entitlements: self.terms.way.entitlements().cloned().collect(),
                exposed_until: at(open.exposed_until),
                bound_until: Some(match self.terms.way {
                    Way::Entitled { .. } => Timestamp::FAR_FUTURE,
                    _ => condition_ends(at(open.absolute_end)),
                }),
                written_at: open.written_at.map(at),
                derived: Duration::ZERO,
                lapses: false,
            })
            .collect();
        if cases.is_empty() && self.ledger.holds.is_empty() {
            return;
        }
        self.ledger.sequence += 1;
        let hand = Hand {
            epoch: Epoch(1),
            mark: Mark {
                era: 0,
                sequence: self.ledger.sequence,
            },
        };
        let held: Vec<Hold> = self
            .ledger
            .holds
            .iter()
            .filter(|it| is_held(it))
            .cloned()
            .collect();
        self.fake.with(|world| world.luck = luck.to_vec());
        let pass = take_back(&self.fake, &mut self.watch, hand, (&cases, &held), TIMES).await;
        let Ok(pass) = pass else {
            return;
        };
        if pass.is_brought(hand) {
            self.ledger.holds = held;
        }
        for case in &cases {
            if let Some(Ok(revocation)) = pass.leases.get(&case.lease) {
                self.looked(case, *revocation, now);
            }
        }
    }

    fn looked(&mut self, case: &Case, revocation: Revocation, now: i64) {
        match revocation {
            Revocation::NotYet { written, .. } => {
                let open = self.ledger.open.as_mut().unwrap();
                open.written_at = if written {
                    open.written_at.or(Some(now))
                } else {
                    None
                };
            }
            Revocation::Evident { hold_until, .. } => {
                self.ledger.open = None;
                self.fake.with(|world| {
                    world.ended.push(case.handle.clone());
                    world.lent_to = None;
                    world.check();
                });
                self.ledger.holds.extend(hold_until.map(|until| Hold {
                    lane: LaneId {
                        target: "acme".parse().unwrap(),
                        name: "account/x".to_owned(),
                    },
                    held: Held::Grant(case.handle.clone()),
                    lease: None,
                    until,
                    issued_by: None,
                }));
            }
        }
    }
}
