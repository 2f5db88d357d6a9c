//! The support bundle: what a person at a desk needs to understand a device, in one file.
//!
//! A `tar.zst` with one member for each part (journal, RAUC, slots, configuration, disk, network,
//! temperature, kernel), and `INDEX` as its last member, which says for each part what it is, how
//! large it was, and why it is missing if it is.
//!
//! Invariants:
//! - A part that fails is a line in `INDEX`; it never ends the bundle.
//! - No secret of the identity appears (see [`redact`]); the identity folder is not read but to
//!   know what to leave out.
//! - Each part and the whole are limited. Only one part is in memory at a time.

pub mod command;
mod parts;
pub mod redact;

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::platform::paths::Paths;
use redact::Secrets;

pub use parts::{Part, Source, standard_parts};

/// How large a bundle may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleLimits {
    /// Of the compressed file.
    pub total_bytes: u64,
    /// Of one part before compression.
    pub part_bytes: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            total_bytes: 8 * 1024 * 1024,
            part_bytes: 1024 * 1024,
        }
    }
}

/// What to leave out on request of the one who asked for the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub logs: bool,
    pub config: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            logs: true,
            config: true,
        }
    }
}

/// A bundle that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub size_bytes: u64,
    pub parts: usize,
    pub missing: usize,
}

/// The file's name: which device, and when.
pub fn file_name(device: &str, at: jiff::Timestamp) -> String {
    let device: String = device
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(80)
        .collect();
    let at = at.strftime("%Y%m%dT%H%M%SZ");
    let device = if device.is_empty() { "device" } else { &device };
    format!("support-{device}-{at}.tar.zst")
}

/// Everything that must not be in a bundle, as far as this device knows it.
pub fn secrets(paths: &Paths) -> Secrets {
    parts::secrets(paths)
}

/// Collects `parts` into `out`. Blocking, for up to the sum of the parts' deadlines.
///
/// # Errors
/// Only when `out` cannot be written, or is closed by the one who reads.
pub fn write(
    parts: Vec<Part>,
    secrets: &Secrets,
    limits: BundleLimits,
    at: jiff::Timestamp,
    out: impl Write,
) -> io::Result<Summary> {
    let mut encoder = zstd::Encoder::new(Counted { out, count: 0 }, 3)?;
    // 1 MiB: keeps the encoder's memory small, and logs repeat themselves within it.
    encoder.window_log(20)?;
    let mut tar = tar::Builder::new(encoder);
    let mut index = format!("Support bundle of {at}\n\n");
    let mut summary = Summary {
        size_bytes: 0,
        parts: 0,
        missing: 0,
    };
    // Kept for INDEX and the end of the archive.
    let budget = limits.total_bytes.saturating_sub(64 * 1024);
    for part in parts {
        // Exact, as the encoder is flushed after each part. Text that does not compress at all still
        // fits into what is left.
        let left = usize::try_from(budget.saturating_sub(tar.get_ref().get_ref().count))
            .unwrap_or(usize::MAX)
            .min(limits.part_bytes);
        let line = if left < (32 * 1024).min(limits.part_bytes) {
            summary.missing += 1;
            "left out: the bundle is full".to_owned()
        } else {
            match part.source.read(left) {
                Ok(content) => {
                    let mut text = secrets.redact(&String::from_utf8_lossy(&content.bytes));
                    // A mark may be longer than the secret that it stands for.
                    text.truncate(text.floor_char_boundary(left));
                    append(&mut tar, part.name, text.as_bytes(), at)?;
                    tar.get_mut().flush()?;
                    summary.parts += 1;
                    let cut = if content.truncated {
                        ", cut at its limit"
                    } else {
                        ""
                    };
                    format!("{} bytes{cut}", text.len())
                }
                Err(reason) => {
                    summary.missing += 1;
                    format!("missing: {}", secrets.redact(&reason).replace('\n', " "))
                }
            }
        };
        let _ = writeln!(index, "{}: {line}", part.name);
    }
    append(&mut tar, "INDEX", index.as_bytes(), at)?;
    let mut counted = tar.into_inner()?.finish()?;
    counted.out.flush()?;
    summary.size_bytes = counted.count;
    Ok(summary)
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: &[u8],
    at: jiff::Timestamp,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(at.as_second()).unwrap_or(0));
    tar.append_data(&mut header, name, bytes)
}

struct Counted<W> {
    out: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
