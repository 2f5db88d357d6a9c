//! `films FOLDER`: makes what `cargo xtask bench` has players play, and describes it in JSON.
//!
//! Three folders of films whose every frame says which it is: `playlist`, of sizes and rates that differ; `clip`, one
//! long film of 1080p30; `changes`, films that are over at once.

use std::path::PathBuf;

use fleet_tests::media::{self, Film, MediaError};
use serde_json::{Map, Value, json};

type Make = fn(&std::path::Path, &Film) -> Result<(), MediaError>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("films FOLDER")?;
    let film = |item, frames, frames_a_second, width, height| Film {
        item,
        frames,
        frames_a_second,
        width,
        height,
        sound: false,
    };
    let playlist = vec![
        film(1, 90, 30, 1280, 720),
        film(2, 90, 30, 960, 540),
        film(3, 75, 25, 640, 360),
    ];
    let clip = vec![film(4, 750, 30, 1920, 1080)];
    let changes = (5..9).map(|item| film(item, 2, 30, 320, 180)).collect();
    let sets: [(&str, Vec<Film>, Make); 3] = [
        ("playlist", playlist, media::write_grainy_film),
        ("clip", clip, media::write_grainy_film),
        ("changes", changes, media::write_film),
    ];
    let mut made = Map::new();
    for (name, films, make) in sets {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for film in &films {
            make(&folder.join(format!("{}.mp4", film.item)), film)?;
        }
        made.insert(name.to_owned(), films.iter().map(described).collect());
    }
    println!("{}", Value::Object(made));
    Ok(())
}

fn described(film: &Film) -> Value {
    json!({
        "item": film.item,
        "frames": film.frames,
        "framesASecond": film.frames_a_second,
        "file": format!("{}.mp4", film.item),
    })
}
