//! What changes while the cloud runs, behind one lock.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::blob::Storage;
use super::book::{Book, Grant, Origin, Tuple};
use super::conditions::{self, Condition};
use super::deny::DenyAssignment;
use super::estate::{App, Estate, PrincipalType};
use super::pim::Pim;
use super::scope::Scope;
use super::settings::Settings;
use super::tenant::{EstateError, Tenant};
use super::vault::KeyBook;

/// An access token that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// The token's own id, its `uti`. Journal entries of calls made with it bear it.
    pub id: String,
    /// The service principal's object id.
    pub principal: Uuid,
    /// The application's id.
    pub client_id: Uuid,
    /// For which resource.
    pub audience: String,
    /// The `sub` of the assertion it was given for.
    pub assertion_subject: String,
    /// The `jti` of that assertion, if it had one.
    pub assertion_id: Option<String>,
    /// From when.
    #[serde(with = "crate::time_text")]
    pub issued: Timestamp,
    /// Until when.
    #[serde(with = "crate::time_text")]
    pub expires: Timestamp,
}

pub(crate) struct World {
    pub(crate) book: Book,
    pub(crate) pim: Pim,
    pub(crate) denies: Vec<DenyAssignment>,
    pub(crate) apps: Vec<App>,
    pub(crate) tokens: Vec<TokenInfo>,
    pub(crate) storage: Storage,
    pub(crate) keys: KeyBook,
}

impl World {
    /// As the estate has it.
    pub(crate) fn found(
        estate: &Estate,
        tenant: &Tenant,
        now: Timestamp,
        mut name: impl FnMut() -> Uuid,
    ) -> Result<World, EstateError> {
        let mut world = World {
            book: Book::default(),
            pim: Pim::found(estate, tenant)?,
            denies: Vec::new(),
            apps: estate.apps.clone(),
            tokens: Vec::new(),
            storage: Storage::found(estate, now),
            keys: KeyBook::found(estate),
        };
        for assignment in &estate.assignments {
            let scope = Scope::parse(&assignment.scope)
                .filter(|scope| tenant.exists(scope))
                .ok_or_else(|| EstateError::Scope(assignment.scope.clone()))?;
            if !tenant.roles.contains_key(&assignment.role) {
                return Err(EstateError::Role(assignment.role));
            }
            let principal_type = tenant
                .principal(assignment.principal)
                .map(|principal| principal.kind)
                .ok_or(EstateError::Principal(assignment.principal))?;
            let tuple = Tuple {
                scope,
                role: assignment.role,
                principal: assignment.principal,
            };
            let condition = estate_condition(assignment.condition.as_deref(), tuple.principal)?;
            world
                .book
                .write(estate_grant(name(), tuple, principal_type, condition, now));
        }
        Ok(world)
    }

    /// Does what has come due: schedules begin and end by the clock.
    pub(crate) fn settle(&mut self, settings: &Settings, now: Timestamp) {
        self.pim.settle(&mut self.book, settings, now);
        self.book.settle(now);
        self.denies.retain(|deny| !deny.is_over(now));
    }

    pub(crate) fn app_of(&self, client_id: Uuid) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }
}

fn estate_condition(text: Option<&str>, principal: Uuid) -> Result<Option<Condition>, EstateError> {
    text.map(|text| Condition::read(text, Some(conditions::VERSION)))
        .transpose()
        .map_err(|error| EstateError::Condition {
            principal,
            reason: error.message,
        })
}

/// What was there from the start has been enforced for ever.
fn estate_grant(
    name: Uuid,
    tuple: Tuple,
    principal_type: PrincipalType,
    condition: Option<Condition>,
    now: Timestamp,
) -> Grant {
    Grant {
        name,
        tuple,
        principal_type,
        description: None,
        delegated_identity: None,
        condition,
        origin: Origin::Estate,
        created: now,
        created_by: None,
        written: now,
        enforced_from: Timestamp::MIN,
        end: None,
    }
}

/// A lag as it is added to moments.
pub(crate) fn seconds(count: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(count))
}
