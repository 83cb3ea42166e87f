//! One statement: which actions, resources and principals it speaks of, and under which conditions.

use super::Request;
use super::condition::Condition;
use super::document::Document;
use super::pattern::{ArnPattern, Pattern, Variables, Wildcards};
use super::policy::{Effect, Malformed, PolicyKind};
use super::principal::{Principals, Reach};

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principals: Option<Principals>,
    actions: Actions,
    resources: Option<Resources>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Actions {
    negated: bool,
    /// In lower case.
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Resources {
    negated: bool,
    patterns: Vec<ArnPattern>,
    /// The patterns as written.
    texts: Vec<String>,
}

const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

impl Statement {
    pub(crate) fn read(
        document: &Document,
        kind: PolicyKind,
        variables: Variables,
    ) -> Result<Statement, Malformed> {
        let Document::Object(members) = document else {
            return Err(Malformed::new(
                "Syntax errors in policy. A statement is not an object",
            ));
        };
        if let Some((unknown, _)) = members
            .iter()
            .find(|(key, _)| !ELEMENTS.contains(&key.as_str()))
        {
            return Err(Malformed::new(format!(
                "Syntax errors in policy. The element `{unknown}` is not known"
            )));
        }
        let element = |name: &str| {
            members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        let effect = match element("Effect") {
            Some(Document::Text(text)) if text == "Allow" => Effect::Allow,
            Some(Document::Text(text)) if text == "Deny" => Effect::Deny,
            _ => {
                return Err(Malformed::new(
                    "Syntax errors in policy. `Effect` is neither `Allow` nor `Deny`",
                ));
            }
        };
        let principals = match either(element("Principal"), element("NotPrincipal"), "Principal")? {
            Some((value, negated)) => Some(Principals::read(value, negated)?),
            None => None,
        };
        check_principals(kind, effect, principals.as_ref())?;
        let conditions = match element("Condition") {
            Some(block) => Condition::read_block(block, variables)?,
            None => Vec::new(),
        };
        Ok(Statement {
            sid: read_sid(element("Sid"), kind)?,
            effect,
            principals,
            actions: Actions::read(
                either(element("Action"), element("NotAction"), "Action")?,
                kind,
            )?,
            resources: Resources::read(
                either(element("Resource"), element("NotResource"), "Resource")?,
                kind,
                variables,
            )?,
            conditions,
        })
    }

    /// Whether the statement speaks of this request, and how far it reaches the caller. A statement without
    /// principals belongs to whoever it is attached to.
    pub(crate) fn reach(&self, request: &Request, lower_case_action: &str) -> Reach {
        let reach = match &self.principals {
            Some(principals) => principals.reach(&request.caller),
            None => Reach::Direct,
        };
        let speaks = reach != Reach::Nothing
            && self.actions.matches(lower_case_action, request)
            && self
                .resources
                .as_ref()
                .is_none_or(|resources| resources.matches(request))
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(&request.context));
        if speaks { reach } else { Reach::Nothing }
    }

    /// The resources as written; none in a trust policy.
    pub(crate) fn resource_texts(&self) -> &[String] {
        self.resources
            .as_ref()
            .map_or(&[], |resources| &resources.texts)
    }
}

/// An element and its negated twin: at most one of them, and whether it was the negated one.
fn either<'a>(
    plain: Option<&'a Document>,
    negated: Option<&'a Document>,
    name: &str,
) -> Result<Option<(&'a Document, bool)>, Malformed> {
    match (plain, negated) {
        (Some(_), Some(_)) => Err(Malformed::new(format!(
            "Syntax errors in policy. `{name}` and `Not{name}` cannot stand together"
        ))),
        (Some(value), None) => Ok(Some((value, false))),
        (None, Some(value)) => Ok(Some((value, true))),
        (None, None) => Ok(None),
    }
}

fn read_sid(element: Option<&Document>, kind: PolicyKind) -> Result<Option<String>, Malformed> {
    match element {
        None => Ok(None),
        // A bucket's statements may have any name; IAM's are letters and digits.
        Some(Document::Text(sid)) if kind == PolicyKind::Resource => Ok(Some(sid.clone())),
        Some(Document::Text(sid)) if sid.chars().all(|char| char.is_ascii_alphanumeric()) => {
            Ok(Some(sid.clone()))
        }
        Some(_) => Err(Malformed::new(
            "Statement IDs (SID) can contain only letters and digits.",
        )),
    }
}

fn check_principals(
    kind: PolicyKind,
    effect: Effect,
    principals: Option<&Principals>,
) -> Result<(), Malformed> {
    match (kind, principals) {
        (PolicyKind::Identity, Some(_)) => Err(Malformed::new(
            "Policy document should not specify a principal.",
        )),
        (PolicyKind::Identity, None) => Ok(()),
        (PolicyKind::Resource | PolicyKind::Trust, None) => {
            Err(Malformed::new("Missing required field Principal"))
        }
        (PolicyKind::Trust, Some(principals)) if principals.negated => {
            Err(Malformed::new("Has prohibited field NotPrincipal"))
        }
        (PolicyKind::Resource, Some(principals))
            if principals.negated && effect == Effect::Allow =>
        {
            Err(Malformed::new("Allow with NotPrincipal is not allowed"))
        }
        (PolicyKind::Resource | PolicyKind::Trust, Some(_)) => Ok(()),
    }
}

impl Actions {
    fn read(element: Option<(&Document, bool)>, kind: PolicyKind) -> Result<Actions, Malformed> {
        let missing = || Malformed::new("Policy statement must contain actions.");
        let (value, negated) = element.ok_or_else(missing)?;
        let mut patterns = Vec::new();
        for item in value.one_or_many() {
            let Document::Text(action) = item else {
                return Err(missing());
            };
            check_action(action, kind)?;
            patterns.push(Pattern::parse(
                &action.to_lowercase(),
                Wildcards::Active,
                Variables::Literal,
            ));
        }
        if patterns.is_empty() {
            return Err(missing());
        }
        Ok(Actions { negated, patterns })
    }

    fn matches(&self, lower_case_action: &str, request: &Request) -> bool {
        let named = self
            .patterns
            .iter()
            .any(|pattern| pattern.matches(lower_case_action, &request.context));
        named != self.negated
    }
}

fn check_action(action: &str, kind: PolicyKind) -> Result<(), Malformed> {
    let vendor = match action.split_once(':') {
        None if action == "*" => "*",
        Some((vendor, name)) if !vendor.is_empty() && !name.is_empty() => vendor,
        _ => {
            return Err(Malformed::new(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
    };
    if action != "*"
        && !vendor
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '-')
    {
        return Err(Malformed::new(format!("Vendor {vendor} is not valid")));
    }
    if kind == PolicyKind::Trust && !vendor.eq_ignore_ascii_case("sts") {
        return Err(Malformed::new(
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ));
    }
    Ok(())
}

impl Resources {
    fn read(
        element: Option<(&Document, bool)>,
        kind: PolicyKind,
        variables: Variables,
    ) -> Result<Option<Resources>, Malformed> {
        let missing = || Malformed::new("Policy statement must contain resources.");
        let (value, negated) = match (kind, element) {
            (PolicyKind::Trust, Some(_)) => {
                return Err(Malformed::new("Has prohibited field Resource"));
            }
            (PolicyKind::Trust, None) => return Ok(None),
            (PolicyKind::Identity | PolicyKind::Resource, element) => {
                element.ok_or_else(missing)?
            }
        };
        let mut patterns = Vec::new();
        let mut texts = Vec::new();
        for item in value.one_or_many() {
            let Document::Text(text) = item else {
                return Err(missing());
            };
            texts.push(text.clone());
            patterns.push(ArnPattern::parse(text, variables).ok_or_else(|| {
                Malformed::new(format!("Resource {text} must be in ARN format or \"*\"."))
            })?);
        }
        if patterns.is_empty() {
            return Err(missing());
        }
        Ok(Some(Resources {
            negated,
            patterns,
            texts,
        }))
    }

    fn matches(&self, request: &Request) -> bool {
        let named = self
            .patterns
            .iter()
            .any(|pattern| pattern.matches(&request.resource, &request.context));
        named != self.negated
    }
}
