//! `showreel FOLDER`: makes what the demo's screen plays, two slides and a film, and names the files in JSON.

use std::path::{Path, PathBuf};

use fleet_tests::media;
use gstreamer as gst;
use gstreamer::prelude::*;
use serde_json::json;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// An emulated machine decodes it.
const FILM: &str = "width=320,height=180,framerate=10/1";
const FILM_FRAMES: u32 = 80;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("showreel FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    gst::init()?;
    slide(
        &folder.join("welcome.png"),
        "0xff14213d",
        "Fleet keeps screens lit",
    )?;
    film(&folder.join("film.mp4"), "A film")?;
    slide(
        &folder.join("update.png"),
        "0xff2d6a4f",
        "Updates install\nwhile this plays",
    )?;
    println!("{}", json!(["welcome.png", "film.mp4", "update.png"]));
    Ok(())
}

fn slide(to: &Path, colour: &str, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    run(
        &format!(
            "videotestsrc num-buffers=1 pattern=solid-color foreground-color={colour} ! \
         video/x-raw,width={WIDTH},height={HEIGHT},framerate=1/1 ! {} ! videoconvert ! pngenc ! filesink name=to",
            overlay(text, 64)
        ),
        to,
    )
}

fn film(to: &Path, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    run(
        &format!(
            "videotestsrc num-buffers={FILM_FRAMES} pattern=ball ! video/x-raw,{FILM} ! {} ! videoconvert ! \
         openh264enc complexity=low bitrate=400000 ! h264parse ! mp4mux faststart=true ! filesink name=to",
            overlay(text, 24)
        ),
        to,
    )
}

fn overlay(text: &str, points: u32) -> String {
    let text = text.replace('\n', "&#10;");
    format!(
        "textoverlay text=\"{text}\" font-desc=\"Sans Bold {points}\" valignment=center halignment=center \
         draw-shadow=false"
    )
}

fn run(description: &str, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = gst::parse::launch(description)?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| "not a pipeline")?;
    let sink = pipeline.by_name("to").ok_or("no way out")?;
    sink.set_property(
        "location",
        to.to_str().ok_or("the folder's name is no text")?,
    );
    pipeline.set_state(gst::State::Playing)?;
    let outcome = media::wait_for_end(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    Ok(outcome?)
}
