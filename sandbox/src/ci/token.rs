//! Tokens: any header and any claims, signed the way the header says with the key that was asked.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::keys::KeyRing;
use crate::signing_key::SigningKey;

/// Which key signs a token. The algorithm is the header's `alg` where RSA knows it (RS and PS,
/// 256 to 512), and RS256 otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignWith {
    /// The key that signs now.
    Current,
    /// The key that signed before the last rotation.
    Former,
    /// A key that was never published.
    Stranger,
    /// The published key, misused as an HMAC-SHA256 secret in its PEM form.
    PublicKeyAsSecret,
    /// No key: the signature is empty.
    Nothing,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The key that was asked for does not exist or could not be generated.
    #[error("there is no such key; `former` exists only after a rotation")]
    NoKey,
    /// The key refused to sign.
    #[error("the key cannot sign")]
    Sign,
}

impl MintError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "ci_issuer_no_key",
            Self::Sign => "ci_issuer_sign",
        }
    }
}

pub(super) fn mint(
    keys: &KeyRing,
    claims: &Value,
    header: &Value,
    key: SignWith,
) -> Result<String, MintError> {
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let signature = match key {
        SignWith::Current => rsa(keys.current(), algorithm, &token)?,
        SignWith::Former => rsa(keys.former().ok_or(MintError::NoKey)?, algorithm, &token)?,
        SignWith::Stranger => rsa(keys.stranger().ok_or(MintError::NoKey)?, algorithm, &token)?,
        SignWith::PublicKeyAsSecret => {
            let pem = keys.current().public_pem().ok_or(MintError::NoKey)?;
            let secret = hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes());
            hmac::sign(&secret, token.as_bytes()).as_ref().to_vec()
        }
        SignWith::Nothing => Vec::new(),
    };
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

fn rsa(key: &SigningKey, algorithm: &str, message: &str) -> Result<Vec<u8>, MintError> {
    let encoding: &'static dyn RsaEncoding = match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    };
    let mut signature = vec![0; key.pair().public_modulus_len()];
    key.pair()
        .sign(
            encoding,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .map_err(|_| MintError::Sign)?;
    Ok(signature)
}
