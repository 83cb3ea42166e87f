//! The leases of one run: asked for, kept, given back.

use core::time::Duration;
use std::sync::Arc;

use jitney_api::{
    CredentialView, LeaseView, Problem, ProblemCode, RequestBody, RequestOutcome, RequestState,
    RequestView,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::beats::{Beats, Life};
use super::failure::Failure;
use super::held::{Held, Serving};
use super::news::{self, News};
use super::notice::say;
use super::options::Output;
use super::renewals::Renewals;
use crate::error::CallError;
use crate::pause::Pause;
use crate::requests::Client;

/// The longest a run may take to give its leases back. A CI system that cancels a job waits a few
/// seconds before it kills what is left.
pub(crate) const RELEASE_PATIENCE: Duration = Duration::from_secs(2);
/// The shortest time that is worth another try.
const RELEASE_TRY: Duration = Duration::from_millis(100);

/// How often a run asks when the answer gets lost on the way and what it held is taken back.
const ASKED_MAX: u32 = 2;
/// Why a lease ended whose credential did not arrive.
const UNDELIVERED: &str = "undelivered";

/// What a session needs to be opened.
pub(crate) struct Wish {
    pub client: Arc<Client>,
    pub life: Arc<Life>,
    pub body: RequestBody,
    pub output: Output,
    pub patience: Duration,
}

/// Granted leases with their keepers.
pub(crate) struct Session {
    client: Arc<Client>,
    pub request: String,
    pub leases: Vec<Arc<Held>>,
    keepers: Vec<JoinHandle<()>>,
}

impl Session {
    /// Asks, waits, and takes the leases over. Whatever was granted and cannot be used is given
    /// back before this returns.
    pub(crate) async fn open(wish: &Wish) -> Result<(Self, mpsc::Receiver<News>), Failure> {
        let until = Instant::now() + wish.patience;
        let mut asked = 1;
        loop {
            let view = ask(wish, until).await?;
            if was_lost(&view) && asked < ASKED_MAX {
                asked += 1;
                continue;
            }
            let id = view.id.clone();
            match settle_and_take(&wish.client, view, until).await {
                Ok(leases) => return Ok(Self::keep(wish, id, leases)),
                Err(failure) => {
                    give_back(&wish.client, &id).await;
                    return Err(failure);
                }
            }
        }
    }

    fn keep(wish: &Wish, request: String, leases: Vec<Arc<Held>>) -> (Self, mpsc::Receiver<News>) {
        let (reporter, news) = news::channel();
        let mut keepers = Vec::new();
        for lease in &leases {
            let beats = Beats::new(Arc::clone(lease), Arc::clone(&wish.life), reporter.clone());
            keepers.push(tokio::spawn(beats.beat()));
            let life = Arc::clone(&wish.life);
            let renewals = Renewals::new(Arc::clone(lease), life, wish.output, reporter.clone());
            keepers.push(tokio::spawn(renewals.renew()));
        }
        let session = Self {
            client: Arc::clone(&wish.client),
            request,
            leases,
            keepers,
        };
        (session, news)
    }

    /// Stops keeping, and gives everything back.
    pub(crate) async fn close(self) {
        for keeper in &self.keepers {
            // A renewal that overtook the release would be one more thing to take back.
            keeper.abort();
        }
        give_back(&self.client, &self.request).await;
    }
}

/// Gives a request's leases back, within [`RELEASE_PATIENCE`].
async fn give_back(client: &Client, request: &str) {
    let until = Instant::now() + RELEASE_PATIENCE;
    let mut pause = Pause::default();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match timeout(left, client.release_request(request, None)).await {
            Ok(Ok(_)) => return,
            // It is over already: that is what was wanted.
            Ok(Err(error)) if error.says_it_is_over() => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        let next = pause.next(None);
        if Instant::now() + next + RELEASE_TRY >= until {
            say(&format!(
                "the lease could not be given back ({error}); the broker ends it when it has not \
                 heard from this job for a while"
            ));
            return;
        }
        tokio::time::sleep(next).await;
    }
}

async fn ask(wish: &Wish, until: Instant) -> Result<RequestView, CallError> {
    let Life {
        source, audience, ..
    } = wish.life.as_ref();
    let left = until.saturating_duration_since(Instant::now());
    let request = wish.client.request(&wish.body, source, audience, left);
    request.await
}

/// Whether a repeated call found a request whose credentials never arrived. The broker noticed,
/// and is taking them back: only another request can be granted.
fn was_lost(view: &RequestView) -> bool {
    let mut leases = view.leases.iter();
    view.credentials.is_empty() && leases.any(|lease| lease.why.as_deref() == Some(UNDELIVERED))
}

async fn settle_and_take(
    client: &Arc<Client>,
    view: RequestView,
    until: Instant,
) -> Result<Vec<Arc<Held>>, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    let view = client.settled(view, left).await?;
    take(client, granted(view)?, until).await
}

/// A request that was granted, or why it was not.
fn granted(view: RequestView) -> Result<RequestView, Failure> {
    let code = match (view.state, view.outcome) {
        (RequestState::Granted, _) => return Ok(view),
        (RequestState::Pending, _) => {
            return Err(Failure::try_again(format!(
                "request {} waits for a person's approval; it was withdrawn, because this command \
                 waits no longer",
                view.id
            )));
        }
        (RequestState::Granting, _) => ProblemCode::Timeout,
        (RequestState::Closed, Some(RequestOutcome::Denied | RequestOutcome::Refused)) => {
            ProblemCode::Denied
        }
        (RequestState::Closed, Some(RequestOutcome::Done)) => ProblemCode::LeaseEnded,
        (RequestState::Closed, _) => ProblemCode::NotGranted,
        (RequestState::Unknown, _) => {
            return Err(Failure::configuration(format!(
                "the broker says of request {} what this version of jitney does not know: update it",
                view.id
            )));
        }
    };
    let mut problem = Problem::new(code, code.meaning());
    problem.reasons = view.decision.reasons;
    problem.rules = view.decision.rules;
    problem.request = Some(view.id);
    Err(CallError::Refused(Box::new(problem)).into())
}

/// Takes every lease with its credential.
async fn take(
    client: &Arc<Client>,
    view: RequestView,
    until: Instant,
) -> Result<Vec<Arc<Held>>, Failure> {
    let RequestView {
        leases,
        mut credentials,
        ..
    } = view;
    if leases.is_empty() {
        return Err(Failure::configuration(
            "the broker granted the request and gave no lease",
        ));
    }
    let mut held = Vec::new();
    for lease in leases {
        let at = credentials.iter().position(|c| c.lease == lease.id);
        let (lease, credential) = match at {
            Some(at) => (lease, credentials.swap_remove(at)),
            // An answer got lost, and the repeated call holds no credential: nobody stores one.
            None => renewed(client, &lease.id, until).await?,
        };
        announce(&lease);
        let serving = Serving::new(credential, &lease).ok_or_else(|| {
            Failure::configuration(format!(
                "the broker gave times of lease {} that are none",
                lease.id
            ))
        })?;
        held.push(Arc::new(Held::new(Arc::clone(client), &lease, serving)));
    }
    Ok(held)
}

async fn renewed(
    client: &Client,
    id: &str,
    until: Instant,
) -> Result<(LeaseView, CredentialView), CallError> {
    let mut pause = Pause::default();
    loop {
        match client.renew(id, None).await {
            Ok(view) => return Ok((view.lease, view.credential)),
            Err(error) => {
                let next = pause.next(error.retry_after());
                if !error.may_pass() || Instant::now() + next >= until {
                    return Err(error);
                }
                tokio::time::sleep(next).await;
            }
        }
    }
}

fn announce(lease: &LeaseView) {
    let until = lease.ends_at.as_deref().unwrap_or("an unknown time");
    say(&format!(
        "lease {} on `{}` until {until}: {}",
        lease.id,
        lease.target,
        lease.scopes.join(" ")
    ));
}
