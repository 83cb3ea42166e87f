//! The calls to Privileged Access Manager.

use core::fmt::Write as _;

use aws_lc_rs::digest;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Builder;

use crate::adapter::{GcpAdapter, own_fault};
use crate::classify::{Call, TOLD_UNKNOWN};
use crate::connect::Purpose;
use crate::entitlement::Entitlement;
use crate::grant::{Grant, Stands, justification};
use crate::limits::{GRANT_PAGES_MAX, GRANTS_IN_A_PAGE};
use crate::names::{EntitlementName, ProjectId};
use crate::rest::{Body, Request, Service};
use crate::slot::Token;

const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };

impl GcpAdapter {
    /// An entitlement.
    pub(crate) async fn entitlement(
        &self,
        purpose: Purpose,
        name: &EntitlementName,
    ) -> Result<Entitlement, Fault> {
        let path = format!("/v1/{name}");
        let answer = self.pam_read(purpose, "entitlements.get", path).await?;
        Ok(Entitlement::read(&answer, &self.config().project))
    }

    /// Every entitlement of the project, by its name.
    pub(crate) async fn entitlements(&self) -> Result<Vec<(String, Entitlement)>, Fault> {
        let project = &self.config().project;
        let path = format!("/v1/{}/entitlements", place(project));
        let call = (Purpose::Gives, "entitlements.list");
        let listed = self.pages(call, &path, "entitlements").await?;
        let named = listed.iter().map(|it| {
            let name = it.get("name").and_then(Value::as_str).unwrap_or_default();
            (name.to_owned(), Entitlement::read(it, project))
        });
        Ok(named.collect())
    }

    /// What Privileged Access Manager itself lacks in the project, as Google tells it.
    pub(crate) async fn onboarding_findings(&self) -> Result<Vec<Value>, Fault> {
        let path = format!(
            "/v1/{}:checkOnboardingStatus",
            place(&self.config().project)
        );
        let call = "checkOnboardingStatus";
        let answer = self.pam_read(Purpose::Gives, call, path).await?;
        let findings = answer.get("findings").and_then(Value::as_array);
        Ok(findings.cloned().unwrap_or_default())
    }

    /// The grants of an entitlement that are not over.
    pub(crate) async fn open_grants(
        &self,
        purpose: Purpose,
        of: &EntitlementName,
    ) -> Result<Vec<Grant>, Fault> {
        let path = format!("/v1/{of}/grants");
        let listed = self
            .pages((purpose, "grants.list"), &path, "grants")
            .await?;
        let read = listed.iter().map(|it| Grant::read(it, of));
        let read: Option<Vec<Grant>> = read.collect();
        let mut read = read.ok_or_else(|| unread("grants.list", RETRYABLE))?;
        read.retain(|grant| grant.stands != Stands::Over);
        Ok(read)
    }

    /// A grant as it is now.
    pub(crate) async fn grant(
        &self,
        purpose: Purpose,
        grant: &Grant,
        of: &EntitlementName,
    ) -> Result<Grant, Fault> {
        let path = format!("/v1/{}", grant.name);
        let answer = self.pam_read(purpose, "grants.get", path).await?;
        Grant::read(&answer, of).ok_or_else(|| unread("grants.get", RETRYABLE))
    }

    /// Asks for a grant with an account's own token: to whoever asks it is given.
    pub(crate) async fn create_grant(
        &self,
        of: &EntitlementName,
        handle: &Handle,
        seconds: u64,
        token: &Token,
    ) -> Result<Grant, Fault> {
        let installation = &self.planner.installation;
        let body = json!({
            "requestedDuration": format!("{seconds}s"),
            "justification": {
                "unstructuredJustification": justification(installation, handle),
            },
        });
        let request = Request {
            call: Call::Changes,
            operation: "grants.create",
            service: Service::PrivilegedAccess,
            method: Method::POST,
            path: format!("/v1/{of}/grants?requestId={}", request_id(of, handle)),
            body: Body::Json(&body),
        };
        let rest = self.clients.of(Purpose::Gives);
        let answer = rest.send_with(&token.secret, &request).await?;
        Grant::read(&answer, of).ok_or_else(|| unread("grants.create", FaultKind::Ambiguous))
    }

    /// Begins to take a grant back. What became of it is read from the grant.
    pub(crate) async fn revoke_grant(&self, purpose: Purpose, grant: &Grant) -> Result<(), Fault> {
        let body = json!({ "reason": "the lease is over" });
        let request = Request {
            call: Call::Changes,
            operation: "grants.revoke",
            service: Service::PrivilegedAccess,
            method: Method::POST,
            path: format!("/v1/{}:revoke", grant.name),
            body: Body::Json(&body),
        };
        self.clients.of(purpose).send(&request).await?;
        Ok(())
    }

    async fn pam_read(
        &self,
        purpose: Purpose,
        operation: &'static str,
        path: String,
    ) -> Result<Value, Fault> {
        let request = Request {
            call: Call::Reads,
            operation,
            service: Service::PrivilegedAccess,
            method: Method::GET,
            path,
            body: Body::Nothing,
        };
        Ok(self.clients.of(purpose).send(&request).await?)
    }

    /// Everything that a list has, page by page.
    async fn pages(
        &self,
        (purpose, operation): (Purpose, &'static str),
        path: &str,
        field: &str,
    ) -> Result<Vec<Value>, Fault> {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        for _ in 0..GRANT_PAGES_MAX {
            let mut page = format!("{path}?pageSize={GRANTS_IN_A_PAGE}");
            if let Some(token) = &token {
                let _ = write!(page, "&pageToken={}", escaped(token));
            }
            let answer = self.pam_read(purpose, operation, page).await?;
            let listed = answer.get(field).and_then(Value::as_array);
            found.extend(listed.into_iter().flatten().cloned());
            let next = answer.get("nextPageToken").and_then(Value::as_str);
            token = next.filter(|it| !it.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(found);
            }
        }
        let logged = format!("{operation}: {path} has more than {GRANT_PAGES_MAX} pages");
        Err(own_fault(
            RETRYABLE,
            "gcp_too_many_pages",
            TOLD_UNKNOWN,
            logged,
        ))
    }
}

fn place(project: &ProjectId) -> String {
    format!("projects/{project}/locations/global")
}

/// The same for the same lease: a call that arrives twice asks once.
fn request_id(of: &EntitlementName, handle: &Handle) -> uuid::Uuid {
    let hash = digest::digest(&digest::SHA256, format!("{of} {handle}").as_bytes());
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(hash.as_ref())
        .for_each(|(to, from)| *to = *from);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// A text of Google's own as a value of a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

fn unread(operation: &str, kind: FaultKind) -> Fault {
    let logged = format!("{operation}: the answer is not about what was asked for");
    own_fault(kind, "gcp_no_answer", TOLD_UNKNOWN, logged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_lease_asks_with_the_same_id_and_another_with_another() {
        let name = |id: &str| {
            let text = format!("projects/acme-prod/locations/global/entitlements/{id}");
            text.parse::<EntitlementName>().unwrap()
        };
        let handle = |number: u64| Handle::try_from(format!("{number:019}")).unwrap();
        let one = request_id(&name("readers"), &handle(1));
        assert_eq!(one, request_id(&name("readers"), &handle(1)));
        assert_ne!(one, request_id(&name("readers"), &handle(2)));
        assert_ne!(one, request_id(&name("writers"), &handle(1)));
        assert_eq!(one.get_version_num(), 4);
    }

    #[test]
    fn a_page_token_is_one_value_of_a_query() {
        assert_eq!(escaped("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(escaped("a&b=c/+ é"), "a%26b%3Dc%2F%2B%20%C3%A9");
    }
}
