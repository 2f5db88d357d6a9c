//! The one way to the glass: a sink that is made once and plays as long as the screen stays the same.
//!
//! Its caps never change, so it never renegotiates. It drops nothing: a frame that comes late is still better
//! than the one before it. On a display of the kernel the sink keeps the time, and [`Scanout`] does the showing.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet_protocol::player::{FrameCounts, Power};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::bus;
use super::counts::{Counts, Found, Punctual};
use super::display::{Buffers, Card, DisplayError, Scanout, Screen, Shown};
use super::frame::{SharedFrame, Size};
use super::switch::Switch;
use super::with_causes;

/// Seen that much after its time, a frame counts as late.
const LATE_NS: u64 = 50_000_000;
/// How often the display's thread looks whether it is still wanted.
const PULLED_WITHIN: gst::ClockTime = gst::ClockTime::from_mseconds(500);

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
    #[error("starting the display's thread")]
    Thread(#[source] std::io::Error),
}

/// Where pictures are to be seen.
#[derive(Debug, Clone)]
pub enum Glass {
    /// A window on somebody's desktop.
    Window,
    /// A display of the kernel. `lit`: a predecessor's picture is on it.
    Kms {
        card: Card,
        screen: Screen,
        lit: bool,
    },
    /// Nowhere, at the pace of a screen: while none is connected.
    Dark,
    /// Any sink: for tests and measurements.
    Sink(gst::Element),
}

/// A running pipeline; it stops when dropped. A display of the kernel keeps the last picture then.
#[derive(Debug)]
pub struct Output {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    bus: gst::Bus,
    counts: Arc<Counts>,
    switch: Arc<Switch>,
    /// Of a display of the kernel. Ends with the pipeline.
    scanout: Option<JoinHandle<()>>,
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
        let found = match glass {
            Glass::Kms { lit: true, .. } | Glass::Dark => Found::Lit,
            Glass::Kms { .. } | Glass::Window | Glass::Sink(_) => Found::Blank,
        };
        let counts = Arc::new(Counts::new(found, Instant::now()));
        let chain = Self::chain(&glass)?;
        pipeline
            .add(source.upcast_ref::<gst::Element>())
            .map_err(OutputError::Build)?;
        pipeline.add_many(&chain).map_err(OutputError::Build)?;
        let all: Vec<&gst::Element> = std::iter::once(source.upcast_ref()).chain(&chain).collect();
        gst::Element::link_many(all).map_err(OutputError::Build)?;
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let bus = pipeline.bus().ok_or(OutputError::Refused)?;
        let mut output = Self {
            pipeline,
            source,
            bus,
            counts,
            switch: Arc::default(),
            scanout: None,
        };
        output
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| OutputError::Start {
                message: output.failure().unwrap_or_else(|| error.to_string()),
            })?;
        let sink = chain.into_iter().last().ok_or(OutputError::Refused)?;
        let shown = match glass {
            Glass::Dark => Shown::Unseen,
            Glass::Kms { .. } | Glass::Window | Glass::Sink(_) => Shown::Seen {
                after_blank: Duration::ZERO,
            },
        };
        match (glass, sink.downcast::<gst_app::AppSink>()) {
            (Glass::Kms { card, screen, .. }, Ok(sink)) => {
                output.scanout = Some(output.scan_out(card, screen, sink)?);
            }
            (_, Ok(sink)) => output.count_at_door(sink.upcast_ref(), shown),
            (_, Err(sink)) => output.count_at_door(&sink, shown),
        }
        Ok(output)
    }

    fn chain(glass: &Glass) -> Result<Vec<gst::Element>, OutputError> {
        let make = |name: &'static str| {
            gst::ElementFactory::make(name)
                .build()
                .map_err(|_| OutputError::Absent { name })
        };
        let (before, sink) = match glass {
            Glass::Window => {
                // Windows are resized by people: the sink may want another format and size.
                let convert = make("videoconvertscale")?;
                keep_windows_off_the_display();
                (Some(convert), make("autovideosink")?)
            }
            Glass::Kms { .. } => {
                let sink = gst_app::AppSink::builder().max_buffers(2).build();
                (None, sink.upcast())
            }
            Glass::Dark => (None, make("fakesink")?),
            Glass::Sink(sink) => (None, sink.clone()),
        };
        // `autovideosink` hands these on to the sink that it finds.
        for (name, value) in [
            ("sync", true),
            ("qos", false),
            ("enable-last-sample", false),
        ] {
            if sink.find_property(name).is_some() {
                sink.set_property(name, value);
            }
        }
        if sink.find_property("max-lateness").is_some() {
            sink.set_property("max-lateness", -1i64);
        }
        Ok(before.into_iter().chain([sink]).collect())
    }

    /// From the sink to the display, on a thread that waits for either.
    fn scan_out(
        &self,
        card: Card,
        screen: Screen,
        sink: gst_app::AppSink,
    ) -> Result<JoinHandle<()>, OutputError> {
        let (pipeline, counts) = (self.pipeline.downgrade(), Arc::clone(&self.counts));
        let punctual = move |pts| punctual(running_time_ns(&pipeline), pts);
        let switch = Arc::clone(&self.switch);
        std::thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || {
                if let Err(error) = scan_out(&card, screen, &sink, &switch, &counts, punctual) {
                    let error = with_causes(&error);
                    gst::element_error!(sink, gst::ResourceError::Write, ("{error}"));
                }
            })
            .map_err(OutputError::Thread)
    }

    fn count_at_door(&self, sink: &gst::Element, shown: Shown) {
        let Some(pad) = sink.static_pad("sink") else {
            return;
        };
        let (pipeline, counts) = (self.pipeline.downgrade(), Arc::clone(&self.counts));
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let punctual = punctual(running_time_ns(&pipeline), pts);
            counts.count(shown, punctual, Instant::now());
            gst::PadProbeReturn::Ok
        });
    }

    /// What sound has to keep time with.
    pub const fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// What switches the glass, if it is a display of the kernel; others stay on.
    pub(super) fn switch(&self) -> Arc<Switch> {
        Arc::clone(&self.switch)
    }

    /// What the glass is to be.
    pub(super) fn power(&self) -> Power {
        self.switch.wanted()
    }

    /// A frame that was left out because the next one was due.
    pub fn count_late(&self) {
        self.counts.count_late();
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
        bus::failure(&self.bus)
    }

    pub fn counts(&self) -> FrameCounts {
        self.counts.read(Instant::now())
    }

    /// The counts themselves, for whoever can't wait for the engine.
    pub(super) fn shared_counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // There is nobody left to be told.
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(scanout) = self.scanout.take() {
            let _ = scanout.join();
        }
    }
}

/// `autovideosink` tries all sinks that there are. The one of the kernel's display is no window, and takes a second or
/// two to find out that it can have none.
fn keep_windows_off_the_display() {
    if let Some(factory) = gst::ElementFactory::find("kmssink") {
        factory.set_rank(gst::Rank::NONE);
    }
}

fn running_time_ns(pipeline: &gst::glib::WeakRef<gst::Pipeline>) -> u64 {
    pipeline
        .upgrade()
        .and_then(|pipeline| pipeline.current_running_time())
        .map_or(0, gst::ClockTime::nseconds)
}

/// Of a picture that is seen at `now_ns` and was due at `pts`.
fn punctual(now_ns: u64, pts: Option<gst::ClockTime>) -> Punctual {
    let due_ns = pts.map_or(now_ns, gst::ClockTime::nseconds);
    if now_ns > due_ns + LATE_NS {
        Punctual::Late
    } else {
        Punctual::InTime
    }
}

/// Until the pipeline ends or the display fails. Each picture is counted when it is seen, if it is.
fn scan_out(
    card: &Card,
    screen: Screen,
    sink: &gst_app::AppSink,
    switch: &Switch,
    counts: &Counts,
    punctual: impl Fn(Option<gst::ClockTime>) -> Punctual,
) -> Result<(), DisplayError> {
    let begin = Instant::now();
    let mut buffers = Buffers::new(card, &screen)?;
    let mut scanout = Scanout::new(card, screen, &mut buffers)?;
    if !scanout.has_predecessors_picture() {
        counts.found_blank(begin);
    }
    loop {
        if let Err(error) = scanout.switch(switch.wanted()) {
            switch.fail(with_causes(&error));
        }
        if scanout.is_dark() {
            counts.dark(Instant::now());
        }
        let Some(sample) = sink.try_pull_sample(PULLED_WITHIN) else {
            if sink.is_eos() {
                return Ok(());
            }
            continue;
        };
        let Some(buffer) = sample.buffer() else {
            continue;
        };
        if let Ok(picture) = buffer.map_readable() {
            let shown = scanout.present(&picture)?;
            counts.count(shown, punctual(buffer.pts()), Instant::now());
        }
    }
}
