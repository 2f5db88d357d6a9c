//! What a device reads of itself: RAUC's answers, its board, certificates.

use std::sync::LazyLock;

use fleet_agent::platform::paths::Paths;
use jiff::Timestamp;

/// Answers of RAUC in D-Bus' own encoding, and the text of its errors.
pub fn rauc_replies(data: &[u8]) {
    use fleet_agent::platform::rauc::{BundleInfo, Fields, SlotStatus, classify};
    use zbus::wire::LE;
    use zbus::wire::serialized::{Context, Data};
    let reply = Data::new(data, Context::new(LE, 0));
    if let Ok((slots, _)) = reply.deserialize::<Vec<(String, Fields)>>() {
        for (name, fields) in slots {
            let slot = SlotStatus::of((name.clone(), fields));
            assert_eq!(slot.name, name);
        }
    }
    if let Ok((info, _)) = reply.deserialize::<Fields>() {
        let _ = BundleInfo::of(&info);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let kind = classify(text);
        assert_eq!(classify(&text.to_ascii_uppercase()), kind, "by case alone");
        assert!(!kind.hint().is_empty());
    }
}

/// A certificate from a stranger, as what a server presents and as what the device was given.
pub fn certificates(data: &[u8]) {
    use fleet_agent::client::TimeFloor;
    use fleet_agent::client::server_certificate::ServerCertificates;
    use fleet_agent::core::certificate::Validity;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    /// Trusts a CA whose key nobody has.
    static VERIFIER: LazyLock<ServerCertificates> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = ca.self_signed(&key).expect("plain parameters");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).expect("it was just made");
        let provider = rustls::crypto::ring::default_provider().into();
        ServerCertificates::new(roots, &provider, &TimeFloor::default()).expect("one root")
    });
    let certificate = CertificateDer::from(data);
    let name = ServerName::try_from("fleet.example").expect("a name");
    let chain = std::slice::from_ref(&certificate);
    let verdict = VERIFIER.verify_server_cert(&certificate, chain, &name, &[], UnixTime::now());
    assert!(verdict.is_err(), "believed what nobody signed");
    let pem = std::str::from_utf8(data).map(Validity::of_pem);
    let read = [Validity::of_der(data).ok(), pem.ok().and_then(Result::ok)];
    for validity in read.into_iter().flatten() {
        for dice in [0, 1, u64::MAX] {
            let due = validity.renewal_due(dice);
            let (begin, end) = (validity.not_before, validity.not_after);
            assert!((begin..=begin.max(end)).contains(&due));
        }
        for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert!(validity.refuses(&validity, now).is_some(), "nothing is new");
        }
    }
}

/// What sysfs, pstore and the image say, and what a reset left behind; the files' contents are separated by
/// the byte 255.
pub fn board_facts(data: &[u8]) {
    use fleet_agent::platform::{booted, reset, sysfs};
    let folder = super::scratch();
    let paths = Paths::under(folder.path());
    let sys = |path: &str| paths.sys.join(path);
    let files = [
        sys("firmware/devicetree/base/model"),
        sys("class/dmi/id/sys_vendor"),
        sys("class/dmi/id/product_serial"),
        sys("class/thermal/thermal_zone0/temp"),
        sys("devices/platform/soc/soc:firmware/get_throttled"),
        sys("class/watchdog/watchdog0/bootstatus"),
        sys("fs/pstore/dmesg-efi_pstore-1"),
        paths.state().join("reset.json"),
        paths.shutdown_marker(),
        paths.release_file(),
        paths.rauc_system_conf[0].clone(),
        paths.proc.join("sys/kernel/random/boot_id"),
    ];
    for (path, content) in files.iter().zip(data.split(|byte| *byte == 255)) {
        let folder = path.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder).expect("a folder can be made");
        std::fs::write(path, content).expect("a file can be written");
    }
    assert!(!sysfs::model(&paths).is_empty());
    assert!(sysfs::serial_number(&paths).is_none_or(|number| !number.is_empty()));
    let reading = sysfs::thermal(&paths);
    assert!(reading.temperature_c.is_none_or(f32::is_finite));
    if let Ok(release) = booted::image_release(&paths) {
        let _ = booted::system(&paths, &release);
    }
    let _ = booted::grub_environment(&paths);
    let (first, _) = reset::reason(&paths, "this boot");
    let (again, which) = reset::reason(&paths, "this boot");
    assert_eq!(
        (first, which),
        (again, reset::FirstOfBoot::No),
        "one verdict a boot"
    );
}

/// What the kernel hands out for a keyboard: each whole record counts for itself, and a part of one for nothing.
pub fn input_events(data: &[u8]) {
    use fleet_agent::safe_mode::presence::{EVENT_BYTES, has_press};
    let pressed = has_press(data);
    let (records, _part) = data.split_at(data.len() - data.len() % EVENT_BYTES);
    assert_eq!(pressed, has_press(records));
    let one_by_one = records.chunks(EVENT_BYTES).any(has_press);
    assert_eq!(pressed, one_by_one);
}
