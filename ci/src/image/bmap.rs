//! A block map (bmap format 2.0): which blocks of a disk image have to be written, with their checksums.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::release::BLOCK;

/// The ranges of blocks to be written, in order and apart from one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockMap {
    pub(super) image_size: u64,
    pub(super) ranges: Vec<Range<u64>>,
}

impl BlockMap {
    /// From byte ranges: rounded outwards to blocks, sorted, joined.
    pub(super) fn new(image_size: u64, bytes: &[Range<u64>]) -> Self {
        let mut blocks: Vec<Range<u64>> = bytes
            .iter()
            .filter(|range| !range.is_empty())
            .map(|range| range.start / BLOCK..range.end.min(image_size).div_ceil(BLOCK))
            .collect();
        blocks.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in blocks {
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        Self { image_size, ranges }
    }

    /// The map as XML, with the checksum of each range read from `image`, and its own.
    pub(super) fn to_xml(&self, image: &Path) -> Result<String> {
        let mut file = File::open(image).with_context(|| format!("opening {}", image.display()))?;
        let mut body = String::new();
        for range in &self.ranges {
            let bytes = range.start * BLOCK..(range.end * BLOCK).min(self.image_size);
            let hash = hash_range(&mut file, &bytes)?;
            let last = range.end - 1;
            let blocks = if last == range.start {
                last.to_string()
            } else {
                format!("{}-{last}", range.start)
            };
            let _ = writeln!(body, "    <Range chksum=\"{hash}\">{blocks}</Range>");
        }
        let mapped: u64 = self
            .ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let xml = |checksum: &str| {
            format!(
                "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n  <ImageSize>{}</ImageSize>\n  \
                 <BlockSize>{BLOCK}</BlockSize>\n  <BlocksCount>{}</BlocksCount>\n  \
                 <MappedBlocksCount>{mapped}</MappedBlocksCount>\n  <ChecksumType>sha256</ChecksumType>\n  \
                 <BmapFileChecksum>{checksum}</BmapFileChecksum>\n  <BlockMap>\n{body}  </BlockMap>\n</bmap>\n",
                self.image_size,
                self.image_size.div_ceil(BLOCK),
            )
        };
        // The format's own rule: the file's checksum is taken with zeros in its place.
        let own = hex::encode(Sha256::digest(xml(&"0".repeat(64))));
        Ok(xml(&own))
    }
}

fn hash_range(file: &mut File, bytes: &Range<u64>) -> Result<String> {
    file.seek(SeekFrom::Start(bytes.start))?;
    let mut child = crate::process::hasher()?;
    let mut input = child.stdin.take().context("the hasher has an input")?;
    std::io::copy(&mut file.take(bytes.end - bytes.start), &mut input)
        .context("hashing the disk image")?;
    drop(input);
    let output = child.wait_with_output().context("hashing the disk image")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_are_joined_and_rounded_outwards() {
        let map = BlockMap::new(
            100 * BLOCK,
            &[9000..9001, 0..4097, 50 * BLOCK..51 * BLOCK, 8192..8200],
        );
        assert_eq!(map.ranges, [0..3, 50..51]);
    }

    #[test]
    fn the_checksums_are_those_of_the_ranges() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        let mut bytes = vec![0u8; 3 * 4096];
        bytes[4096] = 7;
        std::fs::write(&image, &bytes).unwrap();
        let range = 4096..8192;
        let map = BlockMap::new(3 * BLOCK, std::slice::from_ref(&range));
        let xml = map.to_xml(&image).unwrap();
        let hash = hex::encode(Sha256::digest(&bytes[4096..8192]));
        assert!(
            xml.contains(&format!("<Range chksum=\"{hash}\">1</Range>")),
            "{xml}"
        );
        assert!(xml.contains("<MappedBlocksCount>1</MappedBlocksCount>"));
    }
}
