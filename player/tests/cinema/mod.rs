//! A glass that reads codes: what was seen on it, in order.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program includes it and uses a part of it"
)]

pub mod hall;
pub mod player;
pub mod venue;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fleet_player::media::decoder::Program;
use fleet_player::media::frame::Size;
use fleet_player::media::output::{self, Glass};
use fleet_player::profile::DecoderProfile;
use fleet_tests::code::{self, Code};
use gstreamer as gst;
use gstreamer::prelude::*;

pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 360;
/// Generous: the machine may be busy with others.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// One picture that came to the glass.
#[derive(Debug, Clone)]
pub struct Seen {
    pub code: Option<Code>,
    pub screen: Vec<u8>,
}

impl Seen {
    pub fn is_of(&self, item: u16) -> bool {
        self.code.is_some_and(|code| code.item == item)
    }
}

/// The other side of the glass.
#[derive(Debug)]
pub struct Eyes(mpsc::Receiver<Seen>);

impl Eyes {
    /// All that is seen until `enough` of it was.
    pub fn watch(&self, enough: impl FnMut(&Seen) -> bool) -> Vec<Seen> {
        self.watch_within(DEADLINE, enough)
    }

    /// The same, of something that takes its time.
    pub fn watch_within(
        &self,
        deadline: Duration,
        mut enough: impl FnMut(&Seen) -> bool,
    ) -> Vec<Seen> {
        let until = Instant::now() + deadline;
        let mut seen = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = self.0.recv_timeout(left).expect("another picture");
            let is_enough = enough(&next);
            seen.push(next);
            if is_enough {
                return seen;
            }
        }
    }

    /// All that is seen until the player has ended.
    pub fn watch_to_the_end(&self) -> Vec<Seen> {
        let until = Instant::now() + DEADLINE;
        let mut seen = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(next) => seen.push(next),
                Err(mpsc::RecvTimeoutError::Disconnected) => return seen,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the player goes on"),
            }
        }
    }

    pub fn watch_for(&self, item: u16) -> Vec<Seen> {
        self.watch(|seen| seen.is_of(item))
    }
}

pub fn size() -> Size {
    Size::new(WIDTH, HEIGHT).unwrap()
}

/// The program that a developer runs, as its own decoder.
pub fn program() -> Program {
    Program {
        path: PathBuf::from(env!("CARGO_BIN_EXE_fleet-player")),
        profile: DecoderProfile::software(640).unwrap(),
    }
}

pub fn glass() -> (Glass, Eyes) {
    output::init().unwrap();
    let (see, seen) = mpsc::channel();
    let callbacks = gstreamer_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().unwrap();
            let screen = buffer.map_readable().unwrap().to_vec();
            let code = code::read(&screen, WIDTH, HEIGHT);
            // The test is over before the engine.
            let _ = see.send(Seen { code, screen });
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    let sink = gstreamer_app::AppSink::builder()
        .callbacks(callbacks)
        .sync(true)
        .build();
    (Glass::Sink(sink.upcast()), Eyes(seen))
}

/// Of pictures each of which is one.
pub fn codes(seen: &[Seen]) -> Vec<Code> {
    let codes = seen.iter().map(|seen| seen.code.expect("no blank picture"));
    codes.collect()
}
