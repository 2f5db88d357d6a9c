//! Performs what the screen's machine decides.

use std::path::PathBuf;

use fleet_protocol::player::{Item, Manifest, PlayerEventKind};

use crate::clock;
use crate::core::screen::{Card, Effect, Event, Screen};
use crate::media::engine::{Engine, Job};
use crate::media::frame::SharedFrame;

/// Where manifests and files come from, and who is told what happens.
pub trait Surroundings {
    /// Both are on disk when this returns.
    fn persist(
        &mut self,
        current: Option<&Manifest>,
        previous: Option<&Manifest>,
    ) -> std::io::Result<()>;

    /// These are missing, the most urgent first.
    fn fetch(&mut self, missing: Vec<Item>);

    fn tell(&mut self, kind: PlayerEventKind);

    /// The item's file, which is whole.
    fn file(&self, item: &Item) -> Option<PathBuf>;

    /// The picture for when there is nothing else, of the engine's size.
    fn card(&self, card: Card, engine: &Engine) -> Option<SharedFrame>;

    /// What has happened since it was last asked. Never waits.
    fn news(&mut self) -> Vec<Event>;
}

/// The machine, the engine, and what is around them.
#[derive(Debug)]
pub struct Show<S> {
    screen: Screen,
    engine: Engine,
    surroundings: S,
}

impl<S: Surroundings> Show<S> {
    pub fn new(engine: Engine, surroundings: S) -> Self {
        Self {
            screen: Screen::default(),
            engine,
            surroundings,
        }
    }

    pub const fn screen(&self) -> &Screen {
        &self.screen
    }

    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What has happened around.
    pub fn news(&mut self) -> Vec<Event> {
        self.surroundings.news()
    }

    /// One step of the machine, and all that follows from it.
    pub fn take(&mut self, event: Event) {
        let before = self.screen.clone();
        let (screen, effects) = std::mem::take(&mut self.screen).step(event, clock::now());
        self.screen = screen;
        for effect in effects {
            if let Err(error) = self.perform(effect) {
                // As if it had not happened: the same is tried again at the next event.
                log::error!("keeping the manifest: {error}");
                self.screen = before;
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> std::io::Result<()> {
        match effect {
            Effect::Persist { current, previous } => {
                return self
                    .surroundings
                    .persist(current.as_deref(), previous.as_deref());
            }
            Effect::Prepare { ticket, item } => {
                // A file that is gone by now fails in the decoder, which is where failures are told.
                let path = self.surroundings.file(&item).unwrap_or_default();
                let settings = self.screen.manifests().current().map(|m| m.settings);
                let job = Job {
                    item: *item,
                    path,
                    orientation: settings.unwrap_or_default().orientation,
                };
                self.engine.prepare(ticket, job);
            }
            Effect::Discard { ticket } => self.engine.discard(ticket),
            Effect::Show { ticket } => {
                if let Some(shown) = self.screen.on_glass() {
                    log::debug!("showing {} as {ticket:?}", shown.item.asset_id);
                }
                self.engine.show(ticket);
            }
            Effect::ShowCard(card) => {
                if let Some(picture) = self.surroundings.card(card, &self.engine) {
                    self.engine.show_picture(picture);
                }
            }
            Effect::Fetch(missing) => self.surroundings.fetch(missing),
            Effect::Tell(kind) => self.surroundings.tell(kind),
        }
        Ok(())
    }
}
