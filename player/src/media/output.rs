//! The one way to the glass: a sink that is made once and plays until the process ends.
//!
//! Its caps never change, so it never renegotiates and never sets a mode. It drops nothing: a frame that
//! comes late is still better than the one before it.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleet_protocol::player::FrameCounts;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::frame::{SharedFrame, Size};

/// Seen that much after its time, a frame counts as late.
const LATE_NS: u64 = 50_000_000;

/// Why there is no way to the glass.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("GStreamer does not start")]
    Init(#[source] gst::glib::Error),
    #[error("no `{name}` in GStreamer: is its plugin installed?")]
    Absent { name: &'static str },
    #[error("joining the output")]
    Build(#[source] gst::glib::BoolError),
    #[error("the output does not start: {message}")]
    Start { message: String },
    #[error("the sink takes no more frames")]
    Refused,
}

/// Where pictures are to be seen.
#[derive(Debug, Clone)]
pub enum Glass {
    /// A window on somebody's desktop.
    Window,
    /// A display of the kernel, by an open DRM file. `driver` is the kernel's name for it; on those
    /// without a vertical blank the sink must not wait for one.
    Kms { file: RawFd, driver: String },
    /// Any sink: for tests and measurements.
    Sink(gst::Element),
}

/// Counted at the sink's door.
#[derive(Debug, Default)]
struct Counts {
    presented: AtomicU64,
    late: AtomicU64,
    first_ns: AtomicU64,
}

/// A running pipeline; it stops when dropped, and with KMS the plane goes dark then.
#[derive(Debug)]
pub struct Output {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    bus: gst::Bus,
    counts: Arc<Counts>,
}

/// Loads GStreamer. Safe to be called again.
pub fn init() -> Result<(), OutputError> {
    gst::init().map_err(OutputError::Init)
}

impl Output {
    /// Opens the way for pictures of `size`. Nothing is on the glass before the first [`Self::push`].
    pub fn open(glass: Glass, size: Size) -> Result<Self, OutputError> {
        init()?;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "BGRx")
            .field("width", size.width().cast_signed())
            .field("height", size.height().cast_signed())
            .field("framerate", gst::Fraction::new(0, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        let source = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .is_live(true)
            .max_buffers(8)
            .build();
        let pipeline = gst::Pipeline::new();
        let counts = Arc::new(Counts::default());
        let chain = Self::chain(glass)?;
        pipeline
            .add(source.upcast_ref::<gst::Element>())
            .map_err(OutputError::Build)?;
        pipeline.add_many(&chain).map_err(OutputError::Build)?;
        let all: Vec<&gst::Element> = std::iter::once(source.upcast_ref()).chain(&chain).collect();
        gst::Element::link_many(all).map_err(OutputError::Build)?;
        if let Some(pad) = chain.last().and_then(|sink| sink.static_pad("sink")) {
            count(&pad, &pipeline, &counts);
        }
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let bus = pipeline.bus().ok_or(OutputError::Refused)?;
        let output = Self {
            pipeline,
            source,
            bus,
            counts,
        };
        output
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| OutputError::Start {
                message: output.failure().unwrap_or_else(|| error.to_string()),
            })?;
        Ok(output)
    }

    fn chain(glass: Glass) -> Result<Vec<gst::Element>, OutputError> {
        let make = |name: &'static str| {
            gst::ElementFactory::make(name)
                .build()
                .map_err(|_| OutputError::Absent { name })
        };
        let (before, sink) = match glass {
            Glass::Window => {
                // Windows are resized by people: the sink may want another format and size.
                let convert = make("videoconvertscale")?;
                (Some(convert), make("autovideosink")?)
            }
            Glass::Kms { file, driver } => {
                let sink = make("kmssink")?;
                sink.set_property("fd", file);
                sink.set_property("skip-vsync", !has_vertical_blank(&driver));
                sink.set_property("can-scale", false);
                (None, sink)
            }
            Glass::Sink(sink) => (None, sink),
        };
        // `autovideosink` hands these on to the sink that it finds.
        for (name, value) in [("sync", true), ("qos", false)] {
            if sink.find_property(name).is_some() {
                sink.set_property(name, value);
            }
        }
        if sink.find_property("max-lateness").is_some() {
            sink.set_property("max-lateness", -1i64);
        }
        Ok(before.into_iter().chain([sink]).collect())
    }

    /// What sound has to keep time with.
    pub const fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// A frame that was left out because the next one was due.
    pub fn count_late(&self) {
        self.counts.late.fetch_add(1, Ordering::Relaxed);
    }

    /// Since the output was opened; the time base of all that is shown.
    pub fn running_time_ns(&self) -> u64 {
        self.pipeline
            .current_running_time()
            .map_or(0, gst::ClockTime::nseconds)
    }

    /// Hands a picture on that is to be seen at `at_ns`, or at once if that is over.
    pub fn push(&self, frame: &SharedFrame, at_ns: u64) -> Result<(), OutputError> {
        let mut buffer = gst::Buffer::from_slice(frame.clone());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(at_ns));
        }
        match self.source.push_buffer(buffer) {
            Ok(_) => Ok(()),
            Err(_) => Err(OutputError::Refused),
        }
    }

    /// What the sink complains of, if it does.
    pub fn failure(&self) -> Option<String> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => {
                let detail = error.debug().map(|d| format!(" ({d})")).unwrap_or_default();
                Some(format!("{}{detail}", error.error()))
            }
            _ => None,
        }
    }

    pub fn counts(&self) -> FrameCounts {
        let first_ns = self.counts.first_ns.load(Ordering::Relaxed);
        let presented = self.counts.presented.load(Ordering::Relaxed);
        let dark_ns = if presented == 0 {
            self.running_time_ns()
        } else {
            first_ns
        };
        FrameCounts {
            presented,
            late: self.counts.late.load(Ordering::Relaxed),
            blank_ms: dark_ns / 1_000_000,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // There is nobody left to be told.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Virtual displays have none to wait for.
fn has_vertical_blank(driver: &str) -> bool {
    !matches!(
        driver,
        "virtio_gpu" | "bochs-drm" | "simpledrm" | "qxl" | "cirrus"
    )
}

fn count(pad: &gst::Pad, pipeline: &gst::Pipeline, counts: &Arc<Counts>) {
    let (weak, counts) = (pipeline.downgrade(), Arc::clone(counts));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let now_ns = weak
            .upgrade()
            .and_then(|pipeline| pipeline.current_running_time())
            .map_or(0, gst::ClockTime::nseconds);
        if counts.presented.fetch_add(1, Ordering::Relaxed) == 0 {
            counts.first_ns.store(now_ns, Ordering::Relaxed);
        }
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let at_ns = pts.map_or(now_ns, gst::ClockTime::nseconds);
        if now_ns > at_ns + LATE_NS {
            counts.late.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}
