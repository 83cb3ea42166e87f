//! Which addresses the broker may connect to when it fetches keys. Names are resolved here and the
//! answers judged at the moment of connecting: a check made earlier could be undone by a second
//! answer from the same name (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How far an issuer's fetches may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses only.
    Public,
    /// Private and loopback addresses too; TLS stays mandatory.
    Private,
    /// Loopback only; plain HTTP is possible.
    Loopback,
}

impl Reach {
    /// `plain` says that the configured URL is plain HTTP, which never leaves the machine.
    pub(crate) fn new(allow_private: bool, plain: bool) -> Self {
        match (allow_private, plain) {
            (true, true) => Self::Loopback,
            (true, false) => Self::Private,
            (false, _) => Self::Public,
        }
    }

    /// Whether a connection to `address` is allowed. The error says why not.
    pub(crate) fn admits(self, address: IpAddr) -> Result<(), &'static str> {
        match (kind(address), self) {
            (Kind::Never, _) => {
                Err("the address is link-local, multicast or reserved, which is never allowed")
            }
            (Kind::Loopback, Self::Private | Self::Loopback)
            | (Kind::Private, Self::Private)
            | (Kind::Public, Self::Public | Self::Private) => Ok(()),
            (Kind::Private | Kind::Public, Self::Loopback) => {
                Err("plain HTTP is allowed on loopback only")
            }
            (Kind::Loopback | Kind::Private, Self::Public) => {
                Err("the address is private; the issuer needs `allow_private = true`")
            }
        }
    }

    /// Judges a URL whose host is an address. A name is judged when it is resolved.
    pub(crate) fn admits_literal(self, url: &Url) -> Result<(), &'static str> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.admits(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.admits(IpAddr::V6(address)),
            Some(Host::Domain(_)) => Ok(()),
            None => Err("the URL has no host"),
        }
    }
}

/// Whether the URL's host is `localhost` or a loopback address.
pub(crate) fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    Loopback,
    Never,
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // 169.254.0.0/16 holds the metadata services of the clouds: credentials for the asking.
        (0, ..) | (169, 254, _) | (224..=255, ..) => Kind::Never,
        (127, ..) => Kind::Loopback,
        // 100.64.0.0/10 is shared address space, 198.18.0.0/15 is for benchmarks, 192.0.0.0/24 for
        // protocol assignments; the 192.0.2.0, 198.51.100.0 and 203.0.113.0 nets are for examples.
        (10, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        | (100, 64..=127, _)
        | (198, 18..=19, _)
        | (192, 0, 0 | 2)
        | (198, 51, 100)
        | (203, 0, 113) => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if address == Ipv6Addr::LOCALHOST {
        return Kind::Loopback;
    }
    // The metadata service of AWS, inside the private range.
    if address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) {
        return Kind::Never;
    }
    if let Some(inner) = carried_v4(address) {
        return kind_v4(inner);
    }
    match address.segments() {
        // Unique local addresses, fc00::/7.
        [0xfc00..=0xfdff, ..] => Kind::Private,
        // Documentation, 2001:db8::/32 and 3fff::/20; Teredo and other protocol assignments,
        // 2001::/23.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] | [0x2001, 0..=0x01ff, ..] => Kind::Private,
        // Global unicast is 2000::/3. Whatever is outside it (link-local, site-local, multicast,
        // unspecified, not yet assigned) is nobody's issuer.
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Never,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 or 6to4. Without
/// this, `::ffff:169.254.169.254` would be just another IPv6 address.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Resolves names for one issuer's client and judges every answer. One address that is not allowed
/// refuses the name: a name with two faces is not an issuer's.
pub(crate) struct JudgingResolver {
    reach: Reach,
}

impl JudgingResolver {
    pub(crate) fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<_> = found.collect();
            for address in &addresses {
                reach.admits(address.ip()).map_err(|why| {
                    format!("`{}` is at `{}`: {why}", name.as_str(), address.ip())
                })?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use core::str::FromStr;

    fn of(text: &str) -> Kind {
        kind(IpAddr::from_str(text).unwrap())
    }

    #[test]
    fn addresses_are_sorted_into_four_kinds() {
        for public in [
            "1.1.1.1",
            "140.82.112.21",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert_eq!(of(public), Kind::Public, "{public}");
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "198.18.0.1",
            "192.0.2.1",
            "fd12:3456::1",
            "fc00::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert_eq!(of(private), Kind::Private, "{private}");
        }
        for loopback in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(loopback), Kind::Loopback, "{loopback}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "4000::1",
        ] {
            assert_eq!(of(never), Kind::Never, "{never}");
        }
    }

    #[test]
    fn reach_decides_which_kinds_are_admitted() {
        for (address, public, private, loopback) in [
            ("1.1.1.1", true, true, false),
            ("10.0.0.1", false, true, false),
            ("127.0.0.1", false, true, true),
            ("169.254.169.254", false, false, false),
        ] {
            let address = IpAddr::from_str(address).unwrap();
            assert_eq!(Reach::Public.admits(address).is_ok(), public, "{address}");
            assert_eq!(Reach::Private.admits(address).is_ok(), private, "{address}");
            assert_eq!(
                Reach::Loopback.admits(address).is_ok(),
                loopback,
                "{address}"
            );
        }
    }

    #[test]
    fn spellings_of_an_address_do_not_hide_it() {
        for host in [
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "[::ffff:127.0.0.1]",
            "127.0.0.1.",
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            let judged = Reach::Public.admits_literal(&url);
            let named = matches!(url.host(), Some(Host::Domain(_)));
            assert!(judged.is_err() || named, "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused_when_it_is_resolved() {
        let name = || Name::from_str("localhost").unwrap();
        let refused = JudgingResolver::new(Reach::Public).resolve(name()).await;
        assert!(refused.err().unwrap().to_string().contains("allow_private"));
        let admitted = JudgingResolver::new(Reach::Loopback).resolve(name()).await;
        assert!(admitted.ok().unwrap().next().is_some());
    }
}
