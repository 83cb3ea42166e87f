//! Webhooks: a CI system says that a job is over, and that job's leases end. Believed for the hook's
//! secret alone, so all it can do is end what somebody has.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jitney_api::{JobEndedView, ProblemCode};
use jitney_core::principal::JobKey;
use jitney_identity::hooks::{EVENT_BYTES_MAX, GithubHook, GitlabHook, Heard, NotHeard};
use tokio::sync::Semaphore;

use crate::authenticate::single;
use crate::body;
use crate::edge::no_such_path;
use crate::metrics::names;
use crate::problem::Declined;
use crate::requests::under_way;
use crate::service::Service;

/// The most calls whose bodies are read at a time. Bounds the memory that strangers can fill.
const READ_MAX: usize = 256;
/// The most deliveries that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// The webhooks that a broker has. The path of an absent one does not exist.
#[derive(Default)]
pub struct Hooks {
    /// GitHub's.
    pub github: Option<GithubHook>,
    /// GitLab's.
    pub gitlab: Option<GitlabHook>,
}

/// The hooks, and what came in through them.
pub(crate) struct Ears {
    pub(crate) hooks: Hooks,
    reading: Semaphore,
    delivered: Mutex<Delivered>,
}

impl Ears {
    pub(crate) fn new(hooks: Hooks) -> Self {
        Self {
            hooks,
            reading: Semaphore::new(READ_MAX),
            delivered: Mutex::default(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Delivered) -> T) -> T {
        work(
            &mut self
                .delivered
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

type Digest = [u8; 32];

/// What was heard and acted upon. Known by the body, which is what a secret vouches for: the
/// delivery's id stands in a header that anybody on the way could change.
#[derive(Default)]
struct Delivered {
    known: HashSet<Digest>,
    oldest_first: VecDeque<Digest>,
}

impl Delivered {
    fn remember(&mut self, delivery: Digest) {
        if !self.known.insert(delivery) {
            return;
        }
        self.oldest_first.push_back(delivery);
        if self.oldest_first.len() > REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// `POST /v1/webhooks/github`.
pub(crate) async fn github(
    State(service): State<Arc<Service>>,
    call: Request,
) -> Result<Response, Declined> {
    let Some(hook) = &service.ears.hooks.github else {
        return Err(no_such_path().await);
    };
    let hear = |headers: &HeaderMap, body: &[u8]| hook.hear(|name| header(headers, name), body);
    heard(&service, "github", call, hear).await
}

/// `POST /v1/webhooks/gitlab`.
pub(crate) async fn gitlab(
    State(service): State<Arc<Service>>,
    call: Request,
) -> Result<Response, Declined> {
    let Some(hook) = &service.ears.hooks.gitlab else {
        return Err(no_such_path().await);
    };
    let hear = |headers: &HeaderMap, body: &[u8]| hook.hear(|name| header(headers, name), body);
    heard(&service, "gitlab", call, hear).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    single(headers, name).ok().flatten()
}

async fn heard(
    service: &Arc<Service>,
    forge: &'static str,
    call: Request,
    hear: impl FnOnce(&HeaderMap, &[u8]) -> Result<Heard, NotHeard>,
) -> Result<Response, Declined> {
    let answer = act(service, call, hear).await;
    // A counter and a line in the log, no entry in the audit log: strangers must not make the
    // ledger write.
    let result = match &answer {
        Ok(response) if response.status() == StatusCode::ACCEPTED => "job_ended",
        Ok(_) => "ignored",
        Err(declined) => declined.code().as_str(),
    };
    let labels = [("forge", forge), ("result", result)];
    service.metrics.count(names::WEBHOOKS, &labels);
    answer
}

async fn act(
    service: &Arc<Service>,
    call: Request,
    hear: impl FnOnce(&HeaderMap, &[u8]) -> Result<Heard, NotHeard>,
) -> Result<Response, Declined> {
    let Ok(place) = service.ears.reading.try_acquire() else {
        let busy = "the broker reads as many events as it can";
        return Err(Declined::new(ProblemCode::TryAgain, busy).retry_after(1));
    };
    let (parts, body) = call.into_parts();
    let body = body::raw(body, EVENT_BYTES_MAX).await?;
    // What is done about it takes no place from those who are still to be heard.
    drop(place);
    let job = match hear(&parts.headers, &body).map_err(declined)? {
        Heard::JobEnded(job) => job,
        Heard::Other => return Ok(StatusCode::NO_CONTENT.into_response()),
    };
    let mut delivery = Digest::default();
    delivery.copy_from_slice(digest(&SHA256, &body).as_ref());
    let again = service
        .ears
        .with(|delivered| delivered.known.contains(&delivery));
    let leases_ended = if again { 0 } else { end(service, job).await? };
    // Only now: what could not be done must be done when it is delivered again.
    service.ears.with(|delivered| delivered.remember(delivery));
    let view = JobEndedView { leases_ended };
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

async fn end(service: &Arc<Service>, job: JobKey) -> Result<u32, Declined> {
    let core = Arc::clone(&service.core);
    let ended = under_way(&service.crew, async move { core.job_ended(&job).await }).await;
    service.driver.nudge();
    Ok(ended??)
}

fn declined(why: NotHeard) -> Declined {
    match why {
        NotHeard::NotBelieved(told) => Declined::new(ProblemCode::BadSignature, told),
        NotHeard::NotUnderstood(told) => Declined::new(ProblemCode::BadRequest, told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_deliveries_are_forgotten_first() {
        let mut delivered = Delivered::default();
        let named = |name: usize| {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&name.to_be_bytes());
            digest
        };
        for name in 0..=REMEMBERED_MAX {
            delivered.remember(named(name));
            delivered.remember(named(name));
        }
        assert_eq!(delivered.known.len(), REMEMBERED_MAX);
        assert!(!delivered.known.contains(&named(0)));
        assert!(delivered.known.contains(&named(1)));
        assert!(delivered.known.contains(&named(REMEMBERED_MAX)));
    }
}
