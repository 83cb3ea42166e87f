//! Resource Manager's front: who calls, in which version of the API, how often, and whether they may.

mod route;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{Answer, Call};

use super::access_token::{Caller, Refusal};
use super::authority::{self, Wish};
use super::cloud::Cloud;
use super::conditions::Attribute;
use super::errors::ArmError;
use super::scope::Scope;
use super::settings::Settings;
use super::world::World;
use super::{deny, pim, places, rbac, role_definitions};
pub(crate) use route::{Operation, Route};

/// A call whose caller is known.
pub(crate) struct Incoming<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) call: &'a Call,
    pub(crate) world: &'a mut World,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
    pub(crate) caller: Caller,
    pub(crate) scope: Scope,
}

/// Who called, as far as is known, and the answer.
pub(crate) struct Served {
    pub(crate) caller: Option<Caller>,
    pub(crate) answer: Result<Answer, ArmError>,
}

/// Answers one call.
pub(crate) fn serve(cloud: &Cloud, call: &Call, route: &Result<Route, ArmError>) -> Served {
    let own_name = format!("https://{}", call.header("host").unwrap_or_default());
    let is_audience = |audience: &str| {
        let audience = audience.trim_end_matches('/');
        cloud.estate.environment.management().contains(&audience) || audience == own_name
    };
    let caller = match cloud.caller(call, is_audience) {
        Ok(caller) => caller,
        Err(refusal) => {
            return Served {
                caller: None,
                answer: Err(unauthenticated(cloud, &refusal)),
            };
        }
    };
    let answer = answer(cloud, call, route, caller.clone());
    Served {
        caller: Some(caller),
        answer,
    }
}

fn answer(
    cloud: &Cloud,
    call: &Call,
    route: &Result<Route, ArmError>,
    caller: Caller,
) -> Result<Answer, ArmError> {
    let asked = call.query_value("api-version").unwrap_or_default();
    if asked.is_empty() {
        return Err(ArmError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    let route = route.as_ref().map_err(Clone::clone)?;
    if !route.operation.versions().contains(&asked.as_str()) {
        let known = route.operation.versions().join(",");
        return Err(ArmError::bad_request(
            "InvalidApiVersionParameter",
            format!("The api-version '{asked}' is invalid. The supported versions are '{known}'."),
        ));
    }
    let kind = route.operation.kind();
    let subscription = route.scope.subscription_id();
    let remaining = cloud.rates.pay(subscription, caller.object_id, kind)?;
    let settings = cloud.settings();
    let now = cloud.clock.now();
    let mut world = cloud.world();
    let mut incoming = Incoming {
        cloud,
        call,
        world: &mut world,
        settings,
        now,
        caller,
        scope: route.scope.clone(),
    };
    incoming.check_place()?;
    let answer = perform(&mut incoming, route)?;
    let whose = if subscription.is_some() {
        "subscription"
    } else {
        "tenant"
    };
    let header = format!("x-ms-ratelimit-remaining-{whose}-{}s", kind.name());
    Ok(answer.with(header, remaining.to_string()))
}

fn perform(incoming: &mut Incoming<'_>, route: &Route) -> Result<Answer, ArmError> {
    let name = route.name.as_deref();
    let named = name.unwrap_or_default();
    match route.operation {
        Operation::RoleAssignmentsCreate => rbac::create(incoming, named),
        Operation::RoleAssignmentsGet => rbac::get(incoming, named),
        Operation::RoleAssignmentsDelete => rbac::delete(incoming, named),
        Operation::RoleAssignmentsList => rbac::list(incoming),
        Operation::RoleDefinitionsGet | Operation::RoleDefinitionsList => {
            role_definitions::read(incoming, name)
        }
        Operation::DenyAssignmentsCreate => deny::create(incoming, named),
        Operation::DenyAssignmentsDelete => deny::delete(incoming, named),
        Operation::DenyAssignmentsGet | Operation::DenyAssignmentsList => {
            deny::read(incoming, name)
        }
        Operation::ScheduleRequestsCreate => pim::create_request(incoming, named),
        Operation::ScheduleRequestsValidate => pim::validate_request(incoming, named),
        Operation::ScheduleRequestsCancel => pim::cancel_request(incoming, named),
        Operation::ScheduleRequestsGet | Operation::ScheduleRequestsList => {
            pim::read_requests(incoming, name)
        }
        Operation::SchedulesGet | Operation::SchedulesList => pim::read_schedules(incoming, name),
        Operation::InstancesGet | Operation::InstancesList => pim::read_instances(incoming, name),
        Operation::PolicyAssignmentsGet | Operation::PolicyAssignmentsList => {
            pim::read_policy_assignments(incoming, name)
        }
        Operation::PoliciesGet | Operation::PoliciesList => pim::read_policies(incoming, name),
        Operation::PoliciesUpdate => pim::update_policy(incoming, named),
        Operation::TenantsList => Ok(places::tenants(incoming)),
        Operation::SubscriptionsList => places::subscriptions(incoming),
        Operation::SubscriptionsGet => places::subscription(incoming),
        Operation::ResourceGroupsList => places::resource_groups(incoming),
        Operation::ResourceGroupsGet => places::resource_group(incoming),
        Operation::ResourcesGet => places::resource(incoming),
    }
}

impl Incoming<'_> {
    /// The place of the call must exist.
    fn check_place(&self) -> Result<(), ArmError> {
        if self.cloud.tenant.exists(&self.scope) {
            return Ok(());
        }
        let subscription = self.scope.subscription_id().map(Scope::subscription);
        let group = self.scope.resource_group().unwrap_or_default();
        Err(match subscription {
            Some(place) if !self.cloud.tenant.exists(&place) => ArmError::not_found(
                "SubscriptionNotFound",
                format!(
                    "The subscription '{}' could not be found.",
                    place.last_name()
                ),
            ),
            Some(place)
                if !self
                    .cloud
                    .tenant
                    .exists(&place.below(&format!("resourceGroups/{group}"))) =>
            {
                ArmError::not_found(
                    "ResourceGroupNotFound",
                    format!("Resource group '{group}' could not be found."),
                )
            }
            _ => ArmError::not_found(
                "ResourceNotFound",
                format!("The Resource '{}' was not found.", self.scope),
            ),
        })
    }

    /// Whether the caller may do this at the scope of the call.
    pub(crate) fn authorise(&self, action: &str) -> Result<(), ArmError> {
        self.authorise_with(action, Vec::new())
    }

    /// The same, with what conditions may ask about.
    pub(crate) fn authorise_with(
        &self,
        action: &str,
        attributes: Vec<(Attribute, String)>,
    ) -> Result<(), ArmError> {
        let wish = Wish {
            attributes,
            ..Wish::control(action, &self.scope)
        };
        if authority::may(
            &self.cloud.tenant,
            self.world,
            self.caller.object_id,
            &wish,
            self.now,
        ) {
            return Ok(());
        }
        Err(ArmError::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                self.caller.client_id, self.caller.object_id, self.scope
            ),
        ))
    }

    /// A page of a list, with the link to the next one.
    pub(crate) fn page(&self, all: Vec<Value>) -> Result<Answer, ArmError> {
        let size = self.settings.page_size.max(1);
        let skipped: usize = match self.call.query_value("$skipToken") {
            None => 0,
            Some(token) => token.parse().map_err(|_| {
                ArmError::bad_request(
                    "InvalidSkipToken",
                    format!("The skip token '{token}' is invalid."),
                )
            })?,
        };
        let end = skipped.saturating_add(size);
        let mut body = json!({ "value": all.iter().skip(skipped).take(size).collect::<Vec<_>>() });
        if end < all.len()
            && let Some(members) = body.as_object_mut()
        {
            members.insert("nextLink".to_owned(), json!(self.next_link(end)));
        }
        Ok(Answer::json(200, &body))
    }

    fn next_link(&self, skipped: usize) -> String {
        let kept = self.call.query.split('&').filter(|part| {
            let name = part.split('=').next().unwrap_or_default();
            name != "$skipToken" && name != "%24skipToken"
        });
        let query: Vec<&str> = kept.collect();
        format!(
            "https://{}{}?{}&$skipToken={skipped}",
            self.call.header("host").unwrap_or_default(),
            self.call.path,
            query.join("&")
        )
    }
}

fn unauthenticated(cloud: &Cloud, refusal: &Refusal) -> ArmError {
    let (code, message) = match refusal {
        Refusal::Missing => (
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.".to_owned(),
        ),
        Refusal::Expired { at } => (
            "ExpiredAuthenticationToken",
            format!("The access token expiry UTC time '{at}' is earlier than current UTC time."),
        ),
        Refusal::Audience { seen } => (
            "InvalidAuthenticationTokenAudience",
            format!("The access token has been obtained for wrong audience or resource '{seen}'."),
        ),
        Refusal::Tenant => (
            "InvalidAuthenticationTokenTenant",
            "The access token is from the wrong issuer.".to_owned(),
        ),
        Refusal::Malformed => (
            "InvalidAuthenticationToken",
            "The access token is invalid.".to_owned(),
        ),
    };
    let tenant = cloud.tenant.id;
    let challenge = format!(
        "Bearer authorization_uri=\"https://login.windows.net/{tenant}\", error=\"invalid_token\", error_description=\"{message}\""
    );
    ArmError {
        challenge: Some(challenge),
        ..ArmError::new(401, code, message)
    }
}
