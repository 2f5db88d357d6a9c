//! Why a screen shows what it shows: the same slots, the same order and the same times as in `schedule`,
//! put into words.

use fleet_protocol::schedule::{
    Candidate, Explanation, Fallback, FallbackSource, FallbackVerdict, NotNow, Rule, ScheduleSlot,
    Target, Verdict,
};
use jiff::Timestamp;

use crate::hand::HandMinute;
use crate::schedule::{Rank, RankedSlot, Schedule, Winner};
use crate::screen::Screen;
use crate::zone::Zone;

/// Eight, so that a slot of today's weekday whose time is over is found a week later.
const DAYS_AHEAD: i64 = 8;

impl Schedule {
    /// The decision at `at`, with every slot of the snapshot and why it does or does not play.
    pub fn explain(&self, screen: &Screen, at: Timestamp) -> Explanation {
        let hand = screen.zone().hand(at);
        let leader = self.leader(screen, hand);
        let decision = self.decide(screen, at);
        let asked = Asked {
            schedule: self,
            screen,
            at,
            hand,
        };
        let ranks = 0..self.ranked().len();
        Explanation {
            device_id: screen.device().clone(),
            at_utc: at,
            timezone: screen.zone().name().to_owned(),
            local_time: local_time(screen.zone(), at),
            summary: summary(decision.winner),
            playlist_id: decision.winner.playlist_id().cloned(),
            slot_id: decision.winner.slot_id().cloned(),
            valid_to_utc: decision.valid_to,
            clock_change: clock_change(screen.zone(), at, hand),
            candidates: ranks.map(|rank| asked.candidate(rank, leader)).collect(),
            fallbacks: self.explain_fallbacks(decision.winner),
        }
    }

    fn explain_fallbacks(&self, winner: Winner<'_>) -> Vec<Fallback> {
        let plays = match winner {
            Winner::Fallback(source, _) => Some(source),
            Winner::Slot(_) | Winner::Nothing => None,
        };
        let mut needed = !matches!(winner, Winner::Slot(_));
        let mut verdict = |source: FallbackSource, playlist| {
            let verdict = match playlist {
                _ if !needed => FallbackVerdict::NotNeeded,
                _ if plays == Some(source) => FallbackVerdict::Plays,
                Some(_) => FallbackVerdict::Unpublished,
                None => FallbackVerdict::NotSet,
            };
            needed &= verdict != FallbackVerdict::Plays;
            verdict
        };
        let fallbacks = self.fallbacks().in_order().into_iter();
        fallbacks
            .map(|(source, playlist)| Fallback {
                source,
                playlist_id: playlist.cloned(),
                verdict: verdict(source, playlist),
            })
            .collect()
    }
}

fn summary(winner: Winner<'_>) -> String {
    match winner {
        Winner::Slot(slot) => format!("{} plays, by slot {}", slot.playlist_id, slot.slot_id),
        Winner::Fallback(source, playlist) => {
            let whose = match source {
                FallbackSource::Venue => "the venue's fallback",
                FallbackSource::Tenant => "the tenant's default",
                FallbackSource::LastPublished => "the playlist last published in the venue",
            };
            format!("{playlist} plays, as {whose}: no slot does")
        }
        Winner::Nothing => "nothing plays: no slot does, and no fallback".to_owned(),
    }
}

fn local_time(zone: &Zone, at: Timestamp) -> String {
    zone.local(at).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The wall clock is behind its own hand only while it repeats a time.
fn clock_change(zone: &Zone, at: Timestamp, hand: HandMinute) -> Option<String> {
    let shown = zone.local(at).datetime();
    (shown < hand.datetime()).then(|| {
        format!(
            "the clock was put back and shows {} for the second time; until it is past {}, slots stay as they were then",
            shown.strftime("%H:%M"),
            hand.datetime().strftime("%H:%M"),
        )
    })
}

/// The question that every slot is asked.
struct Asked<'a> {
    schedule: &'a Schedule,
    screen: &'a Screen,
    at: Timestamp,
    hand: HandMinute,
}

impl Asked<'_> {
    fn candidate(&self, rank: Rank, leader: Option<Rank>) -> Candidate {
        let ranked = &self.schedule.ranked()[rank];
        let slot = &ranked.slot;
        let (verdict, detail) = match (self.why_not_now(ranked), leader) {
            (Some((reason, detail)), _) => {
                let next_utc = self.next_start(ranked);
                (Verdict::NotNow { reason, next_utc }, detail)
            }
            (None, _) if !ranked.playable => (
                Verdict::Unpublished,
                format!("playlist {} has no published version", slot.playlist_id),
            ),
            (None, Some(leader)) if leader != rank => {
                let leader = &self.schedule.ranked()[leader].slot;
                let rule = rule(leader, slot);
                let by = leader.slot_id.clone();
                let detail = outranked(leader, slot, rule);
                (Verdict::Outranked { by, rule }, detail)
            }
            (None, _) => (
                Verdict::Plays,
                format!("for {}, {}", slot.target, times(slot)),
            ),
        };
        Candidate {
            slot_id: slot.slot_id.clone(),
            playlist_id: slot.playlist_id.clone(),
            verdict,
            detail,
        }
    }

    /// Nothing, when it has an occurrence now.
    fn why_not_now(&self, ranked: &RankedSlot) -> Option<(NotNow, String)> {
        let slot = &ranked.slot;
        if !slot.enabled {
            return Some((NotNow::Disabled, "it is switched off".to_owned()));
        }
        if !self.screen.targets().contains(&slot.target) {
            return Some((NotNow::OtherTarget, format!("it is for {}", slot.target)));
        }
        let today = self.hand.day();
        let spans = [today, today.plus(-1)];
        let Some(day) = spans
            .into_iter()
            .find(|day| ranked.span_from(*day).contains(&self.hand))
        else {
            let detail = format!("its time is {}", times(slot));
            return Some((NotNow::Time, detail));
        };
        let date = day.date();
        if !ranked.is_valid_on(day) {
            let detail = format!("it is valid {}, and would have begun on {date}", slot.valid);
            return Some((NotNow::Dates, detail));
        }
        if !slot.days_of_week.contains(day.weekday()) {
            let weekday = date.strftime("%A");
            let detail = format!(
                "it begins on {}, and would have begun on a {weekday}, {date}",
                slot.days_of_week
            );
            return Some((NotNow::Weekday, detail));
        }
        None
    }

    /// The next time that it is this slot's turn to begin, whoever else does.
    fn next_start(&self, ranked: &RankedSlot) -> Option<Timestamp> {
        let slot = &ranked.slot;
        if !slot.enabled || !self.screen.targets().contains(&slot.target) {
            return None;
        }
        let zone = self.screen.zone();
        let first = self.hand.day().max(ranked.valid_days().0);
        (0..DAYS_AHEAD)
            .map(|days| first.plus(days))
            .filter(|day| ranked.is_valid_on(*day) && slot.days_of_week.contains(day.weekday()))
            .map(|day| ranked.span_from(day))
            .map(|span| (zone.first_instant(span.start), zone.first_instant(span.end)))
            .find(|(start, end)| *start > self.at && end > start)
            .map(|(start, _)| start)
    }
}

/// The first rule by which the two differ; `first` goes before `second`.
fn rule(first: &ScheduleSlot, second: &ScheduleSlot) -> Rule {
    let for_device = |slot: &ScheduleSlot| matches!(slot.target, Target::Device(_));
    if for_device(first) != for_device(second) {
        Rule::Target
    } else if first.priority != second.priority {
        Rule::Priority
    } else if first.updated_at != second.updated_at {
        Rule::UpdatedAt
    } else {
        Rule::SlotId
    }
}

fn outranked(leader: &ScheduleSlot, slot: &ScheduleSlot, rule: Rule) -> String {
    let by = &leader.slot_id;
    match rule {
        Rule::Target => format!(
            "{by} is for the device itself, this one for {}",
            slot.target
        ),
        Rule::Priority => format!(
            "{by} has priority {}, this one {}",
            leader.priority, slot.priority
        ),
        Rule::UpdatedAt => format!("{by} has the same priority and was changed later"),
        Rule::SlotId => format!("{by} is its equal in all but the id, which is smaller"),
    }
}

fn times(slot: &ScheduleSlot) -> String {
    let next_day = if slot.ends_next_day() {
        " of the next day"
    } else {
        ""
    };
    format!(
        "{} to {}{next_day}, {}",
        slot.start, slot.end, slot.days_of_week
    )
}
