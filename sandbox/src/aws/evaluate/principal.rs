//! Who calls, who a resource policy names, and how far being named carries.

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::policy::Malformed;

/// Who makes a call, by every name a policy may use for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Caller {
    /// Nobody signed the call.
    Anonymous,
    /// The account itself.
    Root {
        /// Twelve digits.
        account: String,
    },
    /// An IAM user.
    User {
        /// Twelve digits.
        account: String,
        /// `arn:aws:iam::…:user/…`
        arn: String,
        /// The unique id, `AIDA…`; a user created again under the same name has another one.
        #[serde(default)]
        id: Option<String>,
    },
    /// A session of a role.
    Session {
        /// Twelve digits.
        account: String,
        /// `arn:aws:iam::…:role/…`
        role_arn: String,
        /// The role's unique id, `AROA…`; a role created again under the same name has another one.
        #[serde(default)]
        role_id: Option<String>,
        /// `arn:aws:sts::…:assumed-role/Role/SessionName`
        session_arn: String,
    },
    /// The bearer of a web identity token, before a session exists.
    WebIdentity {
        /// `arn:aws:iam::…:oidc-provider/…`
        provider_arn: String,
    },
}

impl Caller {
    /// The caller's account; nobody's and a token bearer's is absent.
    pub fn account(&self) -> Option<&str> {
        match self {
            Caller::Root { account }
            | Caller::User { account, .. }
            | Caller::Session { account, .. } => Some(account),
            Caller::Anonymous | Caller::WebIdentity { .. } => None,
        }
    }

    /// The ARN error messages and the journal use.
    pub fn arn(&self) -> String {
        match self {
            Caller::Anonymous => "anonymous".to_owned(),
            Caller::Root { account } => format!("arn:aws:iam::{account}:root"),
            Caller::User { arn, .. } => arn.clone(),
            Caller::Session { session_arn, .. } => session_arn.clone(),
            Caller::WebIdentity { provider_arn } => provider_arn.clone(),
        }
    }
}

/// How far an Allow in a resource policy carries, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The caller is not named.
    Nothing,
    /// The caller's account is named: that only lets the account's own policies decide.
    Account,
    /// The caller's role is named: identity policies may be silent, a boundary or session policy may not.
    Role,
    /// The caller is named as who is calling (user, session, `*`): silence elsewhere does not matter.
    Direct,
}

/// One name in a `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalName {
    /// `*`, or `{"AWS": "*"}`
    Anyone,
    Account(String),
    /// A user or a role. `id` is the unique id the ARN stood for when the policy was stored.
    Entity {
        arn: String,
        id: Option<String>,
    },
    Session(String),
    UniqueId(String),
    Service(String),
    Federated(String),
}

impl PrincipalName {
    pub(crate) fn reach(&self, caller: &Caller) -> Reach {
        match (self, caller) {
            (PrincipalName::Anyone, _) => Reach::Direct,
            (PrincipalName::Account(named), Caller::Root { account }) if named == account => {
                Reach::Direct
            }
            (PrincipalName::Account(named), _) if caller.account() == Some(named) => Reach::Account,
            (
                PrincipalName::Entity {
                    arn: named,
                    id: bound,
                },
                Caller::User { arn, id, .. },
            ) if named == arn && same_entity(bound, id) => Reach::Direct,
            (
                PrincipalName::Entity {
                    arn: named,
                    id: bound,
                },
                Caller::Session {
                    role_arn, role_id, ..
                },
            ) if named == role_arn && same_entity(bound, role_id) => Reach::Role,
            (PrincipalName::Session(named), Caller::Session { session_arn, .. })
                if named == session_arn =>
            {
                Reach::Direct
            }
            (PrincipalName::UniqueId(named), Caller::User { id, .. })
                if Some(named) == id.as_ref() =>
            {
                Reach::Direct
            }
            (PrincipalName::UniqueId(named), Caller::Session { role_id, .. })
                if Some(named) == role_id.as_ref() =>
            {
                Reach::Role
            }
            (PrincipalName::Federated(named), Caller::WebIdentity { provider_arn })
                if named == provider_arn =>
            {
                Reach::Direct
            }
            _ => Reach::Nothing,
        }
    }
}

/// AWS stores an ARN as the unique id behind it: whoever is created later under the same name is somebody else.
fn same_entity(bound: &Option<String>, actual: &Option<String>) -> bool {
    bound.is_none() || bound == actual
}

/// A `Principal` or `NotPrincipal` element.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    pub(crate) negated: bool,
    pub(crate) names: Vec<PrincipalName>,
}

impl Principals {
    pub(crate) fn read(element: &Document, negated: bool) -> Result<Principals, Malformed> {
        let mut names = Vec::new();
        match element {
            Document::Text(text) if text == "*" => names.push(PrincipalName::Anyone),
            Document::Object(members) if !members.is_empty() => {
                for (kind, values) in members {
                    for value in values.one_or_many() {
                        let Document::Text(text) = value else {
                            return Err(Malformed::new(format!(
                                "the principal under `{kind}` is not a string"
                            )));
                        };
                        names.push(read_name(kind, text)?);
                    }
                }
            }
            _ => return Err(Malformed::new("the principal is neither `*` nor an object")),
        }
        if names.is_empty() {
            return Err(Malformed::new("the principal names nobody"));
        }
        Ok(Principals { negated, names })
    }

    pub(crate) fn reach(&self, caller: &Caller) -> Reach {
        if self.negated {
            return if self.exempts(caller) {
                Reach::Nothing
            } else {
                Reach::Direct
            };
        }
        self.names
            .iter()
            .map(|name| name.reach(caller))
            .max()
            .unwrap_or(Reach::Nothing)
    }

    /// `NotPrincipal` spares a caller only when each of its names is listed: account, role and session.
    fn exempts(&self, caller: &Caller) -> bool {
        let listed = |wanted: &dyn Fn(&PrincipalName) -> bool| {
            self.names
                .iter()
                .any(|name| *name == PrincipalName::Anyone || wanted(name))
        };
        let account_listed = match caller.account() {
            Some(account) => listed(&|name| *name == PrincipalName::Account(account.to_owned())),
            None => true,
        };
        let reaches = |least: Reach| listed(&|name| name.reach(caller) == least);
        account_listed
            && match caller {
                Caller::Root { .. } => true,
                Caller::Session { .. } => reaches(Reach::Role) && reaches(Reach::Direct),
                Caller::User { .. } | Caller::Anonymous | Caller::WebIdentity { .. } => {
                    reaches(Reach::Direct)
                }
            }
    }
}

fn read_name(kind: &str, text: &str) -> Result<PrincipalName, Malformed> {
    let invalid = || {
        Malformed::new(format!(
            "Invalid principal in policy: \"{kind}\":\"{text}\""
        ))
    };
    match kind {
        "AWS" => read_aws_name(text).ok_or_else(invalid),
        "Service" if text.ends_with(".amazonaws.com") && !text.contains('*') => {
            Ok(PrincipalName::Service(text.to_owned()))
        }
        "Federated" if !text.is_empty() && !text.contains('*') => {
            Ok(PrincipalName::Federated(text.to_owned()))
        }
        _ => Err(invalid()),
    }
}

fn read_aws_name(text: &str) -> Option<PrincipalName> {
    if text == "*" {
        return Some(PrincipalName::Anyone);
    }
    if text.contains(['*', '?']) {
        return None;
    }
    if is_account(text) {
        return Some(PrincipalName::Account(text.to_owned()));
    }
    let alphanumeric = text.chars().all(|char| char.is_ascii_alphanumeric());
    if alphanumeric && (text.starts_with("AROA") || text.starts_with("AIDA")) {
        return Some(PrincipalName::UniqueId(text.to_owned()));
    }
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (arn, _partition, service, region, account, rest) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    if arn != "arn" || !region.is_empty() || !is_account(account) {
        return None;
    }
    match (service, rest.split_once('/')) {
        ("iam", None) if rest == "root" => Some(PrincipalName::Account(account.to_owned())),
        ("iam", Some(("role" | "user", name))) if !name.is_empty() => Some(PrincipalName::Entity {
            arn: text.to_owned(),
            id: None,
        }),
        ("sts", Some(("assumed-role", name)))
            if name.split('/').filter(|part| !part.is_empty()).count() == 2 =>
        {
            Some(PrincipalName::Session(text.to_owned()))
        }
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|char| char.is_ascii_digit())
}
