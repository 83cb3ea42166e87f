//! Prolonging a lease while its command runs, well before its end, so that a broker that is away
//! for a while is not noticed.

use core::time::Duration;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jitney_api::{LeaseView, ProblemCode, RenewalView};
use tokio::time::{Instant, sleep_until};

use super::beats::Life;
use super::held::{Held, Serving, Standing};
use super::news::{News, Reporter};
use super::options::Output;
use crate::error::CallError;
use crate::pause::jittered;

/// After a renewal that failed, and between two that are asked for; less when little is left.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
const RENEW_AGAIN_MIN: Duration = Duration::from_millis(250);
/// Two ends that are no further apart are the same.
const SAME_END: Duration = Duration::from_secs(1);
/// How long after its grant a lease ends whose job shows no fresh token.
const UNPROVED: SignedDuration = SignedDuration::from_mins(15);
/// By how many percent chance may shorten a wait.
const RENEW_JITTER_PERCENT: u32 = 10;

/// Renews a lease until it is over.
pub(crate) struct Renewals {
    lease: Arc<Held>,
    life: Arc<Life>,
    /// When the credential in the command's variables ends; absent when it can be refreshed.
    fixed_until: Option<Timestamp>,
    news: Reporter,
    /// From one grant or renewal to the end of what was then handed out.
    span: Duration,
    next: Instant,
    tried_at: Instant,
    failing: bool,
}

impl Renewals {
    pub(crate) fn new(lease: Arc<Held>, life: Arc<Life>, output: Output, news: Reporter) -> Self {
        let now = Instant::now();
        let fixed_until = match (output, lease.standing()) {
            (Output::Env, Standing::Served(serving)) => Some(serving.expires_at),
            (Output::Env, Standing::Over(_)) | (Output::Loopback, _) => None,
        };
        let mut renewals = Self {
            lease,
            life,
            fixed_until,
            news,
            span: Duration::ZERO,
            next: now,
            tried_at: now,
            failing: false,
        };
        renewals.begin_span();
        renewals
    }

    /// The next renewal comes when two thirds of the time are over.
    fn begin_span(&mut self) {
        if let Standing::Served(serving) = self.lease.standing() {
            self.span = self.lease.until(serving.usable_until());
            let wait = jittered(self.span * 2 / 3, RENEW_JITTER_PERCENT);
            self.next = Instant::now() + wait;
        }
    }

    pub(crate) async fn renew(mut self) {
        let mut prolongs = true;
        loop {
            let Standing::Served(serving) = self.lease.standing() else {
                return;
            };
            let left = self.lease.until(serving.ends_at);
            let usable = self.lease.until(serving.usable_until());
            let mut changed = self.lease.watch();
            changed.mark_unchanged();
            let of_use = self.is_of_use(left);
            tokio::select! {
                () = sleep_until(Instant::now() + left) => {
                    let why = "its time is up".to_owned();
                    return self.news.ended(&self.lease, Some(why)).await;
                }
                () = sleep_until(self.next), if prolongs && of_use => {
                    prolongs = self.try_once().await;
                }
                () = self.lease.fresh_wanted(), if prolongs && of_use => {
                    let is_short = usable < self.span / 3;
                    if is_short && self.tried_at.elapsed() >= again(usable) {
                        prolongs = self.try_once().await;
                    }
                }
                _ = changed.changed() => {}
            }
        }
    }

    /// A variable cannot be refreshed: beyond its credential's end there is nothing to prolong.
    fn is_of_use(&self, left: Duration) -> bool {
        self.fixed_until
            .is_none_or(|end| self.lease.until(end) > left.saturating_add(SAME_END))
    }

    /// Whether another renewal may succeed later.
    async fn try_once(&mut self) -> bool {
        self.tried_at = Instant::now();
        let token = self.life.proof().await;
        let client = &self.lease.client;
        let error = match client.renew(&self.lease.id, token.as_ref()).await {
            Ok(view) => return self.renewed(view),
            Err(error) => error,
        };
        if error.says_it_is_over() {
            self.news.ended(&self.lease, None).await;
            return false;
        }
        if error.problem() == Some(ProblemCode::AtAbsoluteEnd) {
            return self.is_the_last_span(News::LastSpan);
        }
        if error.problem() == Some(ProblemCode::NeedsProofOfLife) && !self.life.source.mints() {
            return self.is_the_last_span(News::Unproved);
        }
        self.failed(&error);
        true
    }

    /// Nothing more is to be had. The lease goes on to its end.
    fn is_the_last_span(&self, news: impl FnOnce(String) -> News) -> bool {
        self.news.tell(news(self.lease.target.clone()));
        false
    }

    fn renewed(&mut self, view: RenewalView) -> bool {
        let RenewalView { lease, credential } = view;
        let Some(serving) = Serving::new(credential, &lease) else {
            self.again_soon(None);
            return true;
        };
        let (ends_at, usable_until) = (serving.ends_at, serving.usable_until());
        self.lease.now_stands(Standing::Served(Arc::new(serving)));
        self.failing = false;
        self.begin_span();
        // The credential now lasts as long as the lease: another would be one more and gain nothing.
        if usable_until < ends_at {
            return true;
        }
        if lease.absolute_end.parse().ok() == Some(ends_at) {
            return self.is_the_last_span(News::LastSpan);
        }
        if is_bounded(&lease) && !self.life.source.mints() {
            return self.is_the_last_span(News::Unproved);
        }
        true
    }

    fn failed(&mut self, error: &CallError) {
        if !self.failing {
            self.failing = true;
            self.news.tell(News::NotRenewed(error.to_string()));
        }
        self.again_soon(error.retry_after());
    }

    fn again_soon(&mut self, asked: Option<Duration>) {
        let left = match self.lease.standing() {
            Standing::Served(serving) => self.lease.until(serving.usable_until()),
            Standing::Over(_) => Duration::ZERO,
        };
        let wait = again(left).max(asked.unwrap_or_default());
        self.next = Instant::now() + jittered(wait, RENEW_JITTER_PERCENT);
    }
}

/// Whether the broker gave the lease no more than what it gives without a proof of life.
fn is_bounded(lease: &LeaseView) -> bool {
    let parse = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    match (parse(&lease.granted_at), parse(&lease.ends_at)) {
        (Some(granted_at), Some(ends_at)) => ends_at.duration_since(granted_at) == UNPROVED,
        _ => false,
    }
}

/// How long to wait with so much left: there should be time for several tries.
fn again(left: Duration) -> Duration {
    (left / 4).clamp(RENEW_AGAIN_MIN, RENEW_AGAIN)
}
