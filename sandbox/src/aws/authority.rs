//! Whether a caller may do something now: gathers the policies and condition keys, and asks the evaluator.

use std::net::IpAddr;

use jiff::Timestamp;

use super::cloud::Cloud;
use super::credentials::{Principal, Session};
use super::directory::{Directory, RoleRules};
use super::errors::AwsError;
use super::evaluate::{
    Caller, Context, Decision, Layer, Layers, Policy, Request, ResourceSide, Verdict, decide,
};

/// A caller with everything that decides what they may do at one moment.
pub(crate) struct Standing {
    pub(crate) principal: Principal,
    pub(crate) caller: Caller,
    pub(crate) context: Context,
    layers: Layers,
}

impl Cloud {
    /// Looks a caller up, as enforced at this moment.
    pub(crate) fn standing(&self, principal: Principal, peer: IpAddr, region: &str) -> Standing {
        let now = self.clock.now();
        let mut context = self.request_context(now, peer, region);
        let directory = self.directory.read();
        let (caller, layers) = match &principal {
            Principal::Anonymous => {
                context.set("aws:PrincipalType", "Anonymous");
                (Caller::Anonymous, Layers::default())
            }
            Principal::Root { account } => {
                context.set("aws:PrincipalType", "Account");
                context.set("aws:userid", account.as_str());
                (
                    Caller::Root {
                        account: account.clone(),
                    },
                    Layers::default(),
                )
            }
            Principal::User { account, name } => {
                user_standing(&directory, account, name, now, &mut context)
            }
            Principal::Session(session) => {
                let ignore_deny = self.settings.ignore_deny();
                session_standing(&directory, session, now, ignore_deny, &mut context)
            }
        };
        drop(directory);
        self.set_principal_keys(&caller, &mut context);
        Standing {
            principal,
            caller,
            context,
            layers,
        }
    }

    fn request_context(&self, now: Timestamp, peer: IpAddr, region: &str) -> Context {
        let mut context = Context::new();
        context.set("aws:CurrentTime", iso8601(now));
        context.set("aws:EpochTime", now.as_second().to_string());
        context.set("aws:SourceIp", peer.to_string());
        context.set("aws:RequestedRegion", region);
        // The loopback port stands for the service's TLS endpoint.
        context.set("aws:SecureTransport", "true");
        context
    }

    fn set_principal_keys(&self, caller: &Caller, context: &mut Context) {
        let Some(account) = caller.account() else {
            return;
        };
        context.set("aws:PrincipalAccount", account);
        let arn = match caller {
            // The role, never the session: a condition on the session's ARN does not match on AWS.
            Caller::Session { role_arn, .. } => role_arn.clone(),
            other => other.arn(),
        };
        context.set("aws:PrincipalArn", arn);
        if let Some(organization) = &self.estate.organization_id {
            context.set("aws:PrincipalOrgID", organization.as_str());
        }
    }
}

fn user_standing(
    directory: &Directory,
    account: &str,
    name: &str,
    now: Timestamp,
    context: &mut Context,
) -> (Caller, Layers) {
    context.set("aws:PrincipalType", "User");
    context.set("aws:username", name);
    let Some(user) = directory
        .account(account)
        .and_then(|account| account.users.get(name))
    else {
        return (Caller::Anonymous, Layers::default());
    };
    context.set("aws:userid", user.id.as_str());
    for (key, value) in user.tags.iter() {
        context.set(&format!("aws:PrincipalTag/{key}"), value);
    }
    let attached = user
        .attached
        .iter()
        .filter_map(|arn| directory.enforced_document(arn, now));
    let layers = Layers {
        identity: user.inline.iter().cloned().chain(attached).collect(),
        boundary: boundary_of(directory, user.boundary.as_deref(), now),
        session: None,
        resource: None,
    };
    (
        Caller::User {
            account: account.to_owned(),
            arn: user.arn.clone(),
            id: Some(user.id.clone()),
        },
        layers,
    )
}

fn session_standing(
    directory: &Directory,
    session: &Session,
    now: Timestamp,
    ignore_deny: bool,
    context: &mut Context,
) -> (Caller, Layers) {
    context.set("aws:PrincipalType", "AssumedRole");
    context.set("aws:userid", session.user_id());
    context.set("aws:TokenIssueTime", iso8601(session.issued));
    if let Some(source_identity) = &session.source_identity {
        context.set("aws:SourceIdentity", source_identity.as_str());
    }
    let role = directory.role_by_id(&session.account, &session.role_name, &session.role_id);
    // A session's tag overrides the role's tag of the same key: a job cannot shed its tag by tagging the role.
    let role_tags = role.map(|role| role.tags.clone()).unwrap_or_default();
    for (key, value) in role_tags.iter().chain(session.tags.iter()) {
        context.set(&format!("aws:PrincipalTag/{key}"), value);
    }
    let rules = role
        .and_then(|role| role.rules.enforced(now))
        .filter(|rules| rules.exists);
    let layers = Layers {
        identity: rules
            .map(|rules| role_policies(directory, rules, now, ignore_deny))
            .unwrap_or_default(),
        boundary: rules.and_then(|rules| boundary_of(directory, rules.boundary.as_deref(), now)),
        session: session_policies(directory, session, now),
        resource: None,
    };
    let caller = Caller::Session {
        account: session.account.clone(),
        role_arn: session.role_arn.clone(),
        role_id: Some(session.role_id.clone()),
        session_arn: session.arn(),
    };
    (caller, layers)
}

fn role_policies(
    directory: &Directory,
    rules: &RoleRules,
    now: Timestamp,
    ignore_deny: bool,
) -> Vec<Policy> {
    let inline = rules.inline.values().map(|policy| {
        if ignore_deny {
            policy.without_deny()
        } else {
            policy.clone()
        }
    });
    inline
        .chain(
            rules
                .attached
                .iter()
                .filter_map(|arn| directory.enforced_document(arn, now)),
        )
        .collect()
}

/// A boundary whose policy cannot be found allows nothing: absent means closed.
fn boundary_of(directory: &Directory, arn: Option<&str>, now: Timestamp) -> Option<Policy> {
    arn.map(|arn| {
        directory
            .enforced_document(arn, now)
            .unwrap_or_else(Policy::silent)
    })
}

/// A managed policy that is gone allows nothing, and the others still count.
fn session_policies(
    directory: &Directory,
    session: &Session,
    now: Timestamp,
) -> Option<Vec<Policy>> {
    if session.policy.is_none() && session.policy_arns.is_empty() {
        return None;
    }
    let managed = session
        .policy_arns
        .iter()
        .filter_map(|arn| directory.enforced_document(arn, now));
    Some(session.policy.iter().cloned().chain(managed).collect())
}

impl Standing {
    /// Judges one action, with condition keys of its own and the resource's side.
    pub(crate) fn decide(
        &self,
        action: &str,
        resource: &str,
        keys: &[(&str, Vec<String>)],
        side: Option<ResourceSide>,
    ) -> Decision {
        let mut context = self.context.clone();
        for (key, values) in keys {
            context.set_all(key, values.clone());
        }
        if let Some(side) = &side {
            context.set("aws:ResourceAccount", side.account.as_str());
        }
        let request = Request {
            caller: self.caller.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            context,
        };
        decide(
            &request,
            &Layers {
                resource: side,
                ..self.layers.clone()
            },
        )
    }

    /// As [`Standing::decide`], with a refusal in AWS's words.
    pub(crate) fn check(
        &self,
        action: &str,
        resource: &str,
        keys: &[(&str, Vec<String>)],
        side: Option<ResourceSide>,
    ) -> Result<(), AwsError> {
        let decision = self.decide(action, resource, keys, side);
        if decision.is_allowed() {
            return Ok(());
        }
        Err(AwsError::access_denied(format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {}",
            self.caller.arn(),
            because(decision, action)
        )))
    }
}

fn because(decision: Decision, action: &str) -> String {
    let policy = match decision.layer {
        Layer::Identity => "identity-based policy",
        Layer::Boundary => "permissions boundary",
        Layer::Session => "session policy",
        Layer::Resource => "resource-based policy",
    };
    let article = if decision.layer == Layer::Identity {
        "an"
    } else {
        "a"
    };
    match decision.verdict {
        Verdict::ExplicitDeny => format!("with an explicit deny in {article} {policy}"),
        Verdict::ImplicitDeny | Verdict::Allowed => {
            format!("because no {policy} allows the {action} action")
        }
    }
}

/// As AWS writes times: whole seconds, UTC.
pub(crate) fn iso8601(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
