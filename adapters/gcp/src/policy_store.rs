//! Google's allow policies: one read and one write for each kind of resource. Conditions are asked
//! for always: a policy that was read without them, and written back, has lost them.

use core::time::Duration;
use std::sync::Arc;

use jitney_core::cloud_clock::CloudClock;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::adapter::own_fault;
use crate::classify::{Call, Failed};
use crate::connect::Purpose;
use crate::names::PolicyName;
use crate::policy::{Policy, VERSION};
use crate::policy_lane::Store;
use crate::rest::{Body, Clients, Request, Service};

/// Policies as Google keeps them.
#[derive(Debug, Clone)]
pub(crate) struct PolicyStore {
    pub(crate) clients: Arc<Clients>,
    pub(crate) clock: Arc<CloudClock>,
}

impl Store for PolicyStore {
    fn has_two_hands(&self) -> bool {
        self.clients.are_two()
    }

    async fn get(&self, on: &PolicyName, purpose: Purpose) -> Result<Policy, Fault> {
        let version = json!({ "options": { "requestedPolicyVersion": VERSION } });
        let (service, path, method, body) = match on {
            PolicyName::Bucket(bucket) => (
                Service::Storage,
                format!("/storage/v1/b/{bucket}/iam?optionsRequestedPolicyVersion={VERSION}"),
                Method::GET,
                Body::Nothing,
            ),
            PolicyName::Project(project) => (
                Service::ResourceManager,
                format!("/v3/projects/{project}:getIamPolicy"),
                Method::POST,
                Body::Json(&version),
            ),
        };
        let request = Request {
            call: Call::Reads,
            operation: "getIamPolicy",
            service,
            method,
            path,
            body,
        };
        let answer = self.clients.of(purpose).send(&request).await?;
        Policy::read(answer).map_err(|why| {
            let logged = format!("the policy of {on} is not one that can be written back: {why}");
            let kind = FaultKind::Retryable { after: None };
            own_fault(
                kind,
                "gcp_policy_unreadable",
                "Google gave no clear answer",
                logged,
            )
        })
    }

    async fn set(&self, on: &PolicyName, policy: &Policy, purpose: Purpose) -> Result<(), Failed> {
        let written = policy.written();
        let wrapped: Value;
        let (service, path, method, body) = match on {
            PolicyName::Bucket(bucket) => (
                Service::Storage,
                format!("/storage/v1/b/{bucket}/iam"),
                Method::PUT,
                &written,
            ),
            PolicyName::Project(project) => {
                wrapped = json!({ "policy": written });
                let path = format!("/v3/projects/{project}:setIamPolicy");
                (Service::ResourceManager, path, Method::POST, &wrapped)
            }
        };
        let request = Request {
            call: Call::Changes,
            operation: "setIamPolicy",
            service,
            method,
            path,
            body: Body::Json(body),
        };
        self.clients.of(purpose).send(&request).await.map(drop)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn passed(&self) -> Duration {
        self.clock.passed()
    }

    async fn rest(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn some_of(&self, time: Duration) -> Duration {
        let some = u32::try_from(Uuid::new_v4().as_u128() % 1_000).unwrap_or(1_000);
        time * some / 1_000
    }
}
