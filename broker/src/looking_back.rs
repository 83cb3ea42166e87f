//! Looking back when the broker begins: a ledger that was restored would never come by itself upon
//! what a later one has written. Nothing is minted on a target before.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use jitney_core::id::TargetName;
use jitney_core::refusal::Refusal;
use jitney_core::usecase::NOT_LOOKED_BACK;

use crate::service::Service;

/// How soon a target is looked at again that could not be; twice as long each time.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest time until it is.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// How long a call waits for the look, rather than being told to come again.
const WAITS: Duration = Duration::from_secs(5);
/// How often it is seen whether the look came through.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks at a target until a look comes through.
pub(crate) async fn look_back(service: Arc<Service>, target: TargetName) {
    let mut pause = AGAIN;
    while let Err(refusal) = service.core.look_back_at(&target).await {
        tracing::warn!(%target, code = refusal.code, why = %refusal.logged,
            "the target cannot be looked through: until it can, nothing is granted there, since \
             the ledger may have gone back in time");
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(AGAIN_MAX);
    }
}

/// Does what may mint, and again for a while as long as it comes too early: then nothing was
/// written down.
pub(crate) async fn once_looked_back<T, F>(mint: impl Fn() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let until = Instant::now() + WAITS;
    loop {
        match mint().await {
            Err(refusal) if refusal.cause == Some(NOT_LOOKED_BACK) && Instant::now() < until => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}
