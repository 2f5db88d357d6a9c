//! Settings: what is taken and what is not, and that a trial always finds its way back.

mod round_trip;

use fleet_device::files::{self, Access};
use proptest::prelude::*;

use super::settings::network_file;
use super::*;
use crate::core::Monotonic;

fn form() -> NetworkForm {
    NetworkForm {
        interface: "eth0".to_owned(),
        mode: "static".to_owned(),
        address: "192.168.1.20/24".to_owned(),
        gateway: "192.168.1.1".to_owned(),
        dns: "192.168.1.1, 9.9.9.9".to_owned(),
        ..NetworkForm::default()
    }
}

fn parse(form: &NetworkForm) -> Result<NetworkSettings, FieldError> {
    form.parse(&["eth0".to_owned(), "wlan0".to_owned()])
}

#[test]
fn fixed_addresses_become_a_networkd_file() {
    let files = parse(&form()).unwrap().files();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name, "05-fleet-eth0.network");
    assert_eq!(
        files[0].content,
        "# Set on the device's local page.\n[Match]\nName=eth0\n\n[Network]\nAddress=192.168.1.20/24\nGateway=192.168.1.1\nDNS=192.168.1.1\nDNS=9.9.9.9\n"
    );
}

#[test]
fn both_families_fit_into_the_same_fields() {
    let check = |address: &str, gateway: &str, dns: &str, expected: &str| {
        let form = NetworkForm {
            address: address.to_owned(),
            gateway: gateway.to_owned(),
            dns: dns.to_owned(),
            ..form()
        };
        let content = &parse(&form).unwrap().files()[0].content;
        let (_, lines) = content.split_once("[Network]\n").unwrap();
        assert_eq!(lines, expected, "{form:?}");
    };
    check(
        "2001:db8::20/64",
        "fe80::1",
        "2001:db8::53",
        "Address=2001:db8::20/64\nGateway=fe80::1\nDNS=2001:db8::53\nIPv6AcceptRA=no\n",
    );
    // Without a gateway, the router's own announcement is the way out.
    check("fd00::2/64", "", "", "Address=fd00::2/64\n");
    check(
        "10.0.0.5/24, 2001:DB8:0::5/64",
        "2001:db8::1 10.0.0.1",
        "10.0.0.1;2001:db8::53",
        "Address=10.0.0.5/24\nAddress=2001:db8::5/64\nGateway=10.0.0.1\nGateway=2001:db8::1\n\
         DNS=10.0.0.1\nDNS=2001:db8::53\nIPv6AcceptRA=no\n",
    );
    check(
        "2001:db8::/127",
        "2001:db8::1",
        "",
        "Address=2001:db8::/127\nGateway=2001:db8::1\nIPv6AcceptRA=no\n",
    );
    check(
        "10.0.0.5/24",
        "",
        "2001:db8::53",
        "Address=10.0.0.5/24\nDNS=2001:db8::53\n",
    );
}

#[test]
fn each_mistake_says_what_to_write_instead() {
    let check = |address: &str, gateway: &str, dns: &str, expected: &str| {
        let form = NetworkForm {
            address: address.to_owned(),
            gateway: gateway.to_owned(),
            dns: dns.to_owned(),
            ..form()
        };
        let error = parse(&form).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("", "", "", "address: a fixed address is needed, like");
    check(
        "2001:db8::20",
        "",
        "",
        "with its prefix, like 192.168.1.20/24 or 2001:db8::20/64",
    );
    check("2001:db8::20/129", "", "", "a number from 1 to 128");
    check("10.0.0.5/31", "", "", "a number from 1 to 30");
    check("2001:db8::/64", "", "", "of the network itself");
    check("fe80::5/64", "", "", "write one of the network's own");
    check("fe80::5%eth0/64", "", "", "leave out the %");
    check("::1/64", "", "", "can't be the address of a device");
    check("::ffff:10.0.0.5/120", "", "", "as IPv4: 10.0.0.5");
    check("10.0.0.5/24 10.0.0.6/24", "", "", "the second IPv4 address");
    check("fd00::2/64,fd00::3/64", "", "", "the second IPv6 address");
    check(
        "10.0.0.5/24",
        "fe80::1",
        "",
        "gateway: fe80::1 needs a fixed IPv6 address",
    );
    check(
        "fd00::2/64",
        "10.0.0.1",
        "",
        "gateway: 10.0.0.1 needs a fixed IPv4 address",
    );
    check(
        "fd00::2/64",
        "fd01::1",
        "",
        "not within the network of fd00::2/64",
    );
    check("fd00::2/64", "fd00::2", "", "the device's own address");
    check(
        "fd00::2/64",
        "fd00::1 fe80::1",
        "",
        "the second IPv6 address",
    );
    check(
        "fd00::2/64",
        "",
        "9.9.9.9",
        "dns: 9.9.9.9 needs a fixed IPv4 address",
    );
    check("fd00::2/64", "", "ff02::1", "dns: ff02::1 can't be");
}

#[test]
fn each_mistake_names_its_field() {
    let check = |change: fn(&mut NetworkForm), field: &str| {
        let mut form = form();
        change(&mut form);
        assert_eq!(parse(&form).unwrap_err().field, field, "{form:?}");
    };
    check(|f| f.interface = "eth9".to_owned(), "interface");
    check(|f| f.mode = "magic".to_owned(), "mode");
    check(|f| f.address = "192.168.1.20".to_owned(), "address");
    check(|f| f.address = "192.168.1.20/33".to_owned(), "address");
    check(|f| f.address = "192.168.1.0/24".to_owned(), "address");
    check(|f| f.address = "192.168.1.255/24".to_owned(), "address");
    check(|f| f.address = "127.0.0.1/8".to_owned(), "address");
    check(|f| f.gateway = "10.0.0.1".to_owned(), "gateway");
    check(|f| f.gateway = "192.168.1.20".to_owned(), "gateway");
    check(|f| f.dns = "one.one".to_owned(), "dns");
    check(
        |f| f.dns = "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4".to_owned(),
        "dns",
    );
    check(|f| f.passphrase = "secret-secret".to_owned(), "ssid");
    check(|f| f.ssid = "x".repeat(33), "ssid");
    check(
        |f| (f.ssid, f.passphrase) = ("x".to_owned(), "short".to_owned()),
        "passphrase",
    );
    check(
        |f| (f.ssid, f.passphrase) = ("x".to_owned(), "with\nnewline".to_owned()),
        "passphrase",
    );
}

#[test]
fn a_wifi_name_cannot_break_out_of_its_file() {
    let form = NetworkForm {
        interface: "wlan0".to_owned(),
        mode: "dhcp".to_owned(),
        ssid: "a\"\n}\nx={".to_owned(),
        passphrase: "pass\"word#1".to_owned(),
        ..NetworkForm::default()
    };
    let files = parse(&form).unwrap().files();
    let expected = format!(
        "\tssid={}\n\tpsk=\"pass\"word#1\"\n",
        hex::encode(&form.ssid)
    );
    assert!(files[1].content.contains(&expected), "{}", files[1].content);
    assert!(!format!("{:?}", parse(&form)).contains("pass\"word"));
}

fn device() -> (tempfile::TempDir, Paths) {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    (folder, paths)
}

fn active(paths: &Paths, name: &str) -> Option<String> {
    std::fs::read_to_string(active_folder(paths).join(name)).ok()
}

#[test]
fn a_trial_that_nobody_keeps_is_undone_to_the_last_file() {
    let (_folder, paths) = device();
    let name = network_file("eth0");
    files::write_atomic(
        &active_folder(&paths).join(&name),
        b"before",
        Access::Public,
    )
    .unwrap();
    begin(&paths, &parse(&form()).unwrap(), Monotonic(0)).unwrap();
    let dhcp = NetworkForm {
        mode: "dhcp".to_owned(),
        ..form()
    };
    begin(&paths, &parse(&dhcp).unwrap(), Monotonic(5)).unwrap();
    assert!(active(&paths, &name).unwrap().contains("DHCP=yes"));
    assert!(undo(&paths).unwrap());
    assert_eq!(active(&paths, &name).as_deref(), Some("before"));
    assert!(!undo(&paths).unwrap());
}

#[test]
fn kept_settings_come_back_after_a_restart() {
    let (_folder, paths) = device();
    let wifi = NetworkForm {
        interface: "wlan0".to_owned(),
        mode: "dhcp".to_owned(),
        ssid: "venue".to_owned(),
        passphrase: "correct horse".to_owned(),
        ..NetworkForm::default()
    };
    begin(&paths, &parse(&wifi).unwrap(), Monotonic(0)).unwrap();
    assert!(keep(&paths).unwrap());
    assert!(trial(&paths).is_none());
    std::fs::remove_dir_all(active_folder(&paths)).unwrap();
    assert_eq!(restore(&paths).unwrap().unwrap(), ["wlan0"]);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(active_folder(&paths).join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(&network_file("wlan0")), mode("wpa-wlan0.conf")),
        (0o644, 0o600)
    );
    assert!(
        active(&paths, "wpa-wlan0.conf")
            .unwrap()
            .contains("correct horse")
    );
}

proptest! {
    #[test]
    fn whatever_is_typed_a_settings_file_has_only_the_lines_that_belong_there(
        address in "[0-9./]{0,20}|\\PC{0,30}", gateway in "[0-9.]{0,16}|\\PC{0,20}",
        dns in "\\PC{0,30}", ssid in "(?s).{0,40}", passphrase in "(?s).{0,70}",
    ) {
        let form = NetworkForm { address, gateway, dns, ssid, passphrase, ..form() };
        if let Ok(settings) = parse(&form) {
            for file in settings.files() {
                for line in file.content.lines() {
                    let known = ["#", "[Match]", "[Network]", "Name=eth0", "Address=", "Gateway=", "DNS=", "IPv6AcceptRA=no",
                        "network={", "}", "\tssid=", "\tscan_ssid=1", "\tpsk=\"", "\tkey_mgmt=NONE"];
                    prop_assert!(line.is_empty() || known.iter().any(|k| line.starts_with(k)), "{line}");
                }
            }
        }
    }
}
