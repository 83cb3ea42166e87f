//! Long-running operations: a revocation is one, and is done when the revoked grant is no longer in force.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::entitlements::{demand, refused};
use super::lifecycle::{Grant, State};
use crate::call::Answer;
use crate::gcp::route::{Failure, Incoming};

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
        let mut json = json!({
            "name": name,
            "metadata": {
                "@type": format!("{PACKAGE}.OperationMetadata"),
                "createTime": self.started.to_string(),
                "target": self.grant,
                "verb": "revoke",
                "apiVersion": "v1",
            },
            "done": done,
        });
        if let (true, Some(fields)) = (done, json.as_object_mut()) {
            let mut response = grant.as_json();
            if let Some(response) = response.as_object_mut() {
                response.insert("@type".to_owned(), json!(format!("{PACKAGE}.Grant")));
            }
            fields.insert("response".to_owned(), response);
        }
        json
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
