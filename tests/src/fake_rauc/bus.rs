//! A message bus of its own: `dbus-daemon` on a socket in a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Ends with its owner.
#[derive(Debug)]
pub struct PrivateBus {
    pub address: String,
    daemon: Child,
    _folder: tempfile::TempDir,
}

impl PrivateBus {
    /// Starts the bus and waits until it listens.
    ///
    /// # Panics
    /// When there is no `dbus-daemon`: install the package `dbus-daemon` or `dbus`.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the module that owns the bus"
    )]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = folder.path().join("bus.conf");
        let socket = folder.path().join("bus");
        let text = format!(
            "<busconfig><type>custom</type><listen>unix:path={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             <allow own=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).expect("the temporary folder can be written");
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed (package dbus-daemon)");
        let stdout = daemon.stdout.take().expect("it was asked for");
        let mut address = String::new();
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("dbus-daemon prints its address");
        Self {
            address: address.trim().to_owned(),
            daemon,
            _folder: folder,
        }
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
