//! A provider's token for a token of Google: verified, mapped, and held against the provider's condition.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};

use super::provider::Provider;
use super::{Given, invalid, missing};
use crate::gcp::cloud::whole_second;
use crate::gcp::errors::OAuthError;
use crate::gcp::principals::{Federated, Principal};
use crate::gcp::route::Incoming;
use crate::gcp::schema::Fields;
use crate::gcp::tokens::{Issue, Origin};

const LIFE_SECONDS_MAX: i64 = 3_600;
/// The oldest that a token may be.
const AGE_SECONDS_MAX: i64 = 24 * 3_600;
const SUBJECT_BYTES_MAX: usize = 127;
const MAPPED_BYTES_MAX: usize = 8 * 1_024;

pub(super) fn exchange(
    incoming: &Incoming<'_>,
    wish: &Value,
    subject_token: &str,
) -> Result<Given, OAuthError> {
    let audience = wish.text("audience").ok_or_else(|| missing("audience"))?;
    let scope = wish.text("scope").ok_or_else(|| missing("scope"))?;
    let directory = incoming.cloud.directory.read();
    let provider = audience
        .strip_prefix("//iam.googleapis.com/")
        .and_then(|name| directory.providers.get(name))
        .filter(|provider| !provider.disabled)
        .ok_or_else(unknown_target)?;
    // Tokens of CI systems are made in real time, whatever the sandbox's policies believe.
    let now = incoming.cloud.clock.wire_now();
    let assertion = verified(provider, subject_token, now)?;
    let who = mapped(provider, &assertion)?;
    let ends = number(&assertion, "exp").unwrap_or_default() - now.as_second();
    let seconds = ends.min(LIFE_SECONDS_MAX);
    let life = SignedDuration::from_secs(seconds);
    let expires = whole_second(incoming.now).saturating_add(life);
    let token = incoming.cloud.issue(Issue {
        principal: Principal::Federated(who),
        scopes: scope.split(' ').map(str::to_owned).collect(),
        expires: expires.map_err(|_| refused("The token ends too late."))?,
        boundary: None,
        origin: Origin::Federation,
    });
    Ok(Given {
        token,
        expires_in: Some(seconds),
    })
}

fn unknown_target() -> OAuthError {
    OAuthError::new(
        "invalid_target",
        "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool \
         or provider is disabled or deleted or because it doesn't exist.",
    )
}

fn refused(description: impl Into<String>) -> OAuthError {
    OAuthError::new("invalid_grant", description)
}

/// The claims of a token whose signature, issuer, audience and times hold.
fn verified(
    provider: &Provider,
    unverified_token: &str,
    now: Timestamp,
) -> Result<Value, OAuthError> {
    let header = jsonwebtoken::decode_header(unverified_token)
        .map_err(|_| invalid("The subject token is not a JSON Web Token."))?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(refused(
            "The subject token must be signed with RS256 or ES256.",
        ));
    }
    let kid = header
        .kid
        .ok_or_else(|| refused("The subject token has no key id."))?;
    let key = provider.keys.find(&kid).ok_or_else(|| {
        refused(format!(
            "Error connecting to the given credential's issuer: no key with id {kid}."
        ))
    })?;
    let key =
        DecodingKey::from_jwk(key).map_err(|_| refused("The provider's key is not usable."))?;
    let mut validation = Validation::new(header.alg);
    // Times and audience are checked below, by the sandbox's clock and the provider's rules.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(unverified_token, &key, &validation)
        .map_err(|_| refused("Invalid JWT signature."))?
        .claims;
    check_times(&claims, now)?;
    let issuer = claims.text("iss").unwrap_or_default();
    if issuer != provider.issuer {
        return Err(refused(format!(
            "The issuer in ID Token {issuer} does not match the expected ones: {}",
            provider.issuer
        )));
    }
    if !audiences(&claims)
        .iter()
        .any(|audience| provider.takes_audience(audience))
    {
        return Err(refused(
            "The audience in ID Token does not match the expected audience.",
        ));
    }
    Ok(claims)
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), OAuthError> {
    let now = now.as_second();
    let (Some(issued), Some(expires)) = (number(claims, "iat"), number(claims, "exp")) else {
        return Err(refused(
            "The subject token must have the claims iat and exp.",
        ));
    };
    if expires <= now {
        return Err(refused(format!(
            "ID Token issued at {issued} is stale to sign-in."
        )));
    }
    if issued > now || number(claims, "nbf").is_some_and(|begins| begins > now) {
        return Err(refused("The subject token is not valid yet."));
    }
    if now - issued > AGE_SECONDS_MAX {
        return Err(refused(format!(
            "ID Token issued at {issued} is stale to sign-in."
        )));
    }
    Ok(())
}

fn number(claims: &Value, name: &str) -> Option<i64> {
    claims.get(name).and_then(Value::as_i64)
}

fn audiences(claims: &Value) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience.clone()],
        _ => claims.texts("aud"),
    }
}

/// Who the provider says it is, if its condition holds.
fn mapped(provider: &Provider, assertion: &Value) -> Result<Federated, OAuthError> {
    let variables: &[(&str, &Value)] = &[("assertion", assertion)];
    let subject = text(&provider.subject.value(variables), "google.subject")?;
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return Err(refused(format!(
            "The size of mapped attribute google.subject must be between 1 and {SUBJECT_BYTES_MAX} bytes."
        )));
    }
    let groups = match &provider.groups {
        None => Vec::new(),
        Some(groups) => texts(&groups.value(variables))?,
    };
    let mut attributes = Vec::new();
    for (name, expression) in &provider.attributes {
        attributes.push((name.clone(), text(&expression.value(variables), name)?));
    }
    let size: usize = attributes.iter().map(|(_, value)| value.len()).sum();
    if size + subject.len() + groups.iter().map(String::len).sum::<usize>() > MAPPED_BYTES_MAX {
        return Err(refused("The size of the mapped attributes exceeds 8 KB."));
    }
    let table: Map<String, Value> = attributes
        .iter()
        .map(|(k, v)| (k.clone(), json!(v)))
        .collect();
    if let Some(condition) = &provider.condition {
        let google = json!({ "subject": subject, "groups": groups });
        let attribute = Value::Object(table);
        let variables = [
            ("assertion", assertion),
            ("google", &google),
            ("attribute", &attribute),
        ];
        if condition.value(&variables) != Ok(cel::Value::Bool(true)) {
            return Err(OAuthError::new(
                "unauthorized_client",
                "The given credential is rejected by the attribute condition.",
            ));
        }
    }
    Ok(Federated {
        pool: provider.pool.clone(),
        subject,
        groups,
        attributes,
    })
}

fn text(value: &Result<cel::Value, String>, name: &str) -> Result<String, OAuthError> {
    match value {
        Ok(cel::Value::String(text)) => Ok(text.to_string()),
        _ => Err(refused(format!(
            "The mapped attribute {name} must be of type STRING."
        ))),
    }
}

fn texts(value: &Result<cel::Value, String>) -> Result<Vec<String>, OAuthError> {
    let wrong = || refused("The mapped attribute google.groups must be of type LIST of STRING.");
    let Ok(cel::Value::List(items)) = value else {
        return Err(wrong());
    };
    let texts = items.iter().map(|item| match item {
        cel::Value::String(text) => Ok(text.to_string()),
        _ => Err(wrong()),
    });
    texts.collect()
}
