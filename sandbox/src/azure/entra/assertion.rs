//! A client assertion: whether an app trusts it, and whether its issuer made it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::azure::access_token::part;
use crate::azure::cloud::Cloud;
use crate::azure::estate::{App, FederatedCredential};

use super::errors::EntraError;

/// How far apart two clocks may be.
const SKEW_SECONDS: i64 = 300;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// What an assertion says, before and after it is known to be true.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    nbf: Option<i64>,
    jti: Option<String>,
}

/// An assertion that an app trusts.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    pub(super) subject: String,
    pub(super) id: Option<String>,
}

/// Judges an assertion, asking its issuer for the key.
pub(super) async fn judge(
    cloud: &Cloud,
    app: &App,
    assertion: &str,
) -> Result<Trusted, EntraError> {
    let malformed = || EntraError::request(50_027, "JWT token is invalid or malformed.");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
    let (header, unverified) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = part(header).ok_or_else(malformed)?;
    let unverified: Claims = part(unverified).ok_or_else(malformed)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;

    let vague = cloud.settings().vague_mismatches;
    match_credential(&app.federated, &unverified, vague)?;
    check_signature(cloud, &unverified.iss, &header, signed, &signature).await?;
    let claims = unverified;
    let now = cloud.clock.wire_now().as_second();
    let is_over = claims.exp <= now.saturating_sub(SKEW_SECONDS);
    let is_early = claims
        .nbf
        .is_some_and(|from| from > now.saturating_add(SKEW_SECONDS));
    if is_over || is_early {
        return Err(EntraError::client(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {now}, expiry time of assertion {}.",
                claims.exp
            ),
        ));
    }
    Ok(Trusted {
        subject: claims.sub,
        id: claims.jti,
    })
}

/// All three are compared exactly, case included; the audience is one string.
fn match_credential(
    credentials: &[FederatedCredential],
    claims: &Claims,
    vague: bool,
) -> Result<(), EntraError> {
    let audience = claims.aud.as_str();
    let is_issuer = |credential: &&FederatedCredential| credential.issuer == claims.iss;
    let is_subject = |credential: &&FederatedCredential| credential.subject == claims.sub;
    let of_issuer = || credentials.iter().filter(is_issuer);
    let of_subject = || of_issuer().filter(is_subject);
    let (code, what) = if of_issuer().next().is_none() {
        (700_211, format!("issuer '{}'", claims.iss))
    } else if of_subject().next().is_none() {
        (700_213, format!("subject '{}'", claims.sub))
    } else if !of_subject().any(|credential| Some(credential.audience.as_str()) == audience) {
        (700_212, format!("audience '{}'", claims.aud))
    } else {
        return Ok(());
    };
    let code = if vague { 70_021 } else { code };
    Err(EntraError::request(
        code,
        format!(
            "No matching federated identity record found for presented assertion {what}. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion."
        ),
    ))
}

async fn check_signature(
    cloud: &Cloud,
    issuer: &str,
    header: &Header,
    signed: &str,
    signature: &[u8],
) -> Result<(), EntraError> {
    let failed = |reason: &str| {
        EntraError::client(
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - {reason}]"
            ),
        )
    };
    if header.alg != "RS256" {
        return Err(failed("The algorithm is not RS256."));
    }
    let id = header
        .kid
        .as_deref()
        .ok_or_else(|| failed("The assertion names no key."))?;
    let now = cloud.clock.wire_now();
    let key = cloud
        .issuer_keys
        .find(issuer, id, now)
        .await
        .map_err(|reason| {
            EntraError::request(
                50_166,
                format!("Request to External OIDC endpoint failed. ({reason})"),
            )
        })?;
    let key = key.ok_or_else(|| failed("The key was not found."))?;
    if key.verifies(signed, signature) {
        Ok(())
    } else {
        Err(failed("The key was found but the signature is not valid."))
    }
}
