//! GUID partition tables (UEFI specification, chapter 5), as far as moving one to a larger disk
//! needs: read from the first bytes of an image, find partitions by name, and give the table its
//! place at both ends of the disk.
//!
//! Pure functions over bytes. Sectors of 512 bytes only.

use std::ops::Range;

pub const SECTOR: u64 = 512;
/// Protective MBR, header, 128 entries: what precedes the first partition.
pub const FRONT_BYTES: usize = 34 * 512;
/// The backup at the end: entries, then header.
pub const BACK_SECTORS: u64 = 33;

const ENTRIES_BYTES: usize = 128 * 128;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    #[error("there is no GUID partition table")]
    None,
    #[error("the partition table's {0} is damaged (checksum)")]
    Checksum(&'static str),
    #[error("the partition table is unusual: {0}")]
    Unusual(String),
    #[error("partition `{name}` ends at sector {last}, beyond the image's {sectors} sectors")]
    Beyond {
        name: String,
        last: u64,
        sectors: u64,
    },
    #[error("the disk has {sectors} sectors, the partitions need {needed}")]
    DiskTooSmall { sectors: u64, needed: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The partition label, as udev's `by-partlabel` has it.
    pub name: String,
    pub first: u64,
    pub last: u64,
}

impl Partition {
    /// Where it lies, in bytes.
    pub const fn bytes(&self) -> Range<u64> {
        self.first * SECTOR..(self.last + 1) * SECTOR
    }
}

/// A table that was read from the first [`FRONT_BYTES`] of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    front: Vec<u8>,
    pub partitions: Vec<Partition>,
}

/// What is to be written at both ends of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// For offset 0: [`FRONT_BYTES`].
    pub front: Vec<u8>,
    /// For the disk's end.
    pub back: Vec<u8>,
    pub back_offset: u64,
}

impl Table {
    /// # Errors
    /// [`GptError::None`] when the bytes hold no table at all; else what is wrong with it.
    pub fn parse(front: &[u8], image_bytes: u64) -> Result<Self, GptError> {
        if front.len() < FRONT_BYTES || &front[512..520] != b"EFI PART" {
            return Err(GptError::None);
        }
        let front = &front[..FRONT_BYTES];
        let header = &front[512..1024];
        let unusual = |what: &str| Err(GptError::Unusual(what.to_owned()));
        let header_size = u32_at(header, 12) as usize;
        if !(92..=512).contains(&header_size) {
            return unusual("its header has an odd size");
        }
        let mut zeroed = header[..header_size].to_vec();
        zeroed[16..20].fill(0);
        if crc32fast::hash(&zeroed) != u32_at(header, 16) {
            return Err(GptError::Checksum("header"));
        }
        if u64_at(header, 24) != 1 || u64_at(header, 72) != 2 {
            return unusual("it does not begin in sectors 1 and 2");
        }
        if (u32_at(header, 80), u32_at(header, 84)) != (128, 128) {
            return unusual("it has not 128 entries of 128 bytes");
        }
        let entries = &front[1024..];
        if crc32fast::hash(entries) != u32_at(header, 88) {
            return Err(GptError::Checksum("list of partitions"));
        }
        let sectors = image_bytes / SECTOR;
        let mut partitions = Vec::new();
        for entry in entries.chunks_exact(128).filter(|e| e[..16] != [0; 16]) {
            let partition = Partition {
                name: name(&entry[56..128]),
                first: u64_at(entry, 32),
                last: u64_at(entry, 40),
            };
            if partition.first < 34 || partition.first > partition.last {
                return unusual(&format!(
                    "partition `{}` has no sensible place",
                    partition.name
                ));
            }
            if partition.last >= sectors {
                return Err(GptError::Beyond {
                    name: partition.name,
                    last: partition.last,
                    sectors,
                });
            }
            partitions.push(partition);
        }
        Ok(Self {
            front: front.to_vec(),
            partitions,
        })
    }

    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.name == name)
    }

    /// The table for a disk of `disk_bytes`: the backup at its very end, the usable space up to it.
    ///
    /// # Errors
    /// When a partition would lie where the backup must.
    pub fn place(&self, disk_bytes: u64) -> Result<Placed, GptError> {
        let sectors = disk_bytes / SECTOR;
        let last = self.partitions.iter().map(|p| p.last).max().unwrap_or(33);
        let needed = last + 1 + BACK_SECTORS;
        if sectors < needed {
            return Err(GptError::DiskTooSmall { sectors, needed });
        }
        let end = sectors - 1;
        let mut front = self.front.clone();
        // The protective partition covers the whole disk, or as much as 32 bits can say.
        if front[450] == 0xee {
            let size = u32::try_from(end).unwrap_or(u32::MAX);
            front[458..462].copy_from_slice(&size.to_le_bytes());
        }
        let mut header = front[512..1024].to_vec();
        put(&mut header, 32, end);
        put(&mut header, 48, end - BACK_SECTORS);
        seal(&mut header);
        front[512..1024].copy_from_slice(&header);

        put(&mut header, 24, end);
        put(&mut header, 32, 1);
        put(&mut header, 72, end - 32);
        seal(&mut header);
        let mut back = front[1024..].to_vec();
        debug_assert_eq!(back.len(), ENTRIES_BYTES);
        back.extend_from_slice(&header);
        Ok(Placed {
            front,
            back,
            back_offset: (end - 32) * SECTOR,
        })
    }
}

fn seal(header: &mut [u8]) {
    let size = u32_at(header, 12) as usize;
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header[..size]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

fn put(header: &mut [u8], at: usize, value: u64) {
    header[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let array = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(array)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let array = bytes[at..at + 8].try_into().expect("eight bytes");
    u64::from_le_bytes(array)
}

/// UTF-16, ended by zero.
fn name(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table with one partition, as a formatter would write it.
    fn front(first: u64, last: u64, sectors: u64) -> Vec<u8> {
        let mut front = vec![0; FRONT_BYTES];
        front[450] = 0xee;
        let entry = &mut front[1024..1152];
        entry[..16].fill(7);
        put(entry, 32, first);
        put(entry, 40, last);
        for (index, byte) in b"esp".iter().enumerate() {
            entry[56 + 2 * index] = *byte;
        }
        let entries = crc32fast::hash(&front[1024..]);
        let header = &mut front[512..1024];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        put(header, 24, 1);
        put(header, 32, sectors - 1);
        put(header, 72, 2);
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&entries.to_le_bytes());
        seal(header);
        front
    }

    #[test]
    fn a_partition_is_found_by_its_name() {
        let table = Table::parse(&front(2048, 4095, 8192), 8192 * 512).unwrap();
        let esp = table.partition("esp").unwrap();
        assert_eq!(esp.bytes(), 2048 * 512..4096 * 512);
        assert!(table.partition("data").is_none());
    }

    #[test]
    fn a_placed_table_reads_back_with_its_backup_at_the_end() {
        let table = Table::parse(&front(2048, 4095, 8192), 8192 * 512).unwrap();
        let placed = table.place(100_000 * 512).unwrap();
        assert_eq!(placed.back_offset + placed.back.len() as u64, 100_000 * 512);
        let again = Table::parse(&placed.front, 100_000 * 512).unwrap();
        assert_eq!(again.partitions, table.partitions);
        assert_eq!(
            u64_at(&placed.front[512..], 32),
            99_999,
            "points to the backup"
        );
    }

    #[test]
    fn a_disk_without_room_for_the_backup_is_refused() {
        let table = Table::parse(&front(2048, 4095, 8192), 8192 * 512).unwrap();
        assert!(table.place(4096 * 512).is_err());
        assert!(table.place((4096 + BACK_SECTORS) * 512).is_ok());
    }

    #[test]
    fn a_table_that_reaches_beyond_a_truncated_image_is_refused() {
        assert!(matches!(
            Table::parse(&front(2048, 4095, 8192), 3000 * 512),
            Err(GptError::Beyond { last: 4095, .. })
        ));
    }

    proptest! {
        #[test]
        fn any_damaged_bit_of_the_header_is_noticed(at in 512usize..604, bit in 0u8..8) {
            let mut bytes = front(2048, 4095, 8192);
            bytes[at] ^= 1 << bit;
            prop_assert!(Table::parse(&bytes, 8192 * 512).is_err());
        }

        #[test]
        fn whatever_the_entries_say_there_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 128)) {
            let mut front = front(2048, 4095, 8192);
            front[1152..1280].copy_from_slice(&bytes);
            let sum = crc32fast::hash(&front[1024..]);
            front[600..604].copy_from_slice(&sum.to_le_bytes());
            seal(&mut front[512..1024]);
            if let Ok(table) = Table::parse(&front, u64::MAX) {
                let _ = table.place(1 << 40);
            }
        }
    }
}
