//! Walking along the minutes of the hand from one change of the winner to the next.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::hand::{Day, HandMinute};
use crate::schedule::{Rank, Schedule};
use crate::screen::Screen;

/// What happens to a slot at a minute; at the same minute, ends come first, so that an occurrence that
/// follows another of the same slot begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Boundary {
    End,
    Start,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) at: HandMinute,
    pub(crate) boundary: Boundary,
    pub(crate) rank: Rank,
}

/// Every start and end of a playable slot within one day, in order.
pub(crate) fn events_of(schedule: &Schedule, screen: &Screen, day: Day) -> Vec<Event> {
    let within = day.midnight()..day.plus(1).midnight();
    let mut events = Vec::new();
    for begun in [day.plus(-1), day] {
        for rank in schedule.beginning_on(screen, begun) {
            let ranked = &schedule.ranked()[rank];
            let span = ranked.span_from(begun);
            let bounds = [(span.start, Boundary::Start), (span.end, Boundary::End)];
            let bounds = bounds.into_iter().filter(|_| ranked.playable);
            events.extend(
                bounds
                    .filter(|(at, _)| within.contains(at))
                    .map(|(at, boundary)| Event { at, boundary, rank }),
            );
        }
    }
    events.sort_unstable();
    events
}

/// The playable slots whose time it is, in the order of their precedence.
#[derive(Debug, Default)]
pub(crate) struct Active(BTreeSet<Rank>);

impl Active {
    pub(crate) fn at(schedule: &Schedule, screen: &Screen, hand: HandMinute) -> Self {
        let playable = |rank: &Rank| schedule.ranked()[*rank].playable;
        Self(schedule.active(screen, hand).filter(playable).collect())
    }

    pub(crate) fn apply(&mut self, event: Event) {
        match event.boundary {
            Boundary::Start => self.0.insert(event.rank),
            Boundary::End => self.0.remove(&event.rank),
        };
    }

    pub(crate) fn leader(&self) -> Option<Rank> {
        self.0.first().copied()
    }

    pub(crate) fn contains(&self, rank: Rank) -> bool {
        self.0.contains(&rank)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Rank> + '_ {
        self.0.iter().copied()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) leader: Option<Rank>,
}

/// The instants after `from` and before `to` at which the leader changes.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    schedule: &'a Schedule,
    screen: &'a Screen,
    active: Active,
    leader: Option<Rank>,
    to: Timestamp,
    /// The last day that has any part in it.
    last_day: Day,
    /// The day that is being walked along, and what is still to come in it, the next one last.
    day: Day,
    events: Vec<Event>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(
        schedule: &'a Schedule,
        screen: &'a Screen,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let hand = screen.zone().hand(from);
        let active = Active::at(schedule, screen, hand);
        let mut events = events_of(schedule, screen, hand.day());
        events.drain(..events.partition_point(|event| event.at <= hand));
        events.reverse();
        Self {
            schedule,
            screen,
            leader: active.leader(),
            active,
            to,
            last_day: screen.zone().hand(to).day(),
            day: hand.day(),
            events,
        }
    }

    /// Who leads now: at first at `from`, then since the last change.
    pub(crate) fn leader(&self) -> Option<Rank> {
        self.leader
    }

    fn peek(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            if self.day >= self.last_day {
                return None;
            }
            self.day = self.day.plus(1);
            self.events = events_of(self.schedule, self.screen, self.day);
            self.events.reverse();
        }
        self.events.last().copied()
    }

    fn apply_through(&mut self, hand: HandMinute) {
        while let Some(event) = self.peek().filter(|event| event.at <= hand) {
            self.events.pop();
            self.active.apply(event);
        }
    }
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let minute = self.peek()?.at;
            self.apply_through(minute);
            if self.active.leader() == self.leader {
                continue;
            }
            let at = self.screen.zone().first_instant(minute);
            if at >= self.to {
                return None;
            }
            // Where the clock is put forward, all that was skipped happens at once.
            self.apply_through(self.screen.zone().hand(at));
            if self.active.leader() != self.leader {
                self.leader = self.active.leader();
                return Some(Change {
                    at,
                    leader: self.leader,
                });
            }
        }
    }
}
