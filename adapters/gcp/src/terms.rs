//! A plan in Google's own terms, as it is stored with the intent: whose token, for how long, and how
//! its account comes to its privileges.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::boundary::Rule;
use crate::capability::TokenScope;
use crate::condition::Narrowing;
use crate::entitlement::Given;
use crate::names::{AccountEmail, EntitlementName, PolicyName, RoleName};

/// The cloud's own terms of a plan, as they are stored with the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) account: AccountEmail,
    pub(crate) token_seconds: u32,
    pub(crate) token_scopes: BTreeSet<TokenScope>,
    pub(crate) way: Way,
}

/// How an account comes to its privileges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// By bindings of this lease's, on an account that carries no other.
    Own(Vec<Grant>),
    /// By bindings that stand for ever, on an account that carries no other lease.
    Standing,
    /// By bindings of this lease's, on an account that carries others too.
    Shared(Vec<Grant>),
    /// It has more; an access boundary narrows the token.
    Boundary(Vec<Rule>),
    /// By grants of Privileged Access Manager, on an account that carries no other lease.
    Entitled {
        /// Those of which it can be granted some.
        entitlements: BTreeSet<EntitlementName>,
        /// What they must give, together and no more.
        gives: BTreeSet<Given>,
    },
}

/// A role on something, as a lease wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) on: PolicyName,
    pub(crate) role: RoleName,
    pub(crate) narrowed: Option<Narrowing>,
}

impl Terms {
    /// What will be asked of Google, for people.
    pub(crate) fn summary(&self) -> Vec<String> {
        let (account, seconds) = (&self.account, self.token_seconds);
        let token = format!("a token of {account} for {seconds} s");
        let narrowed = |narrowed: &Option<Narrowing>| match narrowed {
            Some(narrowing) => format!(" where {}", narrowing.expression()),
            None => String::new(),
        };
        let what: Vec<String> = match &self.way {
            Way::Own(grants) | Way::Shared(grants) => {
                let told =
                    |it: &Grant| format!("{} on {}{}", it.role, it.on, narrowed(&it.narrowed));
                grants.iter().map(told).collect()
            }
            Way::Standing => vec!["what its account's bindings say, which stand".to_owned()],
            Way::Boundary(rules) => {
                let told = |it: &Rule| {
                    format!(
                        "no more than {} on {}{}",
                        it.role,
                        it.bucket,
                        narrowed(&it.narrowed)
                    )
                };
                rules.iter().map(told).collect()
            }
            Way::Entitled { gives, .. } => {
                let told = |it: &Given| format!("a grant of {} on the whole project", it.told());
                gives.iter().map(told).collect()
            }
        };
        [token].into_iter().chain(what).collect()
    }
}

impl Way {
    /// The bindings to make.
    pub(crate) fn grants(&self) -> &[Grant] {
        match self {
            Self::Own(grants) | Self::Shared(grants) => grants,
            Self::Standing | Self::Boundary(_) | Self::Entitled { .. } => &[],
        }
    }

    /// The entitlements of which grants may have been asked for.
    pub(crate) fn entitlements(&self) -> impl Iterator<Item = &EntitlementName> {
        let entitlements = match self {
            Self::Entitled { entitlements, .. } => Some(entitlements),
            Self::Own(_) | Self::Standing | Self::Shared(_) | Self::Boundary(_) => None,
        };
        entitlements.into_iter().flatten()
    }
}
