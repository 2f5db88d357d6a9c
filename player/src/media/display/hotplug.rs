//! The kernel's word that a plug was pulled or put in: its uevents, as `udevadm monitor --kernel` shows them (made by
//! `drm_sysfs_hotplug_event`).
//!
//! What the kernel says of a screen is what it found when it was last told to look (to *probe*), and the player as the
//! one who sets modes is the one who tells it to. Without that a TV that comes back with other modes has the old ones, and
//! with some drivers one that is gone is still there. Probing reads the EDID over a slow bus: so it is not done in vain.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// The group to which the kernel sends; udev sends its own to another.
const KERNEL: u32 = 1;
/// The kernel's `UEVENT_BUFFER_SIZE`, and its header.
const LONGEST: usize = 4096;

/// Events of displays. What comes between two calls is kept.
#[derive(Debug)]
pub struct Hotplug(Option<OwnedFd>);

impl Hotplug {
    pub fn listen() -> Self {
        match open() {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                log::warn!("a screen with other modes will not be noticed: {error}");
                Self(None)
            }
        }
    }

    /// Waits for so long at most; whether something was pulled or put in.
    pub fn wait(&self, within: Duration) -> bool {
        let Some(socket) = &self.0 else {
            std::thread::sleep(within);
            return false;
        };
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], left) {
                Ok(0) => return false,
                Ok(_) if take(socket) => return true,
                // Something else happened, of which there is a lot while a machine starts.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    log::warn!("listening for screens: {error}");
                    std::thread::sleep(within);
                    return false;
                }
            }
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
    Ok(socket)
}

/// Takes all that has come. Whether one of it is of a display, or was lost and may have been.
fn take(socket: &OwnedFd) -> bool {
    let mut buffer = [0; LONGEST];
    let mut is_of_display = false;
    loop {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => is_of_display |= is_hotplug(&buffer[..length]),
            Err(Errno::ENOBUFS) => is_of_display = true,
            Err(Errno::EINTR) => {}
            Err(_) => return is_of_display,
        }
    }
}

/// `ACTION@DEVPATH`, then `NAME=VALUE`s, each ended by a zero.
fn is_hotplug(event: &[u8]) -> bool {
    let has = |line: &[u8]| event.split(|byte| *byte == 0).any(|found| found == line);
    has(b"SUBSYSTEM=drm") && has(b"HOTPLUG=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plug_is_told_from_whatever_else_happens() {
        // As a kernel 6.12 sent them.
        let plug: &[u8] = b"change@/devices/pci0000:00/0000:00:01.0/drm/card0\0ACTION=change\0\
            DEVPATH=/devices/pci0000:00/0000:00:01.0/drm/card0\0SUBSYSTEM=drm\0HOTPLUG=1\0\
            DEVNAME=/dev/dri/card0\0DEVTYPE=drm_minor\0SEQNUM=1678\0MAJOR=226\0MINOR=0\0";
        assert!(is_hotplug(plug));
        let lease = String::from_utf8_lossy(plug).replace("HOTPLUG", "LEASE");
        assert!(!is_hotplug(lease.as_bytes()));
        let disk = String::from_utf8_lossy(plug).replace("=drm\0", "=block\0");
        assert!(!is_hotplug(disk.as_bytes()));
        assert!(!is_hotplug(b""));
    }

    #[test]
    fn where_nothing_is_heard_time_passes_all_the_same() {
        let began = Instant::now();
        assert!(!Hotplug(None).wait(Duration::from_millis(20)));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
