//! Block maps (bmap-tools, format 2.0; 1.3 and 1.4 differ in the checksum's name only): which blocks
//! of an image are used, and what they hash to.
//!
//! A plain function from bytes to a checked value: ranges ascend, do not overlap, lie within the
//! image, and add up to what the map says.

use fleet_protocol::Sha256;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Larger maps are refused before they are parsed; a 64 GiB image with every other block used has
/// one of this size.
pub const MAX_BYTES: usize = 64 << 20;

/// A run of used bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
    /// Of these bytes; maps before 1.3 have none.
    pub sha256: Option<Sha256>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    pub image_size: u64,
    pub extents: Vec<Extent>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BmapError {
    #[error("the block map has {0} bytes, more than {MAX_BYTES}")]
    TooLarge(usize),
    #[error("the block map is no well-formed XML: {0}")]
    Xml(String),
    #[error("the block map is of version `{0}`; 1.3 to 2.x are understood")]
    Version(String),
    #[error("the block map has no <{0}>")]
    Missing(&'static str),
    #[error("<{field}> says `{text}`, expected {expected}")]
    Field {
        field: &'static str,
        text: String,
        expected: &'static str,
    },
    #[error("the block map's own checksum does not match: it was damaged or changed")]
    OwnChecksum,
    #[error("the block map contradicts itself: {0}")]
    Inconsistent(String),
}

#[derive(Default)]
struct Fields {
    version: Option<String>,
    image_size: Option<u64>,
    block_size: Option<u64>,
    blocks: Option<u64>,
    mapped: Option<u64>,
    own_checksum: Option<String>,
    ranges: Vec<(u64, u64, Option<Sha256>)>,
}

/// # Errors
/// On anything that cannot be trusted to describe an image.
pub fn parse(bytes: &[u8]) -> Result<BlockMap, BmapError> {
    if bytes.len() > MAX_BYTES {
        return Err(BmapError::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| BmapError::Xml(e.to_string()))?;
    let fields = read(text)?;
    match fields.version.as_deref() {
        None => return Err(BmapError::Missing("bmap version=…")),
        Some("1.3" | "1.4") => {}
        Some(version) if version.starts_with("2.") => {}
        Some(version) => return Err(BmapError::Version(short(version))),
    }
    let own = fields
        .own_checksum
        .as_deref()
        .ok_or(BmapError::Missing("BmapFileChecksum"))?;
    check_own(text, own)?;
    check(&fields)
}

fn read(text: &str) -> Result<Fields, BmapError> {
    let mut reader = Reader::from_str(text);
    let mut fields = Fields::default();
    let mut path: Vec<String> = Vec::new();
    let mut content = String::new();
    let mut checksum = None;
    loop {
        match reader.read_event().map_err(xml)? {
            Event::Start(start) => {
                if path.len() > 8 {
                    return Err(BmapError::Xml("too many levels".to_owned()));
                }
                let name = start.name().as_ref().to_owned();
                if name == "bmap" && path.is_empty() {
                    fields.version = attribute(&start, "version")?;
                }
                checksum = if name == "Range" {
                    attribute(&start, "chksum")?
                } else {
                    None
                };
                path.push(name);
                content.clear();
            }
            Event::Text(text) if content.len() < 200 => content.push_str(&text.xml10_content()),
            Event::End(_) => {
                let name = path.pop().unwrap_or_default();
                take(&mut fields, &name, content.trim(), checksum.take())?;
                content.clear();
            }
            Event::Eof if path.is_empty() => return Ok(fields),
            Event::Eof => return Err(BmapError::Xml("it ends too early".to_owned())),
            Event::DocType(_) => {
                return Err(BmapError::Xml("it declares a document type".to_owned()));
            }
            _ => {}
        }
    }
}

fn xml(error: impl std::fmt::Display) -> BmapError {
    BmapError::Xml(error.to_string())
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, BmapError> {
    let found = start.try_get_attribute(name).map_err(xml)?;
    Ok(found.map(|a| a.value.as_ref().to_owned()))
}

fn take(
    fields: &mut Fields,
    name: &str,
    text: &str,
    checksum: Option<String>,
) -> Result<(), BmapError> {
    match name {
        "ImageSize" => fields.image_size = Some(number("ImageSize", text)?),
        "BlockSize" => fields.block_size = Some(number("BlockSize", text)?),
        "BlocksCount" => fields.blocks = Some(number("BlocksCount", text)?),
        "MappedBlocksCount" => fields.mapped = Some(number("MappedBlocksCount", text)?),
        "BmapFileChecksum" => fields.own_checksum = Some(text.to_owned()),
        "ChecksumType" if text != "sha256" => {
            return Err(field("ChecksumType", text, "sha256"));
        }
        "Range" => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let checksum = checksum
                .map(|c| {
                    c.trim()
                        .parse()
                        .map_err(|_| field("Range chksum", &c, "64 hex digits"))
                })
                .transpose()?;
            fields
                .ranges
                .push((number("Range", first)?, number("Range", last)?, checksum));
        }
        _ => {}
    }
    Ok(())
}

fn number(name: &'static str, text: &str) -> Result<u64, BmapError> {
    text.trim()
        .parse()
        .map_err(|_| field(name, text, "a whole number"))
}

fn field(field: &'static str, text: &str, expected: &'static str) -> BmapError {
    BmapError::Field {
        field,
        text: short(text),
        expected,
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// The digest of the file with the digest itself replaced by zeros.
fn check_own(text: &str, own: &str) -> Result<(), BmapError> {
    let expected: Sha256 = own
        .parse()
        .map_err(|_| field("BmapFileChecksum", own, "64 hex digits"))?;
    let zeroed = text.replacen(own, &"0".repeat(own.len()), 1);
    if Sha256::of(zeroed) == expected {
        Ok(())
    } else {
        Err(BmapError::OwnChecksum)
    }
}

fn check(fields: &Fields) -> Result<BlockMap, BmapError> {
    let image_size = fields.image_size.ok_or(BmapError::Missing("ImageSize"))?;
    let block_size = fields.block_size.ok_or(BmapError::Missing("BlockSize"))?;
    let blocks = fields.blocks.ok_or(BmapError::Missing("BlocksCount"))?;
    let mapped = fields
        .mapped
        .ok_or(BmapError::Missing("MappedBlocksCount"))?;
    let wrong = |what: String| Err(BmapError::Inconsistent(what));
    if !block_size.is_power_of_two() || !(512..=1 << 26).contains(&block_size) {
        return wrong(format!("blocks of {block_size} bytes"));
    }
    if image_size.div_ceil(block_size) != blocks || image_size == 0 {
        return wrong(format!(
            "{image_size} bytes are not {blocks} blocks of {block_size}"
        ));
    }
    let mut next = 0;
    let mut total = 0;
    let mut extents = Vec::with_capacity(fields.ranges.len());
    for &(first, last, sha256) in &fields.ranges {
        if first > last || last >= blocks {
            return wrong(format!("range {first}-{last} of {blocks} blocks"));
        }
        if first < next {
            return wrong(format!("range {first}-{last} comes after block {next}"));
        }
        next = last + 1;
        total += last - first + 1;
        let offset = first * block_size;
        // The last block of an image may be a part of one.
        let end = next.saturating_mul(block_size).min(image_size);
        extents.push(Extent {
            offset,
            length: end - offset,
            sha256,
        });
    }
    if total != mapped {
        return wrong(format!("{total} blocks are mapped, it says {mapped}"));
    }
    Ok(BlockMap {
        image_size,
        extents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(body: &str) -> Vec<u8> {
        let zeros = "0".repeat(64);
        let text = format!(
            "<?xml version=\"1.0\" ?>\n<!-- a comment -->\n<bmap version=\"2.0\">\n<ChecksumType> sha256 </ChecksumType>\n<BmapFileChecksum> {zeros} </BmapFileChecksum>\n{body}</bmap>\n"
        );
        let sum = Sha256::of(&text).to_string();
        text.replacen(&zeros, &sum, 1).into_bytes()
    }

    fn body(ranges: &str) -> String {
        format!(
            "<ImageSize> 9000 </ImageSize><BlockSize> 4096 </BlockSize><BlocksCount> 3 </BlocksCount><MappedBlocksCount> 2 </MappedBlocksCount><BlockMap>{ranges}</BlockMap>"
        )
    }

    #[test]
    fn a_map_gives_its_extents_and_the_last_block_may_be_short() {
        let sum = Sha256::of("x");
        let ranges = format!("<Range chksum=\"{sum}\"> 0 </Range><Range> 2-2 </Range>");
        let parsed = parse(&map(&body(&ranges))).unwrap();
        assert_eq!(parsed.image_size, 9000);
        let extents = [(0, 4096, Some(sum)), (8192, 808, None)];
        let expected: Vec<Extent> = extents
            .map(|(offset, length, sha256)| Extent {
                offset,
                length,
                sha256,
            })
            .to_vec();
        assert_eq!(parsed.extents, expected);
    }

    #[test]
    fn ranges_that_overlap_or_leave_the_image_are_refused() {
        for bad in [
            "<Range>0-1</Range><Range>1</Range>",
            "<Range>2-3</Range>",
            "<Range>1-0</Range>",
            "<Range>1</Range><Range>0</Range>",
            "<Range>0</Range>",
            "<Range>-1</Range>",
            "<Range>0-18446744073709551615</Range>",
            "<Range chksum='zz'>0-1</Range>",
        ] {
            assert!(parse(&map(&body(bad))).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_changed_map_is_found_out_by_its_own_checksum() {
        let good = map(&body("<Range> 0-1 </Range>"));
        assert!(parse(&good).is_ok());
        let bad = String::from_utf8(good).unwrap().replace("0-1", "1-2");
        assert_eq!(parse(bad.as_bytes()), Err(BmapError::OwnChecksum));
    }

    #[test]
    fn other_versions_and_documents_are_refused() {
        for bad in [
            "",
            "<bmap/>",
            "<html></html>",
            "<bmap version=\"3.0\"></bmap>",
            "<bmap version=\"2.0\">",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_there_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_map_never_passes_as_another(at in 0usize..500, flip in 1u8..=127) {
            let good = map(&body("<Range> 0-1 </Range>"));
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= flip;
            // Upper-case digits of the checksum itself are the same digits.
            prop_assert!(parse(&bad).is_err() || parse(&bad) == parse(&good));
        }
    }
}
