//! What a fault makes of a call, whichever cloud the call is for.

use std::time::Duration;

use crate::call::Answer;
use crate::connection::Wire;
use crate::faults::FaultKind;

/// A call that has arrived: its cloud handles it, refuses it or loses it, and writes down which.
pub(crate) trait Visit: Send + Sync + Sized + 'static {
    /// Handles the call. It may have to ask others: the issuer of an assertion for its keys.
    fn finish(&self, fault: Option<&'static str>) -> impl Future<Output = Answer> + Send;
    /// Refuses the call without looking at it.
    fn refuse(&self, refusal: Ordered, fault: &'static str) -> Answer;
    /// Notes that the call was dropped unhandled.
    fn lose(&self, fault: &'static str);
    /// Notes that the answer will be held back this long.
    fn hold_answer(&mut self, after: Duration);
}

/// A refusal that a fault orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// By the rate limiter.
    Throttled,
    /// A server error of this status.
    ServerError(u16),
    /// This status and error code.
    Told { status: u16, code: String },
}

/// Handles a call under a fault; `None` means that the connection is to be cut.
pub(crate) async fn suffer<V: Visit>(
    mut visit: V,
    fault: Option<FaultKind>,
    wire: &Wire,
) -> Option<Answer> {
    let Some(fault) = fault else {
        return Some(visit.finish(None).await);
    };
    let name = fault.name();
    match fault {
        FaultKind::Throttle => Some(visit.refuse(Ordered::Throttled, name)),
        FaultKind::ServerError { status } => Some(visit.refuse(Ordered::ServerError(status), name)),
        FaultKind::Refuse { status, code } => {
            Some(visit.refuse(Ordered::Told { status, code }, name))
        }
        FaultKind::DropBefore => {
            visit.lose(name);
            None
        }
        FaultKind::DropAfter => {
            visit.finish(Some(name)).await;
            None
        }
        FaultKind::Late { after_millis } => {
            wire.cut();
            // Not awaited: the client is gone, the call is not.
            drop(finish_later(visit, after_millis, name));
            None
        }
        FaultKind::Delay { millis } => finish_later(visit, millis, name).await.ok(),
        FaultKind::SlowAnswer { millis } => {
            let after = Duration::from_millis(millis);
            visit.hold_answer(after);
            let answer = visit.finish(Some(name)).await;
            tokio::time::sleep(after).await;
            Some(answer)
        }
    }
}

/// In a task of its own, so that a client that hangs up does not stop it.
fn finish_later<V: Visit>(
    visit: V,
    millis: u64,
    fault: &'static str,
) -> tokio::task::JoinHandle<Answer> {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        visit.finish(Some(fault)).await
    })
}
