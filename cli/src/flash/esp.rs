//! Puts the enrolment file into the boot partition (FAT), at `/fleet/provision.json`.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::medium::Medium;

/// The partition label of the EFI system partition.
pub const PARTITION: &str = "esp";
const FOLDER: &str = "fleet";
const FILE: &str = "provision.json";

/// A part of a medium as a file of its own: nothing outside it can be reached.
struct Window<'a, M> {
    medium: &'a mut M,
    range: Range<u64>,
    position: u64,
}

impl<M: Medium> Window<'_, M> {
    fn room(&self, wanted: usize) -> usize {
        let left = (self.range.end - self.range.start).saturating_sub(self.position);
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl<M: Medium> Read for Window<'_, M> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.room(bytes.len());
        self.medium
            .read_at(self.range.start + self.position, &mut bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<M: Medium> Write for Window<'_, M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.room(bytes.len());
        self.medium
            .write_at(self.range.start + self.position, &bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<M: Medium> Seek for Window<'_, M> {
    fn seek(&mut self, from: SeekFrom) -> io::Result<u64> {
        let size = self.range.end - self.range.start;
        let to = match from {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = to
            .filter(|to| *to <= size)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// Writes the file, replacing one that the image came with.
///
/// # Errors
/// When the partition holds no FAT, or has no room.
pub fn put<M: Medium>(medium: &mut M, partition: Range<u64>, content: &[u8]) -> io::Result<()> {
    let window = Window {
        medium,
        range: partition,
        position: 0,
    };
    let fat = fatfs::FileSystem::new(window, fatfs::FsOptions::new())?;
    {
        let folder = fat.root_dir().create_dir(FOLDER)?;
        let mut file = folder.create_file(FILE)?;
        file.truncate()?;
        file.write_all(content)?;
        file.flush()?;
    }
    fat.unmount()
}

/// What the partition holds there now.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn get<M: Medium>(medium: &mut M, partition: Range<u64>) -> io::Result<Vec<u8>> {
    let window = Window {
        medium,
        range: partition,
        position: 0,
    };
    let fat = fatfs::FileSystem::new(window, fatfs::FsOptions::new())?;
    let mut content = Vec::new();
    fat.root_dir()
        .open_file(&format!("{FOLDER}/{FILE}"))?
        .take(1 << 20)
        .read_to_end(&mut content)?;
    Ok(content)
}
