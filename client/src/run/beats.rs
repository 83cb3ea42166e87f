//! Signs of life. While they come the lease stands; when they stop the broker ends it, so that a
//! runner that dies takes its privileges along.

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;
use jitney_api::{HeartbeatView, LeaseState};
use tokio::time::{Instant, sleep};

use super::held::{Held, Standing};
use super::news::{News, Reporter};
use crate::error::CallError;
use crate::pause::jittered;
use crate::token::{CiToken, TokenSource};

/// Between two signs of life, before chance shortens it.
const BEAT: Duration = Duration::from_secs(15);
/// By how many percent chance may shorten it.
const BEAT_JITTER_PERCENT: u32 = 20;
/// The first sign comes at once: its answer says how long silence may last.
const FIRST_BEAT: Duration = Duration::from_millis(500);
/// How long silence may last until the broker has said it.
const SILENCE: Duration = Duration::from_secs(45);
/// The longest pause after a sign that was not heard.
const BEAT_AGAIN: Duration = Duration::from_secs(5);
/// How many signs in a row must be lost before it is told: one may be, when a connection that was
/// kept has just been closed.
const UNHEARD_TOLD: u32 = 2;
/// Every how many beats a fresh CI token comes along: about once a minute, so that neither the CI
/// system nor the job's budget of tokens notices.
const TOKEN_EVERY: u32 = 4;

/// Where tokens come from: those that are exchanged for a lease, and those that prove the job alive.
pub(crate) struct Life {
    pub source: TokenSource,
    pub audience: String,
    /// Never the other one: what comes with a beat is good for nothing else. Chosen here and not
    /// by the broker, who could otherwise have tokens minted for whomever it likes.
    pub beat_audience: String,
}

impl Life {
    /// A token that proves the job alive, if the CI system gives one.
    pub(crate) async fn proof(&self) -> Option<CiToken> {
        if !self.source.mints() {
            // The same token again proves nothing.
            return None;
        }
        match self.source.token(&self.beat_audience).await {
            Ok(token) => Some(token),
            Err(error) => {
                tracing::debug!(%error, "no token for a sign of life");
                None
            }
        }
    }
}

/// Beats for a lease until it is over.
pub(crate) struct Beats {
    lease: Arc<Held>,
    life: Arc<Life>,
    news: Reporter,
    silence: Duration,
    heard_at: Instant,
    unheard: u32,
    given_up: bool,
}

impl Beats {
    pub(crate) fn new(lease: Arc<Held>, life: Arc<Life>, news: Reporter) -> Self {
        Self {
            lease,
            life,
            news,
            silence: SILENCE,
            heard_at: Instant::now(),
            unheard: 0,
            given_up: false,
        }
    }

    pub(crate) async fn beat(mut self) {
        let mut pause = jittered(FIRST_BEAT, 100);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.lease.over() => return,
            }
            let token = if count.is_multiple_of(TOKEN_EVERY) {
                self.life.proof().await
            } else {
                None
            };
            let client = &self.lease.client;
            let answer = client.heartbeat(&self.lease.id, token.as_ref()).await;
            pause = match answer {
                Ok(view) => self.heard(&view).await,
                Err(error) if error.says_it_is_over() => return self.over().await,
                Err(error) => self.unheard(&error),
            };
            count = count.wrapping_add(1);
        }
    }

    async fn heard(&mut self, view: &HeartbeatView) -> Duration {
        if view.state != LeaseState::Active {
            self.over().await;
        }
        if self.unheard >= UNHEARD_TOLD {
            self.news.tell(News::Heard);
        }
        self.unheard = 0;
        self.given_up = false;
        self.heard_at = Instant::now();
        self.silence = Duration::from_secs(u64::from(view.next_within_seconds.max(1)));
        let ends_at = view.ends_at.as_deref().and_then(|end| end.parse().ok());
        if let Some(ends_at) = ends_at {
            self.now_ends_at(ends_at);
        }
        // Two may be lost on the way before the third decides.
        jittered(BEAT.min(self.silence / 3), BEAT_JITTER_PERCENT)
    }

    /// The broker's word on the end counts, also when it is sooner than it was.
    fn now_ends_at(&self, ends_at: Timestamp) {
        if let Standing::Served(serving) = self.lease.standing()
            && serving.ends_at != ends_at
        {
            let serving = Arc::new(serving.ending_at(ends_at));
            self.lease.now_stands(Standing::Served(serving));
        }
    }

    fn unheard(&mut self, error: &CallError) -> Duration {
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard == UNHEARD_TOLD {
            self.news.tell(News::Lost(error.to_string()));
        }
        if !self.given_up && self.heard_at.elapsed() >= self.silence {
            self.given_up = true;
            self.news.tell(News::Silent);
        }
        jittered(BEAT_AGAIN.min(self.silence / 3), BEAT_JITTER_PERCENT)
    }

    async fn over(&self) {
        self.news.ended(&self.lease, None).await;
    }
}
