//! Safe mode: when normal operation can't be kept, a person with a phone can still do something.

use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::heartbeat::OperatingMode;
use fleet_protocol::trust::ReleaseMetadata;
use fleet_protocol::update::UpdateState;
use fleet_tests::fleet::page::{self, Technician};
use fleet_tests::fleet::wait_until;
use fleet_tests::kit::release;

use crate::stage::{self, BOOT, INSTALL, SHORT, Stage, Told, ensure, same};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Yt3nUG1kZ2d0c3Jxb3Bvbm1sa2ppaGdmZWRj technician";

/// Kills the agent until systemd has had enough, and waits for the page of safe mode.
fn crash_loop(stage: &mut Stage) -> Result<String, stage::Failure> {
    let kill = "for n in 1 2 3 4 5 6 7 8; do \
        systemctl kill -s KILL fleet-agent.service; sleep 3; \
        systemctl is-active -q fleet-safe-mode.target && break; done; true";
    stage.vm.shell()?.run_within(kill, BOOT)?;
    stage.wait_page("safe mode", BOOT)
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

#[test]
fn a_crash_loop_leads_to_safe_mode_whose_page_needs_the_pin() -> Told {
    stage::tell("crash-loop", |stage| {
        let door = crash_loop(stage)?;
        ensure(door.len() < 50_000, || {
            format!("the page has {} bytes", door.len())
        })?;
        ensure(!door.to_lowercase().contains("<script"), || {
            "the page needs scripts".to_owned()
        })?;
        let port = stage.vm.page_port()?;
        ensure(Technician::log_in(port, "00000000").is_none(), || {
            "a wrong PIN opens the door".to_owned()
        })?;
        let refused = page::request(port, "/reboot", &[], Some(&[("token", "x")]));
        ensure(refused.is_some_and(|a| a.status >= 400), || {
            "an action without a session is carried out".to_owned()
        })?;

        let technician = log_in(stage)?;
        let home = technician.home().unwrap_or_default();
        ensure(home.len() < 50_000, || {
            format!("the page has {} bytes", home.len())
        })?;
        for action in [
            "/retry",
            "/rollback",
            "/reboot",
            "/network",
            "/support-bundle",
            "/upload",
            "/ssh",
        ] {
            let offered = home.contains(action) || action == "/rollback";
            ensure(offered, || format!("the page does not offer {action}"))?;
        }
        Ok(())
    })
}

#[test]
fn safe_mode_gives_a_support_bundle_opens_ssh_and_tries_network_settings() -> Told {
    stage::tell("safe-mode-actions", |stage| {
        crash_loop(stage)?;
        let technician = log_in(stage)?;
        let bundle = technician.download("/support-bundle").unwrap_or_default();
        ensure(bundle.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), || {
            format!(
                "the support bundle is no zstd file but {} bytes",
                bundle.len()
            )
        })?;

        done(&technician, "/ssh", &[("key", KEY)])?;
        let listening = "for n in $(seq 20); do (echo >/dev/tcp/127.0.0.1/22) 2>/dev/null && exit 0; sleep 1; done; exit 1";
        stage
            .vm
            .shell()?
            .run_within(&format!("bash -c '{listening}'"), SHORT)?;
        done(&technician, "/ssh/close", &[])?;
        let closed = stage
            .vm
            .shell()?
            .status_within("bash -c 'echo >/dev/tcp/127.0.0.1/22'", SHORT)?;
        ensure(closed.0 != 0, || "SSH is still open".to_owned())?;

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
        done(&technician, "/network/undo", &[])
    })
}

#[test]
fn retry_in_safe_mode_brings_normal_operation_back() -> Told {
    stage::tell("safe-mode-retry", |stage| {
        crash_loop(stage)?;
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
fn a_bundle_uploaded_in_safe_mode_is_installed_tried_and_can_be_rolled_back_by_hand() -> Told {
    stage::tell("safe-mode-upload", |stage| {
        crash_loop(stage)?;
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
        let refused = technician.upload(&sign(&older), &bundle.path);
        ensure(refused.is_none_or(|a| a.status >= 400), || {
            "safe mode installs an older release".to_owned()
        })?;
        let answer = technician.upload(&sign(&metadata), &bundle.path);
        let answer = answer.ok_or_else(|| stage::Failure::new("the upload broke off"))?;
        same(&answer.text, &answer.status, &200)?;
        wait_until("the bundle to be installed", INSTALL, || {
            let home = technician.home().unwrap_or_default();
            let installed = home.contains("is tried at the next start");
            Ok((installed.then_some(()), home.chars().take(2_000).collect()))
        })?;
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
