//! The states of a grant, and what each step does to the project's policy.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::entitlements::Entitlement;
use crate::gcp::cloud::Cloud;
use crate::gcp::directory::{Directory, Resource};
use crate::gcp::errors::ApiError;
use crate::gcp::expressions::Expression;
use crate::gcp::policy::{Binding, Condition, Document};
use crate::gcp::schema::{And, written_duration};

/// How long a grant waits for approval.
const APPROVAL_SECONDS_MAX: i64 = 24 * 3_600;

/// Where a grant stands. Those with times pass by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Awaited,
    Denied,
    Expired,
    /// In the policy, and not in force before this.
    Activating {
        at: Timestamp,
    },
    Active {
        until: Timestamp,
    },
    Ended,
    /// Out of the policy, and in force until this.
    Revoking {
        at: Timestamp,
    },
    /// Said to be over, in the policy until this, and then no more.
    Lingering {
        at: Timestamp,
    },
    Revoked,
}

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Awaited => "APPROVAL_AWAITED",
            State::Denied => "DENIED",
            State::Expired => "EXPIRED",
            State::Activating { .. } => "ACTIVATING",
            State::Active { .. } => "ACTIVE",
            State::Ended => "ENDED",
            State::Revoking { .. } => "REVOKING",
            State::Lingering { .. } | State::Revoked => "REVOKED",
        }
    }

    /// Whether anything can still happen to it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(
            self,
            State::Denied | State::Expired | State::Ended | State::Revoked
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) name: String,
    pub(super) entitlement: Entitlement,
    /// As a policy names it.
    pub(super) requester: String,
    pub(super) duration: SignedDuration,
    pub(super) justification: Option<Value>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) state: State,
    pub(super) events: Vec<Value>,
    /// What it put into the policy.
    bindings: Vec<Binding>,
    granted: Option<Timestamp>,
    removed: Option<Timestamp>,
    externally_modified: bool,
    pub(super) request_id: Option<String>,
}

/// Every grant, oldest first by name, and the operations that ended some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub(super) grants: BTreeMap<String, Grant>,
    pub(super) operations: BTreeMap<String, super::operations::Operation>,
}

/// What a new grant is made of.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) requester: String,
    pub(super) duration: SignedDuration,
    pub(super) justification: Option<Value>,
    pub(super) request_id: Option<String>,
}

impl Grant {
    pub(super) fn new(entitlement: Entitlement, request: Request, now: Timestamp) -> Grant {
        let expires = later(now, SignedDuration::from_secs(APPROVAL_SECONDS_MAX));
        let mut grant = Grant {
            name: request.name,
            requester: request.requester,
            duration: request.duration,
            justification: request.justification,
            request_id: request.request_id,
            created: now,
            updated: now,
            state: State::Awaited,
            events: Vec::new(),
            bindings: Vec::new(),
            granted: None,
            removed: None,
            externally_modified: false,
            entitlement,
        };
        grant.note(
            now,
            "requested",
            json!({ "expireTime": expires.to_string() }),
        );
        grant
    }

    pub(super) fn note(&mut self, at: Timestamp, what: &str, details: Value) {
        self.updated = at;
        self.events
            .push(json!({ "eventTime": at.to_string(), what: details }));
    }

    /// Puts its bindings into the project's policy.
    pub(super) fn activate(
        &mut self,
        cloud: &Cloud,
        directory: &mut Directory,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let at = later(now, cloud.settings.delays().grant);
        self.bindings = self.wanted(later(at, self.duration))?;
        let mine = self.bindings.clone();
        rewrite(
            cloud,
            directory,
            &self.entitlement.project,
            now,
            |bindings| bindings.extend(mine),
        )?;
        self.granted = Some(now);
        self.state = State::Activating { at };
        self.updated = now;
        Ok(())
    }

    /// Takes what is left of its bindings out of the policy.
    pub(super) fn withdraw(
        &mut self,
        cloud: &Cloud,
        directory: &mut Directory,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        self.look(directory)?;
        let mine = self.bindings.clone();
        rewrite(
            cloud,
            directory,
            &self.entitlement.project,
            now,
            |bindings| {
                bindings.retain(|binding| !mine.contains(binding));
            },
        )?;
        self.removed = Some(now);
        Ok(())
    }

    /// Notices when somebody else took its bindings away.
    fn look(&mut self, directory: &Directory) -> Result<(), ApiError> {
        let policy = directory.policy(&Resource::Project(self.entitlement.project.clone()))?;
        let standing = policy.written().bindings();
        if !self.externally_modified && self.bindings.iter().any(|mine| !standing.contains(mine)) {
            self.externally_modified = true;
        }
        Ok(())
    }

    fn wanted(&self, until: Timestamp) -> Result<Vec<Binding>, ApiError> {
        let ends = format!("request.time < timestamp('{until}')");
        let text = match &self.entitlement.condition {
            None => ends,
            Some(condition) => format!("({condition}) && {ends}"),
        };
        let expression = Expression::condition(&text).map_err(ApiError::invalid)?;
        let roles = self.entitlement.roles.iter();
        Ok(roles
            .map(|role| Binding {
                role: role.clone(),
                members: std::iter::once(self.requester.clone()).collect(),
                condition: Some(Condition {
                    title: "Created by: PAM".to_owned(),
                    description: self.name.clone(),
                    location: String::new(),
                    expression: expression.clone(),
                }),
            })
            .collect())
    }

    /// Lets the time that has passed do its work.
    fn pass(
        &mut self,
        cloud: &Cloud,
        directory: &mut Directory,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let approval_ends = later(
            self.created,
            SignedDuration::from_secs(APPROVAL_SECONDS_MAX),
        );
        if self.state == State::Awaited && approval_ends <= now {
            self.state = State::Expired;
            self.note(approval_ends, "expired", json!({}));
        }
        if let State::Activating { at } = self.state
            && at <= now
        {
            self.state = State::Active {
                until: later(at, self.duration),
            };
            self.note(at, "activated", json!({}));
        }
        if let State::Active { until } = self.state {
            self.look(directory)?;
            if until <= now {
                self.withdraw(cloud, directory, now)?;
                self.state = State::Ended;
                self.note(until, "ended", json!({}));
            }
        }
        if let State::Revoking { at } = self.state
            && at <= now
        {
            self.state = State::Revoked;
            self.updated = at;
        }
        if let State::Lingering { at } = self.state
            && at <= now
        {
            self.withdraw(cloud, directory, now)?;
            self.state = State::Revoked;
        }
        Ok(())
    }

    pub(super) fn as_json(&self) -> Value {
        let requester = self
            .requester
            .split_once(':')
            .map_or(self.requester.as_str(), |(_, email)| email);
        let told = |time: Option<Timestamp>| time.map(|time| json!(time.to_string()));
        let trail = json!({})
            .and("accessGrantTime", told(self.granted))
            .and("accessRemoveTime", told(self.removed));
        json!({
            "name": self.name,
            "createTime": self.created.to_string(),
            "updateTime": self.updated.to_string(),
            "requester": requester,
            "requestedDuration": written_duration(self.duration),
            "state": self.state.name(),
            "timeline": { "events": self.events },
            "privilegedAccess": self.entitlement.access(),
        })
        .and("justification", self.justification.clone())
        .and("auditTrail", self.granted.map(|_| trail))
        .and(
            "externallyModified",
            self.externally_modified.then(|| json!(true)),
        )
    }
}

/// Changes a project's policy as PAM's service agent does: on top of what is there now.
fn rewrite(
    cloud: &Cloud,
    directory: &mut Directory,
    project: &str,
    now: Timestamp,
    change: impl FnOnce(&mut Vec<Binding>),
) -> Result<(), ApiError> {
    let policy = directory.policy_mut(&Resource::Project(project.to_owned()))?;
    let standing = policy.written();
    let mut bindings = standing.bindings().to_vec();
    change(&mut bindings);
    let document = Document::new(
        bindings,
        standing.audit_configs().to_vec(),
        cloud.identifiers.etag(),
    );
    policy.write(document, now, cloud.settings.delays());
    Ok(())
}

pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl Cloud {
    /// Lets every grant come, end and go as its time says. Asked before every call, for nothing runs in between.
    pub(crate) fn pass_time_of_grants(&self) {
        let now = self.clock.now();
        let mut grants = self.grants.write();
        if !grants.grants.values().any(|grant| grant.state.is_open()) {
            return;
        }
        let mut directory = self.directory.write();
        for grant in grants.grants.values_mut() {
            if let Err(error) = grant.pass(self, &mut directory, now) {
                tracing::error!(
                    "a grant of Privileged Access Manager stands still: {}",
                    error.message
                );
            }
        }
    }
}
