//! What the keepers of a lease find out, for the one who watches the command.

use core::time::Duration;

use tokio::sync::mpsc;

use super::held::{Held, Standing};
use super::notice::say;

/// News that wait for being read.
const WAITING_MAX: usize = 64;
/// The longest wait for the broker's word on why a lease is over.
const WHY_PATIENCE: Duration = Duration::from_secs(3);

/// Something the watcher should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Signs of life are not heard.
    Lost(String),
    /// Nothing was heard for as long as the broker waits.
    Silent,
    /// The broker hears us again.
    Heard,
    /// A renewal failed, and will be tried again.
    NotRenewed(String),
    /// The lease on this target cannot be prolonged any further.
    LastSpan(String),
    /// The lease on this target is not prolonged for a job whose CI mints no tokens while it runs.
    Unproved(String),
    /// The lease on this target is over.
    Ended {
        /// Where.
        target: String,
        /// Why.
        why: String,
    },
}

impl News {
    /// Tells the job, in one line.
    pub(crate) fn announce(&self) {
        match self {
            Self::Lost(why) => say(&format!(
                "{why}; the command runs on, and the lease ends by itself if this lasts"
            )),
            Self::Silent => say(
                "the broker has not heard from this job for as long as it waits: it will end the \
                 lease",
            ),
            Self::Heard => say("the broker hears this job again"),
            Self::NotRenewed(why) => say(&format!(
                "the lease was not renewed ({why}); it will be tried again"
            )),
            Self::LastSpan(target) => say(&format!(
                "the lease on `{target}` is at the end that no renewal passes: ask for more time \
                 in the request, or for less work in the job"
            )),
            Self::Unproved(target) => say(&format!(
                "the lease on `{target}` ends 15 minutes after its grant: beyond that the broker \
                 wants a fresh CI token, and this job has only the one in its file: lease shorter \
                 commands, each with a `jitney run` of its own"
            )),
            Self::Ended { target, why } => say(&format!("the lease on `{target}` is over: {why}")),
        }
    }
}

/// Sends news.
#[derive(Clone)]
pub(crate) struct Reporter(mpsc::Sender<News>);

/// A way for news.
pub(crate) fn channel() -> (Reporter, mpsc::Receiver<News>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Reporter(sender), receiver)
}

impl Reporter {
    /// Sends what is new. With nobody left to read it, it is not news.
    pub(crate) fn tell(&self, news: News) {
        if let Err(error) = self.0.try_send(news) {
            tracing::debug!(%error, "news nobody read");
        }
    }

    /// Marks a lease as over, and says why; without a reason the broker is asked for one.
    pub(crate) async fn ended(&self, lease: &Held, why: Option<String>) {
        // At once, so that the endpoint stops; the reason may take a moment.
        let first = why.clone().unwrap_or_else(|| "it was ended".to_owned());
        if !lease.now_stands(Standing::Over(first.clone())) {
            return;
        }
        let why = match why {
            Some(why) => why,
            None => asked_why(lease).await.unwrap_or(first),
        };
        self.tell(News::Ended {
            target: lease.target.clone(),
            why,
        });
    }
}

async fn asked_why(lease: &Held) -> Option<String> {
    let asked = lease.client.lease(&lease.id);
    let view = tokio::time::timeout(WHY_PATIENCE, asked).await.ok()?.ok()?;
    Some(match view.why.as_deref()? {
        "released" => "it was given back".to_owned(),
        "silent" => "the broker heard nothing from this job for too long".to_owned(),
        "expired" => "its time is up".to_owned(),
        "job-ended" => "the CI system says that the job is over".to_owned(),
        "killed" => "an operator ended it".to_owned(),
        other => format!("it was ended ({other})"),
    })
}
