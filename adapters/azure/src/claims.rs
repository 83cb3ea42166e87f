//! What an access token says of itself. Read without looking at its signature: whoever it is for
//! checks that, and we have it from Entra itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::classify::printable;

/// The claims that are told or reckoned with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Claims {
    /// When it ends, in seconds since 1970.
    pub(crate) exp: i64,
    /// Its public name.
    #[serde(default)]
    pub(crate) uti: Option<String>,
    /// Whose it is: the service principal.
    #[serde(default)]
    pub(crate) oid: Option<String>,
    /// And the application.
    #[serde(default)]
    pub(crate) appid: Option<String>,
}

impl Claims {
    pub(crate) fn read(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The token's public name, for the audit log.
    pub(crate) fn name(&self) -> Option<String> {
        self.uti.as_deref().map(printable)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_tells_its_end_and_an_opaque_one_nothing() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"exp":1795392000,"uti":"a","appid":"x"}"#);
        let claims = Claims::read(&format!("h.{payload}.s")).unwrap();
        assert_eq!(
            (claims.exp, claims.name()),
            (1_795_392_000, Some("a".to_owned()))
        );
        for bad in ["", "opaque", "a.b.c", "a..c", "a.e30.c"] {
            assert_eq!(Claims::read(bad), None, "{bad}");
        }
    }
}
