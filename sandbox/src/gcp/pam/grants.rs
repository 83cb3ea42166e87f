//! Asking for a grant, agreeing to it, and taking it back.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::entitlements::{Entitlement, demand, found, refused};
use super::lifecycle::{Grant, Grants, Request, State, later};
use super::operations::Operation;
use super::pages::page;
use crate::call::Answer;
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::principals::Principal;
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::{Fields, read_duration};

/// How long a request id names the same grant.
const REQUEST_ID_SECONDS: i64 = 3_600;
/// The most open grants of one entitlement.
const OPEN_GRANTS_MAX: usize = 5;

pub(super) fn create(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let requester = &incoming.caller(&[])?.principal;
    if !entitlement.may_request(requester) {
        return Err(refused(incoming).into());
    }
    let request_id = request_id(incoming)?;
    let duration = duration(incoming, &entitlement)?;
    let mut grants = incoming.cloud.grants.write();
    if let Some(known) = grants.asked_before(incoming, request_id.as_ref(), &requester.member()) {
        return Ok(incoming.ok(&known.as_json()));
    }
    grants.check_room(&entitlement, &requester.member())?;
    let request = Request {
        name: format!(
            "{}/grants/{}",
            entitlement.name,
            incoming.cloud.identifiers.uuid()
        ),
        requester: requester.member(),
        duration,
        justification: incoming.body.get("justification").cloned(),
        request_id,
    };
    let mut grant = Grant::new(entitlement, request, incoming.now);
    if grant.entitlement.approvers.is_empty() {
        let mut directory = incoming.cloud.directory.write();
        grant.activate(incoming.cloud, &mut directory, incoming.now)?;
    }
    let answer = grant.as_json();
    grants.grants.insert(grant.name.clone(), grant);
    Ok(incoming.ok(&answer))
}

/// A UUID that makes a repetition the same request. Some clients send an empty one.
fn request_id(incoming: &Incoming<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = incoming.query("requestId") else {
        return Ok(None);
    };
    match uuid::Uuid::parse_str(&text) {
        Ok(id) if !id.is_nil() => Ok(Some(text)),
        _ => Err(ApiError::bad_field(
            "request_id",
            "The request id must be a UUID other than the zero UUID.",
        )),
    }
}

fn duration(
    incoming: &Incoming<'_>,
    entitlement: &Entitlement,
) -> Result<SignedDuration, ApiError> {
    let asked = incoming
        .body
        .text("requestedDuration")
        .and_then(read_duration);
    let asked = asked.filter(|asked| *asked > SignedDuration::ZERO);
    let asked = asked.ok_or_else(|| {
        ApiError::bad_field(
            "grant.requested_duration",
            "A requested duration is required.",
        )
    })?;
    if asked > entitlement.duration_max {
        let message = "The requested duration is longer than the entitlement allows.";
        return Err(ApiError::bad_field("grant.requested_duration", message));
    }
    Ok(asked)
}

impl Grants {
    fn asked_before(
        &self,
        incoming: &Incoming<'_>,
        request_id: Option<&String>,
        requester: &str,
    ) -> Option<&Grant> {
        let request_id = request_id?;
        self.grants.values().find(|grant| {
            grant.request_id.as_ref() == Some(request_id)
                && grant.requester == requester
                && incoming.now
                    < later(grant.created, SignedDuration::from_secs(REQUEST_ID_SECONDS))
        })
    }

    fn check_room(&self, entitlement: &Entitlement, requester: &str) -> Result<(), ApiError> {
        let open = self
            .grants
            .values()
            .filter(|grant| grant.entitlement.name == entitlement.name && grant.state.is_open());
        let open: Vec<&Grant> = open.collect();
        if open.iter().any(|grant| grant.requester == requester) {
            let message = "You have an open grant of this entitlement already.";
            return Err(ApiError::new(Code::FailedPrecondition, message));
        }
        if open.len() >= OPEN_GRANTS_MAX {
            let message = "The entitlement has as many open grants as it can have.";
            return Err(ApiError::new(Code::FailedPrecondition, message));
        }
        Ok(())
    }
}

/// The name of the path's grant.
fn name(incoming: &Incoming<'_>, entitlement: &Entitlement) -> String {
    format!("{}/grants/{}", entitlement.name, incoming.capture("grant"))
}

pub(super) fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let caller = &incoming.caller(&[])?.principal;
    let grants = incoming.cloud.grants.read();
    let grant = grants
        .grants
        .get(&name(incoming, &entitlement))
        .ok_or_else(|| refused(incoming))?;
    if grant.requester != caller.member() && !entitlement.may_approve(caller) {
        demand(
            incoming,
            &entitlement.project,
            "privilegedaccessmanager.grants.get",
        )?;
    }
    Ok(incoming.ok(&grant.as_json()))
}

pub(super) fn list(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    demand(
        incoming,
        &entitlement.project,
        "privilegedaccessmanager.grants.list",
    )?;
    Ok(incoming.ok(&listed(incoming, &entitlement, |_| true)?))
}

pub(super) fn search(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let caller = &incoming.caller(&[])?.principal;
    let member = caller.member();
    let asked = incoming.query("callerRelationship");
    let listed = match asked.as_deref() {
        Some("HAD_CREATED" | "1") => {
            listed(incoming, &entitlement, |grant| grant.requester == member)
        }
        Some("CAN_APPROVE" | "2") => listed(incoming, &entitlement, |grant| {
            grant.state == State::Awaited && may_approve(grant, caller)
        }),
        Some("HAD_APPROVED" | "3") => listed(incoming, &entitlement, |grant| {
            grant
                .events
                .iter()
                .any(|event| event.pointer("/approved/actor") == Some(&json!(email(&member))))
        }),
        _ => {
            return Err(
                ApiError::bad_field("caller_relationship", "Invalid caller relationship.").into(),
            );
        }
    };
    Ok(incoming.ok(&listed?))
}

fn listed(
    incoming: &Incoming<'_>,
    entitlement: &Entitlement,
    wanted: impl Fn(&Grant) -> bool,
) -> Result<Value, ApiError> {
    let grants = incoming.cloud.grants.read();
    let mut known: Vec<&Grant> = grants
        .grants
        .values()
        .filter(|grant| grant.entitlement.name == entitlement.name && wanted(grant))
        .collect();
    known.sort_by_key(|grant| grant.created);
    let known = known.into_iter().map(Grant::as_json).collect();
    page(incoming, "grants", known)
}

/// Nobody approves their own request.
fn may_approve(grant: &Grant, caller: &Principal) -> bool {
    grant.entitlement.may_approve(caller) && grant.requester != caller.member()
}

fn email(member: &str) -> &str {
    member.split_once(':').map_or(member, |(_, email)| email)
}

pub(super) fn approve(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    answered(incoming, "approved", |grant| {
        let mut directory = incoming.cloud.directory.write();
        grant.activate(incoming.cloud, &mut directory, incoming.now)
    })
}

pub(super) fn deny(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    answered(incoming, "denied", |grant| {
        grant.state = State::Denied;
        Ok(())
    })
}

/// Answers a request that waits for somebody who may.
fn answered(
    incoming: &Incoming<'_>,
    what: &str,
    act: impl FnOnce(&mut Grant) -> Result<(), ApiError>,
) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let caller = &incoming.caller(&[])?.principal;
    let mut grants = incoming.cloud.grants.write();
    let grant = grants
        .grants
        .get_mut(&name(incoming, &entitlement))
        .ok_or_else(|| refused(incoming))?;
    if !may_approve(grant, caller) {
        return Err(refused(incoming).into());
    }
    if grant.state != State::Awaited {
        let message = format!(
            "The grant does not await approval; it is {}.",
            grant.state.name()
        );
        return Err(ApiError::new(Code::FailedPrecondition, message).into());
    }
    let reason = incoming.body.text("reason").unwrap_or_default();
    grant.note(
        incoming.now,
        what,
        json!({ "reason": reason, "actor": email(&caller.member()) }),
    );
    act(grant)?;
    Ok(incoming.ok(&grant.as_json()))
}

/// Begins to take a grant back; the answer is an operation.
pub(super) fn revoke(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let caller = &incoming.caller(&[])?.principal;
    demand(
        incoming,
        &entitlement.project,
        "privilegedaccessmanager.grants.revoke",
    )?;
    let mut grants = incoming.cloud.grants.write();
    let grant = grants
        .grants
        .get_mut(&name(incoming, &entitlement))
        .ok_or_else(|| refused(incoming))?;
    let was_in_policy = match grant.state {
        State::Awaited => false,
        State::Activating { .. } | State::Active { .. } => true,
        State::Revoking { .. }
        | State::Lingering { .. }
        | State::Denied
        | State::Expired
        | State::Ended
        | State::Revoked => {
            let message = format!("The grant cannot be revoked; it is {}.", grant.state.name());
            return Err(ApiError::new(Code::FailedPrecondition, message).into());
        }
    };
    let mut at = incoming.now;
    let lingers = was_in_policy && incoming.cloud.settings.habits().revoked_before_removed;
    if lingers {
        at = later(incoming.now, incoming.cloud.settings.delays().revoke);
    } else if was_in_policy {
        let mut directory = incoming.cloud.directory.write();
        grant.withdraw(incoming.cloud, &mut directory, incoming.now)?;
        at = later(incoming.now, incoming.cloud.settings.delays().revoke);
    }
    grant.state = if lingers {
        State::Lingering { at }
    } else if at <= incoming.now {
        State::Revoked
    } else {
        State::Revoking { at }
    };
    let reason = incoming.body.text("reason").unwrap_or_default();
    grant.note(
        incoming.now,
        "revoked",
        json!({ "reason": reason, "actor": email(&caller.member()) }),
    );
    let operation = Operation {
        project: entitlement.project.clone(),
        grant: grant.name.clone(),
        started: incoming.now,
    };
    let id = incoming.cloud.identifiers.uuid();
    let operation_name = format!(
        "projects/{}/locations/global/operations/{id}",
        entitlement.project
    );
    let answer = operation.as_json(&operation_name, grant);
    grants.operations.insert(operation_name, operation);
    Ok(incoming.ok(&answer))
}
