//! A workload identity provider: whose tokens it takes, and what it makes of them.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::JwkSet;
use thiserror::Error;

use crate::gcp::estate;
use crate::gcp::expressions::Expression;

const CUSTOM_ATTRIBUTES_MAX: usize = 50;
const ATTRIBUTE_CHARACTERS_MAX: usize = 100;
const EXPRESSION_CHARACTERS_MAX: usize = 2_048;
const CONDITION_CHARACTERS_MAX: usize = 4_096;
const AUDIENCES_MAX: usize = 10;

/// Why an estate's provider cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ProviderError(String);

#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL`.
    pub(super) pool: String,
    /// The pool, and `/providers/ID`.
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) keys: JwkSet,
    pub(super) allowed_audiences: Vec<String>,
    pub(super) subject: Expression,
    pub(super) groups: Option<Expression>,
    /// Custom attributes by name.
    pub(super) attributes: BTreeMap<String, Expression>,
    pub(super) condition: Option<Expression>,
    pub(super) disabled: bool,
}

impl Provider {
    pub(crate) fn new(
        project_number: u64,
        pool: &str,
        provider: &estate::Provider,
    ) -> Result<Provider, ProviderError> {
        let wrong = |what: String| ProviderError(what);
        let pool =
            format!("projects/{project_number}/locations/global/workloadIdentityPools/{pool}");
        let mut attributes = BTreeMap::new();
        let (mut subject, mut groups) = (None, None);
        for (attribute, text) in &provider.attribute_mapping {
            let expression =
                mapping(text).map_err(|reason| wrong(format!("`{attribute}`: {reason}")))?;
            match attribute.as_str() {
                "google.subject" => subject = Some(expression),
                "google.groups" => groups = Some(expression),
                custom => {
                    let name = custom
                        .strip_prefix("attribute.")
                        .filter(|name| is_attribute(name));
                    let name =
                        name.ok_or_else(|| wrong(format!("there is no attribute `{custom}`")))?;
                    attributes.insert(name.to_owned(), expression);
                }
            }
        }
        if attributes.len() > CUSTOM_ATTRIBUTES_MAX {
            return Err(wrong(format!(
                "more than {CUSTOM_ATTRIBUTES_MAX} custom attributes"
            )));
        }
        if provider.allowed_audiences.len() > AUDIENCES_MAX {
            return Err(wrong(format!("more than {AUDIENCES_MAX} audiences")));
        }
        let condition = provider.attribute_condition.as_deref().map(condition);
        Ok(Provider {
            name: format!("{pool}/providers/{}", provider.id),
            pool,
            issuer: provider.issuer.clone(),
            keys: serde_json::from_str(&provider.jwks_json)
                .map_err(|error| wrong(format!("the keys are not a JSON Web Key Set: {error}")))?,
            allowed_audiences: provider.allowed_audiences.clone(),
            subject: subject.ok_or_else(|| wrong("`google.subject` is not mapped".to_owned()))?,
            groups,
            attributes,
            condition: condition.transpose().map_err(ProviderError)?,
            disabled: provider.disabled,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a token's audience is meant for this provider.
    pub(super) fn takes_audience(&self, audience: &str) -> bool {
        if !self.allowed_audiences.is_empty() {
            return self
                .allowed_audiences
                .iter()
                .any(|allowed| allowed == audience);
        }
        let own = audience.strip_prefix("https:").unwrap_or(audience);
        own.strip_prefix("//iam.googleapis.com/") == Some(&self.name)
    }
}

fn mapping(text: &str) -> Result<Expression, String> {
    if text.chars().count() > EXPRESSION_CHARACTERS_MAX {
        return Err(format!(
            "the expression has more than {EXPRESSION_CHARACTERS_MAX} characters"
        ));
    }
    Expression::parse(text, &["assertion"])
}

fn condition(text: &str) -> Result<Expression, String> {
    if text.chars().count() > CONDITION_CHARACTERS_MAX {
        return Err(format!(
            "the condition has more than {CONDITION_CHARACTERS_MAX} characters"
        ));
    }
    Expression::parse(text, &["assertion", "google", "attribute"])
}

fn is_attribute(name: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    !name.is_empty() && name.len() <= ATTRIBUTE_CHARACTERS_MAX && name.chars().all(is_plain)
}
