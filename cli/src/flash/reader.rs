//! Reads an image forwards: a raw file with its holes, or one that zstd packed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fleet_protocol::Sha256;
use nix::unistd::{Whence, lseek};
use sha2::Digest as _;

use super::image::{CHUNK, ImageError, Tick, copy_front, part};

enum Source {
    Raw(File),
    Compressed {
        decoder: Box<zstd::Decoder<'static, BufReader<File>>>,
        position: u64,
    },
}

/// Reads an image forwards.
#[expect(missing_debug_implementations, reason = "the decoder has none")]
pub struct ImageReader {
    path: PathBuf,
    source: Source,
}

impl ImageReader {
    pub(super) fn open(path: &Path, compressed: bool) -> Result<Self, ImageError> {
        let fail = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(fail)?;
        let source = if compressed {
            let mut decoder = zstd::Decoder::new(file).map_err(fail)?;
            // As far as `zstd --long` goes.
            decoder.window_log_max(31).map_err(fail)?;
            Source::Compressed {
                decoder: Box::new(decoder),
                position: 0,
            }
        } else {
            Source::Raw(file)
        };
        Ok(ImageReader {
            path: path.to_owned(),
            source,
        })
    }

    /// Fills `bytes` from `offset`, which must not lie before what was read already.
    pub fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), ImageError> {
        let result = match &mut self.source {
            Source::Raw(file) => file.read_exact_at(bytes, offset),
            Source::Compressed { decoder, position } => {
                let skip = offset.saturating_sub(*position);
                io::copy(&mut decoder.by_ref().take(skip), &mut io::sink())
                    .and_then(|_| decoder.read_exact(bytes))
            }
        };
        match result {
            Ok(()) => {
                if let Source::Compressed { position, .. } = &mut self.source {
                    *position = offset + bytes.len() as u64;
                }
                Ok(())
            }
            Err(source) => Err(self.fail(source)),
        }
    }

    fn fail(&self, source: io::Error) -> ImageError {
        ImageError::Read {
            path: self.path.clone(),
            source,
        }
    }

    /// As much as there is, up to the buffer's size; sequential sources only.
    pub(super) fn read_up_to(&mut self, bytes: &mut [u8]) -> Result<usize, ImageError> {
        let Source::Compressed { decoder, position } = &mut self.source else {
            return Ok(0);
        };
        let mut count = 0;
        while count < bytes.len() {
            match decoder.read(&mut bytes[count..]) {
                Ok(0) => break,
                Ok(n) => count += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(e)),
            }
        }
        *position += count as u64;
        Ok(count)
    }

    pub(super) fn hash(
        &mut self,
        offset: u64,
        length: u64,
        front: &mut [u8],
        tick: Tick<'_>,
    ) -> Result<Sha256, ImageError> {
        let mut hasher = sha2::Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut at = offset;
        while at < offset + length {
            let bytes = part(&mut chunk, offset + length - at);
            self.read_at(at, bytes)?;
            hasher.update(&*bytes);
            copy_front(front, at, bytes);
            at += bytes.len() as u64;
            if !tick(bytes.len() as u64) {
                return Err(ImageError::Interrupted);
            }
        }
        Ok(Sha256::from_bytes(hasher.finalize().into()))
    }

    /// Reads on to the end, which checks a compressed file's own checksum; the size.
    pub(super) fn end(&mut self) -> Result<u64, ImageError> {
        let rest = match &mut self.source {
            Source::Raw(file) => return Ok(file.metadata().map_or(0, |m| m.len())),
            Source::Compressed { decoder, position } => {
                io::copy(decoder, &mut io::sink()).map(|n| *position + n)
            }
        };
        rest.map_err(|e| self.fail(e))
    }

    /// Runs of a file that hold data (lseek(2), `SEEK_DATA`): (offset, length).
    pub(super) fn data_runs(&self, size: u64) -> Result<Vec<(u64, u64)>, ImageError> {
        let Source::Raw(file) = &self.source else {
            return Ok(Vec::new());
        };
        let seek = |at: u64, whence| {
            let at = i64::try_from(at).map_err(|_| nix::errno::Errno::EOVERFLOW)?;
            lseek(file, at, whence).map(|to| u64::try_from(to).unwrap_or(0))
        };
        let mut runs = Vec::new();
        let mut at = 0;
        while at < size {
            let begin = match seek(at, Whence::SeekData) {
                Ok(begin) => begin,
                Err(nix::errno::Errno::ENXIO) => break,
                // A file system without holes: all of it is data.
                Err(nix::errno::Errno::EINVAL) if at == 0 => return Ok(vec![(0, size)]),
                Err(e) => return Err(self.fail(e.into())),
            };
            let end = seek(begin, Whence::SeekHole)
                .map_err(|e| self.fail(e.into()))?
                .min(size);
            if end <= begin {
                break;
            }
            runs.push((begin, end - begin));
            at = end;
        }
        Ok(runs)
    }
}
