//! A whole player; only the glass is a sink that reads codes.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use fleet_player::app::device::{Device, Facts, MediaLimits, Places, Setting};
use fleet_player::app::{self, Engines, Happening, Place, Show};
use fleet_player::control_plane::PlainHttp;
use fleet_player::media::output::Glass;

use super::{Eyes, glass, program, size};

pub struct Player {
    pub eyes: Eyes,
    happen: mpsc::Sender<Happening>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// `device`: its folders `identity`, `state` and `cache`.
    pub fn start(device: &Path) -> Self {
        let (glass, eyes) = glass();
        Self::start_on(glass, eyes, device)
    }

    pub fn start_on(glass: Glass, eyes: Eyes, device: &Path) -> Self {
        let (happen, happenings) = mpsc::channel();
        let mut engines = Engines::new(program(), happen.clone());
        let engine = engines.begin(Place::Glass(glass, size())).unwrap();
        let setting = Setting {
            places: Places {
                identity: device.join("identity"),
                state: device.join("state"),
                cache: device.join("cache"),
                notice: device.join("card.json"),
                cec: None,
            },
            facts: Facts::of_this_machine(),
            plain_http: PlainHttp::LoopbackOnly,
            media: MediaLimits::default(),
        };
        let thread = std::thread::spawn(move || {
            let (device, events) = Device::open(setting).unwrap();
            let mut show = Show::new(engine, device);
            for event in events {
                show.take(event);
            }
            app::play(&mut show, &mut engines, &happenings).unwrap();
            show.end();
        });
        Self {
            eyes,
            happen,
            thread: Some(thread),
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.happen.send(Happening::Stop);
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            assert!(std::thread::panicking() || outcome.is_ok());
        }
    }
}
