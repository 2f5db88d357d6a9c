//! SSH for one hour, with the one key given on the page.
//!
//! sshd runs as a transient unit of systemd with `RuntimeMaxSec=`, so the door closes although this
//! process may be gone; its sessions live in the same unit (no PAM, so no logind scope takes them
//! out) and end with it. Key, host key and configuration are under `/run`. root's password field must
//! be `*`, not `!`: without PAM, sshd takes `!` for a locked account.

use std::path::PathBuf;

use fleet_device::clock;
use fleet_device::files::{self, Access};

use super::actions::{ActionError, SshOpened};
use super::ssh_key::SshKey;
use crate::platform::paths::Paths;
use crate::support_bundle::command::{self, Limits};

pub(super) const OPEN_MINUTES: u32 = 60;
const UNIT: &str = "fleet-ssh.service";

fn folder(paths: &Paths) -> PathBuf {
    paths.run.join("ssh")
}

/// Blocking.
pub(super) fn open(paths: &Paths, key: &SshKey) -> Result<SshOpened, ActionError> {
    close(paths)?;
    let folder = folder(paths);
    let host_key = folder.join("host_ed25519");
    let write = |name: &str, content: &str, access| {
        files::write_atomic(&folder.join(name), content.as_bytes(), access)
            .map_err(|e| ActionError::new(&e, e.hint()))
    };
    write("authorized_keys", &key.authorized_line(), Access::Secret)?;
    write(
        "sshd_config",
        &configuration(&folder.display().to_string()),
        Access::Public,
    )?;
    let host_path = host_key.display().to_string();
    if !host_key.exists() {
        let arguments = [
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "fleet-safe-mode",
            "-f",
            &host_path,
        ];
        command::run("ssh-keygen", &arguments, Limits::seconds(20))?;
    }
    let shown = command::run("ssh-keygen", &["-l", "-f", &host_path], Limits::seconds(20))?.text();
    let fingerprint = shown
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let config = folder.join("sshd_config").display().to_string();
    let unit = format!("--unit={UNIT}");
    let time = format!("--property=RuntimeMaxSec={}", OPEN_MINUTES * 60);
    let arguments = [
        unit.as_str(),
        &time,
        "--collect",
        "--quiet",
        "--description=SSH for a technician",
        "--property=KillMode=control-group",
        "--property=RuntimeDirectory=sshd",
        "--property=RuntimeDirectoryMode=0755",
        "/usr/sbin/sshd",
        "-D",
        "-e",
        "-f",
        &config,
    ];
    command::run("systemd-run", &arguments, Limits::seconds(20))?;
    log::warn!("key.fingerprint" = key.fingerprint(); "SSH was opened for {OPEN_MINUTES} minutes");
    Ok(SshOpened {
        minutes: OPEN_MINUTES,
        host_fingerprint: fingerprint,
    })
}

/// Closes the door and forgets the key. Nothing open is no error. Blocking.
pub(super) fn close(paths: &Paths) -> Result<(), ActionError> {
    // A unit that is not loaded cannot be stopped, and need not be.
    let stopped = command::run("systemctl", &["stop", UNIT], Limits::seconds(20));
    if let Err(error @ command::CommandError::Deadline { .. }) = stopped {
        return Err(error.into());
    }
    files::remove(&folder(paths).join("authorized_keys"))
        .map_err(|e| ActionError::new(&e, e.hint()))
}

/// Whether a technician may be logged in.
pub(super) fn is_open(paths: &Paths) -> bool {
    let key = std::fs::metadata(folder(paths).join("authorized_keys"));
    let opened = key.and_then(|key| key.modified()).ok();
    let opened = opened.and_then(|at| jiff::Timestamp::try_from(at).ok());
    opened.is_some_and(|at| {
        let age_s = clock::wall().as_second().saturating_sub(at.as_second());
        age_s < i64::from(OPEN_MINUTES) * 60
    })
}

fn configuration(folder: &str) -> String {
    format!(
        "Port 22\n\
         HostKey {folder}/host_ed25519\n\
         AuthorizedKeysFile {folder}/authorized_keys\n\
         AuthenticationMethods publickey\n\
         AllowUsers root\n\
         PermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         UsePAM no\n\
         StrictModes yes\n\
         AllowAgentForwarding no\n\
         AllowTcpForwarding no\n\
         X11Forwarding no\n\
         PermitTunnel no\n\
         MaxAuthTries 3\n\
         MaxSessions 4\n\
         LoginGraceTime 30\n\
         PidFile none\n\
         Subsystem sftp internal-sftp\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_given_key_opens_the_door() {
        let text = configuration("/run/fleet/ssh");
        for line in [
            "AuthenticationMethods publickey",
            "PasswordAuthentication no",
            "AllowUsers root",
            "AllowTcpForwarding no",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        assert!(text.contains("AuthorizedKeysFile /run/fleet/ssh/authorized_keys\n"));
    }
}
