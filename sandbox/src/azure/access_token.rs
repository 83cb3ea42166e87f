//! Access tokens: how they are made, and who shows one.
//!
//! They live on the sandbox's policy clock and cannot be revoked: a token of a principal that has no rights is a
//! good token, and works again when the principal gets rights.

use std::sync::OnceLock;

use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::signing_key::SigningKey;

use super::cloud::Cloud;
use super::estate::App;

/// The key of all tenants of this process, as the real one is of all tenants of the world: that a token's
/// signature is good says nothing about where it is from.
pub(crate) fn signing_key() -> Option<&'static SigningKey> {
    static KEY: OnceLock<Option<SigningKey>> = OnceLock::new();
    KEY.get_or_init(SigningKey::generate).as_ref()
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) object_id: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) token_id: String,
}

/// Why a call has no caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Malformed,
    Expired { at: Timestamp },
    Audience { seen: String },
    Tenant,
}

/// A token to be made.
pub(crate) struct Grant<'a> {
    pub(crate) app: &'a App,
    pub(crate) audience: &'a str,
    pub(crate) id: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    tid: Uuid,
    oid: Uuid,
    appid: Uuid,
    uti: String,
    nbf: i64,
    exp: i64,
}

/// What tokens of a tenant say in `iss`.
pub(crate) fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// `None` when the key cannot sign.
pub(crate) fn mint(tenant: Uuid, grant: &Grant<'_>) -> Option<String> {
    let key = signing_key()?;
    let claims = json!({
        "aud": grant.audience,
        "iss": issuer(tenant),
        "iat": grant.issued.as_second(),
        "nbf": grant.issued.as_second(),
        "exp": grant.expires.as_second(),
        "appid": grant.app.client_id,
        "appidacr": "2",
        "idp": issuer(tenant),
        "idtyp": "app",
        "oid": grant.app.object_id,
        "sub": grant.app.object_id,
        "tid": tenant,
        "uti": grant.id,
        "ver": "1.0",
    });
    key.token(&key.header(), &claims)
}

impl Cloud {
    /// Who shows this call's bearer token, which must be for one of these audiences.
    pub(crate) fn caller(
        &self,
        call: &Call,
        is_audience: impl Fn(&str) -> bool,
    ) -> Result<Caller, Refusal> {
        let header = call.header("authorization").ok_or(Refusal::Missing)?;
        let token = header.strip_prefix("Bearer ").ok_or(Refusal::Malformed)?;
        let claims = verified(token).ok_or(Refusal::Malformed)?;
        if claims.tid != self.tenant.id || claims.iss != issuer(self.tenant.id) {
            return Err(Refusal::Tenant);
        }
        if !is_audience(&claims.aud) {
            return Err(Refusal::Audience { seen: claims.aud });
        }
        let now = self.clock.now().as_second();
        if claims.exp <= now {
            let at = Timestamp::from_second(claims.exp).unwrap_or_default();
            return Err(Refusal::Expired { at });
        }
        if claims.nbf > now + 1 {
            return Err(Refusal::Malformed);
        }
        Ok(Caller {
            object_id: claims.oid,
            client_id: claims.appid,
            token_id: claims.uti,
        })
    }
}

/// The claims of a token that our key signed.
fn verified(token: &str) -> Option<Claims> {
    let key = signing_key()?;
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = part(header)?;
    if header.alg != "RS256" || header.kid != key.id() {
        return None;
    }
    let public = UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA256,
        key.pair().public_key().as_ref(),
    );
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    public.verify(signed.as_bytes(), &signature).ok()?;
    part(claims)
}

/// One part of a token, decoded.
pub(crate) fn part<T: for<'de> Deserialize<'de>>(encoded: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The published keys.
pub(crate) fn key_set(tenant: Uuid) -> Value {
    let jwk = |key: &SigningKey| {
        let mut jwk = key.jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.insert(
                "issuer".to_owned(),
                json!(format!("https://login.microsoftonline.com/{tenant}/v2.0")),
            );
        }
        jwk
    };
    json!({ "keys": signing_key().map(jwk).into_iter().collect::<Vec<_>>() })
}
