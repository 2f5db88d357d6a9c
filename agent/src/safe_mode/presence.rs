//! Somebody is at the device: a key was pressed on a keyboard plugged into it, or a button on the
//! board.
//!
//! Only what needs a hand at the device counts. A television passes its remote control's keys on over
//! HDMI-CEC, infrared receivers hear any remote, Bluetooth reaches through walls: those are left out
//! (bus types of `linux/input.h`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fleet_device::files::read_trimmed;

use crate::platform::paths::Paths;

/// USB, i8042 (PC keyboards, and those of virtual machines), the board itself.
const NEAR_BUSES: [&str; 3] = ["0003", "0011", "0019"];
/// `struct input_event` on 64-bit: 16 bytes of time, type, code, value.
pub const EVENT_BYTES: usize = 24;
const EV_KEY: u16 = 1;
const PRESSED: i32 = 1;

/// The keyboards that are listened to.
#[derive(Debug, Default)]
pub struct Keyboards {
    open: BTreeMap<PathBuf, File>,
}

impl Keyboards {
    /// Opens what was plugged in since, reads what was typed since, and says whether a key went
    /// down. Never blocks.
    pub fn pressed(&mut self, paths: &Paths, devices: &Path) -> bool {
        self.look_for_new(paths, devices);
        let mut pressed = false;
        self.open.retain(|_, file| {
            let mut buffer = [0; EVENT_BYTES * 32];
            match file.read(&mut buffer) {
                Ok(count) => {
                    pressed |= has_press(&buffer[..count]);
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        pressed
    }

    fn look_for_new(&mut self, paths: &Paths, devices: &Path) {
        let class = paths.sys.join("class/input");
        for entry in std::fs::read_dir(&class).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let node = devices.join(&name);
            if !name.to_string_lossy().starts_with("event") || self.open.contains_key(&node) {
                continue;
            }
            if !is_near(&entry.path()) {
                continue;
            }
            let opened = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
                .open(&node);
            if let Ok(file) = opened {
                self.open.insert(node, file);
            }
        }
    }
}

fn is_near(class: &Path) -> bool {
    let bus = read_trimmed(&class.join("device/id/bustype")).unwrap_or_default();
    let real = std::fs::canonicalize(class).unwrap_or_default();
    let is_remote = real.components().any(|c| c.as_os_str() == "rc");
    NEAR_BUSES.contains(&bus.as_str()) && !is_remote
}

/// Whether a key went down, among whole records; part of one at the end says nothing.
pub fn has_press(events: &[u8]) -> bool {
    events.chunks_exact(EVENT_BYTES).any(|event| {
        let kind = u16::from_ne_bytes([event[16], event[17]]);
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        kind == EV_KEY && value == PRESSED
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&30u16.to_ne_bytes());
        bytes.extend_from_slice(&value.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_key_going_down_is_a_press_and_nothing_else_is() {
        assert!(has_press(&[event(0, 0), event(EV_KEY, 1)].concat()));
        for (kind, value) in [(EV_KEY, 0), (EV_KEY, 2), (2, 1), (0, 0)] {
            assert!(!has_press(&event(kind, value)));
        }
        assert!(!has_press(&[1; 10]));
    }

    #[test]
    fn a_usb_keyboard_counts_and_the_televisions_remote_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let devices = folder.path().join("dev/input");
        std::fs::create_dir_all(&devices).unwrap();
        let plug_in = |name: &str, bus: &str| {
            let class = paths.sys.join("class/input").join(name);
            std::fs::create_dir_all(class.join("device/id")).unwrap();
            std::fs::write(class.join("device/id/bustype"), bus).unwrap();
            std::fs::write(devices.join(name), event(EV_KEY, 1)).unwrap();
        };
        plug_in("event0", "001e\n");
        let mut keyboards = Keyboards::default();
        assert!(!keyboards.pressed(&paths, &devices));
        plug_in("event1", "0003\n");
        assert!(keyboards.pressed(&paths, &devices));
        assert!(!keyboards.pressed(&paths, &devices), "a press counts once");
    }
}
