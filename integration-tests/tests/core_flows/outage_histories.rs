//! Histories that chance makes: jobs come and go while the ledger falls ill and gets well and
//! brokers are exchanged. However they are woven, an end that was acknowledged is in the ledger
//! afterwards, as if the ledger had taken it at once, and nothing is granted that is not in it.

use std::collections::BTreeMap;

use jitney_core::audit::Event;
use jitney_core::id::LeaseId;
use jitney_core::lease::{End, Outcome};
use jitney_core::usecase::{Core, Submission};
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD_SCOPE, World, ask, proof};
use proptest::prelude::*;

use crate::outage::{Health, Spool};
use crate::{granted, outcome, seconds, world};

#[derive(Debug, Clone, Copy)]
enum Act {
    Submit,
    Release(usize),
    Renew(usize),
    Beat(usize),
    Turn,
    Pass(u64),
    Fall(Health),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let ill = prop_oneof![
        Just(Health::Full),
        Just(Health::AnswersLost),
        Just(Health::TakesAndSaysNothing),
    ];
    prop_oneof![
        3 => Just(Act::Submit),
        4 => (0_usize..8).prop_map(Act::Release),
        1 => (0_usize..8).prop_map(Act::Renew),
        1 => (0_usize..8).prop_map(Act::Beat),
        5 => Just(Act::Turn),
        3 => (1_u64..50).prop_map(Act::Pass),
        3 => ill.prop_map(Act::Fall),
        2 => Just(Act::Fall(Health::Well)),
        1 => Just(Act::Restart),
    ]
}

/// What happened in a world, past what the broker believes.
struct History<'a> {
    world: &'a World,
    spool: Spool,
    core: Option<Core>,
    brokers: u32,
    asked: u32,
    leases: Vec<(LeaseId, String)>,
    /// Leases whose release was acknowledged while they were active.
    released: BTreeMap<LeaseId, usize>,
}

impl<'a> History<'a> {
    fn new(world: &'a World) -> Self {
        let spool = Spool::new();
        let core = Some(spool.broker(world, "0"));
        Self {
            world,
            spool,
            core,
            brokers: 0,
            asked: 0,
            leases: Vec::new(),
            released: BTreeMap::new(),
        }
    }

    fn core(&self) -> &Core {
        self.core.as_ref().unwrap()
    }

    fn mints(&self) -> u32 {
        self.world
            .clouds
            .values()
            .map(|cloud| cloud.mint_calls())
            .sum()
    }

    fn lease(&self, number: usize) -> Option<(LeaseId, String)> {
        let number = number.checked_rem(self.leases.len())?;
        self.leases.get(number).cloned()
    }

    async fn act(&mut self, act: Act, place: usize) {
        let mints = self.mints();
        match act {
            Act::Submit => self.submit().await,
            Act::Release(number) => self.release(number, place).await,
            Act::Renew(number) => {
                if let Some((lease, key)) = self.lease(number) {
                    let _ = self.core().renew(lease, &proof(&key)).await;
                }
            }
            Act::Beat(number) => {
                if let Some((lease, key)) = self.lease(number) {
                    self.core().beat(lease, &proof(&key)).await.unwrap();
                }
            }
            Act::Turn => {
                self.world.turn(self.core()).await;
            }
            Act::Pass(time) => self.world.clock.pass(seconds(time)),
            Act::Fall(health) => self.spool.illness.set(health),
            Act::Restart => {
                // The spool is one broker's: the last must be gone before the next comes.
                self.core = None;
                self.brokers += 1;
                let hand = self.brokers.to_string();
                self.core = Some(self.spool.broker(self.world, &hand));
            }
        }
        if self.spool.illness.health() != Health::Well {
            assert_eq!(self.mints(), mints, "a grant without a record");
        }
        self.world.must_keep_promises().await;
    }

    async fn submit(&mut self) {
        self.asked += 1;
        let name = self.asked.to_string();
        let key = format!("key-{name}");
        let scope = if self.asked.is_multiple_of(2) {
            BACKUP_SCOPE
        } else {
            PROD_SCOPE
        };
        let submission = self.core().submit(ask(&name, &name, &key, &[scope])).await;
        if let Ok(submission @ Submission::Granted { .. }) = submission {
            let leases = granted(submission).leases;
            self.leases
                .extend(leases.into_iter().map(|(lease, _)| (lease, key.clone())));
        }
    }

    async fn release(&mut self, number: usize, place: usize) {
        let Some((lease, key)) = self.lease(number) else {
            return;
        };
        let before = self.core().lease(lease, &proof(&key)).await.unwrap();
        let released = self.core().release(lease, &proof(&key)).await;
        // It is never turned away: that is what the spool is for.
        let state = released.unwrap().state();
        assert!(state == "revoking" || state == "ended", "{state}");
        if before.state() == "active" {
            self.released.insert(lease, place);
        }
    }

    /// The ledger is well again, and everything comes to its end.
    async fn end(mut self) {
        self.act(Act::Fall(Health::Well), usize::MAX).await;
        self.world.live_out(self.core()).await;
        for lease in self.released.keys() {
            let ended = self.world.lease(*lease).await;
            let as_released = |it: &Outcome| {
                matches!(
                    it,
                    Outcome::Revoked {
                        why: End::Released,
                        ..
                    }
                )
            };
            assert!(outcome(&ended).is_some_and(as_released), "{ended:?}");
        }
        let entries = self.world.entries().await;
        for lease in self.world.leases().await {
            let id = lease.terms().id;
            let is_end = |event| matches!(event, Event::LeaseEnding | Event::LeaseDoubted);
            let ends = entries
                .iter()
                .filter(|it| it.lease_id() == Some(id) && is_end(it.event()));
            assert_eq!(ends.count(), 1, "{id} ended once");
        }
        for never in [Event::SpoolPassedOver, Event::Halted] {
            assert!(!entries.iter().any(|it| it.event() == never), "{never}");
        }
    }
}

fn live(acts: &[Act]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let (world, _folder) = world();
        let mut history = History::new(&world);
        for (place, act) in acts.iter().enumerate() {
            history.act(*act, place).await;
        }
        history.end().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_acknowledged_end_is_an_end_and_nothing_is_granted_past_the_ledger(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        live(&acts);
    }
}
