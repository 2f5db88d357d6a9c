//! Performs what the screen's machine decides.

use std::path::PathBuf;

use fleet_device::clock;
use fleet_protocol::player::{FrameCounts, Item, Manifest, PlayerEventKind, Power, ProofOfPlay};

use super::card::Canvas;
use crate::core::screen::{Card, Effect, Event, Screen};
use crate::core::witness::Witness;
use crate::media::engine::{Engine, Job};
use crate::media::frame::SharedFrame;

/// What the surroundings may look at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub screen: &'a Screen,
    pub engine: &'a Engine,
    /// By the engines before this one.
    counted: FrameCounts,
}

impl Seen<'_> {
    /// Since the player started; `None` when the engine does not answer.
    pub fn frames(&self) -> Option<FrameCounts> {
        self.engine.counts().map(|counts| self.counted + counts)
    }
}

/// What has happened around the screen.
#[derive(Debug)]
pub enum News {
    Events(Vec<Event>),
    /// The program is to end.
    Stop,
}

/// What is seen instead of whatever else there is.
#[derive(Debug, Clone)]
pub enum Cover {
    Over(SharedFrame),
    Nothing,
}

/// Where manifests and files come from, and who is told what happens. Nothing in here waits.
pub trait Surroundings {
    /// Both are on disk when this returns, or will be as soon as the disk takes them.
    fn persist(&mut self, current: Option<Box<Manifest>>, previous: Option<Box<Manifest>>);

    /// These are missing, the most urgent first.
    fn fetch(&mut self, missing: Vec<Item>, screen: &Screen);

    fn tell(&mut self, kind: PlayerEventKind);

    /// The item's file, which is whole.
    fn file(&self, item: &Item) -> Option<PathBuf>;

    /// The picture for when there is nothing else.
    fn card(&self, card: Card, canvas: Canvas) -> SharedFrame;

    /// What covers everything else, when that has changed since it was last asked.
    fn cover(&mut self, canvas: Canvas) -> Option<Cover>;

    /// What the screen is to be.
    fn power(&self) -> Power {
        Power::On
    }

    /// Something else is on the glass, or the player ends. `proof` is of what was there before.
    fn shown(&mut self, proof: Option<ProofOfPlay>, screen: &Screen);

    /// What has happened since it was last asked.
    fn news(&mut self, seen: &Seen<'_>) -> News;
}

/// The machine, the engine, and what is around them.
#[derive(Debug)]
pub struct Show<S> {
    screen: Screen,
    witness: Witness,
    engine: Engine,
    /// By the engines before this one.
    counted: FrameCounts,
    /// How many pictures had been seen when what is on the glass began.
    presented: u64,
    surroundings: S,
}

impl<S: Surroundings> Show<S> {
    pub fn new(engine: Engine, surroundings: S) -> Self {
        // Before the first picture: a screen that is off stays so over a restart.
        engine.switch(surroundings.power());
        Self {
            screen: Screen::default(),
            witness: Witness::default(),
            engine,
            counted: FrameCounts::default(),
            presented: 0,
            surroundings,
        }
    }

    /// Whether pictures can still be shown.
    pub fn is_lit(&self) -> bool {
        self.engine.is_running()
    }

    /// What was prepared or shown by the engine before is prepared and shown anew.
    ///
    /// # Errors
    /// What `make` gives; the engine before goes on then.
    pub fn replace_engine<E>(&mut self, make: impl FnOnce() -> Result<Engine, E>) -> Result<(), E> {
        let before = std::mem::replace(&mut self.engine, make()?);
        self.counted = self.counted + before.last_counts();
        drop(before);
        self.engine.switch(self.surroundings.power());
        self.take(Event::EngineReplaced);
        Ok(())
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            screen: &self.screen,
            engine: &self.engine,
            counted: self.counted,
        }
    }

    /// Since the player started; `None` when the engine does not answer.
    pub fn counts(&self) -> Option<FrameCounts> {
        self.seen().frames()
    }

    /// Whether anybody could see what was on the glass until now. Something else is from now on.
    fn was_seen(&mut self) -> bool {
        let presented = self.counted.presented + self.engine.presented();
        presented > std::mem::replace(&mut self.presented, presented)
    }

    /// What cards are drawn on.
    fn canvas(&self) -> Canvas {
        Canvas {
            size: self.engine.size(),
            orientation: self.screen.orientation(),
        }
    }

    fn switch(&mut self) {
        self.engine.switch(self.surroundings.power());
        if let Some(reason) = self.engine.switch_failure() {
            let kind = PlayerEventKind::ScreenPowerFailed { reason };
            self.surroundings.tell(kind);
        }
    }

    /// Takes what has happened around. `false` when the program is to end.
    pub fn go_on(&mut self) -> bool {
        let seen = Seen {
            screen: &self.screen,
            engine: &self.engine,
            counted: self.counted,
        };
        match self.surroundings.news(&seen) {
            News::Events(events) => {
                for event in events {
                    self.take(event);
                }
                let canvas = self.canvas();
                if let Some(cover) = self.surroundings.cover(canvas) {
                    self.engine.cover(match cover {
                        Cover::Over(picture) => Some(picture),
                        Cover::Nothing => None,
                    });
                }
                self.switch();
                true
            }
            News::Stop => false,
        }
    }

    /// One step of the machine, and all that follows from it.
    pub fn take(&mut self, event: Event) {
        let now = clock::now();
        let on_glass = |screen: &Screen| screen.on_glass().map(|shown| shown.ticket);
        let before = on_glass(&self.screen);
        self.witness.hear(&event);
        let (screen, effects) = std::mem::take(&mut self.screen).step(event, now);
        self.screen = screen;
        for effect in effects {
            self.perform(effect);
        }
        if before != on_glass(&self.screen) {
            let was_seen = self.was_seen();
            let proof = self.witness.see(&self.screen, now);
            let proof = proof.filter(|_| was_seen);
            self.surroundings.shown(proof, &self.screen);
        }
    }

    /// The player ends: what is on the glass has been seen until now.
    pub fn end(&mut self) {
        let was_seen = self.was_seen();
        let proof = self.witness.stop(clock::now()).filter(|_| was_seen);
        self.surroundings.shown(proof, &self.screen);
        let seen = Seen {
            screen: &self.screen,
            engine: &self.engine,
            counted: self.counted,
        };
        // What comes of it is written down; nothing is done about it any more.
        let _ = self.surroundings.news(&seen);
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { current, previous } => self.surroundings.persist(current, previous),
            Effect::Prepare {
                ticket,
                item,
                orientation,
            } => {
                // A file that is gone by now fails in the decoder, which is where failures are told.
                let path = self.surroundings.file(&item).unwrap_or_default();
                let job = Job {
                    item: *item,
                    path,
                    orientation,
                };
                self.engine.prepare(ticket, job);
            }
            Effect::Discard { ticket } => self.engine.discard(ticket),
            Effect::Show { ticket } => self.engine.show(ticket),
            Effect::ShowCard(card) => {
                let picture = self.surroundings.card(card, self.canvas());
                self.engine.show_picture(picture);
            }
            Effect::Fetch(missing) => self.surroundings.fetch(missing, &self.screen),
            Effect::Tell(kind) => self.surroundings.tell(kind),
        }
    }
}
