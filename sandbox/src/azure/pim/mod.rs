//! Privileged Identity Management (2020-10-01): schedule requests, schedules, instances and policies.
//!
//! Every tuple of scope, role and principal has one [timeline]. Errors follow from where on it the clock
//! stands: a young assignment "does not exist", then is "too short", then can be removed, and then "exists" for a
//! while although nothing is left.

mod duration;
mod policy;
mod reading;
mod request;
mod shown;
mod timeline;

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::call::Answer;

use super::arm::Incoming;
use super::book::{Book, EndedBy, Grant, Origin, Tuple, later};
use super::errors::ArmError;
use super::estate::Estate;
use super::settings::Settings;
use super::tenant::{EstateError, Tenant};
use super::world::seconds;
use policy::Policies;
pub(super) use policy::{read_policies, read_policy_assignments, update_policy};
pub(super) use reading::{read_instances, read_requests, read_schedules};
use request::{
    Lawful, Request, RequestType, Status, check_licence, judge, no_request, request_name,
};
use timeline::{Phase, Schedule, Stage, Turn};

/// Everything PIM knows.
#[derive(Default)]
pub(crate) struct Pim {
    policies: Policies,
    requests: BTreeMap<Uuid, Request>,
    stages: HashMap<Tuple, Stage>,
}

impl Pim {
    pub(crate) fn found(estate: &Estate, tenant: &Tenant) -> Result<Pim, EstateError> {
        Ok(Pim {
            policies: Policies::found(estate, tenant)?,
            ..Pim::default()
        })
    }

    /// Does what has come due.
    pub(crate) fn settle(&mut self, book: &mut Book, settings: &Settings, now: Timestamp) {
        if settings.licence_lapsed {
            // "Active time-bound assignments become active permanent."
            for schedule in self.stages.values_mut().filter_map(Stage::schedule_mut) {
                schedule.ends = None;
            }
        }
        self.stages
            .retain(|_, stage| stage.phase(settings, now) != Phase::Free);
        let due: Vec<Tuple> = self
            .stages
            .iter()
            .filter(|(_, stage)| stage.due(now).is_some())
            .map(|(tuple, _)| tuple.clone())
            .collect();
        for tuple in due {
            while let Some(turn) = self.stages.get(&tuple).and_then(|stage| stage.due(now)) {
                self.turn(book, settings, &tuple, turn);
            }
        }
    }

    fn turn(&mut self, book: &mut Book, settings: &Settings, tuple: &Tuple, turn: Turn) {
        let Some(stage) = self.stages.remove(tuple) else {
            return;
        };
        let lag = settings.effect_lag();
        let next = match (turn, stage) {
            (Turn::Begin { at }, Stage::Waiting { schedule, .. }) => {
                self.set_status(schedule.request, Status::Provisioned);
                Some(self.begin(book, tuple, schedule, at, lag))
            }
            (Turn::Expire { at }, Stage::Active(schedule)) => {
                book.end(schedule.assignment, at, lag, EndedBy::Expiry);
                None
            }
            (
                Turn::Expire { at },
                Stage::Leaving {
                    schedule, removal, ..
                },
            ) => {
                book.end(schedule.assignment, at, lag, EndedBy::Expiry);
                self.set_status(removal, Status::Revoked);
                None
            }
            (
                Turn::Leave { at },
                Stage::Leaving {
                    schedule, removal, ..
                },
            ) => {
                book.end(schedule.assignment, at, lag, EndedBy::Removal);
                self.set_status(removal, Status::Revoked);
                Some(Stage::Gone { since: at })
            }
            (_, stage) => Some(stage),
        };
        if let Some(next) = next {
            self.stages.insert(tuple.clone(), next);
        }
    }

    /// Makes the role assignment behind a schedule.
    fn begin(
        &self,
        book: &mut Book,
        tuple: &Tuple,
        mut schedule: Schedule,
        at: Timestamp,
        lag: SignedDuration,
    ) -> Stage {
        schedule.begins = at;
        book.write(Grant {
            name: schedule.assignment,
            tuple: tuple.clone(),
            principal_type: schedule.principal_type,
            description: None,
            delegated_identity: None,
            condition: schedule.condition.clone(),
            origin: Origin::Pim,
            created: at,
            created_by: Some(schedule.requestor),
            written: at,
            enforced_from: later(at, lag),
            end: None,
        });
        Stage::Active(schedule)
    }

    fn set_status(&mut self, request: Uuid, status: Status) {
        if let Some(request) = self.requests.get_mut(&request) {
            request.status = status;
        }
    }

    /// The role assignment behind a schedule was deleted: nothing is left to end.
    pub(crate) fn lost(&mut self, tuple: &Tuple) {
        if self
            .stages
            .get(tuple)
            .is_some_and(|stage| stage.instance().is_some())
        {
            self.stages.remove(tuple);
        }
    }

    fn phase(&self, tuple: &Tuple, settings: &Settings, now: Timestamp) -> Phase {
        self.stages
            .get(tuple)
            .map_or(Phase::Free, |stage| stage.phase(settings, now))
    }
}

/// `RoleAssignmentScheduleRequests_Create`
pub(super) fn create_request(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = request_name(name)?;
    if incoming.world.pim.requests.contains_key(&name) {
        return Err(ArmError::new(
            409,
            "RoleAssignmentRequestExists",
            format!("A role assignment request with Id: {name} already exists."),
        ));
    }
    let lawful = judge(incoming, name)?;
    check_timeline(incoming, &lawful.request)?;
    let request = carry_out(incoming, lawful);
    let shown = shown::request(&incoming.cloud.tenant, &request);
    incoming.world.pim.requests.insert(name, request);
    Ok(Answer::json(201, &shown))
}

/// `RoleAssignmentScheduleRequests_Validate`: the same judgement, and nothing is done.
pub(super) fn validate_request(
    incoming: &mut Incoming<'_>,
    name: &str,
) -> Result<Answer, ArmError> {
    let lawful = judge(incoming, request_name(name)?)?;
    check_timeline(incoming, &lawful.request)?;
    Ok(Answer::json(
        200,
        &shown::request(&incoming.cloud.tenant, &lawful.request),
    ))
}

/// What the timeline answers to a request.
fn check_timeline(incoming: &Incoming<'_>, request: &Request) -> Result<(), ArmError> {
    let pim = &incoming.world.pim;
    let phase = pim.phase(&request.tuple, &incoming.settings, incoming.now);
    let gives = matches!(
        request.kind,
        RequestType::AdminAssign | RequestType::AdminRenew
    );
    let removes = request.kind == RequestType::AdminRemove;
    match phase {
        Phase::Waiting | Phase::Leaving => Err(ArmError::bad_request(
            "PendingRoleAssignmentRequest",
            "There is already a pending Role assignment request for this principal, role and scope.",
        )),
        Phase::Free if gives && incoming.world.book.of_tuple(&request.tuple).is_none() => Ok(()),
        Phase::Free | Phase::Hidden | Phase::TooYoung | Phase::Removable | Phase::Tail if gives => {
            Err(ArmError::bad_request(
                "RoleAssignmentExists",
                "The Role assignment already exists.",
            ))
        }
        Phase::TooYoung if removes => Err(ArmError::bad_request(
            "ActiveDurationTooShort",
            "The Active duration is too short. Miniumum Required is 5 minutes.",
        )),
        Phase::Free | Phase::Tail => Err(does_not_exist()),
        Phase::Hidden if removes => Err(does_not_exist()),
        Phase::Hidden | Phase::TooYoung | Phase::Removable => Ok(()),
    }
}

fn does_not_exist() -> ArmError {
    ArmError::bad_request(
        "RoleAssignmentDoesNotExist",
        "The Role assignment does not exist.",
    )
}

fn carry_out(incoming: &mut Incoming<'_>, lawful: Lawful) -> Request {
    let Lawful {
        mut request,
        window,
    } = lawful;
    let schedule = Schedule {
        id: incoming.cloud.identifiers.guid(),
        request: request.name,
        assignment: incoming.cloud.identifiers.guid(),
        principal_type: request.principal_type,
        condition: request.condition.clone(),
        requestor: request.requestor,
        created: incoming.now,
        updated: incoming.now,
        begins: window.begins,
        ends: window.ends,
    };
    request.schedule = Some(schedule.id);
    request.status = match request.kind {
        RequestType::AdminRemove => remove(incoming, &mut request),
        RequestType::AdminUpdate | RequestType::AdminExtend => touch(incoming, &request, schedule),
        _ => assign(incoming, &request, schedule),
    };
    request
}

fn assign(incoming: &mut Incoming<'_>, request: &Request, schedule: Schedule) -> Status {
    let (now, settings) = (incoming.now, incoming.settings);
    let provisioned = later(now, seconds(settings.pim_provisioning_seconds));
    let until = provisioned.max(schedule.begins);
    let world = &mut *incoming.world;
    let (stage, status) = if until <= now {
        let stage = world.pim.begin(
            &mut world.book,
            &request.tuple,
            schedule,
            now,
            settings.effect_lag(),
        );
        (stage, Status::Provisioned)
    } else {
        let status = if schedule.begins > now {
            Status::Granted
        } else {
            Status::PendingProvisioning
        };
        (Stage::Waiting { schedule, until }, status)
    };
    world.pim.stages.insert(request.tuple.clone(), stage);
    status
}

fn remove(incoming: &mut Incoming<'_>, request: &mut Request) -> Status {
    let (now, settings) = (incoming.now, incoming.settings);
    let world = &mut *incoming.world;
    let Some(Stage::Active(schedule)) = world.pim.stages.remove(&request.tuple) else {
        return Status::Revoked;
    };
    request.schedule = Some(schedule.id);
    let (stage, status) = if settings.pim_provisioning_seconds == 0 {
        world.book.end(
            schedule.assignment,
            now,
            settings.effect_lag(),
            EndedBy::Removal,
        );
        (Stage::Gone { since: now }, Status::Revoked)
    } else {
        let until = later(now, seconds(settings.pim_provisioning_seconds));
        let removal = request.name;
        (
            Stage::Leaving {
                schedule,
                removal,
                until,
            },
            Status::PendingRevocation,
        )
    };
    world.pim.stages.insert(request.tuple.clone(), stage);
    status
}

/// Another end for an assignment that stays the same.
fn touch(incoming: &mut Incoming<'_>, request: &Request, wanted: Schedule) -> Status {
    let stage = incoming.world.pim.stages.get_mut(&request.tuple);
    if let Some(schedule) = stage.and_then(Stage::schedule_mut) {
        schedule.id = wanted.id;
        schedule.request = wanted.request;
        schedule.updated = wanted.updated;
        schedule.ends = wanted.ends;
    }
    Status::Provisioned
}

/// `RoleAssignmentScheduleRequests_Cancel`: only what is pending can be.
pub(super) fn cancel_request(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = request_name(name)?;
    incoming.authorise("Microsoft.Authorization/roleAssignmentScheduleRequests/cancel/action")?;
    check_licence(incoming)?;
    let pim = &mut incoming.world.pim;
    let request = pim.requests.get(&name).ok_or_else(|| no_request(name))?;
    let tuple = request.tuple.clone();
    let waits = |stage: &Stage| matches!(stage, Stage::Waiting { schedule, .. } if schedule.request == name);
    if !pim.stages.get(&tuple).is_some_and(waits) {
        return Err(ArmError::bad_request(
            "RoleAssignmentRequestNotPending",
            "The role assignment request is not pending and cannot be canceled.",
        ));
    }
    pim.stages.remove(&tuple);
    pim.set_status(name, Status::Canceled);
    Ok(Answer::empty(200))
}
