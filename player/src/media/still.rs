//! A picture of what is on the glass, small enough to be sent.

use std::sync::mpsc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::frame::{SharedFrame, Size};

/// Longer side of what is sent.
const LONGER_SIDE_PX: u32 = 960;
const QUALITY: i32 = 80;
const WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("making a JPEG of the screen: {0}")]
pub struct StillError(String);

impl From<gst::glib::Error> for StillError {
    fn from(error: gst::glib::Error) -> Self {
        Self(error.to_string())
    }
}

/// Pictures in the making, each on a thread of its own: scaling and encoding take longer than a main loop may wait.
/// `T` says which one it is.
#[derive(Debug)]
pub struct Stills<T> {
    tell: mpsc::Sender<(T, Result<Vec<u8>, StillError>)>,
    made: mpsc::Receiver<(T, Result<Vec<u8>, StillError>)>,
}

impl<T> Default for Stills<T> {
    fn default() -> Self {
        let (tell, made) = mpsc::channel();
        Self { tell, made }
    }
}

impl<T: Clone + Send + 'static> Stills<T> {
    /// `frame` is of `size`. Ends in [`Self::made`].
    pub fn begin(&self, which: T, frame: SharedFrame, size: Size) {
        let (tell, of) = (self.tell.clone(), which.clone());
        let started = std::thread::Builder::new()
            .name("still".to_owned())
            .spawn(move || {
                // Whoever asked may be gone.
                let _ = tell.send((of, jpeg(&frame, size)));
            });
        if let Err(error) = started {
            let error = StillError(format!("no thread for it: {error}"));
            let _ = self.tell.send((which, Err(error)));
        }
    }

    /// The next one that is made. Never waits.
    pub fn made(&self) -> Option<(T, Result<Vec<u8>, StillError>)> {
        self.made.try_recv().ok()
    }
}

/// `frame`, which is of `size`, as a JPEG of at most 960 pixels a side. Waits until it is made.
fn jpeg(frame: &SharedFrame, size: Size) -> Result<Vec<u8>, StillError> {
    let longer = size.width().max(size.height());
    let scaled = |side_px: u32| {
        let whole = u64::from(side_px) * u64::from(LONGER_SIDE_PX.min(longer));
        (whole / u64::from(longer)).max(2)
    };
    let description = format!(
        "appsrc name=in format=time caps=video/x-raw,format=BGRx,width={},height={},framerate=1/1 ! \
         videoconvertscale ! video/x-raw,format=I420,width={},height={} ! \
         jpegenc quality={QUALITY} ! appsink name=out sync=false",
        size.width(),
        size.height(),
        scaled(size.width()),
        scaled(size.height()),
    );
    let pipeline = gst::parse::launch(&description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| StillError("not a pipeline".to_owned()))?;
    let made = run(&pipeline, frame);
    // What matters has been said already.
    let _ = pipeline.set_state(gst::State::Null);
    made
}

fn run(pipeline: &gst::Pipeline, frame: &SharedFrame) -> Result<Vec<u8>, StillError> {
    let failed = |what: &str| StillError(what.to_owned());
    let source = pipeline
        .by_name("in")
        .and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
    let sink = pipeline
        .by_name("out")
        .and_then(|e| e.downcast::<gst_app::AppSink>().ok());
    let (Some(source), Some(sink)) = (source, sink) else {
        return Err(failed("no such element"));
    };
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|error| failed(&error.to_string()))?;
    let mut buffer = gst::Buffer::from_slice(frame.clone());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::ZERO);
    }
    source
        .push_buffer(buffer)
        .and_then(|_| source.end_of_stream())
        .map_err(|error| failed(&error.to_string()))?;
    let sample = sink.try_pull_sample(WITHIN);
    let sample = sample.ok_or_else(|| failed("the encoder gave nothing"))?;
    let buffer = sample.buffer().ok_or_else(|| failed("an empty sample"))?;
    let bytes = buffer
        .map_readable()
        .map_err(|error| failed(&error.to_string()))?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::frame::Pool;

    #[test]
    fn stills_are_made_beside_whoever_asks_for_them() {
        crate::media::output::init().unwrap();
        let size = Size::new(3840, 2160).unwrap();
        let frame = Pool::new(size).frame::<()>(|_| Ok(())).unwrap();
        let stills = Stills::default();
        for which in 0..3 {
            stills.begin(which, frame.clone(), size);
        }
        let wait = std::time::Duration::from_mins(1);
        let mut made: Vec<i32> = (0..3)
            .map(|_| {
                let (which, jpeg) = stills.made.recv_timeout(wait).unwrap();
                assert_eq!(jpeg.unwrap()[..2], [0xff, 0xd8]);
                which
            })
            .collect();
        made.sort_unstable();
        assert_eq!(made, [0, 1, 2]);
    }

    #[test]
    fn a_still_is_a_small_jpeg_of_the_screens_shape() {
        crate::media::output::init().unwrap();
        let check = |width: u32, height: u32, expected: [u16; 2]| {
            let size = Size::new(width, height).unwrap();
            let frame = Pool::new(size)
                .frame::<()>(|bytes| {
                    bytes.fill(0x80);
                    Ok(())
                })
                .unwrap();
            let jpeg = jpeg(&frame, size).unwrap();
            // Start of image; then, in the start of frame, the height and the width.
            assert_eq!(jpeg[..2], [0xff, 0xd8]);
            let at = jpeg
                .windows(2)
                .position(|pair| pair == [0xff, 0xc0])
                .unwrap();
            let length =
                |offset: usize| u16::from_be_bytes([jpeg[at + offset], jpeg[at + offset + 1]]);
            assert_eq!([length(7), length(5)], expected);
        };
        check(1920, 1080, [960, 540]);
        check(320, 640, [320, 640]);
        check(2160, 3840, [540, 960]);
    }
}
