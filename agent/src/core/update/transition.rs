//! One step of the engine in progress.
use super::{Effect, Engine, Event, Situation};
pub(super) struct Transition<'a> {
    pub(super) engine: Engine,
    pub(super) situation: &'a Situation,
}
impl<'a> Transition<'a> {
    pub(super) fn new(engine: Engine, situation: &'a Situation) -> Self {
        Self { engine, situation }
    }
    #[allow(clippy::unused_self)]
    pub(super) fn take(&mut self, _event: Event) {}
    pub(super) fn finish(self) -> (Engine, Vec<Effect>) {
        (self.engine, Vec::new())
    }
}
