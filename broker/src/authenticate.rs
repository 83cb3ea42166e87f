//! Who calls. A request shows a CI token and a proof of the key it binds itself to; every later
//! call shows a proof by that key, and may show a token for signs of life. A CI's post step is
//! another process without the key: it may give back, and nothing else, with a fresh token of the
//! same job.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jitney_api::{DPOP, ProblemCode};
use jitney_core::books::{FoundLease, FoundRequest};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::principal::Principal;
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Proof, ShownProof};
use jitney_identity::dpop::{self, DpopProof, Expected};
use jitney_identity::{ProvedLife, Verified};

use crate::problem::Declined;
use crate::service::Service;

/// What a call shows of its caller. Believed, but a proof may have been used before: see
/// [`Service::admit`].
pub(crate) struct Caller {
    proof: Option<DpopProof>,
    job: Option<Verified>,
}

/// A call's proof, believed, and its token, which is not yet.
struct Shown<'a> {
    proof: Option<DpopProof>,
    unverified_token: Option<&'a str>,
}

/// Who holds the key of a lease or request, and what they show of their job's life.
pub(crate) struct Holder {
    pub(crate) key: DpopProof,
    life: Option<ProvedLife>,
}

/// What shows that a lease is the caller's, and that it was shown.
pub(crate) struct Held {
    pub(crate) proof: Proof,
    pub(crate) shown: ShownProof,
}

impl Holder {
    pub(crate) fn proof(&self) -> Proof {
        Proof::Key(self.key.thumbprint.clone())
    }
}

impl Caller {
    /// The ways in which the caller can show that something is theirs, the key first.
    fn proofs(&self) -> Vec<Proof> {
        let by_key = self
            .proof
            .iter()
            .map(|proof| Proof::Key(proof.thumbprint.clone()));
        let by_job = self
            .job
            .iter()
            .map(|verified| Proof::Job(verified.job.key.clone()));
        by_key.chain(by_job).collect()
    }

    /// The proof by the caller's key, when one was shown.
    pub(crate) const fn key(&self) -> Option<&DpopProof> {
        self.proof.as_ref()
    }
}

impl Service {
    /// The principal of a new request, with the proof that is still to be admitted.
    pub(crate) async fn principal(
        &self,
        parts: &Parts,
    ) -> Result<(Principal, DpopProof), Declined> {
        let caller = self.caller(parts).await?;
        let verified = caller.job.ok_or_else(|| {
            Declined::new(
                ProblemCode::MissingToken,
                "a request shows the CI's token: `authorization: Bearer <token>`",
            )
        })?;
        let proof = caller.proof.ok_or_else(missing_proof)?;
        let principal = Principal {
            job: verified.job,
            token: verified.token,
            key: proof.thumbprint.clone(),
        };
        Ok((principal, proof))
    }

    /// Verifies whatever the call shows.
    pub(crate) async fn caller(&self, parts: &Parts) -> Result<Caller, Declined> {
        let shown = self.shown(parts)?;
        let job = match shown.unverified_token {
            Some(unverified) => Some(self.verifier.verify(unverified, self.now()).await?),
            None => None,
        };
        Ok(Caller {
            proof: shown.proof,
            job,
        })
    }

    /// The caller of a lease's or request's own calls, who must hold its key. A token beside it
    /// proves life and nothing else.
    pub(crate) async fn holder(&self, parts: &Parts) -> Result<Holder, Declined> {
        let shown = self.shown(parts)?;
        let key = shown.proof.ok_or_else(missing_proof)?;
        let life = match shown.unverified_token {
            Some(unverified) => Some(self.verifier.verify_beat(unverified, self.now()).await?),
            None => None,
        };
        Ok(Holder { key, life })
    }

    /// The holder's lease, and the proof that shows it to be theirs. Whatever life their token
    /// proved must be that of the lease's own job, and counts from now on.
    pub(crate) async fn held(
        &self,
        parts: &Parts,
        id: LeaseId,
    ) -> Result<(FoundLease, Held), Declined> {
        let holder = self.holder(parts).await?;
        let proof = holder.proof();
        let lease = self.core.lease(id, &proof).await?;
        if let Some(life) = &holder.life {
            self.core.lease(id, &Proof::Job(life.job.clone())).await?;
        }
        self.admit(Some(&holder.key))?;
        if let Some(life) = holder.life {
            self.core.prove_life(id, &life.job, life.minted_at).await?;
        }
        let shown = ShownProof {
            once: holder.key.once,
            remember_until: holder.key.remember_until,
        };
        Ok((lease, Held { proof, shown }))
    }

    fn shown<'a>(&self, parts: &'a Parts) -> Result<Shown<'a>, Declined> {
        let unverified_token = bearer(&parts.headers)?;
        // The proof costs no fetch, so it is looked at before the token.
        let proof = match single(&parts.headers, DPOP)? {
            Some(unverified) => Some(dpop::verify(
                unverified,
                &Expected {
                    method: parts.method.as_str(),
                    url: &self.address_of(parts.uri.path()),
                    now: self.now(),
                    key: None,
                    token: unverified_token,
                },
            )?),
            None => None,
        };
        Ok(Shown {
            proof,
            unverified_token,
        })
    }

    /// The first of the caller's proofs by which the lease is theirs.
    pub(crate) async fn lease_of(&self, caller: &Caller, id: LeaseId) -> Result<Proof, Declined> {
        for proof in caller.proofs() {
            match self.core.lease(id, &proof).await {
                Ok(_) => return Ok(proof),
                Err(refusal) if refusal.code == "not_found" => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(nothing_shown(caller))
    }

    /// The request with its leases, if it is the caller's by one of their proofs.
    pub(crate) async fn request_of(
        &self,
        caller: &Caller,
        id: RequestId,
    ) -> Result<(FoundRequest, Vec<FoundLease>), Declined> {
        for proof in caller.proofs() {
            match self.core.request(id, &proof).await {
                Ok(found) => return Ok(found),
                Err(refusal) if refusal.code == "not_found" => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(nothing_shown(caller))
    }

    /// Uses the proof up. Called last, for a caller who is otherwise entitled: refused calls then
    /// take no room in the memory.
    pub(crate) fn admit(&self, proof: Option<&DpopProof>) -> Result<(), Declined> {
        match proof {
            Some(proof) => Ok(self.replay.admit(proof, self.now())?),
            None => Ok(()),
        }
    }
}

fn nothing_shown(caller: &Caller) -> Declined {
    if caller.proof.is_none() && caller.job.is_none() {
        return missing_proof();
    }
    Refusal::not_found().into()
}

fn missing_proof() -> Declined {
    Declined::new(
        ProblemCode::MissingProof,
        "the call shows no proof of possession: send one in the header `dpop` (RFC 9449)",
    )
}

/// The CI token, not yet believed.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Declined> {
    let Some(value) = single(headers, AUTHORIZATION.as_str())? else {
        return Ok(None);
    };
    let token = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token.map(Some).ok_or_else(|| {
        Declined::new(
            ProblemCode::MissingToken,
            "the header `authorization` is not `Bearer <token>`",
        )
    })
}

/// The one value of a header. Two are refused: whoever stands in front of the broker may have
/// looked at the other one.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Declined> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Declined::new(
            ProblemCode::BadRequest,
            format!("the header `{name}` is there twice"),
        ));
    }
    value.to_str().map(Some).map_err(|_| {
        Declined::new(
            ProblemCode::BadRequest,
            format!("the header `{name}` is not printable ASCII"),
        )
    })
}
