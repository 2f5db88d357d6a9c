//! Which decoder an item gets: what the machine has, in the order of its profile, and software behind it.
//!
//! Hardware that no profile names is never used: it would be closed to this process anyway ([`super::sandbox`]). What
//! a preferred decoder has failed with is decoded without it, by the engine's word.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::work::Outlet;
use crate::media::wire::Order;
use crate::profile::{Codec, DecoderProfile};

/// A decoder that takes the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate<'a> {
    name: &'a str,
    is_hardware: bool,
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
            let whole = u32::try_from(frames).ok()?.div_ceil(u32::try_from(seconds).ok()?);
            (whole > 0).then_some(whole)
        });
        Self {
            codec: structure.and_then(|s| Codec::of_media_type(s.name())),
            size: side("width").zip(side("height")),
            frames_a_second: rate,
        }
    }
}

/// The candidates to try, by their places, the best one first.
fn choose(
    candidates: &[Candidate<'_>],
    stream: Stream,
    profile: &DecoderProfile,
    avoided: &[String],
) -> Vec<usize> {
    let is_avoided = |name: &str| avoided.iter().any(|avoided| avoided == name);
    let named = profile.preferred.iter().filter(|preferred| {
        Some(preferred.codec) == stream.codec
            && preferred.takes(stream.size, stream.frames_a_second)
    });
    let mut chosen: Vec<usize> = named
        .filter_map(|preferred| {
            let name = preferred.element.as_str();
            candidates.iter().position(|candidate| candidate.name == name)
        })
        .filter(|place| !is_avoided(candidates[*place].name))
        .collect();
    for (place, candidate) in candidates.iter().enumerate() {
        if !candidate.is_hardware && !is_avoided(candidate.name) && !chosen.contains(&place) {
            chosen.push(place);
        }
    }
    chosen
}

/// Has `decodebin` try decoders in the order of the profile, and tells which preferred one is in use.
pub(super) fn apply(decode: &gst::Element, order: &Order, outlet: &Outlet) {
    let (profile, avoided) = (order.profile.clone(), order.avoided.clone());
    decode.connect("autoplug-sort", false, move |values| {
        let caps: gst::Caps = values.get(2)?.get().ok()?;
        let factories: gst::glib::ValueArray = values.get(3)?.get().ok()?;
        let factories: Vec<gst::ElementFactory> =
            factories.iter().filter_map(|value| value.get().ok()).collect();
        Some(sorted(&factories, &caps, &profile, &avoided).to_value())
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
        if preferred.any(|preferred| preferred.element.as_str() == name) {
            outlet.uses(&name);
        }
    });
}

/// Whatever is no decoder of pictures stays before them: they need what a parser finds out.
fn sorted(
    factories: &[gst::ElementFactory],
    caps: &gst::Caps,
    profile: &DecoderProfile,
    avoided: &[String],
) -> gst::glib::ValueArray {
    let (decoders, others): (Vec<_>, Vec<_>) =
        factories.iter().partition(|factory| is_decoder(factory));
    let names: Vec<_> = decoders.iter().map(|factory| factory.name()).collect();
    let candidates: Vec<_> = (names.iter().zip(&decoders))
        .map(|(name, factory)| Candidate {
            name,
            is_hardware: class(factory).contains("Hardware"),
        })
        .collect();
    let chosen = choose(&candidates, Stream::of(caps), profile, avoided);
    let chosen = chosen.into_iter().map(|place| decoders[place]);
    gst::glib::ValueArray::new(others.into_iter().chain(chosen).map(ToValue::to_value))
}

fn is_decoder(factory: &gst::ElementFactory) -> bool {
    let class = class(factory);
    class.contains("Decoder") && class.contains("Video")
}

fn class(factory: &gst::ElementFactory) -> &str {
    factory.metadata("klass").unwrap_or_default()
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

    const fn hardware(name: &str) -> Candidate<'_> {
        let is_hardware = true;
        Candidate { name, is_hardware }
    }

    const fn software(name: &str) -> Candidate<'_> {
        let is_hardware = false;
        Candidate { name, is_hardware }
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

    fn chosen<'a>(candidates: &[Candidate<'a>], stream: Stream, avoided: &[&str]) -> Vec<&'a str> {
        let profile = Profile::parse("test", PROFILE).unwrap().decoder;
        let avoided: Vec<String> = avoided.iter().map(ToString::to_string).collect();
        let chosen = choose(candidates, stream, &profile, &avoided);
        chosen.into_iter().map(|place| candidates[place].name).collect()
    }

    #[test]
    fn what_the_profile_names_goes_first_and_software_follows() {
        let all = [
            software("avdec_h264"),
            software("openh264dec"),
            hardware("v4l2h264dec"),
        ];
        let expected = ["v4l2h264dec", "openh264dec", "avdec_h264"];
        assert_eq!(chosen(&all, HD, &[]), expected);
        // Not there, or not up to it.
        assert_eq!(chosen(&all[..2], HD, &[]), expected[1..]);
        assert_eq!(chosen(&all, UHD, &[]), expected[1..]);
        let fast = Stream {
            frames_a_second: Some(120),
            ..HD
        };
        assert_eq!(chosen(&all, fast, &[]), expected[1..]);
    }

    #[test]
    fn hardware_that_no_profile_names_is_left_alone() {
        let all = [hardware("vah264dec"), software("avdec_h264")];
        assert_eq!(chosen(&all, HD, &[]), ["avdec_h264"]);
        let hevc = Stream {
            codec: Some(Codec::Hevc),
            ..HD
        };
        let all = [hardware("v4l2slh265dec"), hardware("v4l2h264dec")];
        assert_eq!(chosen(&all, hevc, &[]), ["v4l2slh265dec"]);
        let unheard_of = Stream { codec: None, ..HD };
        assert_eq!(chosen(&all, unheard_of, &[]), [""; 0]);
    }

    #[test]
    fn one_that_failed_is_avoided_and_the_others_decode() {
        let all = [hardware("v4l2h264dec"), software("avdec_h264")];
        assert_eq!(chosen(&all, HD, &["v4l2h264dec"]), ["avdec_h264"]);
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
