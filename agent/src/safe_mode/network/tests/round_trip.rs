//! Whatever is typed: what is accepted comes back from its file as it was meant, with nothing beside it.

use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;

use super::{form, parse};
use crate::safe_mode::network::{Addressing, HostAddress, NetworkForm, StaticAddresses};

/// The file as networkd reads it: sections and assignments, each in its place. A surprise is an error.
fn read_back(interface: &str, content: &str) -> Result<Addressing, String> {
    let mut section = "";
    let mut is_matched = false;
    let mut is_dhcp = false;
    let mut hosts: Vec<HostAddress> = Vec::new();
    let mut dns = Vec::new();
    let mut accepts_routers = true;
    let address = |text: &str| text.parse::<IpAddr>().map_err(|e| format!("{text}: {e}"));
    for line in content
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        match (section, line.split_once('=')) {
            ("", None) if line == "[Match]" => section = "Match",
            ("Match", None) if line == "[Network]" => section = "Network",
            ("Match", Some(("Name", name))) if name == interface => is_matched = true,
            ("Network", Some(("DHCP", "yes"))) => is_dhcp = true,
            ("Network", Some(("Address", value))) => {
                let (host, prefix) = value.split_once('/').ok_or(line)?;
                hosts.push(HostAddress {
                    address: address(host)?,
                    prefix: prefix.parse().map_err(|_| line)?,
                    gateway: None,
                });
            }
            ("Network", Some(("Gateway", value))) => {
                let gateway = address(value)?;
                let host = hosts
                    .iter_mut()
                    .find(|h| h.address.is_ipv4() == gateway.is_ipv4() && h.gateway.is_none());
                host.ok_or(line)?.gateway = Some(gateway);
            }
            ("Network", Some(("DNS", value))) => dns.push(address(value)?),
            ("Network", Some(("IPv6AcceptRA", "no"))) => accepts_routers = false,
            _ => return Err(format!("what is this: {line:?}")),
        }
    }
    let chosen = hosts.iter().filter_map(|h| h.gateway).any(|g| g.is_ipv6());
    if !is_matched || chosen == accepts_routers || is_dhcp != hosts.is_empty() {
        return Err(content.to_owned());
    }
    Ok(if is_dhcp {
        Addressing::Dhcp
    } else {
        Addressing::Static(StaticAddresses { hosts, dns })
    })
}

/// An address with its prefix, and perhaps a gateway, mostly one of its network.
type Typed = (String, Option<String>);

fn ipv4() -> impl Strategy<Value = Typed> {
    let gateway = proptest::option::of(0u8..=255);
    (any::<[u8; 2]>(), 1u8..=254, 8u8..=24, gateway).prop_map(|([a, b], host, prefix, gateway)| {
        let gateway = gateway.map(|gateway| format!("10.{a}.{b}.{gateway}"));
        (format!("10.{a}.{b}.{host}/{prefix}"), gateway)
    })
}

fn ipv6() -> impl Strategy<Value = Typed> {
    let gateway = proptest::option::of((any::<bool>(), any::<u16>()));
    (any::<[u16; 7]>(), 8u8..=128, gateway).prop_map(|(parts, prefix, gateway)| {
        let global = |last| {
            let mut segments = [0x2001; 8];
            segments[1..].copy_from_slice(&parts);
            segments[7] = last;
            Ipv6Addr::from(segments)
        };
        let link_local = |last| Ipv6Addr::from([0xfe80, 0, 0, 0, 0, 0, 0, last]);
        let gateway = gateway.map(|(on_link, last)| {
            if on_link {
                link_local(last)
            } else {
                global(last)
            }
            .to_string()
        });
        (format!("{}/{prefix}", global(parts[6])), gateway)
    })
}

/// What a technician would type, with either family or both in either order.
fn sound_form() -> impl Strategy<Value = NetworkForm> {
    let typed = prop_oneof![
        (ipv4(), ipv6()).prop_map(|(v4, v6)| vec![v4, v6]),
        (ipv4(), ipv6()).prop_map(|(v4, v6)| vec![v6, v4]),
        ipv4().prop_map(|v4| vec![v4]),
        ipv6().prop_map(|v6| vec![v6]),
    ];
    let dns = proptest::collection::vec(any::<IpAddr>().prop_map(|ip| ip.to_string()), 0..4);
    (typed, dns, "[ ,;\n]{1,2}").prop_map(|(typed, dns, separator)| {
        let (addresses, gateways): (Vec<String>, Vec<Option<String>>) = typed.into_iter().unzip();
        let gateways: Vec<String> = gateways.into_iter().flatten().collect();
        NetworkForm {
            address: addresses.join(&separator),
            gateway: gateways.join(&separator),
            dns: dns.join(&separator),
            ..form()
        }
    })
}

/// What would add a line or a section if it got into the file, and anything else.
fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n[Route]\nGateway=10.0.0.1".to_owned()),
        Just("\r\nDHCP=yes".to_owned()),
        "[0-9a-f.:/%]{0,20}",
        "(?s).{0,20}",
    ]
}

/// A sound form, in which often one field has noise behind it or in its place.
fn any_form() -> impl Strategy<Value = NetworkForm> {
    let spoilt = proptest::option::of((0..5usize, any::<bool>(), noise()));
    (sound_form(), spoilt).prop_map(|(mut form, spoilt)| {
        if let Some((field, keep, noise)) = spoilt {
            let field = match field {
                0 => &mut form.interface,
                1 => &mut form.mode,
                2 => &mut form.address,
                3 => &mut form.gateway,
                _ => &mut form.dns,
            };
            *field = if keep { field.clone() + &noise } else { noise };
        }
        form
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_accepted_form_is_read_back_from_its_file_as_it_was_meant(form in any_form()) {
        // Even of an interface that no kernel would have named so.
        if let Ok(settings) = form.parse(std::slice::from_ref(&form.interface)) {
            let files = settings.files();
            prop_assert_eq!(files.len(), 1);
            prop_assert_eq!(&files[0].name, &format!("05-fleet-{}.network", form.interface));
            let addressing = read_back(&form.interface, &files[0].content);
            prop_assert_eq!(addressing.as_ref(), Ok(&settings.addressing));
        }
    }

    #[test]
    fn a_refusal_names_a_field_and_says_something(form in any_form()) {
        if let Err(error) = parse(&form) {
            let fields = ["interface", "mode", "address", "gateway", "dns"];
            prop_assert!(fields.contains(&error.field), "{error}");
            prop_assert!((1..300).contains(&error.message.len()), "{error}");
        }
    }
}

#[test]
fn most_of_what_a_technician_would_type_is_accepted() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0; 3];
    for _ in 0..400 {
        let form = sound_form().new_tree(&mut runner).unwrap().current();
        if let Ok(settings) = parse(&form)
            && let Addressing::Static(addresses) = settings.addressing
        {
            counts[addresses.hosts.len()] += 1;
        }
    }
    assert!(counts[1] > 50 && counts[2] > 50, "{counts:?}");
}
