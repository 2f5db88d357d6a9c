//! Settings that changed, made known to those who read them: networkd, and one `wpa_supplicant` for each
//! Wi-Fi interface, started by systemd so that it outlives this process.

use crate::platform::paths::Paths;
use crate::safe_mode::actions::ActionError;
use crate::safe_mode::network;
use crate::support_bundle::command::{self, Limits};

/// networkd reads its files, and each interface's Wi-Fi is joined anew, or left. Blocking.
pub(in crate::safe_mode) fn reload_networks(
    paths: &Paths,
    interfaces: &[String],
) -> Result<(), ActionError> {
    command::run("networkctl", &["reload"], Limits::seconds(15))?;
    for interface in interfaces {
        let file = network::active_folder(paths).join(network::wpa_file(interface));
        let unit = format!("fleet-wifi-{interface}.service");
        // Not running is as good as stopped.
        let _ = command::run("systemctl", &["stop", &unit], Limits::seconds(15));
        if file.exists() {
            let (unit, file) = (format!("--unit={unit}"), file.display().to_string());
            let arguments = [
                unit.as_str(),
                "--collect",
                "--quiet",
                "--property=Restart=on-failure",
                "--property=RestartSec=5",
                "wpa_supplicant",
                "-i",
                interface,
                "-c",
                &file,
            ];
            command::run("systemd-run", &arguments, Limits::seconds(15))?;
        }
        command::run(
            "networkctl",
            &["reconfigure", interface],
            Limits::seconds(15),
        )?;
    }
    Ok(())
}
