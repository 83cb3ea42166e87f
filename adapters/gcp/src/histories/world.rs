//! The cloud of the histories: one account, its policy and its grants, in which calls go wrong.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Mutex;

use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::time::Timestamp;
use serde_json::json;

use crate::adapter::own_fault;
use crate::capability::TokenScope;
use crate::entitlement::Entitlement;
use crate::grant::{Grant, Stands};
use crate::names::{EntitlementName, PolicyName};
use crate::policy::{Binding, Which};
use crate::slot::{Freshness, Seen, Slot, Token};
use crate::stamp::{Described, Stamp};

/// What becomes of one changing call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
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
    Ask(Handle, i64),
    EndGrant(usize),
}

/// A grant of Privileged Access Manager.
struct Granted {
    handle: Handle,
    ends: i64,
    /// Since it is being taken back: until then it gives.
    goes_until: Option<i64>,
}

impl Granted {
    fn is_open(&self, now: i64) -> bool {
        matches!(self.stands(now), "ACTIVE" | "REVOKING")
    }

    fn stands(&self, now: i64) -> &'static str {
        match self.goes_until {
            _ if now >= self.ends => "ENDED",
            None => "ACTIVE",
            Some(until) if now < until => "REVOKING",
            Some(_) => "REVOKED",
        }
    }
}

/// How long a grant takes to be taken back.
const GOES_SECONDS: i64 = 40;

pub(super) struct Minted {
    handle: Handle,
    expires: i64,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) now: i64,
    pub(super) enabled: bool,
    pub(super) stamp: Option<Stamp>,
    /// The policy's version, and the bindings in it with the end of their conditions.
    etag: i64,
    bindings: Vec<(Handle, i64)>,
    grants: Vec<Granted>,
    pub(super) minted: Vec<Minted>,
    late: Vec<(i64, Effect)>,
    pub(super) luck: Vec<Luck>,
    /// For whom is being asked, and for whom the account was enabled.
    pub(super) asking: Option<Handle>,
    pub(super) lent_to: Option<Handle>,
    /// Whose end was shown.
    pub(super) ended: Vec<Handle>,
    pub(super) stranger_was_here: bool,
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
            // A token of an account that is disabled asks for nothing.
            Effect::Ask(handle, ends) if self.enabled => self.grants.push(Granted {
                handle,
                ends,
                goes_until: None,
            }),
            Effect::Ask(..) => {}
            Effect::EndGrant(at) => {
                let until = self.now + GOES_SECONDS;
                self.grants[at].goes_until.get_or_insert(until);
            }
        }
        self.check();
    }

    pub(super) fn pass_time(&mut self, seconds: i64) {
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
        let is_bound = self.bindings.iter().any(|(_, ends)| self.now < *ends)
            || self.grants.iter().any(|it| it.is_open(self.now));
        self.enabled && self.now < minted.expires && is_bound
    }

    pub(super) fn check(&self) {
        if let Some(lent_to) = self.lent_to.as_ref().filter(|_| self.enabled) {
            let open = self.grants.iter().filter(|it| it.is_open(self.now));
            for grant in open {
                assert!(
                    grant.handle == *lent_to,
                    "at {} the account is lent to {lent_to}, and has a grant of {}",
                    self.now,
                    grant.handle
                );
            }
        }
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

pub(super) struct Fake {
    world: Mutex<World>,
    policies: BTreeSet<PolicyName>,
    /// Of which its account can have grants.
    entitlements: BTreeSet<EntitlementName>,
}

impl Fake {
    pub(super) fn new(entitlements: BTreeSet<EntitlementName>) -> Self {
        Self {
            world: Mutex::default(),
            policies: BTreeSet::from([bucket()]),
            entitlements,
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.world.lock().unwrap())
    }

    /// The grant of this place, as it is told.
    fn told(&self, at: usize) -> Grant {
        self.with(|world| {
            let answer = json!({
                "name": format!("{}/grants/{at}", readers()),
                "state": world.grants[at].stands(world.now),
            });
            Grant::read(&answer, &readers()).unwrap()
        })
    }
}

fn place(grant: &Grant) -> usize {
    grant.name.rsplit('/').next().unwrap().parse().unwrap()
}

pub(super) fn bucket() -> PolicyName {
    "//storage.googleapis.com/projects/_/buckets/artifacts"
        .parse()
        .unwrap()
}

pub(super) fn readers() -> EntitlementName {
    "projects/acme-prod/locations/global/entitlements/readers"
        .parse()
        .unwrap()
}

pub(super) const ROLE: &str = "roles/storage.objectViewer";

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

impl Slot for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn known(&self) -> &BTreeSet<PolicyName> {
        &self.policies
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
    fn entitlements(&self) -> &BTreeSet<EntitlementName> {
        &self.entitlements
    }
    async fn entitlement(&self, _: &EntitlementName) -> Result<Entitlement, Fault> {
        let project = readers().project().clone();
        let answer = json!({
            "state": "AVAILABLE",
            "maxRequestDuration": "86400s",
            "privilegedAccess": { "gcpIamAccess": {
                "resource": PolicyName::Project(project.clone()),
                "roleBindings": [{ "role": ROLE }],
            } },
        });
        Ok(Entitlement::read(&answer, &project))
    }
    async fn open_grants(&self, _: &EntitlementName) -> Result<Vec<Grant>, Fault> {
        let count = self.with(|world| world.grants.len());
        let mut grants: Vec<Grant> = (0..count).map(|at| self.told(at)).collect();
        grants.retain(|grant| grant.stands != Stands::Over);
        Ok(grants)
    }
    async fn grant(&self, grant: &Grant, _: &EntitlementName) -> Result<Grant, Fault> {
        Ok(self.told(place(grant)))
    }
    async fn ask(
        &self,
        _: &EntitlementName,
        handle: &Handle,
        seconds: u64,
        _: &Token,
    ) -> Result<Grant, Fault> {
        let at = self.with(|world| {
            let ends = world.now + i64::try_from(seconds).unwrap();
            let at = world.grants.len();
            world.change(Effect::Ask(handle.clone(), ends)).map(|()| at)
        })?;
        Ok(self.told(at))
    }
    async fn end_grant(&self, grant: &Grant) -> Result<(), Fault> {
        self.with(|world| world.change(Effect::EndGrant(place(grant))))
    }
    async fn bound_to(&self, _: Freshness) -> Result<Option<String>, Fault> {
        Ok(None)
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
