//! Makes the engine for what there is to show on, and watches whether that has changed.
//!
//! A display may come later than the player: its driver loads, or somebody plugs a screen in. Until then an engine
//! runs that shows nowhere, so that content is fetched and everything can be asked. A screen that is unplugged keeps
//! its engine: it will be back. Only another screen, or another mode, needs another one.

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Happening;
use crate::media::decoder::Program;
use crate::media::display::{Card, DisplayError, Hotplug, Look, Screen};
use crate::media::engine::{Engine, EngineError};
use crate::media::frame::Size;
use crate::media::output::Glass;
use crate::service;

/// While there is no screen. What is played to nobody need not be large.
const DARK: Size = match Size::new(640, 360) {
    Ok(size) => size,
    Err(_) => panic!("a screen of 640×360"),
};
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(250);
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// After a plug was pulled or put in: a TV that wakes up can't be asked for its modes at once.
const PROBED_FOR: Duration = Duration::from_secs(5);

/// Where pictures are to be seen.
#[derive(Debug)]
pub enum Place {
    /// In a window of this size.
    Window(Size),
    /// On the display of the machine. `kept`: its file, from the player before this one.
    Display { kept: Option<OwnedFd> },
    /// For tests and measurements.
    Glass(Glass, Size),
}

/// Which of the engines that there were speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

#[derive(Debug)]
pub struct Engines {
    program: Program,
    happen: mpsc::Sender<Happening>,
    generation: u64,
}

impl Engines {
    /// What happens to engines and to the screen goes to `happen`.
    pub fn new(program: Program, happen: mpsc::Sender<Happening>) -> Self {
        Self {
            program,
            happen,
            generation: 0,
        }
    }

    /// The first engine.
    pub fn begin(&mut self, place: Place) -> Result<Engine, EngineError> {
        match place {
            Place::Window(size) => self.start(Glass::Window, size),
            Place::Glass(glass, size) => self.start(glass, size),
            Place::Display { kept } => self.begin_on_display(kept),
        }
    }

    /// An engine on `screen`, after there was another or none.
    pub fn on(&mut self, card: Card, screen: Screen) -> Result<Engine, EngineError> {
        self.start_on(card, screen, false)
    }

    /// `lit`: a predecessor's picture is on it.
    fn start_on(&mut self, card: Card, screen: Screen, lit: bool) -> Result<Engine, EngineError> {
        let (size, hz) = (screen.size(), screen.refresh_hz());
        log::info!("the screen: {size} at {hz} Hz");
        self.start(Glass::Kms { card, screen, lit }, size)
    }

    /// Whether it is the engine in use that speaks.
    pub const fn is_current(&self, generation: Generation) -> bool {
        self.generation == generation.0
    }

    fn begin_on_display(&mut self, kept: Option<OwnedFd>) -> Result<Engine, EngineError> {
        let hotplug = Hotplug::listen();
        let kept = kept.and_then(take_over);
        let lit = kept.is_some();
        let card = kept.or_else(open);
        let screen = card.as_ref().and_then(connected);
        watch(hotplug, card.clone(), screen, self.happen.clone()).map_err(EngineError::Thread)?;
        if let (Some(card), Some(screen)) = (card, screen) {
            self.start_on(card, screen, lit)
        } else {
            log::warn!("no screen is connected; pictures go nowhere until one is");
            self.start(Glass::Dark, DARK)
        }
    }

    fn start(&mut self, glass: Glass, size: Size) -> Result<Engine, EngineError> {
        self.generation += 1;
        let generation = Generation(self.generation);
        let happen = self.happen.clone();
        Engine::start(glass, size, self.program.clone(), move |report| {
            // The loop has ended: so will the engine.
            let _ = happen.send(Happening::Engine(generation, report));
        })
    }
}

/// The predecessor's file, if it is of any use.
fn take_over(file: OwnedFd) -> Option<Card> {
    match Card::from_file(file) {
        Ok(card) => Some(card),
        Err(error) => {
            log::warn!("the display that was kept is gone: {error}");
            service::forget_display();
            None
        }
    }
}

/// A display, and into keeping with it.
fn open() -> Option<Card> {
    match Card::open() {
        Ok(card) => {
            service::keep_display(&card);
            Some(card)
        }
        Err(DisplayError::Absent) => None,
        Err(error) => {
            log::warn!("{error}");
            None
        }
    }
}

fn connected(card: &Card) -> Option<Screen> {
    card.screen(Look::Known).unwrap_or_else(|error| {
        log::warn!("{error}");
        None
    })
}

/// Tells of each screen that is another than the one before.
fn watch(
    hotplug: Hotplug,
    mut card: Option<Card>,
    mut screen: Option<Screen>,
    happen: mpsc::Sender<Happening>,
) -> std::io::Result<()> {
    let mut probed_until = None;
    let look = move || loop {
        let pause = match screen {
            Some(_) => LOOKED_AT_EVERY,
            None => LOOKED_FOR_EVERY,
        };
        if hotplug.wait(pause) {
            probed_until = Some(Instant::now() + PROBED_FOR);
        }
        if card.is_none() {
            card = open();
        }
        let Some(card) = &card else { continue };
        let is_plugged = probed_until.is_some_and(|until| Instant::now() < until);
        let look = if is_plugged { Look::Probe } else { Look::Known };
        // What can't be asked now is asked again.
        let Ok(Some(found)) = card.screen(look) else {
            continue;
        };
        if screen.is_none_or(|before| !before.is_same(&found)) {
            screen = Some(found);
            let change = Happening::Screen(card.clone(), found);
            if happen.send(change).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("screen".to_owned());
    thread.spawn(look).map(drop)
}
