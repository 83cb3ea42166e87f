//! Where the broker is. A job sends its CI token there, so the way must be encrypted; only
//! loopback may be plain.

use core::fmt;
use core::str::FromStr;

use url::{Host, Url};

/// The broker's address: scheme, host and port, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress(Url);

/// Why a text is not a broker's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not a URL, or one with more than an origin in it.
    #[error(
        "`{0}` is not a broker's address: expected `https://host[:port]` and nothing behind it"
    )]
    Shape(String),
    /// Plain HTTP to somewhere else.
    #[error(
        "`{0}` is not encrypted: expected `https://…`; plain HTTP is for `http://127.0.0.1:port` only"
    )]
    Plain(String),
}

impl BrokerAddress {
    /// The absolute URL of a path.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The origin without a final slash: also the audience a token is asked for when none is
    /// configured.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl FromStr for BrokerAddress {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let shape = || BadAddress::Shape(seen(text));
        let url = Url::parse(text).map_err(|_| shape())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare || url.host().is_none() || !matches!(url.scheme(), "https" | "http") {
            return Err(shape());
        }
        if !may_carry_secrets(&url) {
            return Err(BadAddress::Plain(seen(text)));
        }
        Ok(Self(url))
    }
}

/// Whether a secret may be sent to this URL: encrypted, or without leaving the machine.
pub(crate) fn may_carry_secrets(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

// The name `localhost` is whatever a resolver says it is, so only addresses count.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}

/// Without what may be a password, and short.
fn seen(text: &str) -> String {
    let text = text.rsplit('@').next().unwrap_or_default();
    text.chars()
        .take(120)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<BrokerAddress, BadAddress> {
        text.parse()
    }

    #[test]
    fn only_loopback_may_be_plain() {
        for good in [
            "https://broker.example",
            "https://broker.example:8443/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for plain in [
            "http://broker.example",
            "http://10.0.0.1",
            "http://localhost:8080",
            "http://127.0.0.1.example",
            "http://0.0.0.0:80",
        ] {
            assert!(matches!(parse(plain), Err(BadAddress::Plain(_))), "{plain}");
        }
    }

    #[test]
    fn an_address_is_an_origin_and_nothing_more() {
        for bad in [
            "",
            "broker.example",
            "ftp://broker.example",
            "https://user:secret@broker.example",
            "https://broker.example/base",
            "https://broker.example/?a=b",
            "https://broker.example/#a",
            "unix:/run/jitney",
        ] {
            let refusal = parse(bad).unwrap_err();
            assert!(matches!(refusal, BadAddress::Shape(_)), "{bad}");
            assert!(!refusal.to_string().contains("secret"), "{bad}");
        }
    }

    #[test]
    fn paths_are_put_behind_the_origin() {
        let address = parse("https://broker.example:8443/").unwrap();
        let url = address.at("/v1/requests");
        assert_eq!(url.as_str(), "https://broker.example:8443/v1/requests");
        assert_eq!(address.origin(), "https://broker.example:8443");
    }
}
