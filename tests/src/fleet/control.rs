//! The real control plane as a process of this host, on a free port, with a data folder of its own.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::{FleetError, Result};
use crate::vm::CONTROL_ADDRESS;

const START_WITHIN: Duration = Duration::from_mins(1);
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A running control plane; it ends when dropped.
#[derive(Debug)]
pub struct Control {
    child: Child,
    port: u16,
    data: PathBuf,
}

/// A command of this host; the module that owns starting them.
#[expect(
    clippy::disallowed_methods,
    reason = "the module that starts the project's own programs on this host"
)]
pub(super) fn host_command(program: &Path) -> Command {
    Command::new(program)
}

impl Control {
    /// Starts `program` on `data`, which need not exist.
    pub fn start(program: &Path, data: &Path) -> Result<Self> {
        fs::create_dir_all(data).map_err(FleetError::io(format!("creating {}", data.display())))?;
        let log = data.with_extension("log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(FleetError::io(format!("opening {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(FleetError::io("sharing the control plane's log"))?;
        // What an earlier one left would name its port.
        let address = data.join("address");
        let _ = fs::remove_file(&address);
        // Whatever becomes of us, it must not be left behind: the kernel ends it with the thread that started it.
        let child = host_command(Path::new("setpriv"))
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(["--public-url", &format!("https://{CONTROL_ADDRESS}")])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(FleetError::io(format!("starting {}", program.display())))?;
        let mut control = Self {
            child,
            port: 0,
            data: data.to_owned(),
        };
        control.port = control.wait_ready(&address, &log)?;
        Ok(control)
    }

    fn wait_ready(&mut self, address: &Path, log: &Path) -> Result<u16> {
        let began = Instant::now();
        let failed = |reason: String| FleetError::Control {
            reason,
            log: log.to_owned(),
        };
        loop {
            if let Ok(text) = fs::read_to_string(address)
                && let Some(port) = port_of(&text)
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
            {
                return Ok(port);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(failed(format!("it ended at once ({status})")));
            }
            if began.elapsed() > START_WITHIN {
                return Err(failed(format!("no answer within {START_WITHIN:?}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `https://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate that everything of its comes from.
    pub fn ca_file(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    pub fn token_file(&self) -> PathBuf {
        self.data.join("admin-token")
    }

    /// A link that opens the console and logs in.
    pub fn console_link(&self) -> Result<String> {
        let file = self.token_file();
        let token = fs::read_to_string(&file)
            .map_err(FleetError::io(format!("reading {}", file.display())))?;
        Ok(format!("{}/login?token={}", self.url(), token.trim()))
    }

    /// Kills it, as a crash of its host would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).map(nix::unistd::Pid::from_raw);
        let asked = pid.is_ok_and(|pid| {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_ok()
        });
        let began = Instant::now();
        while asked && began.elapsed() < STOP_WITHIN {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}

fn port_of(address: &str) -> Option<u16> {
    address.trim().rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_addresses_last_part() {
        assert_eq!(port_of("127.0.0.1:8443\n"), Some(8443));
        assert_eq!(port_of("half-writ"), None);
    }
}
