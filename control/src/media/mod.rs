//! Looking at files that somebody sent: what each is, whether it can be played, and a small picture of it.
//!
//! Whoever reads a stranger's file does it in a process of its own ([`worker`]), which can do nothing else: what a
//! file breaks is that process. The readers themselves are pure: bytes in, facts or a reason out.

mod fence;
mod film;
mod picture;
mod worker;

use std::io::{self, Read, Seek};

use fleet_protocol::content::{AssetKind, FailureReason};
use serde::{Deserialize, Serialize};

pub use worker::{Finding, LookError, Looker, run};

/// What a screen can be expected to play (seed 003, §14). Edges are in pixels, the longer one first, so that a
/// picture may stand upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub picture_bytes: u64,
    /// Players scale; beyond this it takes more memory than they have.
    pub picture_edges: (u32, u32),
    pub film_bytes: u64,
    pub film_edges: (u32, u32),
    pub film_ms: u64,
    pub film_bits_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            picture_bytes: 50 << 20,
            picture_edges: (7680, 4320),
            film_bytes: 200 << 20,
            film_edges: (1920, 1080),
            film_ms: 120_000,
            film_bits_per_second: 10_000_000,
        }
    }
}

impl Limits {
    /// Larger than that is nothing that could be played.
    pub const fn largest(&self) -> u64 {
        if self.picture_bytes > self.film_bytes {
            self.picture_bytes
        } else {
            self.film_bytes
        }
    }
}

/// What can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: AssetKind,
    pub width_px: u32,
    pub height_px: u32,
    /// Of a film.
    pub duration_ms: Option<u64>,
    /// A JPEG; films have none.
    pub thumbnail: Option<Vec<u8>>,
}

/// What can't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfit {
    pub reason: FailureReason,
    /// For people.
    pub detail: String,
}

impl Unfit {
    fn new(reason: FailureReason, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { reason, detail }
    }

    fn corrupt(detail: impl std::fmt::Display) -> Self {
        let detail = format!("The file can't be read: {detail}.");
        Self::new(FailureReason::FileCorrupt, detail)
    }
}

/// What the file is and whether it can be played.
///
/// # Errors
/// With the reason why it can't.
pub fn look<F: Read + Seek>(mut file: F, limits: &Limits) -> Result<Seen, Unfit> {
    let size = file
        .seek(io::SeekFrom::End(0))
        .and_then(|size| file.rewind().map(|()| size))
        .map_err(Unfit::corrupt)?;
    let mut head = [0; 12];
    let known = match file.read_exact(&mut head) {
        Ok(()) => Kind::of(&head),
        Err(_) => None,
    };
    file.rewind().map_err(Unfit::corrupt)?;
    match known {
        Some(Kind::Picture(format)) => {
            check_size("picture", size, limits.picture_bytes)?;
            picture::look(file, format, limits)
        }
        Some(Kind::Film) => {
            check_size("video", size, limits.film_bytes)?;
            film::look(file, size, limits)
        }
        None => Err(Unfit::new(
            FailureReason::InvalidFormat,
            "The file is neither JPEG, PNG nor MP4.",
        )),
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Picture(image::ImageFormat),
    Film,
}

impl Kind {
    /// By the first bytes; a name proves nothing.
    fn of(head: &[u8; 12]) -> Option<Self> {
        if head.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Picture(image::ImageFormat::Jpeg))
        } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Picture(image::ImageFormat::Png))
        } else if &head[4..8] == b"ftyp" {
            Some(Self::Film)
        } else {
            None
        }
    }
}

fn check_size(what: &str, size: u64, most: u64) -> Result<(), Unfit> {
    if size <= most {
        return Ok(());
    }
    let detail = format!("The {what} has {size} bytes, more than {most}.");
    Err(Unfit::new(FailureReason::FileSizeExceeded, detail))
}

/// `most`: the longer edge and the shorter one.
fn check_edges(what: &str, (width, height): (u32, u32), most: (u32, u32)) -> Result<(), Unfit> {
    if width.max(height) <= most.0 && width.min(height) <= most.1 {
        return Ok(());
    }
    let detail = format!(
        "The {what} is {width}×{height} pixels, more than {}×{}.",
        most.0, most.1
    );
    Err(Unfit::new(FailureReason::ResolutionExceeded, detail))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_file_is_what_its_bytes_say() {
        let check = |bytes: &[u8], expected: FailureReason| {
            let found = look(Cursor::new(bytes), &Limits::default()).unwrap_err();
            assert_eq!(found.reason, expected, "{}", found.detail);
        };
        check(b"", FailureReason::InvalidFormat);
        check(b"GIF89a, and more of it", FailureReason::InvalidFormat);
        check(b"\xff\xd8\xff and nothing else", FailureReason::FileCorrupt);
        check(
            b"\x89PNG\r\n\x1a\n and nothing else",
            FailureReason::FileCorrupt,
        );
        check(
            b"\0\0\0\x18ftypmp42 and nothing else",
            FailureReason::FileCorrupt,
        );
    }

    #[test]
    fn an_upright_picture_may_have_the_same_edges() {
        let most = (1920, 1080);
        check_edges("video", (1080, 1920), most).unwrap();
        check_edges("video", (1920, 1080), most).unwrap();
        assert!(check_edges("video", (1081, 1920), most).is_err());
        assert!(check_edges("video", (1921, 2), most).is_err());
    }
}
