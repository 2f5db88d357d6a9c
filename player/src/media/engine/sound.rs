//! The way to the loudspeaker: beside the pictures, on the same clock, and never in their way.
//!
//! It is opened by the first item that has sound. A device without a loudspeaker, or one whose HDMI
//! cable carries none, plays in silence; the next try is a minute later.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::hand::Piece;
use crate::media::bus;
use crate::media::wire::{AUDIO_CHANNELS, AUDIO_RATE};

const TRIED_AGAIN_NS: u64 = 60_000_000_000;

#[derive(Debug)]
struct Open {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    volume: gst::Element,
    bus: gst::Bus,
}

/// Where sound is to be heard.
#[derive(Debug, Clone)]
pub enum Speaker {
    /// Whatever this machine has.
    Found,
    /// Any sink: for tests and measurements.
    Sink(gst::Element),
}

impl Speaker {
    fn sink(&self) -> Result<gst::Element, gst::glib::BoolError> {
        match self {
            Self::Found => gst::ElementFactory::make("autoaudiosink").build(),
            Self::Sink(sink) => Ok(sink.clone()),
        }
    }
}

/// Sound on the clock of `pictures`.
#[derive(Debug)]
pub(super) struct Sound {
    pictures: gst::Pipeline,
    speaker: Speaker,
    open: Option<Open>,
    not_before_ns: u64,
}

impl Sound {
    pub(super) const fn new(pictures: gst::Pipeline, speaker: Speaker) -> Self {
        Self {
            pictures,
            speaker,
            open: None,
            not_before_ns: 0,
        }
    }

    /// Hands a piece on that is to be heard at `at_ns` of the pictures' running time.
    pub(super) fn push(&mut self, piece: Piece, at_ns: u64, volume_percent: u8, now_ns: u64) {
        let failure = self.open.as_ref().and_then(|open| bus::failure(&open.bus));
        if let Some(failure) = failure {
            log::warn!("no sound: {failure}");
            self.close(now_ns);
        }
        if self.open.is_none() && now_ns >= self.not_before_ns {
            match Open::new(&self.pictures, &self.speaker) {
                Ok(open) => self.open = Some(open),
                Err(error) => {
                    log::warn!("no sound: {error}");
                    self.close(now_ns);
                }
            }
        }
        if let Some(open) = &self.open {
            open.push(piece, at_ns, volume_percent);
        }
    }

    /// What was handed on and not heard yet will not be.
    pub(super) fn hush(&self) {
        if let Some(open) = &self.open {
            open.source.send_event(gst::event::FlushStart::new());
            open.source.send_event(gst::event::FlushStop::new(false));
        }
    }

    fn close(&mut self, now_ns: u64) {
        self.open = None;
        self.not_before_ns = now_ns.saturating_add(TRIED_AGAIN_NS);
    }
}

impl Open {
    fn new(pictures: &gst::Pipeline, speaker: &Speaker) -> Result<Self, gst::glib::BoolError> {
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", AUDIO_RATE.cast_signed())
            .field("channels", AUDIO_CHANNELS.cast_signed())
            .build();
        let source = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let make = |name| gst::ElementFactory::make(name).build();
        let volume = make("volume")?;
        let chain = [
            source.clone().upcast(),
            make("audioconvert")?,
            make("audioresample")?,
            volume.clone(),
            speaker.sink()?,
        ];
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        // One clock and one beginning: what has the same running time is seen and heard together.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        pipeline.set_start_time(gst::ClockTime::NONE);
        if let Some(base) = pictures.base_time() {
            pipeline.set_base_time(base);
        }
        let bus = pipeline
            .bus()
            .ok_or_else(|| gst::glib::bool_error!("no bus"))?;
        let open = Self {
            pipeline,
            source,
            volume,
            bus,
        };
        if open.pipeline.set_state(gst::State::Playing).is_err() {
            let why = bus::failure(&open.bus).unwrap_or_else(|| "no device".to_owned());
            return Err(gst::glib::bool_error!("{}", why));
        }
        Ok(open)
    }

    fn push(&self, piece: Piece, at_ns: u64, volume_percent: u8) {
        self.volume
            .set_property("volume", f64::from(volume_percent) / 100.0);
        let mut buffer = gst::Buffer::from_slice(piece.samples);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(at_ns));
        }
        // A sink that stopped says why on the bus.
        let _ = self.source.push_buffer(buffer);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // There is nobody left to be told.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::wire::AUDIO_PIECE_BYTES;

    const LOUD: i16 = 10_000;

    fn piece() -> Piece {
        let samples = LOUD.to_le_bytes().repeat(AUDIO_PIECE_BYTES / 2);
        Piece { samples, pts_ns: 0 }
    }

    /// Pictures' pipeline, whose clock sound keeps.
    fn pictures() -> gst::Pipeline {
        crate::media::output::init().unwrap();
        let pictures = gst::Pipeline::new();
        pictures.use_clock(Some(&gst::SystemClock::obtain()));
        pictures.set_state(gst::State::Playing).unwrap();
        pictures
    }

    #[test]
    fn an_item_is_as_loud_as_asked() {
        let pictures = pictures();
        let ear = gst_app::AppSink::builder().sync(false).build();
        let mut sound = Sound::new(pictures.clone(), Speaker::Sink(ear.clone().upcast()));
        let mut check = |volume_percent, expected: i16| {
            sound.push(piece(), 0, volume_percent, 0);
            let heard = ear.try_pull_sample(gst::ClockTime::from_seconds(30));
            let heard = heard.expect("sound");
            let bytes = heard.buffer().unwrap().map_readable().unwrap();
            let samples = bytes.chunks_exact(2);
            let mut samples = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            assert!(
                samples.all(|sample| sample.abs_diff(expected) <= 1),
                "{volume_percent} %"
            );
        };
        check(100, LOUD);
        check(50, LOUD / 2);
        check(0, 0);
        pictures.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn a_loudspeaker_that_fails_is_tried_again_a_minute_later() {
        let pictures = pictures();
        let absent = gst::ElementFactory::make("filesink")
            .property("location", "/absent/loudspeaker")
            .build()
            .unwrap();
        let mut sound = Sound::new(pictures.clone(), Speaker::Sink(absent));
        sound.push(piece(), 0, 100, 0);
        assert!(sound.open.is_none());
        let ear = gst_app::AppSink::builder().sync(false).build();
        sound.speaker = Speaker::Sink(ear.clone().upcast());
        sound.push(piece(), 0, 100, TRIED_AGAIN_NS - 1);
        assert!(sound.open.is_none());
        sound.push(piece(), 0, 100, TRIED_AGAIN_NS);
        assert!(sound.open.is_some());
        assert!(
            ear.try_pull_sample(gst::ClockTime::from_seconds(30))
                .is_some()
        );
        pictures.set_state(gst::State::Null).unwrap();
    }
}
