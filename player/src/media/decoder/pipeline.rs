//! GStreamer inside a decoder: from a file to frames of the screen's size and format.
//!
//! ```text
//! filesrc ─ decodebin ┬ crop ─ scale, convert ─ turn as the file says, and as the screen hangs ─ frames
//!                     └ convert ─ resample ─ without gaps ─ sound
//! ```
//!
//! A film is turned before it is cropped: how, is only known once it is read ([`Upright`] is for pictures).

use std::io::Read as _;

use fleet_protocol::player::{DecodeFailure, Fit, ItemKind, Orientation};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::super::wire::{AUDIO_CHANNELS, AUDIO_PIECE_BYTES, AUDIO_RATE, Order};
use super::choice;
use super::limits;
use super::upright::{HEAD_BYTES, Upright};
use super::work::{Failure, Outlet};

/// What is loaded before the order comes, if it is installed: it is what most files need.
const USUAL: &[&str] = &[
    "filesrc",
    "decodebin",
    "qtdemux",
    "h264parse",
    "avdec_h264",
    "openh264dec",
    "jpegdec",
    "pngdec",
    "videoconvertscale",
    "videoflip",
    "appsink",
];

/// Loads GStreamer and what is usually needed of it. The plugins of hardware look for it while they are loaded, which
/// they could not do later.
pub(super) fn load(preferred: &[String]) {
    if let Err(error) = gst::init() {
        eprintln!("decoder: GStreamer: {error}");
        return;
    }
    for name in USUAL
        .iter()
        .copied()
        .chain(preferred.iter().map(String::as_str))
    {
        if let Some(factory) = gst::ElementFactory::find(name) {
            // What cannot be loaded is missed when it is needed, with a better message.
            let _ = factory.load();
        }
    }
}

/// Starts decoding. Frames, sound, the end and failures go to `outlet`.
pub(super) fn start(order: &Order, outlet: &Outlet) -> Result<gst::Pipeline, Failure> {
    let pipeline = build(order, outlet).map_err(|error| Failure {
        reason: DecodeFailure::DecodeError,
        message: format!("no pipeline: {error}"),
    })?;
    watch(&pipeline, outlet)?;
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|error| Failure {
            reason: DecodeFailure::DecodeError,
            message: format!("the pipeline does not start: {error}"),
        })?;
    Ok(pipeline)
}

fn build(order: &Order, outlet: &Outlet) -> Result<gst::Pipeline, gst::glib::Error> {
    let pipeline = gst::parse::launch("filesrc name=file ! decodebin name=decode")?
        .downcast::<gst::Pipeline>()
        .map_err(|_| gst::glib::Error::new(gst::CoreError::Failed, "not a pipeline"))?;
    // `decodebin` finds out the file's type by a `typefind` of its own.
    let (Some(file), Some(decode), Some(typefind)) = (
        pipeline.by_name("file"),
        pipeline.by_name("decode"),
        pipeline.by_name("typefind"),
    ) else {
        return Err(gst::glib::Error::new(
            gst::CoreError::Failed,
            "no such element",
        ));
    };
    file.set_property("location", order.path.display().to_string());
    check_kind(&typefind, order.kind, outlet);
    let wanted = if order.sound {
        "video/x-raw(ANY);audio/x-raw"
    } else {
        "video/x-raw(ANY)"
    };
    decode.set_property(
        "caps",
        wanted
            .parse::<gst::Caps>()
            .map_err(|_| gst::glib::Error::new(gst::CoreError::Failed, "caps"))?,
    );
    decode.set_property("expose-all-streams", false);
    choice::apply(&decode, order, outlet);
    link_streams(&pipeline, &decode, order, outlet);
    Ok(pipeline)
}

/// A file of another kind than was announced is refused: an image in a film's place would be over at once.
fn check_kind(typefind: &gst::Element, expected: ItemKind, outlet: &Outlet) {
    let outlet = outlet.clone();
    typefind.connect("have-type", false, move |values| {
        let caps: gst::Caps = values.get(2)?.get().ok()?;
        let name = caps.structure(0)?.name().to_string();
        let found = if name.starts_with("image/") {
            ItemKind::Image
        } else {
            ItemKind::Video
        };
        if found != expected {
            outlet.failed(Failure {
                reason: DecodeFailure::DecodeError,
                message: format!("the file is {name}, not what the manifest says"),
            });
        }
        None
    });
}

/// Joins the first stream of pictures and the first one of sound; leaves the others alone.
fn link_streams(pipeline: &gst::Pipeline, decode: &gst::Element, order: &Order, outlet: &Outlet) {
    let (weak, order, for_pads) = (pipeline.downgrade(), order.clone(), outlet.clone());
    let upright = upright(&order);
    decode.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else {
            return;
        };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps
            .structure(0)
            .is_some_and(|s| s.name().starts_with("video/"));
        let (name, branch) = if is_video {
            (
                "pictures",
                pictures(&order, upright, brought_home(&caps), &for_pads),
            )
        } else {
            ("sound", sound(&for_pads))
        };
        if pipeline.by_name(name).is_some() {
            return;
        }
        if is_video {
            limit_size(pad, &order, &for_pads);
        }
        let joined = branch
            .map_err(|error| error.to_string())
            .and_then(|branch| {
                branch.set_property("name", name);
                pipeline.add(&branch).map_err(|error| error.to_string())?;
                let sink = branch.static_pad("sink").ok_or("no way in")?;
                pad.link(&sink).map_err(|error| error.to_string())?;
                branch
                    .sync_state_with_parent()
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = joined {
            for_pads.failed(Failure {
                reason: DecodeFailure::DecodeError,
                message: format!("{name}: {error}"),
            });
        }
    });
    let (weak, outlet) = (pipeline.downgrade(), outlet.clone());
    decode.connect_no_more_pads(move |_| {
        if weak
            .upgrade()
            .is_some_and(|p| p.by_name("pictures").is_none())
        {
            outlet.failed(Failure {
                reason: DecodeFailure::DecodeError,
                message: "there is no picture in the file".to_owned(),
            });
        }
    });
}

/// Before memory for a picture is asked for, its size is known: a bomb goes no further.
fn limit_size(pad: &gst::Pad, order: &Order, outlet: &Outlet) {
    let (order, outlet) = (order.clone(), outlet.clone());
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) else {
            return gst::PadProbeReturn::Ok;
        };
        let structure = caps.caps().structure(0);
        let side = |name| {
            let side = structure.and_then(|s| s.get::<i32>(name).ok());
            side.and_then(|side| u64::try_from(side).ok()).unwrap_or(0)
        };
        let format = structure.and_then(|s| s.get::<&str>("format").ok());
        let (width, height) = (side("width"), side("height"));
        match limits::check(&order, width, height, format.unwrap_or_default()) {
            Ok(()) => gst::PadProbeReturn::Ok,
            Err(error) => {
                outlet.failed(Failure {
                    reason: DecodeFailure::LimitExceeded,
                    message: error.to_string(),
                });
                gst::PadProbeReturn::Drop
            }
        }
    });
}

/// What cannot be read is complained of by whoever reads it all.
fn upright(order: &Order) -> Upright {
    let mut head = Vec::new();
    let read = std::fs::File::open(&order.path)
        .and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    match (order.kind, read) {
        (ItemKind::Image, Ok(_)) => Upright::of(&head),
        _ => Upright::AS_IT_IS,
    }
}

/// Pictures that lie in the memory of graphics hardware are fetched from there.
fn brought_home(caps: &gst::Caps) -> &'static str {
    let features = caps.features(0);
    if features.is_some_and(|features| features.contains("memory:VAMemory")) {
        "vapostproc ! video/x-raw ! "
    } else {
        ""
    }
}

/// The way of the pictures from the decoder to `frames`.
fn description(order: &Order, upright: Upright, home: &str) -> String {
    let hangs_sideways = matches!(
        order.orientation,
        Orientation::Portrait | Orientation::PortraitFlipped
    );
    // What is scaled is turned by the file and by the screen afterwards.
    let scaled = if hangs_sideways == upright.is_sideways {
        order.screen
    } else {
        order.screen.swapped()
    };
    let (width, height) = (scaled.width(), scaled.height());
    let first = match order.kind {
        ItemKind::Video => "videoflip video-direction=auto ! ",
        ItemKind::Image => "",
    };
    let crop = match order.fit {
        Fit::Cover => format!("aspectratiocrop aspect-ratio={width}/{height} ! "),
        Fit::Letterbox | Fit::Stretch => String::new(),
    };
    let borders = order.fit == Fit::Letterbox;
    // Against the way the screen was turned.
    let hangs = match order.orientation {
        Orientation::Landscape => None,
        Orientation::Portrait => Some("90l"),
        Orientation::LandscapeFlipped => Some("180"),
        Orientation::PortraitFlipped => Some("90r"),
    };
    let mut turns = String::new();
    for direction in [upright.direction, hangs].into_iter().flatten() {
        turns.push_str(" ! videoflip video-direction=");
        turns.push_str(direction);
    }
    // A picture whose pixels are not square is stretched by the scaler while it is at it.
    format!(
        "{home}{first}{crop}videoconvertscale add-borders={borders} ! \
         video/x-raw,format=BGRx,width={width},height={height},pixel-aspect-ratio=1/1{turns} ! \
         appsink name=frames sync=false max-buffers=1 qos=false enable-last-sample=false"
    )
}

fn pictures(
    order: &Order,
    upright: Upright,
    home: &str,
    outlet: &Outlet,
) -> Result<gst::Bin, gst::glib::Error> {
    let description = description(order, upright, home);
    let branch = gst::parse::bin_from_description(&description, true)?;
    let outlet = outlet.clone();
    let still = order.kind == ItemKind::Image;
    let mut first_pts = None;
    let mut last_pts_ns = 0;
    let mut done = false;
    on_samples(&branch, "frames", move |buffer, bytes| {
        if done {
            return Err(gst::FlowError::Eos);
        }
        let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
        let first = *first_pts.get_or_insert(pts);
        // Some files repeat a time or step back; the screen does not.
        last_pts_ns = pts.saturating_sub(first).max(last_pts_ns);
        let duration_ns = buffer.duration().map_or(0, gst::ClockTime::nseconds);
        let duration_ns = if still {
            0
        } else {
            duration_ns.min(10_000_000_000)
        };
        outlet
            .frame(bytes, last_pts_ns, duration_ns)
            .map_err(|_| gst::FlowError::Eos)?;
        done = still;
        Ok(())
    });
    Ok(branch)
}

fn sound(outlet: &Outlet) -> Result<gst::Bin, gst::glib::Error> {
    let description = format!(
        "audioconvert ! audioresample ! audiorate ! \
         audio/x-raw,format=S16LE,layout=interleaved,rate={AUDIO_RATE},channels={AUDIO_CHANNELS} ! \
         appsink name=samples sync=false max-buffers=4 enable-last-sample=false"
    );
    let branch = gst::parse::bin_from_description(&description, true)?;
    let outlet = outlet.clone();
    on_samples(&branch, "samples", move |buffer, bytes| {
        let pts_ns = buffer.pts().map_or(0, gst::ClockTime::nseconds);
        let piece_ns = 25_000_000;
        for (index, piece) in (0u64..).zip(bytes.chunks(AUDIO_PIECE_BYTES)) {
            outlet
                .sound(piece, pts_ns + index * piece_ns)
                .map_err(|_| gst::FlowError::Eos)?;
        }
        Ok(())
    });
    Ok(branch)
}

fn on_samples(
    branch: &gst::Bin,
    name: &str,
    mut take: impl FnMut(&gst::BufferRef, &[u8]) -> Result<(), gst::FlowError> + Send + 'static,
) {
    let Some(sink) = branch
        .by_name(name)
        .and_then(|element| element.downcast::<gst_app::AppSink>().ok())
    else {
        return;
    };
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
            let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            take(buffer, &bytes)?;
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    sink.set_callbacks(callbacks);
}

/// Tells the end and the first failure, from whichever thread they come.
fn watch(pipeline: &gst::Pipeline, outlet: &Outlet) -> Result<(), Failure> {
    let bus = pipeline.bus().ok_or_else(|| Failure {
        reason: DecodeFailure::DecodeError,
        message: "a pipeline without a bus".to_owned(),
    })?;
    let outlet = outlet.clone();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Eos(_) => outlet.ended(),
            gst::MessageView::Error(error) => outlet.failed(Failure {
                reason: reason(&error.error()),
                message: error.error().to_string(),
            }),
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}

fn reason(error: &gst::glib::Error) -> DecodeFailure {
    match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NoSpaceLeft) => DecodeFailure::LimitExceeded,
        Some(_) => DecodeFailure::FileDamaged,
        None => DecodeFailure::DecodeError,
    }
}
