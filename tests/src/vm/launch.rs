//! Starting QEMU and taking its lines. The harness listens and QEMU connects, so nothing said early is lost.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::console::Console;
use super::disk::Disks;
use super::error::{Result, VmError};
use super::programs::Programs;
use super::qmp::Qmp;
use super::shell::Shell;
use super::{Boot, CONTENT_ADDRESS, CONTROL_ADDRESS, Clock, Display, Machine};

const CONNECT_WITHIN: Duration = Duration::from_mins(1);
/// The plainest one, and what any processor of the last ten years has for hashes and ciphers: QEMU computes these
/// natively, where it would emulate a kernel's own loops. A sixth less processor time for boot and installation.
const CPU: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+sha-ni,+aes,+pclmulqdq";
const PLUG: &str = "plug";
const FIRMWARE: &str = "usr/share/OVMF/OVMF_CODE_4M.fd";

/// QEMU with its lines. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) qmp: Qmp,
    pub(super) shell: Shell,
    /// The camera's own QMP line, until it is taken.
    pub(super) camera: Option<Qmp>,
    pub(super) page_port: u16,
    pub(super) ssh_port: u16,
    process: Process,
    sockets: TempDir,
}

/// The process, kept by a thread of its own: the tools tree ends a program with the *thread* that started it.
#[derive(Debug)]
struct Process {
    pid: Pid,
    keeper: Option<JoinHandle<io::Result<ExitStatus>>>,
}

impl Running {
    pub(super) fn launch(
        programs: &Arc<dyn Programs>,
        machine: &Machine,
        disks: &Disks,
        boot: Boot<'_>,
        log_dir: &Path,
        serial: &Console,
        shell_log: &Console,
    ) -> Result<Self> {
        // Socket paths must stay under 108 bytes, which a target folder may not.
        let sockets = tempfile::Builder::new()
            .prefix("fleet-vm-")
            .tempdir_in("/tmp")
            .map_err(VmError::io("creating a folder for sockets"))?;
        let dir = sockets.path();
        let [qmp_line, camera_line, serial_line, shell_line] = [
            listen(dir, "qmp")?,
            listen(dir, "camera")?,
            listen(dir, "serial")?,
            listen(dir, "shell")?,
        ];
        let mut command = programs.command("qemu-system-x86_64");
        arguments(&mut command, &**programs, machine, disks, dir);
        if let Boot::Resume(name) = boot {
            command.args(["-loadvm", name]);
        }
        let stderr = log_dir.join("qemu.log");
        let (mut process, ended) = Process::start(command, &stderr)?;
        let accept = |line: &UnixListener| accept(line, &ended, &stderr);
        let qmp_stream = accept(&qmp_line)?;
        let camera_stream = accept(&camera_line)?;
        serial.attach(accept(&serial_line)?)?;
        let shell = Shell::new(shell_log.clone(), accept(&shell_line)?)?;
        let mut qmp = Qmp::handshake(qmp_stream)?;
        let camera = Some(Qmp::handshake(camera_stream)?);
        process.pid = pid_from(&dir.join("pid")).unwrap_or(process.pid);
        let forwards = qmp.monitor("info usernet", Duration::from_secs(30))?;
        let forwarded = |guest: u16| {
            host_port(&forwards, guest).ok_or_else(|| VmError::Qmp {
                command: "info usernet".to_owned(),
                reason: format!("port {guest} is not forwarded in {forwards}"),
            })
        };
        let (page_port, ssh_port) = (forwarded(80)?, forwarded(22)?);
        Ok(Self {
            qmp,
            shell,
            camera,
            page_port,
            ssh_port,
            process,
            sockets,
        })
    }

    /// The line over which the screen is plugged in and pulled out, while it has no window of its own.
    pub(super) fn plug(&self) -> PathBuf {
        self.sockets.path().join(PLUG)
    }

    /// Ends QEMU at once and returns when it is gone and its locks with it.
    pub(super) fn kill(mut self) {
        self.process.end();
    }
}

impl Process {
    fn start(mut command: Command, stderr: &Path) -> Result<(Self, Receiver<()>)> {
        let log = std::fs::File::create(stderr)
            .map_err(VmError::io(format!("creating {}", stderr.display())))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let (started, wait_started) = mpsc::channel();
        let (ended, wait_ended) = mpsc::channel();
        let keeper = std::thread::spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(io::Error::new(error.kind(), error.to_string())));
                    return Err(error);
                }
            };
            let _ = started.send(Ok(child.id()));
            let status = child.wait();
            let _ = ended.send(());
            status
        });
        let id = wait_started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that starts QEMU died")))
            .map_err(VmError::io("starting QEMU"))?;
        let pid = Pid::from_raw(i32::try_from(id).expect("process ids fit in i32"));
        let process = Self {
            pid,
            keeper: Some(keeper),
        };
        Ok((process, wait_ended))
    }

    fn end(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // Already gone is as good.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = keeper.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(dir: &Path, name: &str) -> Result<UnixListener> {
    let what = || format!("listening for QEMU's {name} line");
    let listener = UnixListener::bind(dir.join(name)).map_err(VmError::io(what()))?;
    listener
        .set_nonblocking(true)
        .map_err(VmError::io(what()))?;
    Ok(listener)
}

fn accept(listener: &UnixListener, ended: &Receiver<()>, stderr: &Path) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream
                    .set_nonblocking(false)
                    .map_err(VmError::io("taking QEMU's line"))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(source) => {
                let what = "taking QEMU's line".to_owned();
                return Err(VmError::Io { what, source });
            }
        }
        let died = ended.recv_timeout(Duration::from_millis(20)).is_ok();
        if died || began.elapsed() > CONNECT_WITHIN {
            return Err(VmError::Program {
                program: "QEMU".to_owned(),
                output: std::fs::read_to_string(stderr).unwrap_or_default(),
            });
        }
    }
}

fn pid_from(file: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(file).ok()?;
    text.trim().parse().ok().map(Pid::from_raw)
}

/// The host's port for the guest's, by a line such as `TCP[HOST_FORWARD]  12  127.0.0.1 36529  10.0.2.15 80  0 0`.
fn host_port(usernet: &str, guest: u16) -> Option<u16> {
    let lines = usernet.lines().filter(|l| l.contains("HOST_FORWARD"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(5).is_some_and(|port| *port == guest.to_string()))
        .and_then(|fields| fields.get(3)?.parse().ok())
}

fn arguments(
    command: &mut Command,
    programs: &dyn Programs,
    machine: &Machine,
    disks: &Disks,
    sockets: &Path,
) {
    let line = |name: &str| {
        let path = sockets.join(name);
        format!("socket,id={name},path={}", path.display())
    };
    let rtc = match machine.clock {
        Clock::Host => "base=utc",
        Clock::Epoch => "base=1970-01-01T00:00:00",
    };
    let display = match machine.display {
        Display::Headless => "none",
        // Closed by its button it would take the machine with it, in the middle of an update.
        Display::Window => "gtk,window-close=off",
    };
    let (width, height) = machine.screen;
    let screen = format!("virtio-vga,xres={width},yres={height}");
    command
        .args(["-machine", "q35", "-accel", "tcg,thread=multi"])
        .args(["-cpu", CPU, "-nodefaults", "-no-user-config"])
        .args(["-m", &machine.memory_mb.to_string()])
        .args(["-smp", &machine.cpus.to_string()])
        .args(["-rtc", rtc, "-display", display])
        .args(["-device", &screen, "-device", "virtio-rng-pci"])
        .args(["-device", "i6300esb", "-action", "watchdog=reset"]);
    if machine.display == Display::Headless {
        let plug = sockets.join(PLUG);
        command.arg("-vnc").arg(format!("unix:{}", plug.display()));
    }
    command.arg("-drive").arg(format!(
        "if=pflash,unit=0,format=raw,readonly=on,file={}",
        programs.file(FIRMWARE).display()
    ));
    command.arg("-drive").arg(format!(
        "if=pflash,unit=1,format=qcow2,file={}",
        disks.variables.display()
    ));
    // Write-back with flushes honoured; never `unsafe`, because power cuts must mean something.
    command.arg("-drive").arg(format!(
        "if=none,id=disk,format=qcow2,cache=writeback,discard=unmap,file={}",
        disks.disk.display()
    ));
    command.args([
        "-device",
        "virtio-blk-pci,drive=disk,bootindex=0,serial=fleet",
    ]);
    // netcat, because `guestfwd` to a socket carries one connection only, and this one starts a program for each.
    let lead =
        |address: &str, port: u16| format!("guestfwd=tcp:{address}-cmd:nc -N 127.0.0.1 {port}");
    let content = machine.content_port.map(|port| lead(CONTENT_ADDRESS, port));
    let network = [
        "user,id=lan,restrict=on".to_owned(),
        "hostfwd=tcp:127.0.0.1:0-:80,hostfwd=tcp:127.0.0.1:0-:22".to_owned(),
        lead(CONTROL_ADDRESS, machine.control_port),
    ];
    let network: Vec<String> = network.into_iter().chain(content).collect();
    command.arg("-netdev").arg(network.join(","));
    command.args(["-device", "virtio-net-pci,netdev=lan,romfile="]);
    command.args(["-chardev", &line("qmp"), "-mon", "chardev=qmp,mode=control"]);
    command.args([
        "-chardev",
        &line("camera"),
        "-mon",
        "chardev=camera,mode=control",
    ]);
    command.args(["-chardev", &line("serial")]);
    command.args(["-device", "isa-serial,chardev=serial"]);
    command.args(["-chardev", &line("shell"), "-device", "virtio-serial-pci"]);
    command.args(["-device", "virtconsole,chardev=shell"]);
    command.args(["-device", "qemu-xhci"]);
    command.arg("-pidfile").arg(sockets.join("pid"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_port_is_read_from_the_monitor() {
        let said = "Hub -1 (lan):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  12       127.0.0.1 36529       10.0.2.15    80     0     0\r\n";
        assert_eq!(host_port(said, 80), Some(36529));
        assert_eq!(host_port(said, 22), None);
        assert_eq!(host_port("nothing", 80), None);
    }
}
