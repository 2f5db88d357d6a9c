//! What an image is written to: a block device, or a file that stands for one.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FallocateFlags, OFlag, PosixFadviseAdvice, fallocate, posix_fadvise};

/// Buffers for direct reads begin at such an address.
const ALIGNMENT: usize = 4096;

/// Random access to what is being written. Tests put a medium that lies in its place.
pub trait Medium {
    fn size(&self) -> u64;
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads what the medium really holds, once [`Medium::settle`] was called.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Makes a run read as zeros, by the quickest means there is.
    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()>;
    /// Everything written is on the medium, and no cache answers for it.
    fn settle(&mut self) -> io::Result<()>;
}

/// A block device or a regular file.
#[derive(Debug)]
pub struct FileMedium {
    file: File,
    /// Reads around the page cache, where the file system can.
    direct: Option<File>,
    size: u64,
}

impl FileMedium {
    /// Opens for writing; a block device exclusively, so that the kernel refuses one that is
    /// mounted or in use, whatever was checked before.
    pub fn open(path: &Path) -> io::Result<Self> {
        let block = std::fs::metadata(path)?.file_type().is_block_device();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if block {
            options.custom_flags(OFlag::O_EXCL.bits());
        }
        let mut file = options.open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECT.bits())
            .open(path)
            .ok();
        Ok(Self { file, direct, size })
    }

    fn read_direct(&self, offset: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let Some(direct) = &self.direct else {
            return Ok(false);
        };
        let aligned =
            offset.is_multiple_of(ALIGNMENT as u64) && bytes.len().is_multiple_of(ALIGNMENT);
        if !aligned {
            return Ok(false);
        }
        let mut buffer = vec![0; bytes.len() + ALIGNMENT];
        let begin = buffer.as_ptr().align_offset(ALIGNMENT);
        let Some(window) = buffer.get_mut(begin..begin + bytes.len()) else {
            return Ok(false);
        };
        match direct.read_exact_at(window, offset) {
            Ok(()) => {
                bytes.copy_from_slice(window);
                Ok(true)
            }
            // Larger sectors, or a file system that promises O_DIRECT and can't: through the cache.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Medium for FileMedium {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.read_direct(offset, bytes)? {
            return Ok(());
        }
        self.file.read_exact_at(bytes, offset)
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let (Ok(start), Ok(size)) = (i64::try_from(offset), i64::try_from(length)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for flag in [
            FallocateFlags::FALLOC_FL_PUNCH_HOLE,
            FallocateFlags::FALLOC_FL_ZERO_RANGE,
        ] {
            let flags = flag | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            if fallocate(&self.file, flags, start, size).is_ok() {
                return Ok(());
            }
        }
        let zeros = vec![0; 1 << 20];
        let mut at = offset;
        while at < offset + length {
            let count = (offset + length - at).min(zeros.len() as u64);
            let part = usize::try_from(count).expect("at most a mebibyte");
            self.file.write_all_at(&zeros[..part], at)?;
            at += count;
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(io::Error::from)
    }
}
