//! The image: read once from end to end before anything is written, so that a truncated or damaged
//! one is found out while the card is still as it was.
//!
//! The result is a [`Plan`]: which runs to write, what they hash to, and which to zero. A block map
//! says which bytes matter; without one, holes of the file (or zeros of a compressed one) become
//! zeros on the card.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fleet_protocol::Sha256;
use sha2::Digest as _;

use super::bmap::BlockMap;
use super::gpt::FRONT_BYTES;
use super::reader::ImageReader;

/// Read and written at a time; zeros are recognised in runs of this size.
pub const CHUNK: usize = 1 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} ends too early: it has {found} bytes, {expected} are expected")]
    Truncated {
        path: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("{path} has {found} bytes, the block map is for {expected}")]
    OtherSize {
        path: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("{path} is damaged: bytes {offset} to {end} are not what the block map says")]
    Checksum {
        path: PathBuf,
        offset: u64,
        end: u64,
    },
    #[error("{path} is empty")]
    Empty { path: PathBuf },
    #[error("interrupted")]
    Interrupted,
}

/// A run to be written, with the digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub offset: u64,
    pub length: u64,
    pub sha256: Sha256,
}

/// What is to be done, known before anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub image_size: u64,
    /// Ascending, without overlap.
    pub runs: Vec<Run>,
    /// To be zeroed: (offset, length), ascending.
    pub holes: Vec<(u64, u64)>,
    /// The first bytes, where a partition table is.
    pub front: Vec<u8>,
}

impl Plan {
    pub fn bytes_to_write(&self) -> u64 {
        self.runs.iter().map(|r| r.length).sum()
    }
}

/// Told of bytes done; answers whether to go on.
pub type Tick<'a> = &'a mut dyn FnMut(u64) -> bool;

#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    compressed: bool,
}

impl Image {
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let fail = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(fail)?;
        let mut magic = [0; 4];
        let compressed = file.read_exact_at(&mut magic, 0).is_ok() && magic == ZSTD_MAGIC;
        Ok(Self {
            path: path.to_owned(),
            compressed,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much the file itself has; for a compressed one, less than what comes out.
    pub fn file_size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |m| m.len())
    }

    /// Reads it once and makes the plan.
    pub fn plan(&self, map: Option<&BlockMap>, tick: Tick<'_>) -> Result<Plan, ImageError> {
        let plan = match (map, self.compressed) {
            (Some(map), _) => self.plan_by_map(map, tick)?,
            (None, false) => self.plan_sparse(tick)?,
            (None, true) => self.plan_compressed(tick)?,
        };
        if plan.image_size == 0 {
            return Err(ImageError::Empty {
                path: self.path.clone(),
            });
        }
        Ok(plan)
    }

    fn plan_by_map(&self, map: &BlockMap, tick: Tick<'_>) -> Result<Plan, ImageError> {
        let expected = map.image_size;
        if !self.compressed && self.file_size() != expected {
            return Err(self.other_size(self.file_size(), expected));
        }
        let mut runs = Vec::with_capacity(map.extents.len());
        let mut front = vec![0; FRONT_BYTES];
        let mut reader = self.reader()?;
        for extent in &map.extents {
            let sha256 = reader.hash(extent.offset, extent.length, &mut front, tick)?;
            if extent.sha256.is_some_and(|expected| expected != sha256) {
                return Err(ImageError::Checksum {
                    path: self.path.clone(),
                    offset: extent.offset,
                    end: extent.offset + extent.length,
                });
            }
            runs.push(Run {
                offset: extent.offset,
                length: extent.length,
                sha256,
            });
        }
        let found = reader.end()?;
        if self.compressed && found != expected {
            return Err(self.other_size(found, expected));
        }
        Ok(Plan {
            image_size: expected,
            runs,
            holes: Vec::new(),
            front,
        })
    }

    fn other_size(&self, found: u64, expected: u64) -> ImageError {
        let path = self.path.clone();
        if found < expected {
            ImageError::Truncated {
                path,
                found,
                expected,
            }
        } else {
            ImageError::OtherSize {
                path,
                found,
                expected,
            }
        }
    }

    fn plan_sparse(&self, tick: Tick<'_>) -> Result<Plan, ImageError> {
        let mut reader = self.reader()?;
        let image_size = self.file_size();
        let data = reader.data_runs(image_size)?;
        let mut plan = Plan {
            image_size,
            runs: Vec::new(),
            holes: Vec::new(),
            front: vec![0; FRONT_BYTES],
        };
        let mut end = 0;
        for (offset, length) in data {
            if offset > end {
                plan.holes.push((end, offset - end));
            }
            let sha256 = reader.hash(offset, length, &mut plan.front, tick)?;
            plan.runs.push(Run {
                offset,
                length,
                sha256,
            });
            end = offset + length;
        }
        if end < image_size {
            plan.holes.push((end, image_size - end));
        }
        Ok(plan)
    }

    fn plan_compressed(&self, tick: Tick<'_>) -> Result<Plan, ImageError> {
        let mut reader = self.reader()?;
        let mut plan = Plan {
            image_size: 0,
            runs: Vec::new(),
            holes: Vec::new(),
            front: vec![0; FRONT_BYTES],
        };
        let mut open: Option<(u64, sha2::Sha256)> = None;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = reader.read_up_to(&mut chunk)?;
            let at = plan.image_size;
            let bytes = &chunk[..count];
            let zeros = bytes.iter().all(|b| *b == 0);
            if (count == 0 || zeros)
                && let Some((offset, hasher)) = open.take()
            {
                plan.runs.push(Run {
                    offset,
                    length: at - offset,
                    sha256: Sha256::from_bytes(hasher.finalize().into()),
                });
            }
            if count == 0 {
                return Ok(plan);
            }
            copy_front(&mut plan.front, at, bytes);
            if zeros {
                match plan.holes.last_mut() {
                    Some((offset, length)) if *offset + *length == at => *length += count as u64,
                    _ => plan.holes.push((at, count as u64)),
                }
            } else {
                let (_, hasher) = open.get_or_insert_with(|| (at, sha2::Sha256::new()));
                hasher.update(bytes);
            }
            plan.image_size += count as u64;
            if !tick(count as u64) {
                return Err(ImageError::Interrupted);
            }
        }
    }

    /// For reading runs in ascending order.
    pub fn reader(&self) -> Result<ImageReader, ImageError> {
        ImageReader::open(&self.path, self.compressed)
    }
}

/// The first so many bytes of a buffer.
pub(super) fn part(buffer: &mut [u8], length: u64) -> &mut [u8] {
    let count = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    &mut buffer[..count]
}

pub(super) fn copy_front(front: &mut [u8], offset: u64, bytes: &[u8]) {
    if let Ok(at) = usize::try_from(offset)
        && at < front.len()
    {
        let count = bytes.len().min(front.len() - at);
        front[at..at + count].copy_from_slice(&bytes[..count]);
    }
}
