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

/// fatfs 0.3 computes with what the boot sector says before it has looked at it: sizes that do not fit
/// into the partition would overflow.
fn check<M: Medium>(medium: &mut M, partition: &Range<u64>) -> io::Result<()> {
    let mut sector = [0; 512];
    let bytes = partition.end.saturating_sub(partition.start);
    if bytes >= 512 {
        medium.read_at(partition.start, &mut sector)?;
    }
    if is_sound(&sector, bytes) {
        return Ok(());
    }
    let text = "the boot partition holds no FAT file system that fits into it";
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Whether what a boot sector says of sizes (Microsoft's FAT specification, section 3) is possible in
/// so many bytes.
fn is_sound(sector: &[u8; 512], bytes: u64) -> bool {
    let half = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
    let word = |at: usize| half(at) | half(at + 2) << 16;
    let either = |small: u64, large: u64| if small == 0 { large } else { small };
    let (sector_bytes, per_cluster, fats) = (half(11), u64::from(sector[13]), sector[16]);
    if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) || per_cluster == 0 {
        return false;
    }
    let is_fat32 = half(22) == 0;
    let fat = either(half(22), word(36));
    let total = either(half(19), word(32));
    let root = (half(17) * ENTRY as u64).div_ceil(sector_bytes);
    let before_data = half(14) + u64::from(fats) * fat + root;
    let fat_bits = fat * sector_bytes * 8;
    if total * sector_bytes > bytes || before_data >= total || u32::try_from(fat_bits).is_err() {
        return false;
    }
    let clusters = (total - before_data) / per_cluster;
    let entry_bits = match clusters {
        ..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    let root_is_there = !is_fat32 || (2..clusters + 2).contains(&word(44));
    fat_bits / entry_bits >= clusters + 2 && root_is_there
}

/// Writes the file, replacing one that the image came with.
///
/// # Errors
/// When the partition holds no FAT, or has no room.
pub fn put<M: Medium>(medium: &mut M, partition: Range<u64>, content: &[u8]) -> io::Result<()> {
    check(medium, &partition)?;
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
    check(medium, &partition)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// FAT12 in 64 KiB.
    fn boot_sector() -> [u8; 512] {
        let mut sector = [0; 512];
        sector[11..24].copy_from_slice(&[0, 2, 1, 1, 0, 2, 16, 0, 128, 0, 0xf8, 1, 0]);
        sector
    }

    #[test]
    fn a_boot_sector_whose_sizes_do_not_fit_is_no_file_system() {
        let check = |at: usize, bytes: &[u8], partition: u64, expected| {
            let mut sector = boot_sector();
            sector[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(is_sound(&sector, partition), expected, "{at}: {bytes:?}");
        };
        check(0, &[], 65_536, true);
        check(0, &[], 65_535, false);
        check(11, &[1, 2], 65_536, false);
        check(13, &[0], 65_536, false);
        check(16, &[255], 65_536, false);
        check(22, &[0, 0], 65_536, false);
        // Fields of FAT32 that overflow 32 bits when multiplied.
        check(22, &[0, 0], 1 << 40, false);
        check(36, &[255; 4], 1 << 40, true);
        let mut large = boot_sector();
        (large[19], large[22]) = (0, 0);
        large[32..40].fill(255);
        assert!(!is_sound(&large, u64::MAX));
    }
}
