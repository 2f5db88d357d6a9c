//! A published schedule, arranged so that a resolve looks only at the slots of one device's day.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use fleet_protocol::schedule::{FallbackSource, ScheduleSlot, Segment, Target};
use fleet_protocol::{PlaylistId, SlotId};
use jiff::{SignedDuration, Timestamp};

use crate::hand::{Day, HandMinute};
use crate::screen::Screen;
use crate::timeline::Changes;

/// How long an answer holds at most, even when nothing is going to change.
pub const MAX_VALIDITY: SignedDuration = SignedDuration::from_hours(6);

/// Which playlists have a published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Whoever asks has made sure already.
    All,
    Only(HashSet<PlaylistId>),
}

impl Published {
    fn contains(&self, playlist: &PlaylistId) -> bool {
        match self {
            Self::All => true,
            Self::Only(playlists) => playlists.contains(playlist),
        }
    }
}

/// What plays when no slot does: the first of them that is set and published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fallbacks {
    pub venue: Option<PlaylistId>,
    pub tenant: Option<PlaylistId>,
    pub last_published: Option<PlaylistId>,
}

impl Fallbacks {
    pub(crate) fn in_order(&self) -> [(FallbackSource, Option<&PlaylistId>); 3] {
        [
            (FallbackSource::Venue, self.venue.as_ref()),
            (FallbackSource::Tenant, self.tenant.as_ref()),
            (FallbackSource::LastPublished, self.last_published.as_ref()),
        ]
    }
}

/// A venue's published schedule. Each `slot_id` occurs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub slots: Vec<ScheduleSlot>,
    pub fallbacks: Fallbacks,
    pub published: Published,
}

/// What a screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner<'a> {
    Slot(&'a ScheduleSlot),
    Fallback(FallbackSource, &'a PlaylistId),
    Nothing,
}

impl<'a> Winner<'a> {
    pub fn playlist_id(self) -> Option<&'a PlaylistId> {
        match self {
            Self::Slot(slot) => Some(&slot.playlist_id),
            Self::Fallback(_, playlist) => Some(playlist),
            Self::Nothing => None,
        }
    }

    pub fn slot_id(self) -> Option<&'a SlotId> {
        match self {
            Self::Slot(slot) => Some(&slot.slot_id),
            Self::Fallback(..) | Self::Nothing => None,
        }
    }
}

/// What to show, and until when that may be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    pub winner: Winner<'a>,
    pub valid_to: Timestamp,
}

/// A slot's place in the precedence of the whole snapshot: 0 goes before all others.
pub(crate) type Rank = usize;

/// A slot with what is asked of it again and again.
#[derive(Debug, Clone)]
pub(crate) struct RankedSlot {
    pub(crate) slot: ScheduleSlot,
    /// Its playlist has a published version.
    pub(crate) playable: bool,
    first_day: Day,
    last_day: Day,
}

impl RankedSlot {
    fn new(slot: ScheduleSlot, published: &Published) -> Self {
        Self {
            playable: published.contains(&slot.playlist_id),
            first_day: slot.valid.first().map_or(Day::MIN, Day::of),
            last_day: slot.valid.last().map_or(Day::MAX, Day::of),
            slot,
        }
    }

    pub(crate) fn is_valid_on(&self, day: Day) -> bool {
        (self.first_day..=self.last_day).contains(&day)
    }

    pub(crate) fn valid_days(&self) -> (Day, Day) {
        (self.first_day, self.last_day)
    }

    /// The minutes of the hand that it would fill if it began on this day, whether it does or not.
    pub(crate) fn span_from(&self, day: Day) -> std::ops::Range<HandMinute> {
        let end_day = day.plus(i64::from(self.slot.ends_next_day()));
        day.at(self.slot.start)..end_day.at(self.slot.end)
    }
}

/// The enabled slots of one target by the weekday on which they begin, those that stay valid longest
/// first: what is over is never looked at.
type ByWeekday = [Vec<Rank>; 7];

#[derive(Debug, Clone)]
pub struct Schedule {
    ranked: Vec<RankedSlot>,
    by_target: HashMap<Target, ByWeekday>,
    fallbacks: Fallbacks,
    published: Published,
}

impl Schedule {
    pub fn new(snapshot: Snapshot) -> Self {
        let published = snapshot.published;
        let mut ranked: Vec<RankedSlot> = snapshot
            .slots
            .into_iter()
            .map(|slot| RankedSlot::new(slot, &published))
            .collect();
        ranked.sort_by(|a, b| precedence(&a.slot).cmp(&precedence(&b.slot)));
        let mut by_target: HashMap<Target, ByWeekday> = HashMap::new();
        for (rank, ranked) in ranked.iter().enumerate().filter(|(_, r)| r.slot.enabled) {
            let of_target = by_target.entry(ranked.slot.target.clone()).or_default();
            for (weekday, slots) in of_target.iter_mut().enumerate() {
                if ranked.slot.days_of_week.contains(weekday) {
                    slots.push(rank);
                }
            }
        }
        for slots in by_target.values_mut().flatten() {
            slots.sort_by_key(|rank| Reverse(ranked[*rank].last_day));
        }
        Self {
            ranked,
            by_target,
            fallbacks: snapshot.fallbacks,
            published,
        }
    }

    /// What this screen shows at `at`.
    pub fn winner(&self, screen: &Screen, at: Timestamp) -> Winner<'_> {
        self.winner_of(self.leader(screen, screen.zone().hand(at)))
    }

    /// What this screen shows at `now`, and the first instant after it at which that changes: at most
    /// [`MAX_VALIDITY`] ahead.
    pub fn decide(&self, screen: &Screen, now: Timestamp) -> Decision<'_> {
        let horizon = now.saturating_add(MAX_VALIDITY).unwrap_or(Timestamp::MAX);
        let mut changes = Changes::new(self, screen, now, horizon);
        let winner = self.winner_of(changes.leader());
        let valid_to = changes.next().map_or(horizon, |change| change.at);
        Decision { winner, valid_to }
    }

    /// Who wins when in `[from, to)`: as few segments as there can be, in order and without a hole.
    /// Nothing, when `to` is not after `from`.
    pub fn timeline(&self, screen: &Screen, from: Timestamp, to: Timestamp) -> Vec<Segment> {
        if to <= from {
            return Vec::new();
        }
        let changes = Changes::new(self, screen, from, to);
        let mut begin = (from, changes.leader());
        let mut segments = Vec::new();
        for change in changes {
            segments.push(self.segment(begin, change.at));
            begin = (change.at, change.leader);
        }
        segments.push(self.segment(begin, to));
        segments
    }

    fn segment(&self, (from_utc, leader): (Timestamp, Option<Rank>), to_utc: Timestamp) -> Segment {
        let winner = self.winner_of(leader);
        Segment {
            from_utc,
            to_utc,
            playlist_id: winner.playlist_id().cloned(),
            slot_id: winner.slot_id().cloned(),
        }
    }

    pub(crate) fn ranked(&self) -> &[RankedSlot] {
        &self.ranked
    }

    pub(crate) fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    pub(crate) fn is_published(&self, playlist: &PlaylistId) -> bool {
        self.published.contains(playlist)
    }

    pub(crate) fn winner_of(&self, leader: Option<Rank>) -> Winner<'_> {
        if let Some(rank) = leader {
            return Winner::Slot(&self.ranked[rank].slot);
        }
        let fallbacks = self.fallbacks.in_order().into_iter();
        fallbacks
            .filter_map(|(source, playlist)| Some((source, playlist?)))
            .find(|(_, playlist)| self.is_published(playlist))
            .map_or(Winner::Nothing, |(source, playlist)| {
                Winner::Fallback(source, playlist)
            })
    }

    /// The playable slot that goes before all others whose time this minute is.
    pub(crate) fn leader(&self, screen: &Screen, hand: HandMinute) -> Option<Rank> {
        self.active(screen, hand)
            .filter(|rank| self.ranked[*rank].playable)
            .min()
    }

    /// The slots whose time this minute is, in no order, each once.
    pub(crate) fn active<'a>(
        &'a self,
        screen: &'a Screen,
        hand: HandMinute,
    ) -> impl Iterator<Item = Rank> + 'a {
        let today = hand.day();
        [today, today.plus(-1)].into_iter().flat_map(move |day| {
            self.beginning_on(screen, day)
                .filter(move |rank| self.ranked[*rank].span_from(day).contains(&hand))
        })
    }

    /// The screen's enabled slots that occur on this day, in no order, each once.
    pub(crate) fn beginning_on<'a>(
        &'a self,
        screen: &'a Screen,
        day: Day,
    ) -> impl Iterator<Item = Rank> + 'a {
        let targets = screen.targets().iter();
        let slots = targets.filter_map(move |target| {
            let of_weekday = &self.by_target.get(target)?[day.weekday()];
            let over = of_weekday.partition_point(|rank| self.ranked[*rank].last_day >= day);
            Some(&of_weekday[..over])
        });
        slots
            .flatten()
            .copied()
            .filter(move |rank| self.ranked[*rank].first_day <= day)
    }
}

/// Sorts the slot that goes first to the front.
fn precedence(slot: &ScheduleSlot) -> impl Ord + '_ {
    (
        matches!(slot.target, Target::Group(_)),
        Reverse(slot.priority),
        Reverse(slot.updated_at),
        slot.slot_id.as_str().as_bytes(),
    )
}
