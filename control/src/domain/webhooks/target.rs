//! Where messages may go: an address as an operator gives it, and the IP addresses that it may lead to.
//!
//! Whoever may make webhooks chooses what the control plane connects to. Unless the installation allows it, that is
//! never a machine beside the control plane: the addresses that a name leads to are judged each time, and the connection
//! goes to the very ones that were judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

/// Which addresses messages may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Addresses that everybody on the internet has, by HTTPS.
    #[default]
    Public,
    /// The control plane's own networks too, and by HTTP.
    Everywhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// `https://host[:port][/path]`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub path_and_query: String,
}

/// Why an address can't be used, as a clause about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("is no address such as https://example.org/hook")]
    Malformed,
    #[error("has to begin with https://")]
    NotHttps,
    #[error("must not hold a login or a fragment")]
    Superfluous,
    #[error("leads to {0}, which is not on the public internet")]
    Private(IpAddr),
}

const LONGEST: usize = 2_000;

impl Target {
    pub fn parse(text: &str, reach: Reach) -> Result<Self, TargetError> {
        let unfit = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii();
        if text.len() > LONGEST || text.contains(unfit) {
            return Err(TargetError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') || text.contains('#') {
            return Err(TargetError::Superfluous);
        }
        let scheme = match (uri.scheme_str(), reach) {
            (Some("https"), _) => Scheme::Https,
            (Some("http"), Reach::Everywhere) => Scheme::Http,
            _ => return Err(TargetError::NotHttps),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = &authority.as_str()[authority.host().len()..];
        let is_port_unfit = !port.is_empty() && uri.port_u16().is_none();
        if host.is_empty() || is_port_unfit {
            return Err(TargetError::Malformed);
        }
        let target = Self {
            port: uri.port_u16().unwrap_or(match scheme {
                Scheme::Http => 80,
                Scheme::Https => 443,
            }),
            path_and_query: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            scheme,
            host,
        };
        if let Ok(address) = target.host.parse() {
            check(address, reach)?;
        }
        Ok(target)
    }

    /// As in the header `Host`.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.scheme, self.port) {
            (Scheme::Https, 443) | (Scheme::Http, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Whether a connection may go to `address`.
pub fn check(address: IpAddr, reach: Reach) -> Result<(), TargetError> {
    if reach == Reach::Everywhere || is_public(address) {
        Ok(())
    } else {
        Err(TargetError::Private(address))
    }
}

/// By IANA's registries of special-purpose addresses (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, shared, loopback, link-local (and the metadata of clouds); multicast, reserved, broadcast.
        (0 | 10 | 127 | 224..=255, ..) | (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _)
        // Protocols, documentation, relays, benchmarks.
        | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = carried_v4(address) {
        return is_public_v4(v4);
    }
    let [a, b, ..] = address.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let documentation = (a, b) == (0x2001, 0x0db8) || a & 0xfff0 == 0x3ff0;
    // Teredo, ORCHID, benchmarks.
    let protocols = a == 0x2001 && b < 0x0200;
    global_unicast && !documentation && !protocols
}

/// The IPv4 address that packets to this one end up at.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // Mapped, translated by NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let target = Target::parse("https://Example.org:8443/a?b=c", Reach::Public).unwrap();
        assert_eq!(target.scheme, Scheme::Https);
        assert_eq!((target.host.as_str(), target.port), ("Example.org", 8443));
        assert_eq!(target.path_and_query, "/a?b=c");
        assert_eq!(target.authority(), "Example.org:8443");
        let bare = Target::parse("https://example.org", Reach::Public).unwrap();
        assert_eq!((bare.port, bare.path_and_query.as_str()), (443, "/"));
        assert_eq!(bare.authority(), "example.org");
        let v6 = Target::parse("http://[::1]:9/", Reach::Everywhere).unwrap();
        assert_eq!(v6.authority(), "[::1]:9");
    }

    #[test]
    fn what_is_no_such_address_or_leads_inside_is_refused() {
        for (text, expected) in [
            ("example.org/hook", TargetError::Malformed),
            ("https://", TargetError::Malformed),
            ("https://a b/", TargetError::Malformed),
            ("https://example.org:99999/", TargetError::Malformed),
            ("https://example.org:/", TargetError::Malformed),
            ("http://example.org/", TargetError::NotHttps),
            ("ftp://example.org/", TargetError::NotHttps),
            ("https://u:p@example.org/", TargetError::Superfluous),
            ("https://example.org/#x", TargetError::Superfluous),
        ] {
            assert_eq!(Target::parse(text, Reach::Public), Err(expected), "{text}");
        }
        for inside in ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"] {
            let text = format!("https://{inside}/");
            let refused = Target::parse(&text, Reach::Public);
            assert!(matches!(refused, Err(TargetError::Private(_))), "{text}");
            Target::parse(&text, Reach::Everywhere).unwrap();
        }
    }

    #[test]
    fn addresses_of_no_public_network_are_known() {
        let check = |addresses: &[&str], expected: bool| {
            for text in addresses {
                assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
            }
        };
        check(
            &[
                "0.0.0.0",
                "10.1.2.3",
                "100.64.0.1",
                "127.9.9.9",
                "169.254.169.254",
                "172.31.0.1",
                "192.168.0.1",
                "192.0.0.8",
                "198.18.0.1",
                "203.0.113.9",
                "224.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "fe80::1",
                "fc00::1",
                "fdff::1",
                "ff02::1",
                "2001:db8::1",
                "2001::1",
                "3fff::1",
                "::ffff:127.0.0.1",
                "::ffff:192.168.1.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "2002:7f00:1::1",
                "::127.0.0.1",
                "100::1",
            ],
            false,
        );
        check(
            &[
                "1.1.1.1",
                "100.63.0.1",
                "172.32.0.1",
                "192.0.1.1",
                "223.255.255.254",
                "2606:4700::1111",
                "2a00:1450::1",
                "2001:4860:4860::8888",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
                "2002:808:808::1",
            ],
            true,
        );
    }

    proptest! {
        #[test]
        fn an_address_is_as_public_as_the_one_that_it_carries(v4: u32) {
            let v4 = Ipv4Addr::from(v4);
            let mapped = IpAddr::V6(v4.to_ipv6_mapped());
            prop_assert_eq!(is_public(IpAddr::V4(v4)), is_public(mapped));
        }

        #[test]
        fn whatever_is_typed_is_taken_or_refused_and_never_led_inside(text in "https?://[!-~]{0,40}") {
            if let Ok(target) = Target::parse(&text, Reach::Public)
                && let Ok(address) = target.host.parse()
            {
                prop_assert!(is_public(address));
            }
        }
    }
}
