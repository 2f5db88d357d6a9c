//! The kernel's CEC adapters: `linux/cec.h` (Documentation/userspace-api/media/cec).
//!
//! What an adapter is set to stays when its file is closed, so the kernel goes on answering the TV's questions for the
//! player: its name, its version, that it is on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

const ADDRESSES: usize = 4;
const LONGEST: usize = 16;
const NO_PHYSICAL_ADDRESS: u16 = 0xffff;
/// Of the TV itself, and of an input of this machine, at which it would be the TV.
const ROOT: u16 = 0x0000;
const VERSION_1_4: u8 = 5;
const NO_VENDOR: u32 = 0xffff_ffff;
/// A playback device, as three tables have it.
const PRIMARY_TYPE_PLAYBACK: u8 = 4;
const ADDRESS_TYPE_PLAYBACK: u8 = 3;
const ALL_TYPES_PLAYBACK: u8 = 0x10;
const NAME: &[u8] = b"Fleet player";
/// `CEC_TX_STATUS_OK` and `CEC_RX_STATUS_OK`.
const STATUS_OK: u8 = 1;
const ANSWERED_WITHIN_MS: u32 = 1_000;

/// `struct cec_msg`
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Message {
    tx_ts: u64,
    rx_ts: u64,
    len: u32,
    timeout: u32,
    sequence: u32,
    flags: u32,
    msg: [u8; LONGEST],
    reply: u8,
    rx_status: u8,
    tx_status: u8,
    tx_arb_lost_cnt: u8,
    tx_nack_cnt: u8,
    tx_low_drive_cnt: u8,
    tx_error_cnt: u8,
}

/// `struct cec_log_addrs`
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct LogicalAddresses {
    log_addr: [u8; ADDRESSES],
    log_addr_mask: u16,
    cec_version: u8,
    num_log_addrs: u8,
    vendor_id: u32,
    flags: u32,
    osd_name: [u8; 15],
    primary_device_type: [u8; ADDRESSES],
    log_addr_type: [u8; ADDRESSES],
    all_device_types: [u8; ADDRESSES],
    features: [[u8; 12]; ADDRESSES],
}

/// The kernel refuses what has another size: the numbers contain it.
const _: () = assert!(size_of::<Message>() == 56 && size_of::<LogicalAddresses>() == 92);

/// As nix makes them: unsafe to be called.
mod ioctl {
    use super::{LogicalAddresses, Message};

    nix::ioctl_read!(physical_address, b'a', 1, u16);
    nix::ioctl_read!(logical_addresses, b'a', 3, LogicalAddresses);
    nix::ioctl_readwrite!(claim, b'a', 4, LogicalAddresses);
    nix::ioctl_readwrite!(transmit, b'a', 5, Message);
}

/// What the player has on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) logical: u8,
    /// Which input of the TV it is.
    pub(super) physical: u16,
}

/// The adapters in a folder of devices.
pub(super) fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_adapter = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix("cec"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(is_adapter)
        .collect();
    paths.sort();
    paths
}

/// An open one. Its calls wait until the bus has done what they ask for, a second or two at most.
#[derive(Debug)]
pub(super) struct Adapter(File);

impl Adapter {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(file))
    }

    /// Whether sources are plugged in here instead of a TV.
    pub(super) fn is_input(&self) -> io::Result<bool> {
        Ok(self.physical_address()? == ROOT)
    }

    /// Takes one if there is none yet; `None` while no TV is seen.
    pub(super) fn address(&self) -> io::Result<Option<Address>> {
        let mut addresses = self.logical_addresses()?;
        if addresses.num_log_addrs == 0 {
            let mut wanted = playback();
            #[expect(unsafe_code, reason = "an ioctl")]
            // SAFETY: the file is open, and `wanted` is a `struct cec_log_addrs` that outlives the call.
            unsafe { ioctl::claim(self.0.as_raw_fd(), &raw mut wanted) }?;
            addresses = self.logical_addresses()?;
        }
        let physical = self.physical_address()?;
        let is_there = addresses.log_addr_mask != 0 && physical != NO_PHYSICAL_ADDRESS;
        Ok(is_there.then_some(Address {
            logical: addresses.log_addr[0],
            physical,
        }))
    }

    fn physical_address(&self) -> io::Result<u16> {
        let mut physical = NO_PHYSICAL_ADDRESS;
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the file is open, and `physical` is the `__u16` that is written, and outlives the call.
        unsafe { ioctl::physical_address(self.0.as_raw_fd(), &raw mut physical) }?;
        Ok(physical)
    }

    fn logical_addresses(&self) -> io::Result<LogicalAddresses> {
        let mut addresses = LogicalAddresses::default();
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the file is open, and `addresses` is a `struct cec_log_addrs` that outlives the call.
        unsafe { ioctl::logical_addresses(self.0.as_raw_fd(), &raw mut addresses) }?;
        Ok(addresses)
    }

    /// Returns when whom it is for has acknowledged it.
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        self.transmit(message, 0).map(drop)
    }

    /// The first operand of the answer, which is of the type `reply`; `None` if none came.
    pub(super) fn ask(&self, message: &[u8], reply: u8) -> io::Result<Option<u8>> {
        Ok(operand(&self.transmit(message, reply)?, reply))
    }

    fn transmit(&self, bytes: &[u8], reply: u8) -> io::Result<Message> {
        let mut message = Message {
            len: u32::try_from(bytes.len()).map_err(io::Error::other)?,
            timeout: if reply == 0 { 0 } else { ANSWERED_WITHIN_MS },
            reply,
            ..Message::default()
        };
        let room = message.msg.get_mut(..bytes.len());
        room.ok_or(io::ErrorKind::InvalidInput)?
            .copy_from_slice(bytes);
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the file is open, and `message` is a `struct cec_msg` that outlives the call.
        unsafe { ioctl::transmit(self.0.as_raw_fd(), &raw mut message) }?;
        if message.tx_status & STATUS_OK == 0 {
            let status = format!("not acknowledged, status {:#04x}", message.tx_status);
            return Err(io::Error::other(status));
        }
        Ok(message)
    }
}

/// Whoever does not know a question says so (Feature Abort), and the kernel hands that on as an answer.
fn operand(answered: &Message, reply: u8) -> Option<u8> {
    let is_answer =
        answered.rx_status & STATUS_OK != 0 && answered.len > 2 && answered.msg[1] == reply;
    is_answer.then_some(answered.msg[2])
}

/// What the player is on the bus.
fn playback() -> LogicalAddresses {
    let mut addresses = LogicalAddresses {
        num_log_addrs: 1,
        cec_version: VERSION_1_4,
        vendor_id: NO_VENDOR,
        ..LogicalAddresses::default()
    };
    addresses.osd_name[..NAME.len()].copy_from_slice(NAME);
    addresses.primary_device_type[0] = PRIMARY_TYPE_PLAYBACK;
    addresses.log_addr_type[0] = ADDRESS_TYPE_PLAYBACK;
    addresses.all_device_types[0] = ALL_TYPES_PLAYBACK;
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT_POWER_STATUS: u8 = 0x90;

    fn answered(rx_status: u8, bytes: &[u8]) -> Message {
        let mut message = Message {
            len: u32::try_from(bytes.len()).unwrap(),
            rx_status,
            ..Message::default()
        };
        message.msg[..bytes.len()].copy_from_slice(bytes);
        message
    }

    #[test]
    fn only_the_answer_that_was_asked_for_counts() {
        let check = |rx_status: u8, bytes: &[u8], expected| {
            let message = answered(rx_status, bytes);
            assert_eq!(
                operand(&message, REPORT_POWER_STATUS),
                expected,
                "{bytes:x?}"
            );
        };
        check(0x01, &[0x04, 0x90, 0x01], Some(1));
        // No answer in time, and one that says nothing.
        check(0x02, &[0x40, 0x8f], None);
        check(0x01, &[0x04, 0x90], None);
        // Feature Abort of the question, as `vivid` and TVs that do not know it send.
        check(0x05, &[0x04, 0x00, 0x8f, 0x00], None);
    }
}
