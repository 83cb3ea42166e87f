//! What PIM shows: requests, schedules, and what is active now.

use uuid::Uuid;

use crate::azure::arm::Incoming;
use crate::azure::book::Tuple;
use crate::azure::errors::ArmError;
use crate::azure::filters::{Filter, Seen};
use crate::azure::tenant::Tenant;
use crate::call::Answer;

use super::request::{check_licence, no_request, request_name};
use super::shown;
use super::timeline::{Schedule, Stage};

/// `RoleAssignmentScheduleRequests_Get` and `RoleAssignmentScheduleRequests_ListForScope`
pub(crate) fn read_requests(
    incoming: &mut Incoming<'_>,
    name: Option<&str>,
) -> Result<Answer, ArmError> {
    let filter = Filter::of(incoming)?;
    incoming.authorise("Microsoft.Authorization/roleAssignmentScheduleRequests/read")?;
    check_licence(incoming)?;
    let (tenant, pim) = (&incoming.cloud.tenant, &incoming.world.pim);
    if let Some(name) = name {
        let name = request_name(name)?;
        let found = pim
            .requests
            .get(&name)
            .filter(|request| request.tuple.scope == incoming.scope);
        let found = found.ok_or_else(|| no_request(name))?;
        return Ok(Answer::json(200, &shown::request(tenant, found)));
    }
    let all = pim.requests.values().filter(|request| {
        filter.shows(
            incoming,
            &Seen {
                scope: &request.tuple.scope,
                principal: request.tuple.principal,
                role: request.tuple.role,
                requestor: Some(request.requestor),
            },
        )
    });
    incoming.page(all.map(|request| shown::request(tenant, request)).collect())
}

/// `RoleAssignmentSchedules_Get` and `RoleAssignmentSchedules_ListForScope`: also those that have not begun.
pub(crate) fn read_schedules(
    incoming: &mut Incoming<'_>,
    name: Option<&str>,
) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Authorization/roleAssignmentSchedules/read")?;
    let shown = shown::schedule;
    read_stages(
        incoming,
        name,
        Stage::schedule,
        |schedule| schedule.id,
        shown,
    )
}

/// `RoleAssignmentScheduleInstances_Get` and `RoleAssignmentScheduleInstances_ListForScope`: what is active now.
pub(crate) fn read_instances(
    incoming: &mut Incoming<'_>,
    name: Option<&str>,
) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Authorization/roleAssignmentScheduleInstances/read")?;
    let shown = shown::instance;
    read_stages(
        incoming,
        name,
        Stage::instance,
        |schedule| schedule.assignment,
        shown,
    )
}

fn read_stages(
    incoming: &Incoming<'_>,
    name: Option<&str>,
    of_stage: fn(&Stage) -> Option<&Schedule>,
    name_of: fn(&Schedule) -> Uuid,
    shown: fn(&Tenant, &Tuple, &Schedule) -> serde_json::Value,
) -> Result<Answer, ArmError> {
    let filter = Filter::of(incoming)?;
    check_licence(incoming)?;
    let tenant = &incoming.cloud.tenant;
    let stages = incoming.world.pim.stages.iter();
    let known = stages.filter_map(|(tuple, stage)| Some((tuple, of_stage(stage)?)));
    if let Some(name) = name {
        let name = request_name(name)?;
        let mut at_scope = known.filter(|(tuple, _)| tuple.scope == incoming.scope);
        return match at_scope.find(|(_, schedule)| name_of(schedule) == name) {
            Some((tuple, schedule)) => Ok(Answer::json(200, &shown(tenant, tuple, schedule))),
            None => Err(ArmError::not_found(
                "RoleAssignmentScheduleNotFound",
                format!("The role assignment schedule '{name}' is not found."),
            )),
        };
    }
    let is_shown = |tuple: &Tuple| {
        let seen = Seen {
            scope: &tuple.scope,
            principal: tuple.principal,
            role: tuple.role,
            requestor: None,
        };
        filter.shows(incoming, &seen)
    };
    let mut all: Vec<(&Tuple, &Schedule)> = known.filter(|(tuple, _)| is_shown(tuple)).collect();
    // A map has no order, and pages need one.
    all.sort_by_key(|(_, schedule)| (schedule.created, schedule.assignment));
    incoming.page(
        all.into_iter()
            .map(|(tuple, schedule)| shown(tenant, tuple, schedule))
            .collect(),
    )
}
