//! The issuer's keys in Azure Key Vault: they are read there and sign there, and never leave it.
//!
//! A key is named with its version, so what is read of it once holds for good. A failed read is
//! remembered for a moment: who asks for the issuer's documents is anybody, and the vault takes only
//! so many calls.

mod config;
mod examine;
mod fault;

use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::arm::{Answered, Arm, NoAnswer, Place};
use crate::connect::{CannotConnect, Way};

pub use config::{KeyId, KeyVault};
pub use fault::KeyFault;

/// Key Vault's API.
const VERSION: &str = "7.4";
/// The longest that a call to the vault may take, with its repetition, in seconds: less than any
/// elevation.
const CALL_SECONDS: u64 = 4;
/// For how long a read that failed is not tried again, in seconds.
const REST_SECONDS: u64 = 5;
/// What RS256 is called there.
const RS256: &str = "RS256";

/// The public half of a key, as the vault shows it: big-endian numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaPublic {
    /// The modulus.
    pub modulus: Vec<u8>,
    /// The public exponent.
    pub exponent: Vec<u8>,
}

/// One version of a key in a vault.
pub struct VaultKey {
    id: KeyId,
    vault: Arm,
    read: Mutex<Read>,
}

/// What is known of a key.
enum Read {
    NotYet,
    Known(RsaPublic),
    Failed(KeyFault, Instant),
}

/// A key as the vault shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Shown {
    key: ShownKey,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ShownKey {
    kid: String,
    kty: String,
    #[serde(default)]
    key_ops: Vec<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Whether, and from when to when, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

#[derive(Serialize)]
struct ToSign {
    alg: &'static str,
    value: String,
}

/// Whose signature it is, whoever checks it finds out.
#[derive(Deserialize)]
struct Signed {
    value: String,
}

impl Shown {
    /// The public half, if it is this key's and an RSA key's.
    fn rsa(&self, id: &KeyId) -> Result<RsaPublic, &'static str> {
        if !id.is(&self.key.kid) {
            return Err("the vault shows another key");
        }
        let number = |text: &Option<String>| text.as_deref().and_then(decoded);
        match (
            self.key.kty.as_str(),
            number(&self.key.n),
            number(&self.key.e),
        ) {
            ("RSA" | "RSA-HSM", Some(modulus), Some(exponent)) => {
                Ok(RsaPublic { modulus, exponent })
            }
            _ => Err("it is no RSA key"),
        }
    }
}

impl KeyVault {
    /// A key of these, as the broker's own identity reads and uses it. Makes no call.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn key(&self, id: &KeyId) -> Result<VaultKey, CannotConnect> {
        let authorities = self.certificate_authorities_file.as_deref();
        let way = Way::to([id.vault()], &self.authority, authorities)?;
        let credential = self.credentials.credential(self.tenant, &way)?;
        let scope = self.environment.vault();
        Ok(VaultKey {
            vault: Arm::new(id.vault(), &credential, scope, way.once()),
            id: id.clone(),
            read: Mutex::new(Read::NotYet),
        })
    }
}

impl VaultKey {
    /// Where it is.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Its public half.
    ///
    /// # Errors
    /// When the vault does not show it, or it is no RSA key.
    pub async fn public(&self) -> Result<RsaPublic, KeyFault> {
        // Whoever comes meanwhile waits for the same answer.
        let mut read = self.read.lock().await;
        match &*read {
            Read::Known(public) => return Ok(public.clone()),
            Read::Failed(fault, at) if at.elapsed().as_secs() < REST_SECONDS => {
                return Err(fault.clone());
            }
            Read::Failed(..) | Read::NotYet => {}
        }
        let shown = self.shown().await.and_then(|shown| {
            let rsa = shown.rsa(&self.id);
            rsa.map_err(|why| self.refused("get", why))
        });
        *read = match &shown {
            Ok(public) => Read::Known(public.clone()),
            Err(fault) => Read::Failed(fault.clone(), Instant::now()),
        };
        shown
    }

    /// Has the vault sign a SHA-256 digest, as RS256 says.
    ///
    /// # Errors
    /// When it does not.
    pub async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, KeyFault> {
        let body = ToSign {
            alg: RS256,
            value: URL_SAFE_NO_PAD.encode(digest),
        };
        let path = format!("{}/sign", self.id.path());
        let signed = in_time(|| self.vault.ask(place(&path), &body)).await;
        let signed: Signed = signed.map_err(|error| self.fault("sign", &error))?;
        decoded(&signed.value).ok_or_else(|| self.refused("sign", "the signature is not base64url"))
    }

    async fn shown(&self) -> Result<Shown, KeyFault> {
        let shown = in_time(|| self.vault.get(place(self.id.path()))).await;
        shown.map_err(|error| self.fault("get", &error))
    }

    fn fault(&self, operation: &str, error: &NoAnswer) -> KeyFault {
        KeyFault::of(&format!("{operation} {}", self.id), error)
    }

    fn refused(&self, operation: &str, why: &str) -> KeyFault {
        KeyFault::Refused(format!("{operation} {}: {why}", self.id))
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn place(path: &str) -> Place<'_> {
    Place {
        path,
        api_version: VERSION,
        filter: None,
    }
}

/// What a call comes to, if that is soon. It is made once more where that may help at once: a
/// connection that broke, a server that stumbled. To sign twice does no harm, and a role that was
/// given already would be lost.
async fn in_time<T, F>(call: impl Fn() -> F) -> Result<T, NoAnswer>
where
    F: Future<Output = Result<Answered<T>, NoAnswer>>,
{
    let twice = async {
        match call().await {
            Err(NoAnswer::NeverSent(_) | NoAnswer::Lost(_)) => call().await,
            Err(NoAnswer::Refused(refusal)) if refusal.status >= 500 => call().await,
            first => first,
        }
    };
    match timeout(Duration::from_secs(CALL_SECONDS), twice).await {
        Ok(answered) => answered.map(|answer| answer.body),
        Err(_) => Err(NoAnswer::Lost(format!("no answer within {CALL_SECONDS} s"))),
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_rsa_key_that_was_asked_for_is_taken() {
        let id = "https://acme.vault.azure.net/keys/jitney/0123456789abcdef0123456789abcdef";
        let vault: KeyVault = serde_json::from_value(json!({
            "tenant": "11111111-0000-4000-8000-000000000001", "key": id,
            "credentials": { "from": "managed-identity" },
        }))
        .unwrap();
        let rsa = |kid: &str, kty: &str, n: &str| {
            let key = json!({ "kid": kid, "kty": kty, "key_ops": ["sign"], "n": n, "e": "AQAB" });
            let shown: Shown = serde_json::from_value(json!({ "key": key })).unwrap();
            shown.rsa(vault.key.as_ref().unwrap())
        };
        let exponent = vec![1, 0, 1];
        for kind in ["RSA", "RSA-HSM"] {
            let public = rsa(id, kind, "_w").unwrap();
            assert_eq!((public.modulus, &public.exponent), (vec![255], &exponent));
        }
        let another = id.replace("jitney", "other");
        assert_eq!(
            rsa(&another, "RSA", "_w"),
            Err("the vault shows another key")
        );
        for (kind, modulus) in [
            ("EC", "_w"),
            ("oct", "_w"),
            ("RSA", ""),
            ("RSA", "=="),
            ("", "_w"),
        ] {
            assert_eq!(
                rsa(id, kind, modulus),
                Err("it is no RSA key"),
                "{kind} {modulus}"
            );
        }
    }
}
