//! The way to the glass: the kernel's framebuffer device, written as a file.
//!
//! Geometry comes from sysfs (Documentation/ABI/testing/sysfs-class-graphics), so no ioctl and no
//! unsafe code is needed. DRM drivers offer the same device through their fbdev emulation; it is
//! what remains on the screen while no program holds the display.
//!
//! Several rows are written at once, never one: Linux takes a write of exactly one whole scanline for
//! one of no width (`drm_fb_helper_memory_range_to_clip`), and nothing comes to the glass.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fleet_cards::{Band, Card, render_band};

/// Rows drawn at a time: 64 rows of a 4K picture are 1 MB.
const BAND_ROWS: u32 = 64;

/// Why a card could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    #[error("no framebuffer at {path}: is a screen driver loaded?")]
    Absent {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} says `{text}`, which is no framebuffer geometry")]
    Geometry { path: PathBuf, text: String },
    #[error("{bits_per_pixel} bits a pixel: only 16, 24 and 32 are understood")]
    Format { bits_per_pixel: u32 },
    #[error("writing {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// An open framebuffer.
#[derive(Debug)]
pub struct Screen {
    file: std::fs::File,
    path: PathBuf,
    width: u32,
    height: u32,
    stride_bytes: u32,
    bytes_per_pixel: u32,
}

impl Screen {
    /// The first screen of this machine.
    pub fn open() -> Result<Self, ScreenError> {
        Self::open_at(Path::new("/sys/class/graphics/fb0"), Path::new("/dev/fb0"))
    }

    /// `sysfs` is the device's folder in sysfs, `device` its node.
    pub fn open_at(sysfs: &Path, device: &Path) -> Result<Self, ScreenError> {
        let (virtual_width, virtual_height) = pair(sysfs, "virtual_size", ',')?;
        // With page flipping the virtual screen is a multiple of the visible one.
        let (width, height) = visible(sysfs).unwrap_or((virtual_width, virtual_height));
        let bits_per_pixel = number(sysfs, "bits_per_pixel")?;
        if !matches!(bits_per_pixel, 16 | 24 | 32) {
            return Err(ScreenError::Format { bits_per_pixel });
        }
        let bytes_per_pixel = bits_per_pixel / 8;
        let stride_bytes = number(sysfs, "stride")
            .unwrap_or(0)
            .max(virtual_width.saturating_mul(bytes_per_pixel));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(device)
            .map_err(|source| ScreenError::Absent {
                path: device.to_owned(),
                source,
            })?;
        Ok(Self {
            file,
            path: device.to_owned(),
            width: width.min(virtual_width),
            height: height.min(virtual_height),
            stride_bytes,
            bytes_per_pixel,
        })
    }

    pub const fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Draws `card` over the whole screen. Blocking: a few tens of milliseconds.
    pub fn show(&self, card: &Card) -> Result<(), ScreenError> {
        let mut top = 0;
        while top < self.height {
            // A last row on its own takes the one above it along.
            let first = if self.height - top == 1 {
                top.saturating_sub(1)
            } else {
                top
            };
            self.write_band(&render_band(
                card,
                self.width,
                self.height,
                first,
                BAND_ROWS,
            ))?;
            top = first + BAND_ROWS;
        }
        Ok(())
    }

    fn write_band(&self, band: &Band) -> Result<(), ScreenError> {
        let stride = self.stride_bytes as usize;
        let mut bytes = Vec::with_capacity(stride * BAND_ROWS as usize);
        for (index, row) in band.rows().enumerate() {
            bytes.resize(index * stride, 0);
            match self.bytes_per_pixel {
                4 => bytes.extend_from_slice(row),
                3 => bytes.extend(row.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]])),
                _ => bytes.extend(row.chunks_exact(4).flat_map(rgb565)),
            }
        }
        let offset = u64::from(band.top()) * u64::from(self.stride_bytes);
        self.file
            .write_all_at(&bytes, offset)
            .map_err(|source| ScreenError::Write {
                path: self.path.clone(),
                source,
            })
    }
}

/// What tells one framebuffer from the next: the firmware's is replaced by the graphics driver's, which
/// begins black. `None` while there is none. Cheap enough to be asked every few seconds.
pub fn fingerprint(sysfs: &Path) -> Option<String> {
    let (_, name) = read(sysfs, "name").ok()?;
    let (_, size) = read(sysfs, "virtual_size").ok()?;
    let (_, modes) = read(sysfs, "modes").unwrap_or_default();
    Some(format!("{name} {size} {modes}"))
}

fn rgb565(pixel: &[u8]) -> [u8; 2] {
    let (blue, green, red) = (
        u16::from(pixel[0]),
        u16::from(pixel[1]),
        u16::from(pixel[2]),
    );
    (((red >> 3) << 11) | ((green >> 2) << 5) | (blue >> 3)).to_le_bytes()
}

fn read(sysfs: &Path, name: &str) -> Result<(PathBuf, String), ScreenError> {
    let path = sysfs.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text.trim().to_owned())),
        Err(source) => Err(ScreenError::Absent { path, source }),
    }
}

fn number(sysfs: &Path, name: &str) -> Result<u32, ScreenError> {
    let (path, text) = read(sysfs, name)?;
    text.parse()
        .map_err(|_| ScreenError::Geometry { path, text })
}

fn pair(sysfs: &Path, name: &str, separator: char) -> Result<(u32, u32), ScreenError> {
    let (path, text) = read(sysfs, name)?;
    split(&text, separator).ok_or(ScreenError::Geometry { path, text })
}

fn split(text: &str, separator: char) -> Option<(u32, u32)> {
    let (left, right) = text.split_once(separator)?;
    let (left, right) = (left.parse().ok()?, right.parse().ok()?);
    (left > 0 && right > 0).then_some((left, right))
}

/// The mode in use, such as `U:1280x800p-0`.
fn visible(sysfs: &Path) -> Option<(u32, u32)> {
    let (_, modes) = read(sysfs, "modes").ok()?;
    let mode = modes.lines().next()?.split_once(':')?.1;
    let end = mode.find(|c: char| !c.is_ascii_digit() && c != 'x')?;
    split(&mode[..end], 'x')
}

#[cfg(test)]
mod tests {
    use fleet_cards::SafeModeCard;

    use super::*;

    #[test]
    fn a_card_goes_to_the_device_with_its_stride_and_depth() {
        let card = Card::SafeMode(SafeModeCard::default());
        let check = |bits: u32, stride: usize| {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, text: &str| {
                std::fs::write(folder.path().join(name), text).unwrap();
            };
            write("virtual_size", "320,480\n");
            write("modes", "U:320x240p-60\n");
            write("bits_per_pixel", &format!("{bits}\n"));
            write("stride", &format!("{stride}\n"));
            let device = folder.path().join("fb0");
            std::fs::write(&device, b"").unwrap();
            let screen = Screen::open_at(folder.path(), &device).unwrap();
            assert_eq!(screen.size(), (320, 240));
            screen.show(&card).unwrap();
            let pixels = std::fs::read(&device).unwrap();
            let bytes = bits as usize / 8;
            assert_eq!(pixels.len(), 239 * stride + 320 * bytes);
            // The coloured edge, on every row.
            let amber: &[u8] = match bits {
                16 => &[0x24, 0xf5],
                _ => &[0x24, 0xa5, 0xf5],
            };
            for row in [0, 120, 239] {
                assert_eq!(&pixels[row * stride..row * stride + amber.len()], amber);
            }
        };
        check(32, 1280);
        check(32, 1536);
        check(24, 960);
        check(16, 640);
    }

    #[test]
    fn a_device_with_an_unknown_depth_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("virtual_size"), "320,240").unwrap();
        std::fs::write(folder.path().join("bits_per_pixel"), "8").unwrap();
        let error = Screen::open_at(folder.path(), &folder.path().join("fb0")).unwrap_err();
        assert!(error.to_string().contains("8 bits"), "{error}");
    }
}
