//! Waiting until a lease is in force: some clouds hand out a credential minutes before they accept
//! it. The broker is asked to show it to the cloud, again and again, before the command starts.

use core::time::Duration;
use std::sync::Arc;

use jitney_api::{ProbeAnswer, ProbeView};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::exit;
use super::failure::Failure;
use super::held::{Held, Serving};
use super::news::News;
use super::notice::say;
use super::options::WaitEffective;
use crate::error::CallError;

/// How long to pause between two looks: the first ones soon, for clouds that are quick.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long to wait for a broker that has not yet told how long the cloud may take.
const UNTOLD: Duration = Duration::from_secs(60);
/// How often it is said that the wait goes on.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Waits until every lease is in force, or says which is not.
pub(super) async fn wait(
    how: WaitEffective,
    leases: &[Arc<Held>],
    news: &mut mpsc::Receiver<News>,
) -> Result<(), Failure> {
    let most = match how {
        WaitEffective::No => return Ok(()),
        WaitEffective::AsPromised => None,
        WaitEffective::AtMost(most) => Some(most),
    };
    let waiting = async {
        let since = Instant::now();
        for lease in leases {
            wait_for(lease, since, most).await?;
        }
        Ok(())
    };
    tokio::pin!(waiting);
    let mut news_come = true;
    loop {
        tokio::select! {
            waited = &mut waiting => return waited,
            heard = news.recv(), if news_come => match heard {
                None => news_come = false,
                Some(item) => {
                    item.announce();
                    if matches!(item, News::Ended { .. }) {
                        let told = "a lease ended before it was in force; the command was not \
                                    started";
                        return Err(Failure::new(exit::DENIED, told));
                    }
                }
            },
        }
    }
}

async fn wait_for(lease: &Held, since: Instant, most: Option<Duration>) -> Result<(), Failure> {
    let mut pause = PAUSE_MIN;
    let mut said_at: Option<Instant> = None;
    let mut promised = None;
    loop {
        let seen = look(lease).await?;
        let passed = since.elapsed();
        let target = &lease.target;
        if let Some(view) = &seen.view {
            if view.in_force_within_seconds == 0 {
                say(&format!(
                    "the lease on `{target}` is in force: {}",
                    view.in_force_says
                ));
                return Ok(());
            }
            match view.answer {
                ProbeAnswer::Accepted => {
                    let seconds = passed.as_secs();
                    say(&format!(
                        "the lease on `{target}` is in force, after {seconds} s"
                    ));
                    return Ok(());
                }
                ProbeAnswer::CannotTell => return Err(cannot_tell(target, &seen.why)),
                ProbeAnswer::Refused | ProbeAnswer::Unknown => {}
            }
            promised = Some(Duration::from_secs(view.in_force_within_seconds.into()));
        }
        let says = seen.view.as_ref().map(|view| view.in_force_says.as_str());
        let bound = most.or(promised).unwrap_or(UNTOLD);
        if passed >= bound {
            return Err(too_late(target, bound, &seen, says));
        }
        if said_at.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            said_at = Some(Instant::now());
            say(&not_yet(target, passed, &seen, says));
        }
        sleep(pause.min(bound.saturating_sub(passed))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What one look came to.
struct Seen {
    view: Option<ProbeView>,
    /// Why there is no clear answer, when there is none.
    why: String,
}

async fn look(lease: &Held) -> Result<Seen, Failure> {
    let serving: Option<Arc<Serving>> = lease.serving();
    let serving = serving.ok_or_else(|| {
        let told = format!("the lease on `{}` is over", lease.target);
        Failure::new(exit::DENIED, told)
    })?;
    match lease.client.probe(&lease.id, &serving.credential).await {
        Ok(view) => Ok(Seen {
            why: view.why.clone().unwrap_or_default(),
            view: Some(view),
        }),
        Err(error) if error.may_pass() => Ok(Seen {
            view: None,
            why: error.to_string(),
        }),
        // A lease that is over is told so; what is no path is a broker that does not know it.
        Err(CallError::Refused(problem)) if problem.status == 404 => Err(Failure::configuration(
            "the broker cannot say whether a lease is in force: update it, or leave \
             `--wait-effective` out",
        )),
        Err(error) => Err(error.into()),
    }
}

fn not_yet(target: &str, passed: Duration, seen: &Seen, says: Option<&str>) -> String {
    let seconds = passed.as_secs();
    let says = says.map(|says| format!("; {says}")).unwrap_or_default();
    let why = match seen.why.as_str() {
        "" => String::new(),
        why => format!(" (no clear answer: {why})"),
    };
    format!("the lease on `{target}` is not in force yet, {seconds} s{says}{why}")
}

fn too_late(target: &str, bound: Duration, seen: &Seen, says: Option<&str>) -> Failure {
    let seconds = bound.as_secs();
    let last = match (&seen.view, seen.why.as_str()) {
        (
            Some(ProbeView {
                answer: ProbeAnswer::Refused,
                ..
            }),
            _,
        ) => "the cloud refuses the credential".to_owned(),
        (_, why) => format!("there is no clear answer: {why}"),
    };
    let says = says.map(|says| format!(" ({says})")).unwrap_or_default();
    Failure::try_again(format!(
        "the lease on `{target}` was not in force after {seconds} s: {last}{says}; the command was \
         not started and the lease is given back: wait longer with `--wait-effective=SECONDS`, or \
         let the platform team look at what is granted"
    ))
}

fn cannot_tell(target: &str, why: &str) -> Failure {
    Failure::configuration(format!(
        "whether the lease on `{target}` is in force cannot be told: {why}; the command was not \
         started and the lease is given back: leave `--wait-effective` out"
    ))
}
