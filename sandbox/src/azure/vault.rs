//! A subset of Key Vault: a version of an RSA key is shown, and signs. All vaults answer at `/keys/KEY/VERSION`.
//!
//! It authorises the token's principal by the data actions of the roles in force, as a vault with "Azure role-based
//! access control" does. No document names the inner codes `KeyExpired` and `KeyNotYetValid`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::signing_key::SigningKey;

use super::access_token::{Caller, Refusal};
use super::authority::{self, Wish};
use super::cloud::Cloud;
use super::estate::{Estate, KeyVersion};
use super::roles;

const VERSIONS: [&str; 8] = [
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-07-01",
];
const RS256: &str = "RS256";
const SHA256_BYTES: usize = 32;
const RETRY_SECONDS: u64 = 2;

/// What a call to the vault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    GetKey,
    Sign,
    Unknown,
}

impl Operation {
    /// As faults and the journal name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::GetKey => "GetKey",
            Operation::Sign => "Sign",
            Operation::Unknown => "-",
        }
    }
}

/// A call to the vault, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    key: String,
    /// Absent: the latest.
    version: Option<String>,
}

impl Route {
    /// `None` when the path is not below `/keys`, or the estate has no vault with keys.
    pub(crate) fn of(cloud: &Cloud, call: &Call) -> Option<Route> {
        let below = call.path.strip_prefix("/keys/")?;
        if cloud.tenant.keys.is_empty() {
            return None;
        }
        let parts: Vec<&str> = below.trim_end_matches('/').split('/').collect();
        let (key, version, operation) = match (&call.method, parts.as_slice()) {
            (&Method::GET, [key]) => (*key, None, Operation::GetKey),
            (&Method::GET, [key, version]) => (*key, Some(*version), Operation::GetKey),
            (&Method::POST, [key, version, "sign"]) => (*key, Some(*version), Operation::Sign),
            _ => (below, None, Operation::Unknown),
        };
        Some(Route {
            operation,
            key: key.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

/// An error of Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultError {
    status: u16,
    pub(crate) code: String,
    message: String,
    inner: Option<&'static str>,
    retry_after_seconds: Option<u64>,
    /// Where to get a token, when there was none.
    challenge: Option<String>,
}

impl VaultError {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> VaultError {
        VaultError {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            inner: None,
            retry_after_seconds: None,
            challenge: None,
        }
    }

    pub(crate) fn throttled() -> VaultError {
        VaultError {
            retry_after_seconds: Some(RETRY_SECONDS),
            ..VaultError::new(
                429,
                "Throttled",
                "Request was not processed because too many requests were received.",
            )
        }
    }

    fn forbidden(message: &str, inner: &'static str) -> VaultError {
        VaultError {
            inner: Some(inner),
            ..VaultError::new(403, "Forbidden", message)
        }
    }

    fn parameter(message: &str) -> VaultError {
        VaultError::new(400, "BadParameter", message)
    }

    pub(crate) fn as_answer(&self) -> Answer {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(inner), Some(members)) = (self.inner, error.as_object_mut()) {
            members.insert("innererror".to_owned(), json!({ "code": inner }));
        }
        let mut answer = Answer::json(self.status, &json!({ "error": error }));
        if let Some(seconds) = self.retry_after_seconds {
            answer = answer.with("retry-after", seconds.to_string());
        }
        match &self.challenge {
            Some(challenge) => answer.with("www-authenticate", challenge.clone()),
            None => answer,
        }
    }
}

/// The keys themselves, by name and version: they stay when the world is founded anew.
#[derive(Default)]
pub(crate) struct VaultKeys(BTreeMap<(String, String), SigningKey>);

impl VaultKeys {
    /// Takes a good part of a second for each. `None` when the system gives no randomness.
    pub(crate) fn made_for(estate: &Estate) -> Option<VaultKeys> {
        let versions = versions(estate);
        let made = versions.map(|(name, it)| {
            let named = (name.to_owned(), it.version.clone());
            Some((named, SigningKey::generate()?))
        });
        made.collect::<Option<_>>().map(VaultKeys)
    }
}

/// What may change about keys.
pub(crate) struct KeyBook(BTreeMap<String, Vec<KeyVersion>>);

impl KeyBook {
    pub(crate) fn found(estate: &Estate) -> KeyBook {
        let mut book: BTreeMap<String, Vec<KeyVersion>> = BTreeMap::new();
        for (name, version) in versions(estate) {
            book.entry(name.to_owned())
                .or_default()
                .push(version.clone());
        }
        KeyBook(book)
    }

    fn version(&self, name: &str, version: Option<&str>) -> Option<&KeyVersion> {
        let versions = self.0.get(name)?;
        match version {
            Some(version) => versions.iter().find(|it| it.version == version),
            None => versions.last(),
        }
    }

    pub(crate) fn version_mut(&mut self, name: &str, version: &str) -> Option<&mut KeyVersion> {
        let versions = self.0.get_mut(name)?;
        versions.iter_mut().find(|it| it.version == version)
    }
}

fn versions(estate: &Estate) -> impl Iterator<Item = (&str, &KeyVersion)> {
    let groups = estate.subscriptions.iter().flat_map(|it| &it.groups);
    let keys = groups.flat_map(|it| &it.vaults).flat_map(|it| &it.keys);
    keys.flat_map(|(name, versions)| versions.iter().map(|it| (name.as_str(), it)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToSign {
    alg: String,
    value: String,
}

/// Answers one call.
pub(crate) fn serve(
    cloud: &Cloud,
    call: &Call,
    route: &Route,
) -> (Option<Caller>, Result<Answer, VaultError>) {
    let own = cloud.estate.environment.vault();
    let is_audience = |audience: &str| audience.trim_end_matches('/') == own;
    match cloud.caller(call, is_audience) {
        Err(refusal) => (None, Err(unauthenticated(cloud, &refusal))),
        Ok(caller) => {
            let answer = answer(cloud, call, route, &caller);
            (Some(caller), answer)
        }
    }
}

fn unauthenticated(cloud: &Cloud, refusal: &Refusal) -> VaultError {
    let message = match refusal {
        Refusal::Missing => "AKV10000: Request is missing a Bearer or PoP token.",
        Refusal::Audience { .. } => "AKV10022: Invalid audience.",
        Refusal::Malformed | Refusal::Expired { .. } | Refusal::Tenant => {
            "AKV10032: Invalid issuer, or the token is expired or malformed."
        }
    };
    VaultError {
        challenge: Some(format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"{}\"",
            cloud.tenant.id,
            cloud.estate.environment.vault()
        )),
        ..VaultError::new(401, "Unauthorized", message)
    }
}

fn answer(
    cloud: &Cloud,
    call: &Call,
    route: &Route,
    caller: &Caller,
) -> Result<Answer, VaultError> {
    let asked = call.query_value("api-version").unwrap_or_default();
    if !VERSIONS.contains(&asked.as_str()) {
        return Err(VaultError::parameter(&format!(
            "The specified version ({asked}) is not recognized. Consider using the latest supported version (2025-07-01)."
        )));
    }
    let action = match route.operation {
        Operation::GetKey => "Microsoft.KeyVault/vaults/keys/read",
        Operation::Sign => "Microsoft.KeyVault/vaults/keys/sign/action",
        Operation::Unknown => {
            let message = "The sandbox shows keys, and signs.";
            return Err(VaultError::new(501, "NotImplemented", message));
        }
    };
    let world = cloud.world();
    let now = cloud.clock.now();
    let may = cloud.tenant.keys.get(&route.key).is_some_and(|scope| {
        let wish = Wish {
            operation: roles::Operation::Data(action),
            ..Wish::control(action, scope)
        };
        authority::may(&cloud.tenant, &world, caller.object_id, &wish, now)
    });
    if !may {
        let message = format!(
            "Caller is not authorized to perform action on resource.\nAction: '{action}'\nResource: '/keys/{}'",
            route.key
        );
        return Err(VaultError::forbidden(&message, "ForbiddenByRbac"));
    }
    let version = world.keys.version(&route.key, route.version.as_deref());
    let version = version.ok_or_else(|| no_key(route))?;
    let named = (route.key.clone(), version.version.clone());
    let key = cloud
        .vault_keys
        .0
        .get(&named)
        .ok_or_else(|| no_key(route))?;
    let host = call.header("host").unwrap_or_default();
    let kid = format!("https://{host}/keys/{}/{}", route.key, version.version);
    match route.operation {
        Operation::Sign => sign(call, &kid, version, key, now.as_second()),
        Operation::GetKey | Operation::Unknown => Ok(Answer::json(200, &shown(&kid, version, key))),
    }
}

fn no_key(route: &Route) -> VaultError {
    let message = format!(
        "A key with (name/id) {}/{} was not found in this key vault.",
        route.key,
        route.version.as_deref().unwrap_or_default()
    );
    VaultError::new(404, "KeyNotFound", &message)
}

fn shown(kid: &str, version: &KeyVersion, key: &SigningKey) -> Value {
    let jwk = key.jwk();
    let mut attributes = json!({
        "enabled": version.enabled, "created": 1_700_000_000, "updated": 1_700_000_000,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90, "exportable": false,
    });
    if let Some(members) = attributes.as_object_mut() {
        let times = [("nbf", version.not_before), ("exp", version.expires)];
        for (name, time) in times {
            if let Some(time) = time {
                members.insert(name.to_owned(), json!(time));
            }
        }
    }
    json!({
        "key": {
            "kid": kid, "kty": "RSA", "key_ops": version.operations,
            "n": jwk.get("n"), "e": jwk.get("e"),
        },
        "attributes": attributes,
    })
}

fn sign(
    call: &Call,
    kid: &str,
    version: &KeyVersion,
    key: &SigningKey,
    now: i64,
) -> Result<Answer, VaultError> {
    let not_allowed = |what: &str| format!("Operation sign is not allowed on {what} key.");
    if !version.enabled {
        return Err(VaultError::forbidden(
            &not_allowed("a disabled"),
            "KeyDisabled",
        ));
    }
    if version.expires.is_some_and(|at| at <= now) {
        return Err(VaultError::forbidden(
            &not_allowed("an expired"),
            "KeyExpired",
        ));
    }
    if version.not_before.is_some_and(|at| at > now) {
        let message = not_allowed("a not yet valid");
        return Err(VaultError::forbidden(&message, "KeyNotYetValid"));
    }
    if !version
        .operations
        .iter()
        .any(|operation| operation == "sign")
    {
        let message = "Operation sign is not permitted on this key.";
        return Err(VaultError::forbidden(message, "KeyOperationForbidden"));
    }
    let asked: ToSign = serde_json::from_slice(&call.body).map_err(|error| {
        VaultError::parameter(&format!("The request body is not valid: {error}"))
    })?;
    if asked.alg != RS256 {
        let message = format!(
            "Key and signing algorithm are incompatible. Algorithm {}",
            asked.alg
        );
        return Err(VaultError::parameter(&message));
    }
    let digest = URL_SAFE_NO_PAD.decode(&asked.value).unwrap_or_default();
    if digest.len() != SHA256_BYTES {
        let message = format!("Invalid length of 'value': {} bytes", digest.len());
        return Err(VaultError::parameter(&message));
    }
    let signature = key
        .sign_digest(&digest)
        .ok_or_else(|| VaultError::new(500, "InternalServerError", "The key does not sign."))?;
    let value = URL_SAFE_NO_PAD.encode(signature);
    Ok(Answer::json(200, &json!({ "kid": kid, "value": value })))
}
