//! What the board says of itself: model, serial number, temperature, throttling.

use std::fs;

use fleet_device::files::read_trimmed;

use super::paths::Paths;
use crate::core::thermal::Reading;

/// The board's model: the device tree's on ARM, DMI's on PCs, else `unknown`.
pub fn model(paths: &Paths) -> String {
    if let Some(model) = read_trimmed(&paths.sys.join("firmware/devicetree/base/model"))
        && !model.is_empty()
    {
        return model;
    }
    let dmi = |name: &str| {
        read_trimmed(&paths.sys.join("class/dmi/id").join(name)).filter(|t| !t.is_empty())
    };
    match (dmi("sys_vendor"), dmi("product_name")) {
        (Some(vendor), Some(product)) => format!("{vendor} {product}"),
        (None, Some(one)) | (Some(one), None) => one,
        (None, None) => "unknown".to_owned(),
    }
}

/// The board's serial number, where the firmware has one.
pub fn serial_number(paths: &Paths) -> Option<String> {
    [
        "firmware/devicetree/base/serial-number",
        "class/dmi/id/product_serial",
        "class/dmi/id/product_uuid",
    ]
    .iter()
    .filter_map(|path| read_trimmed(&paths.sys.join(path)))
    .find(|text| !text.is_empty() && text != "Not Specified" && text != "To be filled by O.E.M.")
}

/// Bits of the Raspberry Pi firmware's `get_throttled` that speak of now, not of the past.
mod pi {
    pub(super) const UNDER_VOLTAGE: u32 = 1 << 0;
    pub(super) const FREQUENCY_CAPPED: u32 = 1 << 1;
    pub(super) const THROTTLED: u32 = 1 << 2;
    pub(super) const SOFT_TEMPERATURE_LIMIT: u32 = 1 << 3;
}

/// Temperature, throttling and supply, now.
pub fn thermal(paths: &Paths) -> Reading {
    let pi = [
        "devices/platform/soc/soc:firmware",
        "devices/platform/soc@107c000000/soc@107c000000:firmware",
    ]
    .iter()
    .find_map(|folder| read_trimmed(&paths.sys.join(folder).join("get_throttled")))
    .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let slowed = pi::FREQUENCY_CAPPED | pi::THROTTLED | pi::SOFT_TEMPERATURE_LIMIT;
    Reading {
        temperature_c: hottest_zone_c(paths),
        throttled: pi.map(|bits| bits & slowed != 0),
        under_voltage: pi.map(|bits| bits & pi::UNDER_VOLTAGE != 0),
    }
}

/// The hottest thermal zone; zones give millidegrees (Documentation/driver-api/thermal).
fn hottest_zone_c(paths: &Paths) -> Option<f32> {
    let zones = fs::read_dir(paths.sys.join("class/thermal")).ok()?;
    zones
        .flatten()
        .filter(|zone| {
            zone.file_name()
                .to_string_lossy()
                .starts_with("thermal_zone")
        })
        .filter_map(|zone| read_trimmed(&zone.path().join("temp"))?.parse::<i32>().ok())
        .max()
        .map(celsius)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a temperature has far fewer digits than an f32 holds"
)]
fn celsius(millidegrees: i32) -> f32 {
    millidegrees as f32 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_device::files::{Access, write_atomic};

    fn board(files: &[(&str, &str)]) -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        for (path, text) in files {
            write_atomic(&paths.sys.join(path), text.as_bytes(), Access::Public).unwrap();
        }
        (folder, paths)
    }

    #[test]
    fn a_pi_and_a_pc_each_name_their_model() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let (_folder, paths) = board(files);
            assert_eq!(model(&paths), expected);
        };
        check(
            &[(
                "firmware/devicetree/base/model",
                "Raspberry Pi 4 Model B Rev 1.5\0",
            )],
            "Raspberry Pi 4 Model B Rev 1.5",
        );
        check(
            &[
                ("class/dmi/id/sys_vendor", "QEMU\n"),
                (
                    "class/dmi/id/product_name",
                    "Standard PC (Q35 + ICH9, 2009)\n",
                ),
            ],
            "QEMU Standard PC (Q35 + ICH9, 2009)",
        );
        check(&[], "unknown");
    }

    #[test]
    fn the_hottest_zone_counts_and_past_throttling_does_not() {
        let (_folder, paths) = board(&[
            ("class/thermal/thermal_zone0/temp", "41500\n"),
            ("class/thermal/thermal_zone1/temp", "60250\n"),
            ("class/thermal/cooling_device0/temp", "99999\n"),
            ("devices/platform/soc/soc:firmware/get_throttled", "50001\n"),
        ]);
        let reading = thermal(&paths);
        assert_eq!(reading.temperature_c, Some(60.25));
        assert_eq!(reading.throttled, Some(false));
        assert_eq!(reading.under_voltage, Some(true));
    }
}
