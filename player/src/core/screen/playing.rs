//! From one item to the next, without a gap.

use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{DecodeFailure, Item, ItemKind, PlayerEventKind};

use super::{AssetRef, Card, Effect, Mode, Step, Ticket};

/// An item whose first picture is not there by then has failed.
const PREPARED_WITHIN_MS: u64 = 15_000;

/// One step further is the first item.
const BEFORE_THE_FIRST: usize = usize::MAX;

/// Which manifest an item is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Current,
    Previous,
    Staged,
}

/// An item's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub source: Source,
    /// From 0.
    pub index: usize,
}

/// What is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct OnGlass {
    pub ticket: Ticket,
    pub position: Position,
    pub item: Box<Item>,
    /// When an image has been seen for long enough; a video says so itself.
    until: Option<Monotonic>,
    /// It has nothing more to show; its last picture stays until the next one is ready.
    over: bool,
}

/// What comes after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Next {
    ticket: Ticket,
    position: Position,
    item: Box<Item>,
    since: Monotonic,
    ready: bool,
}

impl Step {
    pub(super) fn prepared(&mut self, ticket: Ticket) {
        if let Some(next) = &mut self.screen.next
            && next.ticket == ticket
        {
            next.ready = true;
        }
    }

    pub(super) fn ended(&mut self, ticket: Ticket) {
        if let Some(on_glass) = &mut self.screen.on_glass
            && on_glass.ticket == ticket
        {
            on_glass.over = true;
        }
    }

    pub(super) fn failed(&mut self, ticket: Ticket, reason: DecodeFailure, message: String) {
        let item = if let Some(next) = self.screen.next.take_if(|next| next.ticket == ticket) {
            next.item
        } else if let Some(shown) = self.screen.on_glass.as_mut().filter(|s| s.ticket == ticket) {
            shown.over = true;
            shown.item.clone()
        } else {
            return;
        };
        self.screen
            .library
            .mark_broken(AssetRef::from(&*item), reason, self.now.mono);
        self.tell(PlayerEventKind::PlaybackFailed {
            asset_id: item.asset_id,
            reason,
            message,
        });
    }

    pub(super) fn restart(&mut self) {
        self.drop_next();
        self.screen.left_at = None;
        self.screen.loop_count = 0;
        if let Some(on_glass) = &mut self.screen.on_glass {
            on_glass.position = Position {
                source: Source::Current,
                index: BEFORE_THE_FIRST,
            };
            // A video is not cut off; an image may be.
            on_glass.over |= on_glass.item.kind == ItemKind::Image;
        }
    }

    /// If one is shown.
    pub(super) fn show_card_again(&mut self) {
        let card = self.screen.card();
        self.effects.extend(card.map(Effect::ShowCard));
    }

    pub(super) fn engine_replaced(&mut self) {
        self.screen.next = None;
        self.show_card_again();
        if let Some(on_glass) = &mut self.screen.on_glass {
            // The same item again, from its beginning.
            on_glass.position.index = on_glass.position.index.wrapping_sub(1);
            on_glass.over = true;
        }
    }

    /// Whatever follows from how things stand: after every event.
    pub(super) fn go_on(&mut self) {
        self.give_up_waiting();
        let now = self.now.mono;
        if let Some(on_glass) = &mut self.screen.on_glass {
            on_glass.over |= on_glass.until.is_some_and(|until| until <= now);
        }
        self.reject_unplayable();
        self.prepare_next();
        let at_boundary = self.screen.on_glass.as_ref().is_none_or(|shown| shown.over);
        if at_boundary || self.is_interrupted() {
            self.change_over();
        }
    }

    /// By an urgent manifest whose first picture is there; not by the same one once more.
    fn is_interrupted(&self) -> bool {
        let manifests = &self.screen.manifests;
        let ready = |next: &Next| next.ready && next.position.source == Source::Staged;
        let plays_already = |playlist| {
            let current = manifests.current().filter(|m| m.settings.urgent);
            current.is_some_and(|m| m.playlist.as_ref() == playlist)
        };
        let staged = manifests.staged().manifest().filter(|m| m.settings.urgent);
        staged.is_some_and(|manifest| !plays_already(manifest.playlist.as_ref()))
            && self.screen.next.as_ref().is_some_and(ready)
    }

    fn give_up_waiting(&mut self) {
        let now = self.now.mono;
        let late = self
            .screen
            .next
            .as_ref()
            .filter(|next| !next.ready && now.since(next.since) >= PREPARED_WITHIN_MS);
        if let Some(ticket) = late.map(|next| next.ticket) {
            let message = format!("no picture within {} s", PREPARED_WITHIN_MS / 1_000);
            self.effects.push(Effect::Discard { ticket });
            self.failed(ticket, DecodeFailure::Stalled, message);
        }
    }

    /// Makes sure that what is being prepared is what should come next.
    fn prepare_next(&mut self) {
        let wanted = self.successor();
        if let (Some(next), Some(wanted)) = (&self.screen.next, wanted)
            && next.position == wanted
        {
            return;
        }
        self.drop_next();
        let Some(position) = wanted else { return };
        let Some(item) = self
            .screen
            .manifests
            .items(position.source)
            .get(position.index)
        else {
            return;
        };
        let item = Box::new(item.clone());
        self.screen.tickets += 1;
        let ticket = Ticket(self.screen.tickets);
        let manifests = &self.screen.manifests;
        self.effects.push(Effect::Prepare {
            ticket,
            item: item.clone(),
            orientation: manifests.orientation_with(position.source),
        });
        self.screen.next = Some(Next {
            ticket,
            position,
            item,
            since: self.now.mono,
            ready: false,
        });
    }

    /// The item after the one on the glass: of the staged manifest if that may take over, else of the
    /// current one, else of the previous one.
    fn successor(&self) -> Option<Position> {
        if self.staged_may_apply()
            && let Some(index) = self.first_playable(Source::Staged, 0)
        {
            return Some(Position {
                source: Source::Staged,
                index,
            });
        }
        [Source::Current, Source::Previous]
            .into_iter()
            .find_map(|source| {
                let shown = self.screen.on_glass.as_ref().map(|shown| shown.position);
                let from = shown
                    .or(self.screen.left_at)
                    .filter(|position| position.source == source)
                    .map_or(0, |position| position.index.wrapping_add(1));
                let index = self.first_playable(source, from)?;
                Some(Position { source, index })
            })
    }

    /// The first playable item at or after `from`, around the end if need be.
    pub(super) fn first_playable(&self, source: Source, from: usize) -> Option<usize> {
        let items = self.screen.manifests.items(source);
        let from = if from < items.len() { from } else { 0 };
        let order = (from..items.len()).chain(0..from);
        let mut order = order.filter(|index| {
            let item = &items[*index];
            self.screen.library.can_play(item, self.now.mono)
        });
        order.next()
    }

    fn change_over(&mut self) {
        // A manifest without a playlist takes over too: what it falls back to is played on.
        if self.staged_may_apply() && self.screen.manifests.items(Source::Staged).is_empty() {
            self.apply_staged();
            self.shown_is_previous();
            self.prepare_next();
        }
        match &self.screen.next {
            Some(next) if next.ready => self.show(),
            Some(_) => {}
            None => self.nothing_playable(),
        }
    }

    /// What is seen is of the manifest that has just been replaced.
    fn shown_is_previous(&mut self) {
        if let Some(shown) = &mut self.screen.on_glass {
            shown.position.source = Source::Previous;
        }
    }

    fn show(&mut self) {
        let Some(mut next) = self.screen.next.take() else {
            return;
        };
        if next.position.source == Source::Staged {
            self.apply_staged();
            self.screen.on_glass = None;
            next.position.source = Source::Current;
        }
        self.screen.left_at = None;
        self.count_loop(next.position);
        self.tell_source(next.position.source);
        self.screen.mode = Mode::Playing;
        self.screen.library.mark_whole(&AssetRef::from(&*next.item));
        self.effects.push(Effect::Show {
            ticket: next.ticket,
        });
        let seen_ms = u64::from(next.item.duration_seconds) * 1_000;
        let is_image = next.item.kind == ItemKind::Image;
        self.screen.on_glass = Some(OnGlass {
            ticket: next.ticket,
            position: next.position,
            item: next.item,
            until: is_image.then(|| self.now.mono.plus_ms(seen_ms)),
            over: false,
        });
        self.prepare_next();
    }

    fn count_loop(&mut self, next: Position) {
        let before = self.screen.on_glass.as_ref().map(|shown| shown.position);
        let wrapped = |before: Position| {
            before.source == next.source
                && next.index <= before.index
                && before.index != BEFORE_THE_FIRST
        };
        if before.is_some_and(wrapped) {
            self.screen.loop_count += 1;
        }
    }

    fn tell_source(&mut self, source: Source) {
        let falls_back = source == Source::Previous;
        if falls_back && !self.screen.fell_back {
            let etag = |source| {
                let manifest = self.screen.manifests.of(source);
                manifest.map(|m| m.manifest_etag.clone())
            };
            if let Some(fallback_etag) = etag(Source::Previous) {
                let current_etag = etag(Source::Current);
                self.tell(PlayerEventKind::FallbackToPreviousManifest {
                    current_etag,
                    fallback_etag,
                });
            }
        }
        self.screen.fell_back = falls_back;
    }

    fn nothing_playable(&mut self) {
        if self.screen.mode == Mode::ErrorScreen {
            return;
        }
        self.screen.mode = Mode::ErrorScreen;
        self.screen.on_glass = None;
        let current = self.screen.manifests.current();
        let manifest_etag = current.map(|m| m.manifest_etag.clone());
        self.tell(PlayerEventKind::NoPlayableContent { manifest_etag });
        let reason = "nothing in the cache can be played".to_owned();
        self.tell(PlayerEventKind::ErrorScreenEntered { reason });
        self.effects.push(Effect::ShowCard(Card::Status));
    }

    pub(super) fn drop_next(&mut self) {
        if let Some(next) = self.screen.next.take() {
            let ticket = next.ticket;
            self.effects.push(Effect::Discard { ticket });
        }
    }

    pub(super) fn drop_next_of(&mut self, source: Source) {
        let is_of = |next: &super::Next| next.position.source == source;
        if self.screen.next.as_ref().is_some_and(is_of) {
            self.drop_next();
        }
    }
}
