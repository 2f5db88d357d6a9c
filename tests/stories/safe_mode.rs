//! Safe mode: when normal operation can't be kept, a person with a phone can still do something.

use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::heartbeat::OperatingMode;
use fleet_protocol::trust::ReleaseMetadata;
use fleet_protocol::update::UpdateState;
use fleet_tests::fleet::page::{self, Technician};
use fleet_tests::fleet::{Signer, safe_mode, wait_until};
use fleet_tests::kit::release;

use crate::stage::{self, BOOT, INSTALL, SHORT, Stage, Told, ensure, same};

/// The edge of the cards of safe mode and of a device that is online.
const AMBER: [u8; 3] = [0xf5, 0xa5, 0x24];
const GREEN: [u8; 3] = [0x3f, 0xb9, 0x7a];

fn crash_loop(stage: &mut Stage) -> Result<String, stage::Failure> {
    Ok(safe_mode::crash_loop(&mut stage.vm)?)
}

fn pin(stage: &mut Stage) -> Result<String, stage::Failure> {
    Ok(stage.vm.sh("cat /boot/esp/fleet/pin")?)
}

fn log_in(stage: &mut Stage) -> Result<Technician, stage::Failure> {
    let pin = pin(stage)?;
    let port = stage.vm.page_port()?;
    Technician::log_in(port, &pin).ok_or_else(|| stage::Failure::new("the PIN was refused"))
}

/// Sends a form and expects the page to say that it was done.
fn done(technician: &Technician, path: &str, fields: &[(&str, &str)]) -> Told {
    let answer = technician.send(path, fields);
    let answer = answer.ok_or_else(|| stage::Failure::new(format!("{path}: no answer")))?;
    same(&format!("{path}: {}", answer.text), &answer.status, &200)
}

/// Waits for a card with an edge of this colour.
fn wait_edge(stage: &mut Stage, what: &str, color: [u8; 3]) -> Told {
    wait_until(what, SHORT, || {
        let seen = stage.vm.color_at(2)?;
        Ok(((seen == color).then_some(()), format!("{seen:02x?}")))
    })?;
    Ok(())
}

/// Sends a form and expects it to be refused.
fn refused(technician: &Technician, path: &str, fields: &[(&str, &str)]) -> Told {
    let answer = technician.send(path, fields);
    let answer = answer.ok_or_else(|| stage::Failure::new(format!("{path}: no answer")))?;
    ensure(answer.status >= 400, || {
        format!("{path} was carried out: {}", answer.text)
    })
}

fn wait_installed(technician: &Technician) -> Told {
    wait_until("the bundle to be installed", INSTALL, || {
        let home = technician.home().unwrap_or_default();
        let installed = home.contains("is tried at the next start");
        Ok((installed.then_some(()), home.chars().take(2_000).collect()))
    })?;
    Ok(())
}

#[test]
fn a_crash_loop_leads_to_safe_mode_whose_page_needs_the_pin() -> Told {
    stage::tell("crash-loop", |stage| {
        wait_edge(stage, "the card of a device that is online", GREEN)?;
        let door = crash_loop(stage)?;
        ensure(door.len() < 50_000, || {
            format!("the page has {} bytes", door.len())
        })?;
        ensure(!door.to_lowercase().contains("<script"), || {
            "the page needs scripts".to_owned()
        })?;
        wait_edge(stage, "the card of safe mode", AMBER)?;
        stage.device().wait("the operator to see it", SHORT, |d| {
            d.heartbeat
                .as_ref()
                .is_some_and(|h| h.mode == OperatingMode::Safe)
        })?;
        let port = stage.vm.page_port()?;
        let forged = page::request(port, "/reboot", &[], Some(&[("token", "x")]));
        ensure(forged.is_some_and(|a| a.status >= 400), || {
            "an action without a session is carried out".to_owned()
        })?;

        let technician = log_in(stage)?;
        let home = technician.home().unwrap_or_default();
        ensure(home.len() < 50_000, || {
            format!("the page has {} bytes", home.len())
        })?;
        for action in [
            "/retry",
            "/reboot",
            "/network",
            "/support-bundle",
            "/upload",
            "/ssh",
            "/data",
        ] {
            ensure(home.contains(action), || {
                format!("the page does not offer {action}")
            })?;
        }
        Ok(())
    })
}

#[test]
fn guessing_the_pin_locks_the_page_until_somebody_presses_a_key_at_the_device() -> Told {
    stage::tell_in_safe_mode("lockout", |stage| {
        let port = stage.vm.page_port()?;
        let right = pin(stage)?;
        let wrong = if right == "12345678" {
            "87654321"
        } else {
            "12345678"
        };
        for _ in 0..5 {
            ensure(Technician::log_in(port, wrong).is_none(), || {
                "a wrong PIN opens the door".to_owned()
            })?;
        }
        ensure(Technician::log_in(port, &right).is_none(), || {
            "five wrong PINs do not lock the page".to_owned()
        })?;
        stage.vm.press_key("spc")?;
        // Within less than the thirty seconds that the lock lasts.
        wait_until("the lock to be lifted", SHORT, || {
            let technician = Technician::log_in(port, &right);
            Ok((technician, "still locked".to_owned()))
        })?;
        Ok(())
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn safe_mode_gives_a_support_bundle_without_secrets_and_tries_network_settings() -> Told {
    stage::tell_in_safe_mode("safe-mode-actions", |stage| {
        // Neither page nor bundle needs room for itself.
        stage.fill_data()?;
        let technician = log_in(stage)?;
        let page = technician.home().unwrap_or_default();
        ensure(page.contains("full, "), || {
            format!("nothing of a full data partition on the page: {page}")
        })?;
        let bundle = technician.download("/support-bundle").unwrap_or_default();
        let file = stage.fleet.dir().join("support.tar.zst");
        std::fs::write(&file, &bundle)?;
        let mut unpack = stage.fleet.programs().command("tar");
        let unpacked = unpack.args(["-I", "zstd", "-xOf"]).arg(&file).output()?;
        let text = String::from_utf8_lossy(&unpacked.stdout).into_owned();
        for part in ["fleet.slot=A", "fleet-agent", "rootfs.0"] {
            ensure(text.contains(part), || {
                format!("nothing of {part} in a bundle of {} bytes", bundle.len())
            })?;
        }
        let token = stage.vm.sh("cat /data/fleet/identity/token")?;
        for secret in [pin(stage)?.as_str(), token.as_str(), "PRIVATE KEY"] {
            ensure(!secret.is_empty() && !text.contains(secret), || {
                "the support bundle holds a secret".to_owned()
            })?;
        }
        stage.free_data()?;

        let interface = stage.vm.sh("ls /sys/class/net | grep -v lo | head -n 1")?;
        let fixed = [
            ("interface", interface.as_str()),
            ("mode", "static"),
            ("address", "10.0.2.15/24"),
            ("gateway", "10.0.2.2"),
            ("dns", ""),
        ];
        done(&technician, "/network", &fixed)?;
        let written = stage.vm.sh("cat /run/systemd/network/*")?;
        ensure(written.contains("10.0.2.15/24"), || {
            format!("networkd was told {written}")
        })?;
        wait_until("the page under the new settings", SHORT, || {
            Ok((technician.home(), "no answer".to_owned()))
        })?;
        let inside = stage.vm.sh("ip -c=never -o -4 address")?;
        ensure(
            inside.contains("10.0.2.15/24") && !inside.contains("dynamic"),
            || format!("the address is still the old one: {inside}"),
        )?;
        done(&technician, "/network/keep", &[])?;
        ensure(
            stage.vm.sh("ls -R /data/fleet/config")?.contains("network"),
            || "the settings were not kept".to_owned(),
        )
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn ssh_opens_for_the_given_key_alone_and_closes() -> Told {
    stage::tell_in_safe_mode("safe-mode-ssh", |stage| {
        let technician = log_in(stage)?;
        let (ours, theirs) = (ssh_key(stage, "ours")?, ssh_key(stage, "theirs")?);
        let port = stage.vm.ssh_port()?;
        ensure(ssh(port, &ours, "true")?.is_none(), || {
            "SSH is open before it was opened".to_owned()
        })?;
        let public = std::fs::read_to_string(ours.with_extension("pub"))?;
        done(&technician, "/ssh", &[("key", public.trim())])?;
        let said = wait_until("a login by SSH", SHORT, || {
            Ok((ssh_or_none(port, &ours), "refused".to_owned()))
        })?;
        ensure(said.contains("fleet.slot=A"), || format!("SSH says {said}"))?;
        let open_for = stage
            .vm
            .sh("systemctl show -P RuntimeMaxUSec fleet-ssh.service")?;
        same("how long it stays open", &open_for.as_str(), &"1h")?;
        ensure(ssh(port, &theirs, "true")?.is_none(), || {
            "SSH takes a stranger's key".to_owned()
        })?;
        done(&technician, "/ssh/close", &[])?;
        ensure(ssh(port, &ours, "true")?.is_none(), || {
            "SSH is still open".to_owned()
        })
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a technician's own programs, on their computer"
)]
fn host(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

fn ssh_key(stage: &Stage, name: &str) -> Result<std::path::PathBuf, stage::Failure> {
    let file = stage.fleet.dir().join(name);
    let status = host("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&file)
        .status()?;
    ensure(status.success(), || "ssh-keygen failed".to_owned())?;
    Ok(file)
}

/// What `command` prints on the device; nothing when the login is refused.
fn ssh(port: u16, key: &std::path::Path, command: &str) -> Result<Option<String>, stage::Failure> {
    let output = host("ssh")
        .args(["-F", "none", "-p", &port.to_string(), "-i"])
        .arg(key)
        .args([
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "ConnectTimeout=20",
        ])
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["root@127.0.0.1", command])
        .stdin(std::process::Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(said))
}

fn ssh_or_none(port: u16, key: &std::path::Path) -> Option<String> {
    ssh(port, key, "cat /proc/cmdline").ok().flatten()
}

#[test]
fn retry_in_safe_mode_brings_normal_operation_back() -> Told {
    stage::tell_in_safe_mode("safe-mode-retry", |stage| {
        let technician = log_in(stage)?;
        let seen = stage.device().detail()?.device.last_seen_at;
        done(&technician, "/retry", &[])?;
        stage.device().wait("normal operation", BOOT, |d| {
            d.device.last_seen_at > seen
                && d.heartbeat
                    .as_ref()
                    .is_some_and(|h| h.mode == OperatingMode::Normal)
        })?;
        same("the running slot", &stage.running_slot()?.as_str(), &"A")
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_bundle_uploaded_in_safe_mode_is_installed_tried_and_can_be_rolled_back_by_hand() -> Told {
    stage::tell_in_safe_mode("safe-mode-upload", |stage| {
        let technician = log_in(stage)?;
        let bundle = stage.fleet.kit().bundle(release::GOOD)?.clone();
        let metadata = stage.fleet.metadata(&bundle)?;
        let sign = |metadata: &ReleaseMetadata| {
            serde_json::to_vec(&stage.fleet.signer().sign(metadata)).unwrap_or_default()
        };
        let older = ReleaseMetadata {
            version: Version::new(0, 1, 0),
            ..metadata.clone()
        };
        let stranger = serde_json::to_vec(&Signer::stranger().sign(&metadata)).unwrap_or_default();
        for (what, document) in [
            ("an older release", sign(&older)),
            ("a stranger's release", stranger),
            ("a bundle without metadata", Vec::new()),
        ] {
            let answer = technician.upload(&document, &bundle.path);
            ensure(answer.is_none_or(|a| a.status >= 400), || {
                format!("safe mode installs {what}")
            })?;
        }
        let answer = technician.upload(&sign(&metadata), &bundle.path);
        let answer = answer.ok_or_else(|| stage::Failure::new("the upload broke off"))?;
        same(&answer.text, &answer.status, &200)?;
        wait_installed(&technician)?;
        done(&technician, "/reboot", &[])?;
        stage.device().wait_state("the new version", BOOT + BOOT, |state| {
            matches!(state, UpdateState::Committed { version, .. } if *version == bundle.version)
        })?;
        same("the running slot", &stage.running_slot()?.as_str(), &"B")?;

        crash_loop(stage)?;
        let technician = log_in(stage)?;
        let mark = stage.vm.serial().mark();
        done(&technician, "/rollback", &[])?;
        stage
            .vm
            .serial()
            .wait_for("fleet: booting slot A", mark, Duration::from_mins(2))?;
        same("the running slot", &stage.running_slot()?.as_str(), &"A")
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_signed_bundle_on_a_usb_stick_is_installed_and_one_without_metadata_is_not() -> Told {
    stage::tell_in_safe_mode("safe-mode-usb", |stage| {
        let bundle = stage.fleet.kit().bundle(release::GOOD)?.clone();
        let metadata = stage.fleet.signer().sign(&stage.fleet.metadata(&bundle)?);
        let metadata = serde_json::to_vec(&metadata).unwrap_or_default();
        let stick = stick(stage, &bundle.path, &metadata)?;
        stage.vm.plug_in(&stick)?;
        let technician = log_in(stage)?;
        let paths = wait_until("the stick on the page", SHORT, || {
            let paths = listed(&technician.home().unwrap_or_default());
            let seen = format!("{paths:?}");
            Ok(((paths.len() == 2).then_some(paths), seen))
        })?;
        let path = |name: &str| {
            let found = paths.iter().find(|path| path.ends_with(name));
            found.ok_or_else(|| stage::Failure::new(format!("{name} is not listed: {paths:?}")))
        };
        refused(&technician, "/usb", &[("bundle", path("lonely.raucb")?)])?;
        refused(&technician, "/usb", &[("bundle", "/etc/passwd")])?;
        done(&technician, "/usb", &[("bundle", path("signed.raucb")?)])?;
        wait_installed(&technician)?;
        done(&technician, "/reboot", &[])?;
        stage
            .device()
            .wait_committed(&bundle.version, BOOT + BOOT)?;
        Ok(())
    })
}

/// The bundles on sticks that the page offers.
fn listed(home: &str) -> Vec<String> {
    home.split("name=\"bundle\" value=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// A FAT stick with a bundle twice: with its metadata, and without.
fn stick(
    stage: &Stage,
    bundle: &std::path::Path,
    metadata: &[u8],
) -> Result<std::path::PathBuf, stage::Failure> {
    let image = stage.fleet.dir().join("stick.img");
    let document = stage.fleet.dir().join("signed.release.json");
    std::fs::write(&document, metadata)?;
    let bytes = std::fs::metadata(bundle)?.len() + (16 << 20);
    std::fs::File::create(&image)?.set_len(bytes)?;
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        let mut command = stage.fleet.programs().command(program);
        let output = command.args(arguments).output()?;
        ensure(output.status.success(), || {
            format!("{program}: {}", String::from_utf8_lossy(&output.stderr))
        })
    };
    run("mkfs.vfat", &[image.as_ref()])?;
    let copy = |from: &std::path::Path, name: &str| {
        run(
            "mcopy",
            &["-i".as_ref(), image.as_ref(), from.as_ref(), name.as_ref()],
        )
    };
    copy(bundle, "::/signed.raucb")?;
    copy(&document, "::/signed.release.json")?;
    copy(&document, "::/lonely.raucb")?;
    Ok(image)
}
