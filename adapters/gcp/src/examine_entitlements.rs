//! Looks at a pool that Privileged Access Manager gives to: whether its entitlements give at once,
//! to its accounts and to no others' detriment, and whether the service itself is ready.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::adapter::GcpAdapter;
use crate::connect::Purpose;
use crate::entitlement::Given;
use crate::examine::told;
use crate::names::{AccountEmail, EntitlementName};
use crate::rest::Service;

/// What whoever gives must be allowed on the project.
const TO_ASK: &[&str] = &[
    "privilegedaccessmanager.entitlements.get",
    "privilegedaccessmanager.grants.get",
    "privilegedaccessmanager.grants.list",
    "resourcemanager.projects.getIamPolicy",
];
/// What whoever takes back must be allowed there.
const TO_END: &[&str] = &[
    "privilegedaccessmanager.grants.list",
    "privilegedaccessmanager.grants.revoke",
    "resourcemanager.projects.getIamPolicy",
];

/// The shortest grant that is worth an entitlement, in seconds: an elevation and a minute of margin.
const GRANT_SECONDS_MIN: u64 = 120;

impl GcpAdapter {
    /// Looks at the entitlements of a pool. Each look has a name, and how it is.
    pub(crate) async fn examine_entitlements(
        &self,
        pool: &str,
        accounts: &[AccountEmail],
        entitlements: &BTreeSet<EntitlementName>,
    ) -> Vec<(String, Result<String, String>)> {
        let mut looks = Vec::new();
        for name in entitlements {
            let found = self.examine_entitlement(accounts, name).await;
            looks.push((format!("pool {pool}, {name}"), found));
        }
        let about = format!("pool {pool}, what else its accounts may ask for");
        looks.push((about, self.look_for_others(accounts, entitlements).await));
        let about = format!("pool {pool}, Privileged Access Manager");
        looks.push((about, self.examine_service().await));
        looks
    }

    async fn examine_entitlement(
        &self,
        accounts: &[AccountEmail],
        name: &EntitlementName,
    ) -> Result<String, String> {
        let found = self.entitlement(Purpose::Gives, name).await.map_err(told)?;
        let fits = found.fits(GRANT_SECONDS_MIN, name.project());
        fits.map_err(|why| why.to_string())?;
        if let Some(left_out) = accounts.iter().find(|it| !found.names(it)) {
            return Err(format!(
                "it does not name `{left_out}` among those who may ask: name each account of the \
                 pool itself, for a group hides whom it holds"
            ));
        }
        let gives: Vec<String> = found.gives.iter().flatten().map(Given::told).collect();
        Ok(format!("it gives {} at once", gives.join(" and ")))
    }

    /// A job with a token for everything could ask for whatever its account may ask for.
    async fn look_for_others(
        &self,
        accounts: &[AccountEmail],
        entitlements: &BTreeSet<EntitlementName>,
    ) -> Result<String, String> {
        let ours: BTreeSet<&str> = entitlements.iter().map(EntitlementName::id).collect();
        let all = self.entitlements().await.map_err(told)?;
        let other = |name: &str| !ours.contains(name.rsplit('/').next().unwrap_or_default());
        let mut others = all.iter().filter(|(name, _)| other(name));
        match others.find(|(_, it)| accounts.iter().any(|account| it.names(account))) {
            None => Ok("nothing".to_owned()),
            Some((name, _)) => Err(format!(
                "{name} names an account of the pool among those who may ask, and is not one of the \
                 pool's: a job could ask for it. Take the account out of it"
            )),
        }
    }

    async fn examine_service(&self) -> Result<String, String> {
        let findings = self.onboarding_findings().await.map_err(told)?;
        if !findings.is_empty() {
            return Err(format!(
                "its service agent lacks {}: give it its role on the project",
                lacking(&findings)
            ));
        }
        let path = format!("/v3/projects/{}", self.config().project);
        for (purpose, wanted) in [(Purpose::Gives, TO_ASK), (Purpose::Takes, TO_END)] {
            self.may(purpose, Service::ResourceManager, &path, wanted)
                .await?;
        }
        Ok("it is ready".to_owned())
    }
}

/// What findings say, as far as they say something that is known.
fn lacking(findings: &[Value]) -> String {
    let permissions = findings.iter().filter_map(|finding| {
        let denied = finding.get("iamAccessDenied")?;
        denied.get("missingPermissions")?.as_array()
    });
    let names = permissions.flatten().filter_map(Value::as_str);
    let names: Vec<String> = names.map(|it| format!("`{it}`")).collect();
    match names.is_empty() {
        true => "something that Google does not name".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_service_lacks_is_named_and_what_nobody_knows_is_still_told() {
        let denied = json!({ "iamAccessDenied": { "missingPermissions": ["a.b.c", "d.e.f"] } });
        assert_eq!(lacking(&[denied.clone(), json!({})]), "`a.b.c`, `d.e.f`");
        assert_eq!(
            lacking(&[json!({ "somethingNew": {} })]),
            "something that Google does not name"
        );
    }
}
