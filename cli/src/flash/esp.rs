//! Puts the enrolment file into the boot partition (FAT), at `/fleet/provision.json`.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::medium::Medium;

/// The partition label of the EFI system partition.
pub const PARTITION: &str = "esp";
const FOLDER: &str = "fleet";
const FILE: &str = "provision.json";
/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// The name of a folder's entry for itself.
const DOT: &[u8] = b".          ";

/// A part of a medium as a file of its own: nothing outside it can be reached.
struct Window<'a, M> {
    medium: &'a mut M,
    range: Range<u64>,
    position: u64,
    /// Where the entry `.` of a new folder was written, on the medium.
    dot: &'a Cell<Option<u64>>,
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
        if bytes.starts_with(DOT) {
            self.dot.set(Some(self.range.start + self.position));
        }
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

/// FAT's first day: the file says itself when it was made, and zeros are no valid date.
#[derive(Debug)]
struct FirstDay;

static FIRST_DAY: FirstDay = FirstDay;

impl fatfs::TimeProvider for FirstDay {
    fn get_current_date(&self) -> fatfs::Date {
        fatfs::Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> fatfs::DateTime {
        fatfs::DateTime {
            date: self.get_current_date(),
            time: fatfs::Time {
                hour: 0,
                min: 0,
                sec: 0,
                millis: 0,
            },
        }
    }
}

fn options() -> fatfs::FsOptions {
    fatfs::FsOptions::new().time_provider(&FIRST_DAY)
}

/// Writes the file, replacing one that the image came with.
///
/// # Errors
/// When the partition holds no FAT, or has no room.
pub fn put<M: Medium>(medium: &mut M, partition: Range<u64>, content: &[u8]) -> io::Result<()> {
    let dot = Cell::new(None);
    let window = Window {
        medium: &mut *medium,
        range: partition,
        position: 0,
        dot: &dot,
    };
    let fat = fatfs::FileSystem::new(window, options())?;
    {
        let folder = fat.root_dir().create_dir(FOLDER)?;
        let mut file = folder.create_file(FILE)?;
        file.truncate()?;
        file.write_all(content)?;
        file.flush()?;
    }
    fat.unmount()?;
    match dot.get() {
        Some(at) => tidy_new_folder(medium, at),
        None => Ok(()),
    }
}

/// fatfs 0.3 gives `.` and `..` of a new folder long names as well, which fsck.vfat objects to: they
/// must be the first two entries. Takes the long names out.
fn tidy_new_folder<M: Medium>(medium: &mut M, dot: u64) -> io::Result<()> {
    let Some(begin) = dot.checked_sub(ENTRY as u64) else {
        return Ok(());
    };
    let mut entries = [0; 4 * ENTRY];
    medium.read_at(begin, &mut entries)?;
    let [long, one, long_two, two] = [0, 1, 2, 3].map(|n| &entries[n * ENTRY..(n + 1) * ENTRY]);
    let is_long = |entry: &[u8]| entry[11] == 0x0f;
    if !(is_long(long) && one.starts_with(DOT) && is_long(long_two) && two.starts_with(b"..  ")) {
        return Ok(());
    }
    let mut tidied = [one, two, long, long_two].concat();
    for deleted in [2, 3] {
        tidied[deleted * ENTRY] = 0xe5;
    }
    medium.write_at(begin, &tidied)
}

/// What the partition holds there now.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn get<M: Medium>(medium: &mut M, partition: Range<u64>) -> io::Result<Vec<u8>> {
    let dot = Cell::new(None);
    let window = Window {
        medium,
        range: partition,
        position: 0,
        dot: &dot,
    };
    let fat = fatfs::FileSystem::new(window, options())?;
    let mut content = Vec::new();
    fat.root_dir()
        .open_file(&format!("{FOLDER}/{FILE}"))?
        .take(1 << 20)
        .read_to_end(&mut content)?;
    Ok(content)
}
