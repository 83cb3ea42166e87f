//! An allow policy as it was read, and the few changes that we make to one. Pure.
//!
//! A policy belongs to others. It is kept as the JSON it came as, so that nothing we do not know of
//! is dropped when it is written back: audit settings, and whatever Google may add. Nothing foreign
//! is reordered or changed. Ours is a member in a binding whose condition bears our title.

use jitney_core::adapter::Mark;
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use serde_json::{Map, Value, json};

use crate::limits::{CONDITIONAL_BINDINGS_MAX, POLICY_MEMBERS_MAX};
use crate::names::{AccountEmail, RoleName};
use crate::stamp::{handle_of, mark_of_note, note, title};

/// The version in which conditions are written. Any other would lose them.
pub(crate) const VERSION: u32 = 3;

/// A policy as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy(Map<String, Value>);

/// A binding that is ours, to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) account: AccountEmail,
    pub(crate) role: RoleName,
    pub(crate) expression: String,
    pub(crate) handle: Handle,
    pub(crate) mark: Mark,
}

/// A binding that is ours, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) account: AccountEmail,
    pub(crate) role: String,
    pub(crate) handle: Handle,
    pub(crate) mark: Option<Mark>,
}

/// Which bindings of an account are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// Every one of ours.
    Every,
    /// Those of these leases.
    Of(Vec<Handle>),
}

impl Which {
    fn means(&self, handle: &Handle) -> bool {
        match self {
            Self::Every => true,
            Self::Of(handles) => handles.contains(handle),
        }
    }
}

/// Why a binding is not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Without a condition, the account has the role whatever we add or remove.
    #[error("`{account}` has `{role}` there without a condition: a lease would end nothing")]
    Moot {
        /// The account.
        account: AccountEmail,
        /// The role.
        role: RoleName,
    },
    /// Google would not take it.
    #[error("the policy names {0} principals, and Google takes {POLICY_MEMBERS_MAX}")]
    TooManyMembers(usize),
    /// Google would not take it.
    #[error(
        "`{account}` has `{role}` there under {count} conditions, and Google takes \
         {CONDITIONAL_BINDINGS_MAX}"
    )]
    TooManyConditions {
        /// The account.
        account: AccountEmail,
        /// The role.
        role: RoleName,
        /// How many it would be.
        count: usize,
    },
}

impl Policy {
    /// Takes an answer of Google's. A policy that is no policy, or that does not say which version
    /// of itself it is, must not be written: what is written without an etag overwrites whatever
    /// others wrote in between.
    pub(crate) fn read(answer: Value) -> Result<Self, &'static str> {
        let Value::Object(fields) = answer else {
            return Err("it is not an object");
        };
        let has_etag = fields
            .get("etag")
            .and_then(Value::as_str)
            .is_some_and(|etag| !etag.is_empty());
        if !has_etag {
            return Err("it has no etag");
        }
        match fields.get("bindings") {
            None | Some(Value::Array(_)) => Ok(Self(fields)),
            Some(_) => Err("its bindings are not a list"),
        }
    }

    /// As it is to be written.
    pub(crate) fn written(&self) -> Value {
        let mut fields = self.0.clone();
        fields.insert("version".to_owned(), json!(VERSION));
        Value::Object(fields)
    }

    /// The version of itself that it is.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.0.get("etag").and_then(Value::as_str)
    }

    /// Whether another says the same, whichever version of itself it is.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let said = |policy: &Self| {
            let mut fields = policy.0.clone();
            fields.retain(|name, _| name != "etag" && name != "version");
            fields
        };
        said(self) == said(other)
    }

    fn bindings(&self) -> &[Value] {
        let bindings = self.0.get("bindings").and_then(Value::as_array);
        bindings.map_or(&[], Vec::as_slice)
    }

    /// Every binding that bears a title of this installation's.
    pub(crate) fn ours(&self, installation: &InstallationName) -> Vec<Found> {
        let bindings = self.bindings().iter();
        let titled = bindings.filter_map(|it| Some((it, titled(it, installation)?)));
        let found = titled.flat_map(|(binding, handle)| {
            let accounts = members(binding).filter_map(AccountEmail::of_member);
            accounts.map(move |account| Found {
                account,
                role: role(binding).to_owned(),
                handle: handle.clone(),
                mark: mark(binding),
            })
        });
        found.collect()
    }

    /// How many principals it names, each occurrence counted.
    pub(crate) fn members(&self) -> usize {
        self.bindings().iter().flat_map(members).count()
    }

    /// Whether an account has a role without a condition.
    pub(crate) fn has_for_ever(&self, account: &AccountEmail, role: &str) -> bool {
        self.for_ever(account).any(|it| it == role)
    }

    /// A role that an account has without a condition, if there is one.
    pub(crate) fn anything_for_ever(&self, account: &AccountEmail) -> Option<&str> {
        self.for_ever(account).next()
    }

    /// A role that an account has, under whatever condition, if there is one.
    pub(crate) fn anything(&self, account: &AccountEmail) -> Option<&str> {
        let member = account.member();
        let bindings = self.bindings().iter();
        let mut its = bindings.filter(|it| members(it).any(|named| named == member));
        its.next().map(role)
    }

    fn for_ever(&self, account: &AccountEmail) -> impl Iterator<Item = &str> {
        let member = account.member();
        let is_its = move |it: &&Value| !is_conditional(it) && members(it).any(|it| it == member);
        self.bindings().iter().filter(is_its).map(role)
    }

    /// Whether a binding could be added, as far as can be seen.
    pub(crate) fn takes(&self, binding: &Binding) -> Result<(), Refused> {
        let (account, role) = (&binding.account, &binding.role);
        if self.has_for_ever(account, role.as_str()) {
            return Err(Refused::Moot {
                account: account.clone(),
                role: role.clone(),
            });
        }
        let member = account.member();
        let same = self.bindings().iter().filter(|it| {
            self::role(it) == role.as_str() && members(it).any(|named| named == member)
        });
        let count = same.count().saturating_add(1);
        if count > CONDITIONAL_BINDINGS_MAX {
            return Err(Refused::TooManyConditions {
                account: account.clone(),
                role: role.clone(),
                count,
            });
        }
        match self.members().saturating_add(1) {
            count if count > POLICY_MEMBERS_MAX => Err(Refused::TooManyMembers(count)),
            _ => Ok(()),
        }
    }

    /// Adds a binding, behind everything that is there. One that is there already is not added
    /// again.
    pub(crate) fn add(
        &mut self,
        binding: &Binding,
        installation: &InstallationName,
    ) -> Result<(), Refused> {
        let written = json!({
            "role": binding.role,
            "members": [binding.account.member()],
            "condition": {
                "title": title(installation, &binding.handle),
                "description": note(binding.mark),
                "expression": binding.expression,
            },
        });
        if self.bindings().contains(&written) {
            return Ok(());
        }
        self.takes(binding)?;
        let bindings = self.0.entry("bindings").or_insert_with(|| json!([]));
        if let Value::Array(bindings) = bindings {
            bindings.push(written);
        }
        Ok(())
    }

    /// Removes an account from bindings of ours, and from no other. Gives the leases whose bindings
    /// were there.
    pub(crate) fn remove(
        &mut self,
        account: &AccountEmail,
        which: &Which,
        installation: &InstallationName,
    ) -> Vec<Handle> {
        let member = account.member();
        let mut removed = Vec::new();
        if let Some(Value::Array(bindings)) = self.0.get_mut("bindings") {
            bindings.retain_mut(|binding| {
                let Some(handle) = titled(binding, installation).filter(|it| which.means(it))
                else {
                    return true;
                };
                if take_out(binding, &member) {
                    removed.push(handle);
                }
                // Google takes no binding of nobody. One that somebody put another member into
                // is theirs as well.
                members(binding).next().is_some()
            });
        }
        removed
    }
}

fn role(binding: &Value) -> &str {
    binding
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn members(binding: &Value) -> impl Iterator<Item = &str> {
    let members = binding.get("members").and_then(Value::as_array);
    members.into_iter().flatten().filter_map(Value::as_str)
}

fn is_conditional(binding: &Value) -> bool {
    binding.get("condition").is_some_and(|it| !it.is_null())
}

fn said<'a>(binding: &'a Value, field: &str) -> Option<&'a str> {
    binding.get("condition")?.get(field)?.as_str()
}

fn titled(binding: &Value, installation: &InstallationName) -> Option<Handle> {
    handle_of(said(binding, "title")?, installation)
}

fn mark(binding: &Value) -> Option<Mark> {
    mark_of_note(said(binding, "description")?)
}

/// Takes a member out of a binding. False when it was not there.
fn take_out(binding: &mut Value, member: &str) -> bool {
    let Some(Value::Array(members)) = binding.get_mut("members") else {
        return false;
    };
    let before = members.len();
    members.retain(|it| it.as_str() != Some(member));
    members.len() < before
}

#[cfg(test)]
mod tests;
