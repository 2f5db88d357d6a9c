//! The writing itself, on media in memory: whatever image, whatever interruption, whatever lie of a
//! card, the outcome is a whole system or plainly none.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fleet_cli::flash::bmap::{BlockMap, Extent};
use fleet_cli::flash::gpt::{FRONT_BYTES, Table};
use fleet_cli::flash::image::{Image, Plan};
use fleet_cli::flash::medium::Medium;
use fleet_cli::flash::write::{CardState, Cause, Job, Step, WriteError, write};
use fleet_protocol::Sha256;
use proptest::prelude::*;

const BLOCK: u64 = 4096;

/// A card in memory, full of old content; it may lie.
struct Card {
    bytes: Vec<u8>,
    /// Bytes that keep the value which they had.
    stuck: Option<usize>,
    /// Writing fails from this many writes on.
    breaks_after: Option<usize>,
    writes: usize,
}

impl Card {
    fn new(size: u64) -> Self {
        Self {
            bytes: vec![0xAA; usize::try_from(size).unwrap()],
            stuck: None,
            breaks_after: None,
            writes: 0,
        }
    }

    /// Neither a table at the front nor one at the end.
    fn holds_no_table(&self) -> bool {
        let end = self.bytes.len() - 512;
        &self.bytes[512..520] != b"EFI PART" && &self.bytes[end..end + 8] != b"EFI PART"
    }
}

impl Medium for Card {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        if self.breaks_after.is_some_and(|limit| self.writes > limit) {
            return Err(io::Error::other("the card was pulled out"));
        }
        let at = usize::try_from(offset).unwrap();
        let kept = self.stuck.map(|i| (i, self.bytes[i]));
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        if let Some((index, value)) = kept {
            self.bytes[index] = value;
        }
        Ok(())
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.bytes[at..at + usize::try_from(length).unwrap()].fill(0);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Used runs in blocks, ascending: gaps and lengths alternate.
fn runs() -> impl Strategy<Value = Vec<(u64, u64, u8)>> {
    proptest::collection::vec((0u64..6, 1u64..6, 1u8..=255), 1..12).prop_map(|steps| {
        let mut at = 0;
        steps
            .into_iter()
            .map(|(gap, length, byte)| {
                let begin = at + gap;
                at = begin + length;
                (begin, length, byte)
            })
            .collect()
    })
}

/// A sparse file with those runs; its size in bytes.
fn sparse(path: &Path, runs: &[(u64, u64, u8)], tail: u64) -> u64 {
    let file = std::fs::File::create(path).unwrap();
    for &(begin, length, byte) in runs {
        let bytes = vec![byte; usize::try_from(length * BLOCK).unwrap()];
        file.write_all_at(&bytes, begin * BLOCK).unwrap();
    }
    let (begin, length, _) = runs[runs.len() - 1];
    let size = (begin + length + tail) * BLOCK;
    file.set_len(size).unwrap();
    size
}

fn flash(
    image: &Image,
    plan: &Plan,
    table: Option<&Table>,
    card: &mut Card,
) -> Result<(), WriteError> {
    let job = Job {
        image,
        plan,
        table,
        provision: None,
    };
    write(job, card, &mut |_, _| true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sparse_image_arrives_byte_for_byte(runs in runs(), tail in 0u64..5, room in 0u64..50) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let size = sparse(&path, &runs, tail);
        let image = Image::open(&path).unwrap();
        let plan = image.plan(None, &mut |_| true).unwrap();
        let mut card = Card::new(size + room * BLOCK);
        flash(&image, &plan, None, &mut card).unwrap();
        let expected = std::fs::read(&path).unwrap();
        prop_assert!(card.bytes[..expected.len()] == expected);
        prop_assert!(plan.bytes_to_write() <= size);
    }

    #[test]
    fn a_compressed_image_arrives_like_the_plain_one(runs in runs(), tail in 0u64..400) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let size = sparse(&path, &runs, tail);
        let plain = std::fs::read(&path).unwrap();
        let packed = dir.path().join("image.zst");
        std::fs::write(&packed, zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
        let image = Image::open(&packed).unwrap();
        let plan = image.plan(None, &mut |_| true).unwrap();
        prop_assert_eq!(plan.image_size, size);
        let mut card = Card::new(size);
        flash(&image, &plan, None, &mut card).unwrap();
        prop_assert!(card.bytes == plain);
    }

    #[test]
    fn with_a_block_map_used_blocks_arrive_and_others_stay(runs in runs(), tail in 0u64..5, packed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let image_size = sparse(&path, &runs, tail);
        let plain = std::fs::read(&path).unwrap();
        let extents: Vec<Extent> = runs.iter().map(|&(begin, length, byte)| Extent {
            offset: begin * BLOCK,
            length: length * BLOCK,
            sha256: Some(Sha256::of(vec![byte; usize::try_from(length * BLOCK).unwrap()])),
        }).collect();
        let map = BlockMap { image_size, extents };
        if packed {
            std::fs::write(&path, zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
        }
        let image = Image::open(&path).unwrap();
        let plan = image.plan(Some(&map), &mut |_| true).unwrap();
        // Room for the erased table at the end, so that it touches no block of the image.
        let mut card = Card::new(image_size + 64 * BLOCK);
        flash(&image, &plan, None, &mut card).unwrap();
        for block in 1..image_size / BLOCK {
            let used = runs.iter().any(|&(begin, length, _)| (begin..begin + length).contains(&block));
            let at = usize::try_from(block * BLOCK).unwrap()..usize::try_from((block + 1) * BLOCK).unwrap();
            if used {
                prop_assert!(card.bytes[at.clone()] == plain[at]);
            } else {
                prop_assert!(card.bytes[at].iter().all(|b| *b == 0xAA));
            }
        }
        // One wrong byte in the map's view of the image, and nothing is begun.
        let mut wrong = map;
        wrong.extents[0].sha256 = Some(Sha256::of("another"));
        prop_assert!(image.plan(Some(&wrong), &mut |_| true).is_err());
    }

    #[test]
    fn a_card_that_keeps_an_old_byte_is_found_out_by_reading_back(runs in runs(), which in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let size = sparse(&path, &runs, 0);
        let image = Image::open(&path).unwrap();
        let plan = image.plan(None, &mut |_| true).unwrap();
        let (begin, length, byte) = runs[which.index(runs.len())];
        prop_assume!(byte != 0xAA && byte != 0);
        let mut card = Card::new(size + 64 * BLOCK);
        card.stuck = Some(usize::try_from((begin + length) * BLOCK - 1).unwrap());
        let error = flash(&image, &plan, None, &mut card).unwrap_err();
        prop_assert!(matches!(error.cause, Cause::Mismatch { .. }), "{:?}", error);
        prop_assert_eq!(error.state, CardState::Blank);
    }
}

/// An image of 256 KiB with a partition table and one partition, all of it used.
fn partitioned(path: &Path) -> (Image, Plan, Table) {
    let sectors = 512u64;
    let mut bytes: Vec<u8> = (0..sectors * 512)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    bytes[..FRONT_BYTES].fill(0);
    bytes[450] = 0xee;
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(1024, &[7; 16]);
    put(1024 + 32, &64u64.to_le_bytes());
    put(1024 + 40, &400u64.to_le_bytes());
    put(1024 + 56, b"d\0a\0t\0a\0");
    put(512, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    put(512 + 24, &1u64.to_le_bytes());
    put(512 + 32, &(sectors - 1).to_le_bytes());
    put(512 + 72, &2u64.to_le_bytes());
    put(512 + 80, &128u32.to_le_bytes());
    put(512 + 84, &128u32.to_le_bytes());
    let entries = crc32fast::hash(&bytes[1024..FRONT_BYTES]);
    bytes[600..604].copy_from_slice(&entries.to_le_bytes());
    let header = crc32fast::hash(&bytes[512..604]);
    bytes[528..532].copy_from_slice(&header.to_le_bytes());
    std::fs::write(path, &bytes).unwrap();
    let image = Image::open(path).unwrap();
    let plan = image.plan(None, &mut |_| true).unwrap();
    let table = Table::parse(&plan.front, plan.image_size).unwrap();
    (image, plan, table)
}

#[test]
fn on_a_larger_card_the_backup_table_moves_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (image, plan, table) = partitioned(&dir.path().join("image"));
    let mut card = Card::new(1 << 20);
    flash(&image, &plan, Some(&table), &mut card).unwrap();
    let last = card.bytes.len() - 512;
    assert_eq!(&card.bytes[last..last + 8], b"EFI PART");
    let again = Table::parse(&card.bytes[..FRONT_BYTES], 1 << 20).unwrap();
    assert_eq!(again.partitions, table.partitions);
}

#[test]
fn a_card_pulled_out_at_any_moment_holds_no_half_system() {
    let dir = tempfile::tempdir().unwrap();
    let (image, plan, table) = partitioned(&dir.path().join("image"));
    let mut whole = Card::new(1 << 20);
    flash(&image, &plan, Some(&table), &mut whole).unwrap();
    for limit in 0..whole.writes {
        let mut card = Card::new(1 << 20);
        card.breaks_after = Some(limit);
        let error = flash(&image, &plan, Some(&table), &mut card).unwrap_err();
        assert_eq!(error.state, CardState::Blank);
        // The table at the end comes when everything else is in its place: then it may be there.
        let all_but_the_head = limit + 1 == whole.writes;
        assert!(
            all_but_the_head || card.holds_no_table(),
            "after {limit} writes"
        );
        assert!(&card.bytes[512..520] != b"EFI PART", "after {limit} writes");
    }
}

#[test]
fn interrupted_at_any_step_the_card_holds_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let (image, plan, table) = partitioned(&dir.path().join("image"));
    for stop_at in [Step::Writing, Step::Verifying, Step::Finishing] {
        let mut card = Card::new(1 << 20);
        let job = Job {
            image: &image,
            plan: &plan,
            table: Some(&table),
            provision: None,
        };
        let error = write(job, &mut card, &mut |step, _| step != stop_at).unwrap_err();
        assert!(matches!(error.cause, Cause::Interrupted));
        assert!(card.holds_no_table(), "{stop_at:?}");
    }
}

#[test]
fn a_card_that_is_too_small_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (image, plan, table) = partitioned(&dir.path().join("image"));
    let mut card = Card::new(plan.image_size - 512);
    let error = flash(&image, &plan, Some(&table), &mut card).unwrap_err();
    assert_eq!(error.state, CardState::Untouched);
    assert!(matches!(error.cause, Cause::TooSmall { .. }));
    assert!(card.bytes.iter().all(|b| *b == 0xAA));
}

#[test]
fn an_image_that_changes_under_way_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let (image, plan, table) = partitioned(&path);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"changed", 100_000).unwrap();
    let mut card = Card::new(1 << 20);
    let error = flash(&image, &plan, Some(&table), &mut card).unwrap_err();
    assert!(matches!(error.cause, Cause::ImageChanged));
    assert!(card.holds_no_table());
}
