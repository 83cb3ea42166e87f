//! The decision: how the layers combine.
//!
//! An explicit Deny anywhere wins. Then identity policies, boundary and session policies must each allow,
//! except where a resource policy of the same account names the caller:
//!
//! | the resource policy allows | identity silent | boundary silent | session policy silent |
//! |---|---|---|---|
//! | the caller's role | allowed | denied | denied |
//! | the very session, or `*` | allowed | allowed | allowed |
//! | the account | denied | denied | denied |
//!
//! Across accounts both sides must allow, and the caller's own layers always count.

use serde::{Deserialize, Serialize};

use super::Request;
use super::policy::{Effect, Policy};
use super::principal::{Caller, Reach};

/// The policies that apply to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Attached to the caller's user or role, inline and managed.
    #[serde(default)]
    pub identity: Vec<Policy>,
    /// The caller's permissions boundary; without one there is no such limit.
    #[serde(default)]
    pub boundary: Option<Policy>,
    /// The policies passed when the session was made; an empty list was passed by nobody, `None` means none.
    #[serde(default)]
    pub session: Option<Vec<Policy>>,
    /// The resource's side; `None` when the action has no resource of its own.
    #[serde(default)]
    pub resource: Option<ResourceSide>,
}

/// The account that owns the resource, and the policy on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSide {
    /// Twelve digits.
    pub account: String,
    /// The policy on the resource, if it has one.
    #[serde(default)]
    pub policy: Option<Policy>,
    /// Trust policies and key policies must themselves name the caller: an identity policy alone is not enough.
    #[serde(default)]
    pub must_allow: bool,
}

/// Which policies decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Policies of the caller's user or role.
    Identity,
    /// The permissions boundary.
    Boundary,
    /// Policies passed when the session was made.
    Session,
    /// The policy on the resource, or a trust policy.
    Resource,
}

/// What the layers together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The request is allowed.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// Nothing denies it, and something that must allow it does not.
    ImplicitDeny,
}

/// A verdict and the layer that made it: the one that denies, or the first one that is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// By which layer.
    pub layer: Layer,
}

impl Decision {
    /// Whether the call may go on.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }
}

/// Judges one request against the policies that apply to it.
pub fn decide(request: &Request, layers: &Layers) -> Decision {
    let action = request.action.to_lowercase();
    let identity = weigh(layers.identity.iter(), request, &action);
    let boundary = layers
        .boundary
        .as_ref()
        .map(|policy| weigh(std::iter::once(policy), request, &action));
    let session = layers
        .session
        .as_ref()
        .map(|policies| weigh(policies.iter(), request, &action));
    let resource_policy = layers
        .resource
        .as_ref()
        .and_then(|side| side.policy.as_ref());
    let resource = weigh(resource_policy.into_iter(), request, &action);

    let denied = |layer| Decision {
        verdict: Verdict::ExplicitDeny,
        layer,
    };
    if identity.denied {
        return denied(Layer::Identity);
    }
    if boundary.is_some_and(|weight| weight.denied) {
        return denied(Layer::Boundary);
    }
    if session.is_some_and(|weight| weight.denied) {
        return denied(Layer::Session);
    }
    if resource.denied {
        return denied(Layer::Resource);
    }
    combine(
        request,
        layers,
        Allows {
            identity: identity.allows() || matches!(request.caller, Caller::Root { .. }),
            boundary: boundary.is_none_or(|weight| weight.allows()),
            session: session.is_none_or(|weight| weight.allows()),
            resource: resource.allowed,
        },
    )
}

/// What each layer allows, once nothing denies.
struct Allows {
    identity: bool,
    boundary: bool,
    session: bool,
    resource: Reach,
}

fn combine(request: &Request, layers: &Layers, allows: Allows) -> Decision {
    let silent = |layer| Decision {
        verdict: Verdict::ImplicitDeny,
        layer,
    };
    let allowed = |layer| Decision {
        verdict: Verdict::Allowed,
        layer,
    };
    let same_account = match (&layers.resource, request.caller.account()) {
        (Some(side), Some(account)) => side.account == account,
        // Without a resource there is only one account; nobody's account is nowhere.
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let must_allow = layers.resource.as_ref().is_some_and(|side| side.must_allow) || !same_account;
    if must_allow && allows.resource == Reach::Nothing {
        return silent(Layer::Resource);
    }
    // Nobody, and the bearer of a token, have no policies of their own: the resource's side alone decides.
    let has_no_policies = request.caller.account().is_none();
    if allows.resource == Reach::Direct && (same_account || has_no_policies) {
        return allowed(Layer::Resource);
    }
    let named_by_role = same_account && allows.resource == Reach::Role;
    if !allows.identity && !named_by_role {
        return silent(Layer::Identity);
    }
    if !allows.boundary {
        return silent(Layer::Boundary);
    }
    if !allows.session {
        return silent(Layer::Session);
    }
    allowed(Layer::Identity)
}

/// What the policies of one layer say together.
#[derive(Clone, Copy)]
struct Weight {
    denied: bool,
    allowed: Reach,
}

impl Weight {
    fn allows(self) -> bool {
        self.allowed != Reach::Nothing
    }
}

fn weigh<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    request: &Request,
    lower_case_action: &str,
) -> Weight {
    let mut weight = Weight {
        denied: false,
        allowed: Reach::Nothing,
    };
    for statement in policies.flat_map(|policy| policy.statements()) {
        let reach = statement.reach(request, lower_case_action);
        match statement.effect {
            Effect::Deny => weight.denied |= reach != Reach::Nothing,
            Effect::Allow => weight.allowed = weight.allowed.max(reach),
        }
    }
    weight
}
