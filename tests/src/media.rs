//! Films and pictures whose every frame says which it is ([`crate::code`]), made by GStreamer.

use std::io::{Read as _, Write as _};
use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::code::{Code, grainy, pixels};

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
    #[error("writing a PNG")]
    Png(#[from] png::EncodingError),
}

impl From<gst::glib::Error> for MediaError {
    fn from(error: gst::glib::Error) -> Self {
        Self::Pipeline(error.to_string())
    }
}

/// How a film is encoded, and in what kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With AAC, if it has sound.
    H264Mp4,
    HevcMp4,
    HevcMatroska,
    /// With Opus, if it has sound.
    Vp9WebM,
    Vp9Mp4,
    Av1WebM,
    Av1Mp4,
}

impl Kind {
    /// That no release of GStreamer has to have, unlike H.264's, without which nothing is tested.
    pub const OPTIONAL: [Self; 6] = [
        Self::HevcMp4,
        Self::HevcMatroska,
        Self::Vp9WebM,
        Self::Vp9Mp4,
        Self::Av1WebM,
        Self::Av1Mp4,
    ];

    /// The element that encodes, whether this machine has it or not.
    pub const fn encoder(self) -> &'static str {
        match self {
            Self::H264Mp4 => "openh264enc",
            Self::HevcMp4 | Self::HevcMatroska => "x265enc",
            Self::Vp9WebM | Self::Vp9Mp4 => "vp9enc",
            Self::Av1WebM | Self::Av1Mp4 => "av1enc",
        }
    }

    pub const fn ending(self) -> &'static str {
        match self {
            Self::H264Mp4 | Self::HevcMp4 | Self::Vp9Mp4 | Self::Av1Mp4 => "mp4",
            Self::HevcMatroska => "mkv",
            Self::Vp9WebM | Self::Av1WebM => "webm",
        }
    }

    fn pictures(self, bits_a_second: u32) -> String {
        let kilobits = bits_a_second / 1_000;
        match self {
            Self::H264Mp4 => {
                format!(
                    "openh264enc complexity=low bitrate={bits_a_second} gop-size=30 ! h264parse"
                )
            }
            Self::HevcMp4 | Self::HevcMatroska => {
                format!(
                    "x265enc speed-preset=ultrafast tune=zerolatency bitrate={kilobits} ! h265parse"
                )
            }
            Self::Vp9WebM => format!("vp9enc deadline=1 cpu-used=8 target-bitrate={bits_a_second}"),
            Self::Vp9Mp4 => {
                format!("vp9enc deadline=1 cpu-used=8 target-bitrate={bits_a_second} ! vp9parse")
            }
            Self::Av1WebM | Self::Av1Mp4 => {
                format!(
                    "av1enc cpu-used=8 usage-profile=realtime target-bitrate={kilobits} ! av1parse"
                )
            }
        }
    }

    const fn sound(self) -> &'static str {
        match self {
            Self::H264Mp4 | Self::HevcMp4 | Self::Vp9Mp4 | Self::Av1Mp4 => "avenc_aac ! aacparse",
            Self::HevcMatroska | Self::Vp9WebM | Self::Av1WebM => "opusenc",
        }
    }

    const fn muxer(self) -> &'static str {
        match self {
            Self::H264Mp4 | Self::HevcMp4 | Self::Vp9Mp4 | Self::Av1Mp4 => "mp4mux",
            Self::HevcMatroska => "matroskamux",
            Self::Vp9WebM | Self::Av1WebM => "webmmux",
        }
    }
}

/// Whether this machine has an element.
pub fn has(element: &str) -> bool {
    gst::init().is_ok() && gst::ElementFactory::find(element).is_some()
}

/// Writes an H.264 film in MP4, with AAC if it has sound.
pub fn write_film(path: &Path, film: &Film) -> Result<(), MediaError> {
    write(path, film, Kind::H264Mp4, PLAIN)
}

/// The same with a grain, at the bit rate of a good film: for measuring what a player costs.
pub fn write_grainy_film(path: &Path, film: &Film) -> Result<(), MediaError> {
    write(path, film, Kind::H264Mp4, GRAINY)
}

/// Writes a film of that kind. 8 bits and 4:2:0, which every decoder takes.
pub fn write_film_as(path: &Path, film: &Film, kind: Kind) -> Result<(), MediaError> {
    write(path, film, kind, PLAIN)
}

/// How much is in a picture.
#[derive(Debug, Clone, Copy)]
struct Look {
    bits_a_second: u32,
    picture: fn(Code, u32, u32) -> Vec<u8>,
}

const PLAIN: Look = Look {
    bits_a_second: 2_000_000,
    picture: pixels,
};
const GRAINY: Look = Look {
    bits_a_second: 8_000_000,
    picture: grainy,
};

fn write(path: &Path, film: &Film, kind: Kind, look: Look) -> Result<(), MediaError> {
    let sound = if film.sound {
        let seconds = f64::from(film.frames) / f64::from(film.frames_a_second);
        format!(
            "audiotestsrc samplesperbuffer=480 num-buffers={} ! audio/x-raw,rate=48000,channels=2 ! \
             audioconvert ! {} ! queue ! mux.",
            (seconds * 100.0).ceil(),
            kind.sound(),
        )
    } else {
        String::new()
    };
    let description = format!(
        "appsrc name=pictures format=time ! videoconvert ! video/x-raw,format=I420 ! {} ! queue ! mux. \
         {sound} {} name=mux ! filesink location=\"{}\"",
        kind.pictures(look.bits_a_second),
        kind.muxer(),
        path.display()
    );
    let pictures = (0..film.frames).map(|frame| {
        let item = film.item;
        (look.picture)(Code { item, frame }, film.width, film.height)
    });
    encode(&description, film, pictures)
}

/// Writes one picture; the ending of its name says whether as PNG or JPEG.
pub fn write_picture(path: &Path, item: u16, width: u32, height: u32) -> Result<(), MediaError> {
    let picture = pixels(Code { item, frame: 0 }, width, height);
    write_pixels(path, width, height, picture)
}

/// Writes a PNG row by row, as large as it may be, with four channels of one byte or two.
pub fn write_large_png(
    path: &Path,
    item: u16,
    (width, height): (u32, u32),
    channel_bytes: usize,
) -> Result<(), MediaError> {
    // One row of the upper half of the code, and one of the lower.
    let rows = pixels(Code { item, frame: 0 }, width, 2);
    let row = |half: usize| -> Vec<u8> {
        let bytes = rows[half * rows.len() / 2..][..rows.len() / 2].iter();
        bytes
            .flat_map(|byte| std::iter::repeat_n(*byte, channel_bytes))
            .collect()
    };
    let (upper, lower) = (row(0), row(1));
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(if channel_bytes == 2 {
        png::BitDepth::Sixteen
    } else {
        png::BitDepth::Eight
    });
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    for y in 0..height {
        let row = if y < height / 2 { &upper } else { &lower };
        stream.write_all(row)?;
    }
    Ok(stream.finish()?)
}

/// Writes a JPEG as a camera does that was held another way: its pixels lie as EXIF's `orientation` (1 to 8) says, and
/// upright it is `width` by `height`.
pub fn write_photo(
    path: &Path,
    item: u16,
    (width, height): (u32, u32),
    orientation: u8,
) -> Result<(), MediaError> {
    let upright = pixels(Code { item, frame: 0 }, width, height);
    let is_sideways = orientation >= 5;
    let (across, down) = if is_sideways {
        (height, width)
    } else {
        (width, height)
    };
    let mut stored = Vec::with_capacity(upright.len());
    for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
        // Which side of the upright picture the first row and the first column are.
        let (left, top) = if is_sideways {
            (row, column)
        } else {
            (column, row)
        };
        let x = match orientation {
            2 | 3 | 6 | 7 => width - 1 - left,
            _ => left,
        };
        let y = match orientation {
            3 | 4 | 7 | 8 => height - 1 - top,
            _ => top,
        };
        let at = ((y * width + x) * 4) as usize;
        stored.extend_from_slice(&upright[at..at + 4]);
    }
    write_pixels(path, across, down, stored)?;
    let mut jpeg = std::fs::read(path)?;
    jpeg.splice(2..2, exif(orientation));
    Ok(std::fs::write(path, jpeg)?)
}

/// A JPEG's segment with nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01".to_vec();
    tiff.extend_from_slice(&[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend_from_slice(&[0; 4]);
    let mut segment = vec![0xff, 0xe1, 0, 8];
    segment[3] += u8::try_from(tiff.len()).unwrap_or(u8::MAX);
    segment.extend_from_slice(b"Exif\0\0");
    segment.extend_from_slice(&tiff);
    segment
}

fn write_pixels(path: &Path, width: u32, height: u32, picture: Vec<u8>) -> Result<(), MediaError> {
    let encoder = match path.extension().and_then(|ending| ending.to_str()) {
        Some("png") => "pngenc",
        _ => "jpegenc quality=90",
    };
    let description = format!(
        "appsrc name=pictures format=time ! videoconvert ! {encoder} ! filesink location=\"{}\"",
        path.display()
    );
    let film = Film {
        item: 0,
        frames: 1,
        frames_a_second: 1,
        width,
        height,
        sound: false,
    };
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
    wait_for_end(pipeline)
}

/// Until the pipeline has come to its end.
///
/// # Errors
/// What the pipeline complains of, or that it is not done within a minute.
pub fn wait_for_end(pipeline: &gst::Pipeline) -> Result<(), MediaError> {
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

/// The pixels of a JPEG (blue, green, red, unused), its width and height.
pub fn read_jpeg(jpeg: Vec<u8>) -> Result<(Vec<u8>, u32, u32), MediaError> {
    let missing = |what: &str| MediaError::Pipeline(format!("no {what}"));
    gst::init()?;
    let description = "appsrc name=in caps=image/jpeg ! jpegdec ! videoconvert ! \
                       video/x-raw,format=BGRx ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| missing("pipeline"))?;
    let element = |name: &str| pipeline.by_name(name).ok_or_else(|| missing(name));
    let source = element("in")?.downcast::<gst_app::AppSrc>();
    let sink = element("out")?.downcast::<gst_app::AppSink>();
    let (Ok(source), Ok(sink)) = (source, sink) else {
        return Err(missing("way in or out"));
    };
    let refused = |error: &dyn std::fmt::Display| MediaError::Pipeline(error.to_string());
    let started = pipeline.set_state(gst::State::Playing);
    let sample = started.map_err(|error| refused(&error)).and_then(|_| {
        let pushed = source.push_buffer(gst::Buffer::from_slice(jpeg));
        pushed.map_err(|error| refused(&error))?;
        source.end_of_stream().map_err(|error| refused(&error))?;
        let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(60));
        sample.ok_or_else(|| missing("picture within 60 s"))
    });
    // What matters has been said already.
    let _ = pipeline.set_state(gst::State::Null);
    let sample = sample?;
    let caps = sample.caps().and_then(|caps| caps.structure(0));
    let side = |name| caps.and_then(|caps| caps.get::<i32>(name).ok());
    let (Some(width), Some(height)) = (side("width"), side("height")) else {
        return Err(missing("size"));
    };
    let buffer = sample.buffer().ok_or_else(|| missing("buffer"))?;
    let pixels = buffer.map_readable().map_err(|error| refused(&error))?;
    let (width, height) = (width.cast_unsigned(), height.cast_unsigned());
    Ok((pixels.to_vec(), width, height))
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
