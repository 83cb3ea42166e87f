//! One account through long histories in which everything goes wrong: calls are refused, are lost,
//! land late; the ledger is restored from a backup and has forgotten; strangers enable the account.
//!
//! What must never happen: that an account is enabled for one lease while a token of another can be
//! alive. To enable it is to wake every token that was ever minted for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Mutex;

use jitney_core::adapter::{Epoch, Hand, Mark};
use jitney_core::evidence::{Held, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use proptest::prelude::*;

use crate::adapter::own_fault;
use crate::capability::TokenScope;
use crate::judge::{Case, Times};
use crate::lending::{Loan, condition_ends, lend, lend_on};
use crate::limits::{CONDITION_MARGIN_SECONDS, LANDS_LATE_SECONDS};
use crate::names::PolicyName;
use crate::plan::{Grant, Terms, Way};
use crate::policy::{Binding, Which};
use crate::slot::{Freshness, Seen, Slot, Token};
use crate::stamp::{Described, Stamp};
use crate::taking::{Watch, take_back};

const TIMES: Times = Times {
    settle: Duration::from_secs(60),
    skew: Duration::from_secs(60),
};
const TOKEN_SECONDS: u32 = 900;
const LASTS: i64 = 3_600;
const ANSWER_WITHIN: i64 = 45;

/// What becomes of one changing call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Done,
    Refused,
    /// It is done, and the answer is lost.
    Lost,
    /// The answer is lost, and it is done so many seconds later.
    Late(i64),
}

#[derive(Debug, Clone)]
enum Effect {
    Enable,
    Disable,
    Bind(i64, Handle, i64),
    Unbind(i64),
    Describe(Option<Stamp>),
}

struct Minted {
    handle: Handle,
    expires: i64,
}

#[derive(Default)]
struct World {
    now: i64,
    enabled: bool,
    stamp: Option<Stamp>,
    /// The policy's version, and the bindings in it with the end of their conditions.
    etag: i64,
    bindings: Vec<(Handle, i64)>,
    minted: Vec<Minted>,
    late: Vec<(i64, Effect)>,
    luck: Vec<Luck>,
    /// For whom is being asked, and for whom the account was enabled.
    asking: Option<Handle>,
    lent_to: Option<Handle>,
    /// Whose end was shown.
    ended: Vec<Handle>,
    stranger_was_here: bool,
}

impl World {
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Enable => self.enabled = true,
            Effect::Disable => self.enabled = false,
            Effect::Describe(stamp) => self.stamp = stamp,
            // What was read before somebody else wrote is refused.
            Effect::Bind(etag, handle, ends) if etag == self.etag => {
                self.bindings.push((handle, ends));
                self.etag += 1;
            }
            Effect::Unbind(etag) if etag == self.etag => {
                self.bindings.clear();
                self.etag += 1;
            }
            Effect::Bind(..) | Effect::Unbind(_) => {}
        }
        self.check();
    }

    fn pass_time(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += 1;
            let now = self.now;
            let (due, late): (Vec<_>, Vec<_>) = core::mem::take(&mut self.late)
                .into_iter()
                .partition(|(at, _)| *at <= now);
            self.late = late;
            for (_, effect) in due {
                self.carry_out(effect);
            }
        }
        self.check();
    }

    fn change(&mut self, effect: Effect) -> Result<(), Fault> {
        let fault = |kind| Err(own_fault(kind, "test", "test", String::new()));
        match self.luck.pop().unwrap_or(Luck::Done) {
            Luck::Done => {
                self.lent_if_enabled(&effect);
                self.carry_out(effect);
                Ok(())
            }
            Luck::Refused => fault(FaultKind::Retryable { after: None }),
            Luck::Lost => {
                self.lent_if_enabled(&effect);
                self.carry_out(effect);
                fault(FaultKind::Ambiguous)
            }
            Luck::Late(seconds) => {
                // Google has no way to write a description only if it is still as it was read, so
                // one that lands late and a ledger that forgets are two accidents too many.
                if !matches!(effect, Effect::Describe(_)) {
                    self.late.push((self.now + seconds, effect));
                }
                fault(FaultKind::Ambiguous)
            }
        }
    }

    fn lent_if_enabled(&mut self, effect: &Effect) {
        if matches!(effect, Effect::Enable) {
            self.lent_to = self.asking.clone();
        }
    }

    fn works(&self, minted: &Minted) -> bool {
        let is_bound = self.bindings.iter().any(|(_, ends)| self.now < *ends);
        self.enabled && self.now < minted.expires && is_bound
    }

    fn check(&self) {
        for minted in &self.minted {
            let is_alive = self.enabled && self.now < minted.expires;
            let others = self.lent_to.as_ref().filter(|it| **it != minted.handle);
            assert!(
                !(is_alive && others.is_some()),
                "at {} a token of {} is awake while the account is lent to {others:?}",
                self.now,
                minted.handle
            );
            let is_over = self.ended.contains(&minted.handle);
            assert!(
                !(is_over && self.works(minted)) || self.stranger_was_here,
                "at {} a token of {} works, whose end was shown",
                self.now,
                minted.handle
            );
        }
    }
}

struct Fake(Mutex<World>, BTreeSet<PolicyName>);

impl Fake {
    fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

impl Slot for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn known(&self) -> &BTreeSet<PolicyName> {
        &self.1
    }
    fn now(&self) -> Timestamp {
        at(self.with(|world| world.now))
    }
    fn cloud_now(&self) -> Option<Timestamp> {
        Some(self.now())
    }
    fn clocks_agree(&self) -> Result<(), Fault> {
        Ok(())
    }
    fn cloud_latest(&self) -> Option<Timestamp> {
        Some(self.now())
    }
    async fn rest(&self, time: Duration) {
        let seconds = i64::try_from(time.as_secs()).unwrap();
        self.with(|world| world.pass_time(seconds));
    }
    async fn look(&self) -> Result<Option<Seen>, Fault> {
        Ok(Some(self.with(|world| {
            Seen {
                enabled: world.enabled,
                described: world
                    .stamp
                    .clone()
                    .map_or(Described::Unstamped, Described::Ours),
            }
        })))
    }
    async fn describe(&self, stamp: Option<&Stamp>) -> Result<(), Fault> {
        self.with(|world| world.change(Effect::Describe(stamp.cloned())))
    }
    async fn enable(&self) -> Result<(), Fault> {
        self.with(|world| world.change(Effect::Enable))
    }
    async fn disable(&self) -> Result<(), Fault> {
        self.with(|world| world.change(Effect::Disable))
    }
    async fn would_bind(&self, _: &PolicyName, _: &Binding) -> Result<(), Fault> {
        Ok(())
    }
    async fn bind(&self, _: &PolicyName, binding: &Binding, _: Timestamp) -> Result<(), Fault> {
        let ends = binding
            .expression
            .split('"')
            .nth(1)
            .unwrap()
            .parse::<Timestamp>();
        let ends = ends.unwrap().as_seconds();
        let handle = binding.handle.clone();
        self.with(|world| world.change(Effect::Bind(world.etag, handle, ends)))
    }
    async fn unbind(&self, _: &PolicyName, _: &Which, _: Freshness) -> Result<Vec<Handle>, Fault> {
        self.with(|world| {
            let there: Vec<_> = world.bindings.iter().map(|it| it.0.clone()).collect();
            if there.is_empty() {
                return Ok(there);
            }
            world.change(Effect::Unbind(world.etag)).map(|()| there)
        })
    }
    async fn mint(&self, _: &BTreeSet<TokenScope>, seconds: u32) -> Result<Token, Fault> {
        self.with(|world| {
            let expires = world.now + i64::from(seconds);
            let lost = own_fault(FaultKind::Ambiguous, "test", "test", String::new());
            match world.luck.pop().unwrap_or(Luck::Done) {
                Luck::Refused => {
                    return Err(own_fault(
                        FaultKind::Retryable { after: None },
                        "test",
                        "test",
                        String::new(),
                    ));
                }
                Luck::Late(_) => return Err(lost),
                Luck::Done | Luck::Lost if !world.enabled => return Err(lost),
                Luck::Done | Luck::Lost => {}
            }
            let handle = world.asking.clone().unwrap();
            world.minted.push(Minted { handle, expires });
            world.check();
            Ok(Token {
                secret: "token".to_owned(),
                expires_at: at(expires),
            })
        })
    }
}

/// A lease as the ledger has it.
struct Open {
    handle: Handle,
    revoking: bool,
    exposed_until: i64,
    written_at: Option<i64>,
    absolute_end: i64,
}

/// As much of a ledger as an account needs: one open lease at most, and holds.
#[derive(Default)]
struct Ledger {
    open: Option<Open>,
    holds: Vec<Hold>,
    sequence: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Lend(Vec<Luck>),
    Renew(Vec<Luck>),
    End,
    Look(Vec<Luck>),
    /// The ledger is restored from a backup that knows of no lease here.
    Restore,
    StrangerEnables,
}

struct History {
    fake: Fake,
    ledger: Ledger,
    watch: Watch,
    terms: Terms,
    handles: u64,
}

fn bucket() -> PolicyName {
    "//storage.googleapis.com/projects/_/buckets/artifacts"
        .parse()
        .unwrap()
}

impl History {
    fn new() -> Self {
        let grant = Grant {
            on: bucket(),
            role: "roles/storage.objectViewer".parse().unwrap(),
            narrowed: None,
        };
        let terms = Terms {
            account: "jitney-001@acme-pool.iam.gserviceaccount.com"
                .parse()
                .unwrap(),
            token_seconds: TOKEN_SECONDS,
            token_scopes: BTreeSet::from([TokenScope::everything()]),
            way: Way::Own(vec![grant]),
        };
        Self {
            fake: Fake(Mutex::default(), BTreeSet::from([bucket()])),
            ledger: Ledger::default(),
            watch: Watch::default(),
            terms,
            handles: 0,
        }
    }

    fn now(&self) -> i64 {
        self.fake.with(|world| world.now)
    }

    async fn take(&mut self, step: &Step) {
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
                exposed_until: at(open.exposed_until),
                bound_until: Some(condition_ends(at(open.absolute_end))),
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

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        8 => Just(Luck::Done),
        1 => Just(Luck::Refused),
        1 => Just(Luck::Lost),
        1 => (1_i64..i64::from(LANDS_LATE_SECONDS)).prop_map(Luck::Late),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lucks = || prop::collection::vec(luck(), 0..6);
    prop_oneof![
        3 => (1_i64..90).prop_map(Step::Wait),
        1 => (90_i64..2_000).prop_map(Step::Wait),
        4 => lucks().prop_map(Step::Lend),
        1 => lucks().prop_map(Step::Renew),
        3 => Just(Step::End),
        6 => lucks().prop_map(Step::Look),
        1 => Just(Step::Restore),
        1 => Just(Step::StrangerEnables),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_account_is_never_enabled_for_a_lease_while_a_token_of_another_is_alive(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new();
            for step in &steps {
                history.take(step).await;
            }
        });
    }
}

async fn one_lease(history: &mut History) {
    let look = Step::Look(Vec::new());
    let lend = Step::Lend(Vec::new());
    for step in [&lend, &Step::End, &look, &Step::Wait(61), &look] {
        history.take(step).await;
    }
    assert_eq!(history.fake.with(|world| world.ended.len()), 1);
    // It rests: the ledger does not let it be lent.
    history.take(&lend).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 1);
}

/// The histories do come to where it matters.
#[tokio::test(flavor = "current_thread")]
async fn a_lease_follows_another_once_the_account_has_rested() {
    let mut history = History::new();
    one_lease(&mut history).await;
    history.take(&Step::Wait(1_200)).await;
    history.take(&Step::Look(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.stamp.clone()), None);
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn the_account_itself_knows_what_the_ledger_has_forgotten() {
    let mut history = History::new();
    one_lease(&mut history).await;
    let forgotten = |sequence| Ledger {
        sequence,
        ..Ledger::default()
    };
    // A ledger that is behind the stamp, and one that has gone on since it was restored.
    for sequence in [0, 1_000] {
        history.ledger = forgotten(sequence);
        history.take(&Step::Lend(Vec::new())).await;
        assert_eq!(history.fake.with(|world| world.minted.len()), 1);
    }
    history.take(&Step::Wait(1_200)).await;
    history.ledger = forgotten(0);
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 1);
    history.ledger = forgotten(1_000);
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 2);
}

/// What is refused before anything was given leaves the account free; what is refused later is in
/// doubt, and taken back.
#[tokio::test(flavor = "current_thread")]
async fn a_call_that_is_refused_is_in_doubt_once_another_has_given() {
    for (at, what, in_doubt) in [
        (0, "the stamp", false),
        (1, "the binding", false),
        (2, "the enabling", true),
        (3, "the mint", true),
    ] {
        let mut history = History::new();
        // The last is taken first.
        let mut luck = vec![Luck::Done; 4];
        luck[3 - at] = Luck::Refused;
        history.take(&Step::Lend(luck)).await;
        assert_eq!(history.ledger.open.is_some(), in_doubt, "{what}");
        let stamped = history.fake.with(|world| world.stamp.is_some());
        assert_eq!(stamped, in_doubt, "{what}");
    }
}
