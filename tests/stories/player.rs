//! The screen is never blank. It is photographed all the while, and what is on it is read from the pixels.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet_protocol::command::CommandKind;
use fleet_tests::fake_control_plane::{FakeControlPlane, TOKEN, screen_off_at};
use fleet_tests::fleet::{now, wait_until};
use fleet_tests::kit::release;
use fleet_tests::media::{self, Film};
use fleet_tests::vm::CONTENT_ADDRESS;
use serde_json::{Value, json};

use crate::stage::{self, BOOT, Failure, SHORT, Stage, Told, ensure, same};
use crate::watch::Watch;

/// Until a round of a playlist is over: an emulated machine takes its time for each item.
pub(crate) const ROUND: Duration = Duration::from_mins(3);

/// A control plane for the player alone, with files, and the story's device playing from it.
pub(crate) struct Programme {
    pub(crate) server: FakeControlPlane,
    files: PathBuf,
    /// How many frames each item has that was made for it, by its number.
    frames: RefCell<BTreeMap<u16, u16>>,
}

impl Programme {
    fn new(dir: &Path) -> Result<Self, Failure> {
        let files = dir.join("content");
        fs::create_dir_all(&files)?;
        let server = FakeControlPlane::start(&files)?;
        Ok(Self {
            server,
            files,
            frames: RefCell::default(),
        })
    }

    /// `file` as an item, such as it is.
    fn item(&self, name: &str, kind: &str, seconds: u32) -> Result<Value, Failure> {
        let server = format!("http://{CONTENT_ADDRESS}");
        let mut item = self.server.item(&server, name, kind, seconds, (640, 360))?;
        item["fit"] = json!("STRETCH");
        Ok(item)
    }

    fn picture(&self, number: u16, size: (u32, u32)) -> Result<Value, Failure> {
        self.picture_in(&format!("{number}.png"), number, size)
    }

    /// A picture in a file of this name, whose ending says of which kind.
    fn picture_in(
        &self,
        name: &str,
        number: u16,
        (width, height): (u32, u32),
    ) -> Result<Value, Failure> {
        media::write_picture(&self.files.join(name), number, width, height)?;
        self.frames.borrow_mut().insert(number, 1);
        self.item(name, "IMAGE", 2)
    }

    fn film(&self, number: u16, film: &Film) -> Result<Value, Failure> {
        let name = format!("{number}.mp4");
        media::write_film(&self.files.join(&name), film)?;
        self.frames.borrow_mut().insert(number, film.frames);
        self.item(&name, "VIDEO", 3)
    }

    /// Something that is no picture, whatever it is called.
    fn useless(&self, name: &str, kind: &str, bytes: &[u8]) -> Result<Value, Failure> {
        fs::write(self.files.join(name), bytes)?;
        self.item(name, kind, 2)
    }

    pub(crate) fn publish(&self, etag: &str, items: &[Value]) {
        self.server.publish(etag, 5, items);
    }

    /// A picture, a small slow film, a larger faster one, and a photograph of another size: 1, 2, 3, 4. Both films are
    /// slow: other machines run beside this one.
    pub(crate) fn four(&self) -> Result<[Value; 4], Failure> {
        let small = Film {
            item: 2,
            frames: 10,
            frames_a_second: 4,
            width: 320,
            height: 180,
            sound: true,
        };
        let large = Film {
            item: 3,
            frames: 12,
            frames_a_second: 6,
            width: 640,
            height: 360,
            sound: false,
        };
        Ok([
            self.picture(1, (640, 360))?,
            self.film(2, &small)?,
            self.film(3, &large)?,
            self.picture_in("4.jpg", 4, (1280, 720))?,
        ])
    }

    /// Waits until something failed, and what was reported of it names `what`: the asset, or the reason.
    fn wait_for_failure_of(&self, what: &str) -> Told {
        let is_it = |event: &Value| {
            let of_it = event.to_string().contains(what);
            of_it
                && matches!(
                    event["eventType"].as_str(),
                    Some("PLAYBACK_FAILED" | "DOWNLOAD_FAILED")
                )
        };
        wait_until(&format!("{what} to be reported"), SHORT, || {
            let events = self.server.events();
            let found = events.iter().any(is_it).then_some(());
            Ok((found, format!("{} events", events.len())))
        })?;
        Ok(())
    }
}

/// Makes the device's player play from [`CONTENT_ADDRESS`], until it is rebooted.
fn play_from_content(stage: &mut Stage) -> Told {
    let url = json!({"serverUrl": format!("http://{CONTENT_ADDRESS}")});
    let lines = [
        "mkdir -p /run/content".to_owned(),
        format!("printf '%s' '{url}' >/run/content/identity.json"),
        format!("printf '%s' '{TOKEN}' >/run/content/token"),
        // No file of a unit: reading them all again takes an emulated PID 1 longer than its watchdog allows.
        "systemctl set-environment FLEET_PLAYER_IDENTITY=/run/content FLEET_PLAYER_INSECURE_HTTP=true".to_owned(),
        "systemctl restart --no-block fleet-player.service".to_owned(),
    ];
    stage.vm.sh(&lines.join(" && "))?;
    Ok(())
}

/// Tells a story about a device that plays 1, 2, 3, 4 over and over, and somebody who watches it and never sees
/// anything else than a picture, nor any that was not published.
fn tell(name: &str, story: impl FnOnce(&mut Stage, &Programme, &Watch) -> Told) -> Told {
    play(name, |stage, programme, watch| {
        story(stage, programme, watch)?;
        watch.never_blank()?;
        watch.shows_only(&programme.frames.borrow())
    })
}

/// The same, whatever else may be seen.
pub(crate) fn play(name: &str, story: impl FnOnce(&mut Stage, &Programme, &Watch) -> Told) -> Told {
    let files = tempfile::tempdir()?;
    let programme = Programme::new(files.path())?;
    stage::tell_with_content(name, programme.server.port(), |stage| {
        programme.publish("one", &programme.four()?);
        play_from_content(stage)?;
        let watch = Watch::begin(stage.vm.camera()?, stage.dir());
        watch.wait_for(&[1, 2, 3, 4, 1], BOOT + ROUND)?;
        story(stage, &programme, &watch)
    })
}

#[test]
fn one_item_follows_another_without_a_gap_and_damaged_ones_are_left_out() -> Told {
    tell("playlist", |_, programme, watch| {
        watch.wait_for(&[1, 2, 3, 4, 1, 2, 3, 4, 1], ROUND)?;

        // Another manifest, of which half can't be played.
        let film = fs::read(programme.files.join("2.mp4"))?;
        let items = [
            programme.picture(5, (360, 640))?,
            programme.useless("truncated.mp4", "VIDEO", &film[..film.len() / 2])?,
            programme.useless("text.mp4", "VIDEO", b"this is no film")?,
            programme.useless("bomb.png", "IMAGE", &media::png_bomb(60_000))?,
            programme.picture(6, (64, 64))?,
        ];
        programme.publish("two", &items);
        for asset in ["ast_truncated_mp4", "ast_text_mp4", "ast_bomb_png"] {
            programme.wait_for_failure_of(asset)?;
        }
        watch.wait_for(&[5, 6, 5, 6], ROUND)?;

        // A third one, of which a file never comes: what plays goes on.
        let missing = programme.useless("missing.png", "IMAGE", b"soon gone")?;
        fs::remove_file(programme.files.join("missing.png"))?;
        programme.publish("three", &[programme.picture(7, (640, 360))?, missing]);
        programme.wait_for_failure_of("ast_missing_png")?;
        watch.wait_for(&[5, 6, 5, 6], ROUND)?;
        watch.plays_to_the_end(&programme.frames.borrow())
    })
}

#[test]
fn whatever_is_killed_the_last_picture_stays_and_the_next_one_comes() -> Told {
    tell("killed", |stage, programme, watch| {
        for _ in 0..10 {
            stage
                .vm
                .sh("systemctl kill -s KILL --kill-whom=main fleet-player.service")?;
            std::thread::sleep(Duration::from_secs(1));
        }
        watch.wait_for(&[1, 2, 3, 4], BOOT)?;
        for _ in 0..3 {
            // One may be between two items and have none: then the next is met.
            stage
                .vm
                .sh("until pkill -KILL -f 'fleet-player decode'; do sleep 0.1; done")?;
            std::thread::sleep(Duration::from_secs(2));
        }
        programme.wait_for_failure_of("DECODER_CRASHED")?;
        watch.wait_for(&[1, 2, 3, 4], ROUND)?;
        stage
            .vm
            .sh("systemctl kill -s KILL --kill-whom=main fleet-agent.service")?;
        watch.wait_for(&[1, 2, 3, 4], ROUND)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn without_a_control_plane_and_with_a_full_disk_it_plays_on() -> Told {
    tell("cut-off", |stage, programme, watch| {
        stage.fill_data()?;
        let items = [
            programme.picture(7, (640, 360))?,
            programme.picture(8, (640, 360))?,
        ];
        programme.publish("two", &items);
        watch.wait_for(&[1, 2, 3, 4, 1], ROUND)?;
        stage.free_data()?;
        watch.wait_for(&[7, 8, 7], ROUND)?;
        // The cable is out, and the player is started anew meanwhile.
        stage
            .vm
            .sh("ip link set dev $(ls /sys/class/net | grep -v lo | head -n1) down")?;
        watch.wait_for(&[7, 8, 7, 8], ROUND)?;
        stage
            .vm
            .sh("systemctl kill -s KILL --kill-whom=main fleet-player.service")?;
        watch.wait_for(&[7, 8, 7, 8], BOOT)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn an_update_is_installed_while_the_screen_plays_on() -> Told {
    tell("update-behind", |stage, programme, watch| {
        // What is seen of a reboot is another story.
        stage.device().install(release::GOOD, 3_600)?;
        watch.wait_for(&[1, 2, 3, 4, 1], ROUND)?;
        watch.plays_to_the_end(&programme.frames.borrow())
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn whoever_asks_which_device_it_is_sees_it_instead_of_the_content_for_a_while() -> Told {
    play("identify", |stage, _, watch| {
        watch.never_blank()?;
        let identify = CommandKind::Identify { seconds: 10 };
        stage.device().command(identify, SHORT)?;
        watch.wait_for_something_else(SHORT)?;
        watch.wait_for(&[1, 2, 3, 4], ROUND)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_screen_goes_off_by_its_hours_and_comes_back_with_what_plays() -> Told {
    play("screen-hours", |stage, programme, watch| {
        let blank_ms = |stage: &mut Stage| -> Result<Value, Failure> {
            let frames = stage.vm.sh("cat /run/fleet-player/frames.json")?;
            Ok(serde_json::from_str::<Value>(&frames)?["blankMs"].clone())
        };
        watch.never_blank()?;
        let before = blank_ms(stage)?;
        let off = screen_off_at(now());
        programme
            .server
            .publish_with(&off, "off", 5, &programme.four()?);
        watch.wait_for_something_else(ROUND)?;
        wait_until("pictures that nobody sees", SHORT, || {
            let frames = stage.vm.sh("cat /run/fleet-player/frames.json")?;
            let counts: Value = serde_json::from_str(&frames).unwrap_or_default();
            let found = counts["unseen"].as_u64().filter(|unseen| *unseen > 10);
            Ok((found, frames))
        })?;
        // Killed in the dark it stays dark: the next one knows the hours before its first picture.
        let dark = Instant::now();
        stage
            .vm
            .sh("systemctl kill -s KILL --kill-whom=main fleet-player.service")?;
        std::thread::sleep(Duration::from_secs(10));
        let seen = watch.items_since(dark);
        ensure(seen.is_empty(), || {
            format!("{seen:?} were seen in the dark")
        })?;
        programme.publish("on", &programme.four()?);
        watch.wait_for(&[1, 2, 3, 4, 1], ROUND)?;
        same("the blank time", &blank_ms(stage)?, &before)
    })
}
