//! The `$filter` of lists: `atScope()`, `assignedTo('…')`, `principalId eq '…'` and a few more, joined by `and`.

use uuid::Uuid;

use super::arm::Incoming;
use super::errors::ArmError;
use super::roles::role_in_id;
use super::scope::Scope;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Not below the scope.
    at_scope: bool,
    principal: Option<Uuid>,
    requestor: Option<Uuid>,
    role: Option<Uuid>,
}

/// What a filter can look at.
pub(crate) struct Seen<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) principal: Uuid,
    pub(crate) role: Uuid,
    pub(crate) requestor: Option<Uuid>,
}

impl Filter {
    /// The filter of a call.
    pub(crate) fn of(incoming: &Incoming<'_>) -> Result<Filter, ArmError> {
        let text = incoming.call.query_value("$filter").unwrap_or_default();
        Filter::read(&text, incoming.caller.object_id)
    }

    fn read(text: &str, caller: Uuid) -> Result<Filter, ArmError> {
        let mut filter = Filter::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(filter);
        }
        for term in text.split(" and ") {
            let understood = filter.add(term.trim(), caller);
            understood.ok_or_else(|| {
                ArmError::bad_request(
                    "UnsupportedQuery",
                    format!(
                        "The filter '{term}' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{{value}}' or assignedTo('{{value}}')'."
                    ),
                )
            })?;
        }
        Ok(filter)
    }

    fn add(&mut self, term: &str, caller: Uuid) -> Option<()> {
        let lower = term.to_lowercase();
        match lower.as_str() {
            "atscope()" => self.at_scope = true,
            "astarget()" => self.principal = Some(caller),
            "asrequestor()" => self.requestor = Some(caller),
            _ => {
                if let Some(rest) = lower.strip_prefix("assignedto(") {
                    self.principal = Some(unquoted(rest.strip_suffix(')')?)?.parse().ok()?);
                    return Some(());
                }
                let (name, value) = lower.split_once(" eq ")?;
                let value = unquoted(value.trim())?;
                match name.trim() {
                    "principalid" => self.principal = Some(value.parse().ok()?),
                    "requestorid" => self.requestor = Some(value.parse().ok()?),
                    "roledefinitionid" => self.role = Some(role_in_id(value)?),
                    _ => return None,
                }
            }
        }
        Some(())
    }

    /// The role that is asked for, if one is.
    pub(crate) fn role(&self) -> Option<Uuid> {
        self.role
    }

    /// Whether a list at this scope shows a thing: what lies above always counts, what lies below unless the
    /// filter says otherwise.
    pub(crate) fn shows(&self, incoming: &Incoming<'_>, seen: &Seen<'_>) -> bool {
        let tree = &incoming.cloud.tenant.hierarchy;
        let is_near = tree.covers(seen.scope, &incoming.scope)
            || (!self.at_scope && tree.covers(&incoming.scope, seen.scope));
        is_near
            && self
                .principal
                .is_none_or(|principal| principal == seen.principal)
            && self.role.is_none_or(|role| role == seen.role)
            && self
                .requestor
                .is_none_or(|requestor| Some(requestor) == seen.requestor)
    }
}

/// A value in quotes, or one that needs none.
fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\''),
        None => (!text.contains('\'')).then_some(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn terms_are_joined_by_and() {
        let caller = Uuid::from_u128(1);
        let text = "atScope() and assignedTo('00000000-0000-0000-0000-000000000002')";
        let filter = Filter::read(text, caller).unwrap();
        assert!(filter.at_scope);
        assert_eq!(filter.principal, Some(Uuid::from_u128(2)));
        let bare = Filter::read(
            "principalId eq 00000000-0000-0000-0000-000000000002",
            caller,
        );
        assert_eq!(bare.unwrap().principal, Some(Uuid::from_u128(2)));
        assert_eq!(
            Filter::read("asTarget()", caller).unwrap().principal,
            Some(caller)
        );
        assert_eq!(Filter::read("", caller).unwrap(), Filter::default());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "principalId eq 'nobody'",
            "principalId ne '00000000-0000-0000-0000-000000000002'",
            "assignedTo('00000000-0000-0000-0000-000000000002'",
            "roleDefinitionId eq 'acdd72a7-3385-48ef-bd42-f606fba81ae7'",
            "atScope() or asTarget()",
            "status eq 'Granted'",
            "colour eq 'red'",
        ] {
            let error = Filter::read(text, Uuid::nil()).expect_err(text);
            assert_eq!(error.code, "UnsupportedQuery", "{text}");
        }
    }
}
