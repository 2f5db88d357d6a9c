//! Sound of items, with a sink that listens in the loudspeaker's place.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use std::sync::mpsc;

use cinema::hall::Cinema;
use cinema::{codes, program};
use fleet_player::media::engine::{Report, Speaker};
use fleet_player::media::output;
use gstreamer as gst;
use gstreamer::prelude::*;

/// A loudspeaker that tells how loud each piece was, and fails after `lives` of them.
fn speaker(lives: usize) -> (Speaker, mpsc::Receiver<u16>) {
    output::init().unwrap();
    let (tell, heard) = mpsc::channel();
    let mut left = lives;
    let callbacks = gstreamer_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let bytes = sample.buffer().unwrap().map_readable().unwrap();
            let samples = bytes.chunks_exact(2);
            let loud = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs());
            // The test is over before the engine.
            let _ = tell.send(loud.max().unwrap_or(0));
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(gst::FlowError::Error);
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    let sink = gstreamer_app::AppSink::builder()
        .callbacks(callbacks)
        .build();
    (Speaker::Sink(sink.upcast()), heard)
}

/// Plays an item of 2 s to its end; gives how loud its pieces were.
fn play(
    cinema: &mut Cinema,
    heard: &mpsc::Receiver<u16>,
    item: u16,
    volume_percent: u8,
) -> Vec<u16> {
    let mut film = cinema.film_with(item, 50, true);
    film.item.volume_percent = volume_percent;
    let ticket = cinema.prepared(film);
    // The last of the item before.
    heard.try_iter().for_each(drop);
    cinema.engine.show(ticket);
    let seen = cinema
        .eyes
        .watch(|seen| seen.is_of(item) && seen.code.is_some_and(|code| code.frame == 49));
    cinema.expect(&Report::Ended(ticket));
    let mut frames = codes(&seen);
    // The picture before stays until the first frame is there.
    frames.retain(|code| code.item == item);
    assert!(frames.is_sorted(), "{frames:?}");
    assert_eq!(frames[0].frame, 0);
    heard.try_iter().collect()
}

#[test]
fn each_item_is_as_loud_as_its_volume_says() {
    let (speaker, heard) = speaker(usize::MAX);
    let mut cinema = Cinema::with_speaker(program(), speaker);
    let mut loudest = |item, volume| play(&mut cinema, &heard, item, volume).into_iter().max();
    let whole = loudest(1, 100).expect("sound");
    assert!(whole > 1_000, "{whole}");
    let half = loudest(2, 50).expect("sound");
    assert!(half.abs_diff(whole / 2) < whole / 20, "{half} of {whole}");
    // A silent item's sound is not even decoded.
    assert_eq!(loudest(3, 0), None);
}

#[test]
fn a_loudspeaker_that_dies_or_was_never_there_costs_no_picture() {
    let (dying, heard) = speaker(3);
    let mut cinema = Cinema::with_speaker(program(), dying);
    assert_eq!(play(&mut cinema, &heard, 1, 100).len(), 3);
    let absent = gst::ElementFactory::make("filesink")
        .property("location", "/absent/loudspeaker")
        .build()
        .unwrap();
    let mut cinema = Cinema::with_speaker(program(), Speaker::Sink(absent));
    play(&mut cinema, &heard, 2, 100);
}
