//! A token for a narrower one: the boundary is read here, and kept with the new token.

use std::sync::Arc;

use serde_json::Value;

use super::{Given, invalid, missing};
use crate::call::percent_decoded;
use crate::gcp::boundary::{Boundary, CONDITION_CHARACTERS_MAX, RULES_MAX, Rule};
use crate::gcp::errors::OAuthError;
use crate::gcp::expressions::Expression;
use crate::gcp::policy::Surroundings;
use crate::gcp::principals::Principal;
use crate::gcp::route::Incoming;
use crate::gcp::schema::{self, Fields, Kind};
use crate::gcp::tokens::{Issue, Origin};

const OPTIONS: Kind = Kind::Object(&[(
    "accessBoundary",
    Kind::Object(&[("accessBoundaryRules", Kind::List(&RULE))]),
)]);
const RULE: Kind = Kind::Object(&[
    ("availableResource", Kind::Text),
    ("availablePermissions", Kind::List(&Kind::Text)),
    (
        "availabilityCondition",
        Kind::Object(&[
            ("expression", Kind::Text),
            ("title", Kind::Text),
            ("description", Kind::Text),
        ]),
    ),
]);

pub(super) fn exchange(
    incoming: &Incoming<'_>,
    wish: &Value,
    subject_token: &str,
) -> Result<Given, OAuthError> {
    let options = wish.text("options").ok_or_else(|| missing("options"))?;
    let boundary = read(incoming, options)?;
    let refused = || {
        OAuthError::new(
            "invalid_grant",
            "The given credential is invalid or has expired.",
        )
    };
    let source = incoming
        .cloud
        .tokens
        .find(subject_token)
        .ok_or_else(refused)?;
    incoming.cloud.check_alive(&source).map_err(|_| refused())?;
    if source.boundary.is_some() {
        return Err(invalid(
            "The given access token already contains security attributes; no others can be applied.",
        ));
    }
    let left = source.expires.duration_since(incoming.now).as_secs();
    let token = incoming.cloud.issue(Issue {
        principal: source.principal.clone(),
        scopes: source.scopes.clone(),
        expires: source.expires,
        boundary: Some(Arc::new(boundary)),
        origin: Origin::Boundary,
    });
    let is_person = matches!(source.principal, Principal::User { .. });
    Ok(Given {
        token,
        expires_in: (!is_person).then_some(left),
    })
}

/// The boundary in the options. Some clients percent-encode them before the form is encoded, others do not.
fn read(incoming: &Incoming<'_>, options: &str) -> Result<Boundary, OAuthError> {
    let text = if options.starts_with('{') {
        options.to_owned()
    } else {
        percent_decoded(options)
    };
    let options =
        schema::read(text.as_bytes(), &OPTIONS).map_err(|error| invalid(error.message))?;
    let rules = options
        .pointer("/accessBoundary/accessBoundaryRules")
        .and_then(Value::as_array);
    let rules = rules
        .filter(|rules| !rules.is_empty())
        .ok_or_else(|| invalid("The access boundary has no rules."))?;
    if rules.len() > RULES_MAX {
        return Err(invalid(format!(
            "The access boundary has more than {RULES_MAX} rules."
        )));
    }
    let rules = rules
        .iter()
        .map(|rule| self::rule(incoming, rule))
        .collect::<Result<_, _>>()?;
    Ok(Boundary { rules })
}

fn rule(incoming: &Incoming<'_>, rule: &Value) -> Result<Rule, OAuthError> {
    let resource = rule.text("availableResource").unwrap_or_default();
    let bucket = resource
        .strip_prefix("//storage.googleapis.com/projects/_/buckets/")
        .filter(|bucket| !bucket.is_empty() && !bucket.contains('/'))
        .ok_or_else(|| invalid(format!("Invalid available resource: {resource}.")))?;
    let directory = incoming.cloud.directory.read();
    let roles = rule
        .texts("availablePermissions")
        .into_iter()
        .map(|permission| {
            let role = permission
                .strip_prefix("inRole:")
                .filter(|role| directory.has_role(role));
            role.map(str::to_owned)
                .ok_or_else(|| invalid(format!("Invalid available permission: {permission}.")))
        });
    let roles: Vec<String> = roles.collect::<Result<_, _>>()?;
    if roles.is_empty() {
        return Err(invalid(
            "A rule of the access boundary has no available permissions.",
        ));
    }
    let condition = rule.get("availabilityCondition").map(|condition| {
        let text = condition.text("expression").unwrap_or_default();
        if text.chars().count() > CONDITION_CHARACTERS_MAX {
            return Err(invalid(format!(
                "An availability condition has more than {CONDITION_CHARACTERS_MAX} characters."
            )));
        }
        Expression::condition(text)
            .map_err(|reason| invalid(format!("Invalid availability condition: {reason}")))
    });
    Ok(Rule {
        bucket: bucket.to_owned(),
        roles,
        condition: condition.transpose()?,
    })
}
