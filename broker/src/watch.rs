//! Watches over what is overdue: leases whose revocation did not come through in time are logged,
//! counted and told, each once, with what is exposed until when. Nothing here stands in the way of
//! revoking, and nothing here ends anything.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jitney_api::admin::AlarmView;
use jitney_core::id::LeaseId;
use jitney_core::ledger::CannotRead;
use jitney_core::usecase::Stuck;

use crate::admin::worst;
use crate::metrics::names;
use crate::service::Service;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// The longest pause before an alarm that did not arrive is told again.
const TELL_AGAIN_MAX: Duration = Duration::from_secs(300);
/// The states of an open lease. Those without a lease are shown too, as none.
const OPEN_STATES: [&str; 3] = ["elevating", "active", "revoking"];

/// What was said already.
#[derive(Default)]
struct Watch {
    logged: BTreeSet<LeaseId>,
    told: BTreeSet<LeaseId>,
    failures: u32,
    not_before: Option<Instant>,
}

/// Looks again and again, until it is dropped.
pub(crate) async fn watch(service: Arc<Service>) {
    let mut watch = Watch::default();
    loop {
        if let Err(error) = watch.look(&service).await {
            tracing::error!(%error, "cannot see what is overdue; it will be looked for again");
        }
        service.metrics.fold();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Watch {
    async fn look(&mut self, service: &Service) -> Result<(), CannotRead> {
        count(service).await?;
        let stuck = service.core.stuck().await?;
        service
            .metrics
            .set(names::REVOKE_STUCK, &[], whole(stuck.len()));
        self.log(&stuck);
        self.tell(service, &stuck).await;
        Ok(())
    }

    fn log(&mut self, stuck: &[Stuck]) {
        let now_stuck: BTreeSet<LeaseId> = stuck.iter().map(|stuck| stuck.lease).collect();
        for lease in self.logged.difference(&now_stuck) {
            tracing::info!(%lease, "no longer overdue");
        }
        self.told.retain(|lease| now_stuck.contains(lease));
        for stuck in stuck {
            if !self.logged.contains(&stuck.lease) {
                tracing::error!(
                    lease = %stuck.lease,
                    lane = %stuck.lane,
                    why = stuck.why.as_str(),
                    since = %stuck.since,
                    attempts = stuck.attempts,
                    written = stuck.written,
                    exposed_until = %stuck.exposed_until,
                    "a revocation is overdue: what the lease gave may still work"
                );
            }
        }
        self.logged = now_stuck;
    }

    /// Tells what was not told yet. Should it not arrive, a later look tells what is so then.
    async fn tell(&mut self, service: &Service, stuck: &[Stuck]) {
        let Some(alarms) = &service.alarms else {
            return;
        };
        let is_new = |stuck: &&Stuck| !self.told.contains(&stuck.lease);
        let untold: Vec<Stuck> = stuck.iter().filter(is_new).cloned().collect();
        if untold.is_empty() || self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let now = service.now();
        let leases = worst(&untold);
        let alarm = AlarmView {
            kind: "leases_stuck".to_owned(),
            at: now.to_string(),
            broker: service.public_url.to_string(),
            more: u64::try_from(untold.len().saturating_sub(leases.len())).unwrap_or(u64::MAX),
            leases,
        };
        let arrived = alarms.tell(&alarm, now).await;
        let result = if arrived.is_ok() { "told" } else { "not_told" };
        service.metrics.count(names::ALARMS, &[("result", result)]);
        match arrived {
            Ok(()) => {
                self.told.extend(untold.iter().map(|stuck| stuck.lease));
                (self.failures, self.not_before) = (0, None);
            }
            Err(why) => {
                let doubled = LOOK_EVERY.saturating_mul(1 << self.failures.min(8));
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(Instant::now() + doubled.min(TELL_AGAIN_MAX));
                tracing::error!(why, "an alarm was not told; it will be told again");
            }
        }
    }
}

/// Brings the gauges up to date.
async fn count(service: &Service) -> Result<(), CannotRead> {
    let books = &service.core.books;
    let open = books.ledger().count_open().await?;
    for state in OPEN_STATES {
        let count = open.get(state).copied().unwrap_or_default();
        let labels = [("state", state)];
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        service.metrics.set(names::LEASES, &labels, whole(count));
    }
    let halted = books.standing().await?.says.halt.is_some();
    let halted = if halted { 1.0 } else { 0.0 };
    service.metrics.set(names::HALTED, &[], halted);
    Ok(())
}

/// Prometheus knows no whole numbers; these are far from where that would matter.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
const fn whole(count: usize) -> f64 {
    count as f64
}
