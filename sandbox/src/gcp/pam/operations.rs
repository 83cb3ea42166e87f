//! Long-running operations: a revocation is one, and is done when the revoked grant is no longer in force.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::entitlements::{demand, refused};
use super::lifecycle::{Grant, State};
use crate::call::Answer;
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::And;

const PACKAGE: &str = "type.googleapis.com/google.cloud.privilegedaccessmanager.v1";

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(super) project: String,
    pub(super) grant: String,
    pub(super) started: Timestamp,
}

impl Operation {
    pub(super) fn as_json(&self, name: &str, grant: &Grant) -> Value {
        let done = grant.state == State::Revoked;
        let response = done.then(|| {
            let kind = json!(format!("{PACKAGE}.Grant"));
            grant.as_json().and("@type", Some(kind))
        });
        json!({
            "name": name,
            "metadata": {
                "@type": format!("{PACKAGE}.OperationMetadata"),
                "createTime": self.started.to_string(),
                "target": self.grant,
                "verb": "revoke",
                "apiVersion": "v1",
            },
            "done": done,
        })
        .and("response", response)
    }
}

pub(super) fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    incoming.caller(&[])?;
    let grants = incoming.cloud.grants.read();
    let project = incoming
        .cloud
        .directory
        .read()
        .project(incoming.capture("project"))
        .map(|known| known.id.clone());
    let name = format!(
        "projects/{}/locations/global/operations/{}",
        project.unwrap_or_default(),
        incoming.capture("operation")
    );
    let operation = grants
        .operations
        .get(&name)
        .ok_or_else(|| refused(incoming))?;
    demand(
        incoming,
        &operation.project,
        "privilegedaccessmanager.operations.get",
    )?;
    let grant = grants
        .grants
        .get(&operation.grant)
        .ok_or_else(|| refused(incoming))?;
    Ok(incoming.ok(&operation.as_json(&name, grant)))
}
