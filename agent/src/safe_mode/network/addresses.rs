//! Fixed addresses as they are typed: IPv4, IPv6 or both, in the same three fields. Pure.
//!
//! A value says itself which family it is of, so nobody has to know which field is for which: at most one
//! address and one gateway of each family are taken, and a gateway belongs to the address of its family.
//! What is refused is what could not work, with the field and what to write instead.

use std::net::{IpAddr, Ipv6Addr};

use super::form::{FieldError, wrong};
use super::settings::{HostAddress, StaticAddresses};

/// resolv.conf(5) has room for no more.
const MAX_DNS: usize = 3;

/// Parses the fields `address`, `gateway` and `dns`; each may hold several values.
pub(super) fn parse(
    address: &str,
    gateway: &str,
    dns: &str,
) -> Result<StaticAddresses, FieldError> {
    let mut hosts: Vec<HostAddress> = Vec::new();
    for text in values(address) {
        let host = host(text)?;
        if hosts.iter().any(|h| same_family(h.address, host.address)) {
            return Err(twice("address", host.address));
        }
        hosts.push(host);
    }
    if hosts.is_empty() {
        return Err(wrong(
            "address",
            "a fixed address is needed, like 192.168.1.20/24 or 2001:db8::20/64",
        ));
    }
    for text in values(gateway) {
        let gateway = unicast("gateway", text)?;
        let host = hosts
            .iter_mut()
            .find(|h| same_family(h.address, gateway))
            .ok_or_else(|| without_address("gateway", gateway))?;
        if host.gateway.is_some() {
            return Err(twice("gateway", gateway));
        }
        check_gateway(host, gateway)?;
        host.gateway = Some(gateway);
    }
    let dns = values(dns)
        .map(|text| unicast("dns", text))
        .collect::<Result<Vec<_>, _>>()?;
    if dns.len() > MAX_DNS {
        return Err(wrong(
            "dns",
            "at most three name servers; leave out the others",
        ));
    }
    // An IPv6 address may still come from a router; an IPv4 address comes from nowhere.
    let has_ipv4 = hosts.iter().any(|host| host.address.is_ipv4());
    if let Some(server) = dns.iter().find(|server| server.is_ipv4() && !has_ipv4) {
        return Err(without_address("dns", *server));
    }
    Ok(StaticAddresses { hosts, dns })
}

fn values(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'))
        .filter(|value| !value.is_empty())
}

/// `192.168.1.20/24`
fn host(text: &str) -> Result<HostAddress, FieldError> {
    let (address, prefix) = text.split_once('/').ok_or_else(|| {
        wrong(
            "address",
            format!(
                "write `{}` with its prefix, like 192.168.1.20/24 or 2001:db8::20/64",
                shown(text)
            ),
        )
    })?;
    let address = unicast("address", address)?;
    let longest: u8 = if address.is_ipv4() { 30 } else { 128 };
    let prefix = prefix
        .parse()
        .ok()
        .filter(|prefix| (1..=longest).contains(prefix))
        .ok_or_else(|| {
            let family = family(address);
            wrong(
                "address",
                format!(
                    "with {family}, the prefix after the slash is a number from 1 to {longest}"
                ),
            )
        })?;
    if let IpAddr::V6(v6) = address
        && v6.is_unicast_link_local()
    {
        return Err(wrong(
            "address",
            format!("the device gives itself one like {v6}; write one of the network's own"),
        ));
    }
    if names_the_network(address, prefix) {
        return Err(wrong(
            "address",
            format!("{address} is the address of the network itself, not of a device in it"),
        ));
    }
    Ok(HostAddress {
        address,
        prefix,
        gateway: None,
    })
}

/// The first address of a network and, with IPv4, the last one. The two of an IPv6 /127 and the one of a
/// /128 are devices (RFC 6164).
fn names_the_network(address: IpAddr, prefix: u8) -> bool {
    let host_part = bits(address) & !mask(address, prefix);
    match address {
        IpAddr::V4(_) => host_part == 0 || host_part == !mask(address, prefix),
        IpAddr::V6(_) => host_part == 0 && prefix < 127,
    }
}

/// Within the network, or on the same link: routers of IPv6 are mostly known by their link-local address.
fn check_gateway(host: &HostAddress, gateway: IpAddr) -> Result<(), FieldError> {
    let HostAddress {
        address, prefix, ..
    } = *host;
    if gateway == address {
        return Err(wrong(
            "gateway",
            format!("{gateway} is the device's own address; write the router's"),
        ));
    }
    let mask = mask(address, prefix);
    let on_link = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if !on_link && bits(gateway) & mask != bits(address) & mask {
        return Err(wrong(
            "gateway",
            format!(
                "{gateway} is not within the network of {address}/{prefix}; correct it or the prefix"
            ),
        ));
    }
    Ok(())
}

/// An address that one device can have.
fn unicast(field: &'static str, text: &str) -> Result<IpAddr, FieldError> {
    if text.contains('%') {
        return Err(wrong(
            field,
            "leave out the % and what follows it: the interface is chosen above",
        ));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        wrong(
            field,
            format!(
                "`{}` is no address; write one like 192.168.1.1 or 2001:db8::1",
                shown(text)
            ),
        )
    })?;
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(wrong(field, format!("write {v6} as IPv4: {v4}")));
    }
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast {
        return Err(wrong(
            field,
            format!("{address} can't be the address of a device; write one of the network's own"),
        ));
    }
    Ok(address)
}

fn twice(field: &'static str, address: IpAddr) -> FieldError {
    let family = family(address);
    wrong(
        field,
        format!("{address} is the second {family} address; write one of each family at most"),
    )
}

fn without_address(field: &'static str, address: IpAddr) -> FieldError {
    let family = family(address);
    wrong(
        field,
        format!(
            "{address} needs a fixed {family} address beside it: add that one, or leave this out"
        ),
    )
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

const fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

/// The low bits of the number; an IPv4 address has 32 of them.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// All bits above the host part, those above an IPv4 address as well.
fn mask(address: IpAddr, prefix: u8) -> u128 {
    let width = if address.is_ipv4() {
        32
    } else {
        Ipv6Addr::BITS
    };
    u128::MAX
        .checked_shl(width - u32::from(prefix))
        .unwrap_or(0)
}

/// As much of what was typed as is needed to find it again.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
