//! Films and pictures whose every frame says which it is, in a code that survives scaling and compression.
//!
//! A picture is two rows of [`COLUMNS`] fields. The upper row is the item's number and the frame's number
//! in binary, light for one and dark for zero; the lower row is the opposite of it, so a blank screen, a
//! console or a torn picture is no code at all. Light fields have the item's own colour, for people.

use std::io::Read as _;
use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

/// Fields side by side: 6 bits for the item, 10 for the frame.
pub const COLUMNS: u32 = 16;
const FRAME_BITS: u32 = 10;

/// Which picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// Below 64.
    pub item: u16,
    /// Below 1024.
    pub frame: u16,
}

/// What a file is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Film {
    pub item: u16,
    pub frames: u16,
    pub frames_a_second: u16,
    pub width: u32,
    pub height: u32,
    /// A tone beside the pictures.
    pub sound: bool,
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("GStreamer: {0}")]
    Pipeline(String),
    #[error("reading the file that was made")]
    File(#[from] std::io::Error),
}

impl From<gst::glib::Error> for MediaError {
    fn from(error: gst::glib::Error) -> Self {
        Self::Pipeline(error.to_string())
    }
}

/// Pixels of one picture: blue, green, red, unused.
pub fn pixels(code: Code, width: u32, height: u32) -> Vec<u8> {
    let bits = (code.item << FRAME_BITS) | (code.frame & ((1 << FRAME_BITS) - 1));
    let light = colour(code.item);
    let mut bytes = Vec::with_capacity((width * height * 4) as usize);
    for y in 0..height {
        let lower = y >= height / 2;
        for x in 0..width {
            let column = x * COLUMNS / width;
            let one = bits & (1 << (COLUMNS - 1 - column)) != 0;
            let pixel = if one == lower {
                [16, 16, 16, 255]
            } else {
                light
            };
            bytes.extend_from_slice(&pixel);
        }
    }
    bytes
}

/// Bright enough to be told from dark, and different from item to item.
fn colour(item: u16) -> [u8; 4] {
    let channel = |shift: u16| if (item >> shift) & 1 == 0 { 250 } else { 150 };
    [channel(0), channel(1), channel(2), 255]
}

/// Reads the code out of a screen of `width` pixels a row; `None` where there is none to be read.
pub fn read(screen: &[u8], width: u32, height: u32) -> Option<Code> {
    read_within(screen, width, (0, 0, width, height))
}

/// As [`read`], where the picture fills only `(left, top, width, height)` of the screen.
pub fn read_within(screen: &[u8], stride_px: u32, area: (u32, u32, u32, u32)) -> Option<Code> {
    let (left, top, width, height) = area;
    let is_light = |x: u32, y: u32| {
        let at = (((top + y) * stride_px + left + x) * 4) as usize;
        let pixel = screen.get(at..at + 3)?;
        let sum: u32 = pixel.iter().map(|byte| u32::from(*byte)).sum();
        Some(sum > 3 * 90)
    };
    let mut bits = 0u16;
    for column in 0..COLUMNS {
        let x = (2 * column + 1) * width / (2 * COLUMNS);
        let upper = is_light(x, height / 4)?;
        let lower = is_light(x, height * 3 / 4)?;
        if upper == lower {
            return None;
        }
        bits = (bits << 1) | u16::from(upper);
    }
    Some(Code {
        item: bits >> FRAME_BITS,
        frame: bits & ((1 << FRAME_BITS) - 1),
    })
}

/// Writes an H.264 film in MP4, with AAC if it has sound.
pub fn write_film(path: &Path, film: &Film) -> Result<(), MediaError> {
    let sound = if film.sound {
        let seconds = f64::from(film.frames) / f64::from(film.frames_a_second);
        format!(
            "audiotestsrc samplesperbuffer=480 num-buffers={} ! audio/x-raw,rate=48000,channels=2 ! \
             audioconvert ! avenc_aac ! aacparse ! queue ! mux.",
            (seconds * 100.0).ceil()
        )
    } else {
        String::new()
    };
    let description = format!(
        "appsrc name=pictures format=time ! videoconvert ! openh264enc complexity=low bitrate=2000000 \
         gop-size=30 ! h264parse ! queue ! mux. {sound} mp4mux name=mux ! filesink location=\"{}\"",
        path.display()
    );
    let pictures = (0..film.frames).map(|frame| {
        let item = film.item;
        pixels(Code { item, frame }, film.width, film.height)
    });
    encode(&description, film, pictures)
}

/// Writes one picture; the ending of its name says whether as PNG or JPEG.
pub fn write_picture(path: &Path, item: u16, width: u32, height: u32) -> Result<(), MediaError> {
    let encoder = match path.extension().and_then(|ending| ending.to_str()) {
        Some("png") => "pngenc",
        _ => "jpegenc quality=90",
    };
    let description = format!(
        "appsrc name=pictures format=time ! videoconvert ! {encoder} ! filesink location=\"{}\"",
        path.display()
    );
    let film = Film {
        item,
        frames: 1,
        frames_a_second: 1,
        width,
        height,
        sound: false,
    };
    let picture = pixels(Code { item, frame: 0 }, width, height);
    encode(&description, &film, std::iter::once(picture))
}

fn encode(
    description: &str,
    film: &Film,
    pictures: impl Iterator<Item = Vec<u8>>,
) -> Result<(), MediaError> {
    gst::init()?;
    let pipeline = gst::parse::launch(description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| MediaError::Pipeline("not a pipeline".to_owned()))?;
    let source = pipeline
        .by_name("pictures")
        .and_then(|element| element.downcast::<gst_app::AppSrc>().ok())
        .ok_or_else(|| MediaError::Pipeline("no way in".to_owned()))?;
    let rate = i32::from(film.frames_a_second.cast_signed());
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "BGRx")
        .field("width", film.width.cast_signed())
        .field("height", film.height.cast_signed())
        .field("framerate", gst::Fraction::new(rate, 1))
        .build();
    source.set_caps(Some(&caps));
    source.set_block(true);
    let started = pipeline.set_state(gst::State::Playing);
    let outcome = started
        .map_err(|error| MediaError::Pipeline(error.to_string()))
        .and_then(|_| feed(&pipeline, &source, film, pictures));
    // What matters has been said already.
    let _ = pipeline.set_state(gst::State::Null);
    outcome
}

fn feed(
    pipeline: &gst::Pipeline,
    source: &gst_app::AppSrc,
    film: &Film,
    pictures: impl Iterator<Item = Vec<u8>>,
) -> Result<(), MediaError> {
    let refused = |error: gst::FlowError| MediaError::Pipeline(format!("no more taken: {error}"));
    let length = gst::ClockTime::SECOND / u64::from(film.frames_a_second);
    for (index, picture) in (0u64..).zip(pictures) {
        let mut buffer = gst::Buffer::from_slice(picture);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(length * index);
            buffer.set_duration(length);
        }
        source.push_buffer(buffer).map_err(refused)?;
    }
    source.end_of_stream().map_err(refused)?;
    let bus = pipeline
        .bus()
        .ok_or_else(|| MediaError::Pipeline("no bus".to_owned()))?;
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted);
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(error.error().into()),
        _ => Err(MediaError::Pipeline("not done within 60 s".to_owned())),
    }
}

/// A PNG of a few kilobytes that says it is `side` pixels wide and high: as large as memory allows, or larger.
pub fn png_bomb(side: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend_from_slice(&side.to_be_bytes());
    header.extend_from_slice(&side.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header);
    // A deflate stream of nothing but a stored block's beginning: decoders ask for memory before they see.
    let mut body = vec![0x78, 0x01, 0x00, 0xff, 0xff, 0x00, 0x00];
    let read = std::io::repeat(0).take(0xffff).read_to_end(&mut body);
    debug_assert!(read.is_ok());
    chunk(&mut png, *b"IDAT", &body);
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    png.extend_from_slice(&length.to_be_bytes());
    let start = png.len();
    png.extend_from_slice(&kind);
    png.extend_from_slice(body);
    let sum = crc32fast::hash(&png[start..]);
    png.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_and_a_blank_screen_is_none() {
        for code in [
            Code { item: 0, frame: 0 },
            Code {
                item: 63,
                frame: 1023,
            },
            Code {
                item: 21,
                frame: 682,
            },
        ] {
            let screen = pixels(code, 160, 90);
            assert_eq!(read(&screen, 160, 90), Some(code));
        }
        for blank in [0, 128, 255] {
            assert_eq!(read(&vec![blank; 160 * 90 * 4], 160, 90), None);
        }
    }

    #[test]
    fn two_pictures_mixed_are_none() {
        let mixed: Vec<u8> = pixels(Code { item: 1, frame: 0 }, 160, 90)
            .into_iter()
            .zip(pixels(Code { item: 2, frame: 9 }, 160, 90))
            .map(|(a, b)| a / 2 + b / 2)
            .collect();
        assert_eq!(read(&mixed, 160, 90), None);
    }
}
