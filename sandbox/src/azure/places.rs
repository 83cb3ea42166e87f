//! Tenants, subscriptions, resource groups and resources: read only. Reading one is the plainest way to see
//! whether somebody's rights on it are in force.

use serde_json::{Value, json};

use crate::call::Answer;

use super::arm::Incoming;
use super::errors::ArmError;
use super::scope::{Kind, Scope};

/// `Tenants_List`: everybody sees their own.
pub(super) fn tenants(incoming: &Incoming<'_>) -> Answer {
    let id = incoming.cloud.tenant.id;
    let tenant = json!({
        "id": format!("/tenants/{id}"),
        "tenantId": id,
        "displayName": "sandbox",
        "tenantCategory": "Home",
    });
    Answer::json(200, &json!({ "value": [tenant] }))
}

/// `Subscriptions_List`: those where the caller has any role, at whatever scope in them.
pub(super) fn subscriptions(incoming: &Incoming<'_>) -> Result<Answer, ArmError> {
    let tree = &incoming.cloud.tenant.hierarchy;
    let sees = |subscription: &&Scope| {
        incoming.world.book.enforced(incoming.now).any(|grant| {
            let scope = &grant.tuple.scope;
            grant.tuple.principal == incoming.caller.object_id
                && (tree.covers(scope, subscription) || tree.covers(subscription, scope))
        })
    };
    let all = incoming
        .cloud
        .tenant
        .places_in(&incoming.scope, Kind::Subscription);
    let seen = all
        .into_iter()
        .filter(sees)
        .map(|scope| shown(incoming, scope));
    incoming.page(seen.collect())
}

/// `Subscriptions_Get`
pub(super) fn subscription(incoming: &Incoming<'_>) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Resources/subscriptions/read")?;
    Ok(Answer::json(200, &shown(incoming, &incoming.scope)))
}

fn shown(incoming: &Incoming<'_>, subscription: &Scope) -> Value {
    json!({
        "id": subscription.to_string(),
        "subscriptionId": subscription.subscription_id(),
        "tenantId": incoming.cloud.tenant.id,
        "displayName": incoming.cloud.tenant.display_name(subscription),
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    })
}

/// `ResourceGroups_List`
pub(super) fn resource_groups(incoming: &Incoming<'_>) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Resources/subscriptions/resourceGroups/read")?;
    let all = incoming
        .cloud
        .tenant
        .places_in(&incoming.scope, Kind::ResourceGroup);
    incoming.page(all.into_iter().map(group).collect())
}

/// `ResourceGroups_Get`
pub(super) fn resource_group(incoming: &Incoming<'_>) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Resources/subscriptions/resourceGroups/read")?;
    Ok(Answer::json(200, &group(&incoming.scope)))
}

fn group(scope: &Scope) -> Value {
    json!({
        "id": scope.to_string(),
        "name": scope.last_name(),
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "properties": { "provisioningState": "Succeeded" },
    })
}

/// `Resources_GetById`: any resource of the estate, by the read action of its type.
pub(super) fn resource(incoming: &Incoming<'_>) -> Result<Answer, ArmError> {
    let text = incoming.scope.to_string();
    let resource_type = resource_type(&text);
    incoming.authorise(&format!("{resource_type}/read"))?;
    let body = json!({
        "id": text,
        "name": incoming.scope.last_name(),
        "type": resource_type,
        "location": "westeurope",
        "properties": { "provisioningState": "Succeeded" },
    });
    Ok(Answer::json(200, &body))
}

/// `Microsoft.Storage/storageAccounts/blobServices/containers` of an id: the provider, and every second segment.
fn resource_type(id: &str) -> String {
    let mut segments = id.split('/').skip(6);
    let provider = segments.next().unwrap_or_default();
    let types: Vec<&str> = segments.step_by(2).collect();
    format!("{provider}/{}", types.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_every_second_segment() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers/c";
        assert_eq!(
            resource_type(id),
            "Microsoft.Storage/storageAccounts/blobServices/containers"
        );
    }
}
