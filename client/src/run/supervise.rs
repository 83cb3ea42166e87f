//! Watching a command that has a lease.

use core::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::child::Running;
use super::exit;
use super::news::News;
use super::options::OnLost;
use super::signals::Signals;

/// How long a command may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Waits for the command's end, passing signals on. Gives the exit code: the command's own, unless
/// it was ended because the lease was lost.
pub(crate) async fn supervise(
    mut running: Running,
    signals: &mut Signals,
    news: &mut mpsc::Receiver<News>,
    on_lost: OnLost,
) -> u8 {
    let mut ended_for: Option<(u8, Instant)> = None;
    let mut news_come = true;
    let code = loop {
        let last = ended_for.map_or_else(Instant::now, |(_, last)| last);
        tokio::select! {
            code = running.wait() => break code,
            caught = signals.next() => {
                if caught.pass_on {
                    running.signal(caught.signal);
                }
            }
            heard = news.recv(), if news_come => match heard {
                None => news_come = false,
                Some(item) => {
                    item.announce();
                    if let (OnLost::Kill, Some(code), None) = (on_lost, lost(&item), ended_for) {
                        running.signal(Signal::SIGTERM);
                        running.signal(Signal::SIGCONT);
                        ended_for = Some((code, Instant::now() + END_PATIENCE));
                    }
                }
            },
            () = sleep_until(last), if ended_for.is_some() => {
                running.signal(Signal::SIGKILL);
                // It cannot refuse this one; look again in case a member of its group is new.
                ended_for = ended_for.map(|(code, last)| (code, last + END_PATIENCE));
            }
        }
    };
    running.end_stragglers().await;
    ended_for.map_or(code, |(code, _)| code)
}

/// The exit code of a command that is ended on this news.
const fn lost(news: &News) -> Option<u8> {
    match news {
        News::Silent => Some(exit::UNREACHABLE),
        News::Ended { .. } => Some(exit::DENIED),
        News::Lost(_)
        | News::Heard
        | News::NotRenewed(_)
        | News::LastSpan(_)
        | News::Unproved(_) => None,
    }
}
