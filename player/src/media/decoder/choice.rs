//! Which decoder an item gets: what the machine has, in the order of its profile, and software behind it.
//!
//! Hardware that no profile names is never used: it would be closed to this process anyway ([`super::sandbox`]). What
//! a preferred decoder has failed with is decoded without it, by the engine's word.
//!
//! `decodebin` tries decoders in the order of their ranks. This process decodes one item, so ranks are set for that item
//! alone; what only the stream itself says, its size and its rate, is asked for when one is about to be tried.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::work::Outlet;
use crate::media::wire::Order;
use crate::profile::{Codec, DecoderProfile};

/// Of the first element of a profile: above all ranks that elements give themselves.
const FIRST_RANK: i32 = 4_096;
/// `decodebin` is to try the next one: `GST_AUTOPLUG_SELECT_SKIP`.
const SKIP: i32 = 2;
/// And this one: `GST_AUTOPLUG_SELECT_TRY`.
const TRY: i32 = 0;

/// A decoder that the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate<'a> {
    name: &'a str,
    is_hardware: bool,
    /// As it comes.
    rank: i32,
}

/// What is known of a film before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stream {
    codec: Option<Codec>,
    size: Option<(u32, u32)>,
    frames_a_second: Option<u32>,
}

impl Stream {
    fn of(caps: &gst::Caps) -> Self {
        let structure = caps.structure(0);
        let side = |name| {
            let side = structure?.get::<i32>(name).ok()?;
            u32::try_from(side).ok().filter(|side| *side > 0)
        };
        let rate = structure.and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let rate = rate.and_then(|rate| {
            let (frames, seconds) = (rate.numer(), rate.denom());
            // 0/1 stands for a rate that changes.
            let whole = u32::try_from(frames)
                .ok()?
                .div_ceil(u32::try_from(seconds).ok()?);
            (whole > 0).then_some(whole)
        });
        Self {
            codec: structure.and_then(|s| Codec::of_media_type(s.name())),
            size: side("width").zip(side("height")),
            frames_a_second: rate,
        }
    }
}

/// The higher, the sooner it is tried; `None`: never.
fn rank(candidate: Candidate<'_>, profile: &DecoderProfile, avoided: &[String]) -> Option<i32> {
    if avoided.iter().any(|name| name == candidate.name) {
        return None;
    }
    let mut named = profile.preferred.iter();
    match named.position(|preferred| preferred.element.as_str() == candidate.name) {
        Some(place) => Some(FIRST_RANK - i32::try_from(place).unwrap_or(FIRST_RANK)),
        None if candidate.is_hardware => None,
        None => Some(candidate.rank),
    }
}

/// Whether an element is up to a film, as far as the profile says.
fn takes(name: &str, stream: Stream, profile: &DecoderProfile) -> bool {
    let mut said = profile
        .preferred
        .iter()
        .filter(|preferred| {
            preferred.element.as_str() == name && Some(preferred.codec) == stream.codec
        })
        .map(|preferred| preferred.takes(stream.size, stream.frames_a_second))
        .peekable();
    said.peek().is_none() || said.any(|takes| takes)
}

/// Has `decode` try decoders in the order of the profile, and tells which preferred one is in use.
pub(super) fn apply(decode: &gst::Element, order: &Order, outlet: &Outlet) {
    let kinds = gst::ElementFactoryType::DECODER
        | gst::ElementFactoryType::MEDIA_VIDEO
        | gst::ElementFactoryType::MEDIA_IMAGE;
    for factory in gst::ElementFactory::factories_with_type(kinds, gst::Rank::NONE) {
        let name = factory.name();
        let class = factory.metadata("klass").unwrap_or_default();
        let candidate = Candidate {
            name: name.as_str(),
            is_hardware: class.contains("Hardware"),
            rank: i32::from(factory.rank()),
        };
        let rank = rank(candidate, &order.profile, &order.avoided);
        factory.set_rank(rank.map_or(gst::Rank::NONE, gst::Rank::from));
    }
    let profile = order.profile.clone();
    decode.connect("autoplug-select", false, move |values| {
        let caps: Option<gst::Caps> = values.get(2).and_then(|value| value.get().ok());
        let factory: Option<gst::ElementFactory> = values.get(3).and_then(|value| value.get().ok());
        let skipped = caps.zip(factory).is_some_and(|(caps, factory)| {
            !takes(factory.name().as_str(), Stream::of(&caps), &profile)
        });
        let answer = gst::glib::Type::from_name("GstAutoplugSelectResult")
            .and_then(gst::glib::EnumClass::with_type);
        answer.and_then(|answer| answer.to_value(if skipped { SKIP } else { TRY }))
    });
    let Some(decode) = decode.downcast_ref::<gst::Bin>() else {
        return;
    };
    let (profile, outlet) = (order.profile.clone(), outlet.clone());
    decode.connect_deep_element_added(move |_, _, element| {
        let Some(factory) = element.factory() else {
            return;
        };
        let name = factory.name();
        let mut preferred = profile.preferred.iter();
        if preferred.any(|preferred| preferred.element.as_str() == name.as_str()) {
            outlet.uses(&name);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    const PROFILE: &str = r#"
[board]
[cache]
budget_mib = 2048
[decoder]
memory_mib = 640
[[decoder.preferred]]
codec = "h264"
element = "v4l2h264dec"
largest = "1920x1080"
frames_a_second = 60
[[decoder.preferred]]
codec = "h264"
element = "openh264dec"
[[decoder.preferred]]
codec = "hevc"
element = "v4l2slh265dec"
"#;

    /// As GStreamer's are: of a higher rank than software.
    const fn hardware(name: &str) -> Candidate<'_> {
        Candidate {
            name,
            is_hardware: true,
            rank: 257,
        }
    }

    const fn software(name: &str, rank: i32) -> Candidate<'_> {
        Candidate {
            name,
            is_hardware: false,
            rank,
        }
    }

    const HD: Stream = Stream {
        codec: Some(Codec::H264),
        size: Some((1920, 1080)),
        frames_a_second: Some(30),
    };
    const UHD: Stream = Stream {
        size: Some((3840, 2160)),
        ..HD
    };

    /// In the order in which `decodebin` asks.
    fn tried<'a>(candidates: &[Candidate<'a>], stream: Stream, avoided: &[&str]) -> Vec<&'a str> {
        let profile = Profile::parse("test", PROFILE).unwrap().decoder;
        let avoided: Vec<String> = avoided.iter().map(ToString::to_string).collect();
        let ranked = candidates
            .iter()
            .filter_map(|candidate| Some((rank(*candidate, &profile, &avoided)?, candidate.name)));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by_key(|(rank, _)| -rank);
        let names = ranked.into_iter().map(|(_, name)| name);
        names.filter(|name| takes(name, stream, &profile)).collect()
    }

    #[test]
    fn what_the_profile_names_goes_first_and_software_follows() {
        let all = [
            software("avdec_h264", 256),
            software("openh264dec", 64),
            hardware("v4l2h264dec"),
        ];
        let expected = ["v4l2h264dec", "openh264dec", "avdec_h264"];
        assert_eq!(tried(&all, HD, &[]), expected);
        // Not there, or not up to it.
        assert_eq!(tried(&all[..2], HD, &[]), expected[1..]);
        assert_eq!(tried(&all, UHD, &[]), expected[1..]);
        let fast = Stream {
            frames_a_second: Some(120),
            ..HD
        };
        assert_eq!(tried(&all, fast, &[]), expected[1..]);
    }

    #[test]
    fn hardware_that_no_profile_names_is_left_alone() {
        let all = [hardware("vah264dec"), software("avdec_h264", 256)];
        assert_eq!(tried(&all, HD, &[]), ["avdec_h264"]);
        let hevc = Stream {
            codec: Some(Codec::Hevc),
            ..HD
        };
        let all = [hardware("v4l2slh265dec"), hardware("vah265dec")];
        assert_eq!(tried(&all, hevc, &[]), ["v4l2slh265dec"]);
        assert_eq!(tried(&[hardware("vavp9dec")], HD, &[]), [""; 0]);
    }

    #[test]
    fn one_that_failed_is_avoided_and_the_others_decode() {
        let all = [hardware("v4l2h264dec"), software("avdec_h264", 256)];
        assert_eq!(tried(&all, HD, &["v4l2h264dec"]), ["avdec_h264"]);
    }

    #[test]
    fn a_stream_is_read_from_its_caps() {
        crate::media::output::init().unwrap();
        let check = |caps: &str, expected| {
            assert_eq!(Stream::of(&caps.parse().unwrap()), expected, "{caps}");
        };
        check(
            "video/x-h264, width=1920, height=1080, framerate=30000/1001",
            HD,
        );
        let unknown = Stream {
            codec: Some(Codec::Av1),
            size: None,
            frames_a_second: None,
        };
        check("video/x-av1, framerate=0/1", unknown);
    }
}
