//! What an operator says about the issuer's keys in a vault. Everything is checked while it is read.

use core::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use crate::config::{BadTarget, PlatformIdentity, address, id, text};
use crate::connect::is_loopback;
use crate::environment::Environment;

/// The longest name of a key.
const NAME_LENGTH_MAX: usize = 127;
/// How long a version is.
const VERSION_LENGTH: usize = 32;

/// Keys in Azure Key Vault, and who reads and uses them: an identity of the platform's, since one
/// that our issuer vouches for would need the key that it fetches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct KeyVault {
    pub(super) tenant: Uuid,
    pub(super) environment: Environment,
    pub(super) credentials: PlatformIdentity,
    pub(super) authority: Url,
    pub(super) certificate_authorities_file: Option<PathBuf>,
    /// The key that signs.
    pub key: Option<KeyId>,
    /// The key that will sign next: published already.
    pub next_key: Option<KeyId>,
    /// Keys that signed before: published still.
    pub previous_keys: Vec<KeyId>,
}

/// The keys as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: String,
    #[serde(default)]
    environment: Environment,
    credentials: PlatformIdentity,
    authority_url: Option<String>,
    certificate_authorities_file: Option<PathBuf>,
    key: Option<String>,
    next_key: Option<String>,
    #[serde(default)]
    previous_keys: Vec<String>,
}

impl TryFrom<Written> for KeyVault {
    type Error = BadTarget;

    fn try_from(written: Written) -> Result<Self, BadTarget> {
        let environment = written.environment;
        let key = |name, text: &String| KeyId::read(name, text, environment);
        let authority = written.authority_url.as_deref();
        let previous = written.previous_keys.iter();
        Ok(Self {
            tenant: id("tenant", &written.tenant)?,
            environment,
            authority: address("authority_url", authority, environment.authority())?,
            certificate_authorities_file: written.certificate_authorities_file,
            key: written.key.as_ref().map(|id| key("key", id)).transpose()?,
            next_key: written
                .next_key
                .as_ref()
                .map(|id| key("next_key", id))
                .transpose()?,
            previous_keys: previous
                .map(|id| key("previous_keys", id))
                .collect::<Result<_, _>>()?,
            credentials: written.credentials,
        })
    }
}

impl KeyVault {
    /// The same with every path taken from the configuration's own folder.
    pub fn below(&mut self, folder: &Path) {
        if let Some(file) = &mut self.certificate_authorities_file {
            *file = folder.join(&*file);
        }
        self.credentials.below(folder);
    }
}

/// One version of one key: what it is called does not change any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId {
    text: String,
    vault: Url,
    path: String,
}

impl KeyId {
    fn read(key: &'static str, seen: &str, environment: Environment) -> Result<Self, BadTarget> {
        let expected = "`https://VAULT/keys/NAME/VERSION` in a vault of this `environment`, with \
                        the version's 32 hexadecimal digits";
        let wrong = || text(key, expected, seen);
        let url = Url::parse(seen).map_err(|_| wrong())?;
        let (origin, path) = match seen.find("/keys/") {
            Some(at) => seen.split_at(at),
            None => return Err(wrong()),
        };
        let vault = address(key, Some(origin), environment.authority()).map_err(|_| wrong())?;
        let host = url.host_str().unwrap_or_default();
        // The token for it would open whatever vault it is sent to.
        let of_azure = host
            .strip_suffix(environment.vaults())
            .and_then(|name| name.strip_suffix('.'))
            .is_some_and(|name| !name.is_empty());
        let parts: Vec<&str> = path.split('/').collect();
        let is_key = matches!(parts.as_slice(), ["", "keys", name, version]
            if is_name(name) && is_version(version));
        if is_key && (of_azure || is_loopback(&vault)) && url.as_str() == seen {
            Ok(Self {
                text: seen.to_owned(),
                path: path.to_owned(),
                vault,
            })
        } else {
            Err(wrong())
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The vault's address.
    pub(crate) const fn vault(&self) -> &Url {
        &self.vault
    }

    /// Where the key is there.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the vault means this one.
    pub(crate) fn is(&self, kid: &str) -> bool {
        self.text.eq_ignore_ascii_case(kid)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn is_version(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == VERSION_LENGTH && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::{Value, json};

    const KEY: &str = "https://acme.vault.azure.net/keys/jitney/0123456789abcdef0123456789abcdef";

    fn read(change: &Value) -> Result<KeyVault, String> {
        let mut written = json!({
            "tenant": "11111111-0000-4000-8000-000000000001", "key": KEY,
            "credentials": { "from": "managed-identity" },
        });
        for (name, value) in change.as_object().unwrap() {
            written[name] = value.clone();
        }
        serde_json::from_value(written).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn a_key_is_named_with_its_vault_and_version() {
        let vault = read(&json!({ "previous_keys": [KEY] })).unwrap();
        let key = vault.key.unwrap();
        assert_eq!(key.as_str(), KEY);
        assert_eq!(key.vault().as_str(), "https://acme.vault.azure.net/");
        assert_eq!(key.path(), "/keys/jitney/0123456789abcdef0123456789abcdef");
        assert!(key.is(&KEY.replace("jitney", "Jitney")));
        let local = KEY.replace("acme.vault.azure.net", "localhost:8443");
        assert!(read(&json!({ "key": local })).is_ok());
    }

    #[test]
    fn no_token_of_ours_is_sent_to_what_is_no_vault_of_this_cloud() {
        for bad in [
            KEY.replace("https", "http"),
            KEY.replace("acme.vault.azure.net", "vault.azure.net"),
            KEY.replace("acme.vault.azure.net", "acmevault.azure.net"),
            KEY.replace("vault.azure.net", "vault.azure.net.evil.example"),
            KEY.replace("vault.azure.net", "vault.usgovcloudapi.net"),
            KEY.replace("acme.", "ada:secret@acme."),
            KEY.replace("/keys/", "/secrets/"),
            KEY.replace("/keys/", "/x/keys/"),
            KEY.replace("/jitney/", "/jit_ney/"),
            KEY.replace("/jitney/", "/../"),
            KEY.replace("abcdef0", "ABCDEF0"),
            format!("{KEY}0"),
            format!("{KEY}/"),
            format!("{KEY}?x"),
            KEY.rsplit_once('/').unwrap().0.to_owned(),
        ] {
            for name in ["key", "next_key"] {
                let told = read(&json!({ name: bad })).unwrap_err();
                assert!(
                    told.contains("KEY") || told.contains("VERSION"),
                    "{bad}: {told}"
                );
            }
            assert!(read(&json!({ "previous_keys": [bad] })).is_err(), "{bad}");
        }
        let gov = KEY.replace("azure.net", "usgovcloudapi.net");
        assert!(read(&json!({ "environment": "us-government", "key": gov })).is_ok());
    }

    #[test]
    fn our_own_issuer_does_not_fetch_its_own_key() {
        let own = json!({ "from": "issuer", "client_id": "cccccccc-0000-4000-8000-000000000001" });
        let told = read(&json!({ "credentials": own })).unwrap_err();
        assert!(told.contains("issuer"), "{told}");
    }
}
