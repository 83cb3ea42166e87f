//! Lending accounts and taking them back, by the Google adapter's own hand; only Google is
//! simulated.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jitney_core::adapter::{Hand, Mark, Page, Pass};
use jitney_core::books::Recorded;
use jitney_core::credential::{Credential, Elevation};
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::id::InstallationName;
use jitney_core::lease::{self, Revoking, Terms};
use jitney_core::plan::LaneId;
use jitney_core::time::{Clock as _, Timestamp};
use jitney_gcp::simulated::{Google, Lender, POLICY_CHANGED};
use serde_json::Value;

use super::accounts::Written;
use super::giving::{SESSION, Turn, covered_until};
use super::port::{CloudPort, Wire, believed};
use super::{Cloud, SETTLE, SKEW, Session};
use crate::fixtures::START;
use crate::simulation::executor::lock;
use crate::simulation::fault::{Call, Fault};

/// The account of a slot.
pub(super) fn account_of(slot: &LaneId) -> String {
    format!("{}@acme-pool.iam.gserviceaccount.com", slot.name)
}

/// Google, as one process reaches it.
pub(super) struct Reached {
    wire: Wire,
    parts: AtomicU64,
}

/// How a process lends.
pub(super) type Hands = Lender<Reached>;

impl Reached {
    /// The hands of a process that has not done anything yet.
    pub(super) fn by(wire: Wire, installation: InstallationName) -> Hands {
        let reached = Self {
            wire,
            parts: AtomicU64::new(0),
        };
        match Lender::new(Arc::new(reached), installation, (SETTLE, SKEW)) {
            Ok(hands) => hands,
            Err(bad) => unreachable!("the names of this world are names: {bad}"),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Cloud) -> T + Send + 'static,
    ) -> Result<T, Believed> {
        self.wire.process.step().await;
        let asked = self.wire.send(self.wire.fair(), question);
        // A question that is not answered has changed nothing.
        let kind = FaultKind::Retryable { after: None };
        asked.await.map_err(|_| believed(kind, "sim_cannot_read"))
    }

    /// A change that gives, or that takes back: of an account, or of the policy of all.
    async fn change<T: Send + 'static>(
        &self,
        call: Call,
        account: Option<&str>,
        work: impl FnOnce(&Cloud) -> T + Send + 'static,
    ) -> Result<T, Believed> {
        self.wire.process.step().await;
        let states = self.states(call, account);
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let fate = self.wire.fate(call, &states)?;
        self.wire.process.step().await;
        let answer = self.wire.send(fate, work).await?;
        self.wire.process.step().await;
        Ok(answer)
    }
}

impl Reached {
    /// The states of the leases that a call may be about.
    fn states(&self, call: Call, account: Option<&str>) -> Vec<String> {
        let target = &self.wire.cloud.target;
        let is_its = |lane: &LaneId| {
            let is_account = |account| account_of(lane) == account;
            lane.target == *target && account.is_none_or(is_account)
        };
        let mut states: Vec<String> = self.wire.process.scene().ledger.look(|tables| {
            let rows = tables.rows().filter(|row| !row.is_final);
            let rows = rows.filter(|row| row.lane.as_ref().is_some_and(is_its));
            let held = tables.holds().filter(|hold| is_its(&hold.lane));
            let held = held.map(|_| "ended".to_owned());
            rows.map(|row| row.state.clone()).chain(held).collect()
        });
        let are_meant = match call {
            Call::Mint => ["elevating", "active"],
            _ => ["revoking", "ended"],
        };
        states.retain(|state| are_meant.contains(&state.as_str()));
        states
    }
}

impl Google for Reached {
    fn now(&self) -> Timestamp {
        self.wire.process.clock().now()
    }

    fn cloud_now(&self) -> Timestamp {
        self.wire.process.stage().now()
    }

    fn passed(&self) -> Duration {
        self.cloud_now().since(START)
    }

    async fn rest(&self, time: Duration) {
        self.wire.process.stage().sleep(time).await;
    }

    fn some_of(&self, time: Duration) -> Duration {
        let number = self.parts.fetch_add(1, Ordering::SeqCst);
        let process = &self.wire.process;
        let mut dice = process.scene().dice.named("some of").named(process.hand());
        dice = dice.at(number);
        dice.between(Duration::ZERO, time)
    }

    fn go_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        let process = &self.wire.process;
        process.stage().spawn(process.group(), work);
    }

    async fn account(&self, name: &str) -> Result<(bool, String), Believed> {
        let mutant = Arc::clone(&self.wire.mutant);
        let name = name.to_owned();
        let seen = self.read(move |cloud| cloud.accounts(|it| it.look(&name)));
        let (enabled, text) = seen.await?;
        Ok((enabled, mutant.description(text)))
    }

    /// Google has no way to write a description only if it is still as it was read, so it does not
    /// land late here: with a ledger that forgets that is one accident too many.
    async fn describe(&self, name: &str, text: String) -> Result<(), Believed> {
        let name = name.to_owned();
        self.wire.process.step().await;
        let writing = self.wire.send(self.wire.fair(), move |cloud: &Cloud| {
            cloud.accounts(|it| it.describe(&name, text));
        });
        writing.await?;
        self.wire.process.step().await;
        Ok(())
    }

    async fn enable(&self, name: &str, enabled: bool) -> Result<(), Believed> {
        let call = if enabled { Call::Mint } else { Call::Revoke };
        let (there, trace) = (name.to_owned(), self.wire.process.scene().trace.clone());
        self.change(call, Some(name), move |cloud: &Cloud| {
            cloud.enable(&there, enabled);
            trace.tell(|| format!("{there}: enabled: {enabled}"));
        })
        .await
    }

    async fn policy(&self) -> Result<Value, Believed> {
        let scene = self.wire.process.scene();
        let is_calm = scene.stage.now() >= scene.weather.calm_from();
        self.read(move |cloud| cloud.policy(is_calm)).await
    }

    /// Who gives and who takes back share a write: what befalls it befalls both.
    async fn set_policy(&self, policy: Value) -> Result<(), Believed> {
        let policy = self.wire.mutant.policy(policy);
        let scene = Arc::clone(self.wire.process.scene());
        let written = self.change(Call::Revoke, None, move |cloud: &Cloud| {
            let written = cloud.set_policy(&policy);
            scene
                .trace
                .tell(|| format!("{}: the policy: {written:?}", cloud.target));
            if written == Written::Changed {
                let states = scene.states();
                let in_it = ["elevating", "revoking"];
                let states = states.iter().map(String::as_str);
                scene
                    .weather
                    .met(Fault::PolicyChanged, states.filter(|it| in_it.contains(it)));
            }
            written
        });
        match written.await? {
            Written::Done => Ok(()),
            Written::Changed => {
                let kind = FaultKind::Retryable { after: None };
                Err(believed(kind, POLICY_CHANGED))
            }
        }
    }

    async fn mint(
        &self,
        account: &str,
        lease: &lease::Terms,
        _: u32,
    ) -> Result<Option<(String, Timestamp)>, Believed> {
        let signed_at = self.now();
        let scene = self.wire.process.scene();
        let order = Session {
            handle: lease.handle.clone(),
            lane: lease.plan.lane.clone(),
            lease: lease.id,
            asked_at: self.wire.process.stage().now(),
            minted_at: Timestamp::default(),
            expires_at: Timestamp::default(),
            covered_until: covered_until(scene, lease),
            mark: Mark::default(),
            deleted_at: None,
        };
        let name = self.wire.process.name_of(lease.id);
        let trace = scene.trace.clone();
        let minted = self.change(Call::Mint, Some(account), move |cloud: &Cloud| {
            let minted = cloud.mint_for_account(order, signed_at);
            trace.tell(|| {
                let what = if minted.is_some() { "makes" } else { "refuses" };
                format!("{}: {what} a session of {name}", cloud.target)
            });
            minted
        });
        let minted = minted.await?;
        Ok(minted.map(|session| (session.handle.to_string(), session.expires_at)))
    }
}

impl CloudPort {
    /// Lends the account of a lease's slot, or mints for it again.
    pub(super) async fn lend(
        &self,
        terms: &Terms,
        when: (Mark, Timestamp),
        turn: Turn,
    ) -> Result<Elevation, Believed> {
        let (token, expires_at) = match turn {
            Turn::First => self.hands.lend(terms, when).await?,
            Turn::Again => self.hands.lend_on(terms, when).await?,
        };
        Ok(Elevation {
            fingerprint: format!("session of {token}"),
            credential: Credential::new("sim-session", [(SESSION, token)], expires_at),
            provider_request: None,
        })
    }

    /// Ends what a slot's account carries, and keeps ended what is held.
    pub(super) async fn disable(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Believed> {
        // One pass over a lane at a time: that is the driver's promise.
        let mut remembered = lock(&self.memory).accounts.remove(lane).unwrap_or_default();
        let account = account_of(lane);
        let passed = self
            .hands
            .take_back(&account, &mut remembered, hand, (due, holds))
            .await;
        lock(&self.memory).accounts.insert(lane.clone(), remembered);
        passed
    }

    /// Looks through all accounts, and the policy.
    pub(super) async fn look_through(&self, slots: Vec<LaneId>) -> Result<Page, Believed> {
        let named = slots.into_iter().map(|slot| {
            let account = account_of(&slot);
            (slot, account)
        });
        let found = self.hands.sweep(&named.collect::<Vec<_>>()).await?;
        Ok(Page { found, next: None })
    }
}
