//! Whether the control plane can be reached at all, and for how long nobody asks it.

use fleet_protocol::instant::{Monotonic, Now};
use fleet_protocol::player::PlayerEventKind;
use jiff::Timestamp;

use super::lane::BACKOFF;

/// A `Retry-After` of more is taken for this.
pub const MAX_RETRY_AFTER_S: u64 = 3_600;
/// One lost request is no outage.
const OFFLINE_AFTER: u32 = 2;

/// Why nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Hold {
    #[default]
    None,
    /// By the player's own choice.
    Backoff(Monotonic),
    /// By the control plane's word.
    RetryAfter(Monotonic),
}

/// Requests that got no answer since this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    since: Monotonic,
    requests: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Link {
    hold: Hold,
    silence: Option<Silence>,
    last_success_at: Option<Timestamp>,
}

impl Link {
    pub(super) fn held_until(&self) -> Monotonic {
        match self.hold {
            Hold::None => Monotonic(0),
            Hold::Backoff(until) | Hold::RetryAfter(until) => until,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold != Hold::None
    }

    pub(super) fn is_online(&self) -> bool {
        self.silence.is_none_or(|s| s.requests < OFFLINE_AFTER)
    }

    pub(super) fn last_success_at(&self) -> Option<Timestamp> {
        self.last_success_at
    }

    /// The pause is over.
    pub(super) fn release(&mut self) {
        self.hold = Hold::None;
    }

    /// Somebody cannot wait. What the control plane said still holds.
    pub(super) fn end_backoff(&mut self) {
        if matches!(self.hold, Hold::Backoff(_)) {
            self.hold = Hold::None;
        }
    }

    /// Nothing is asked for before `until`.
    pub(super) fn back_off(&mut self, until: Monotonic) {
        self.hold = Hold::Backoff(until);
    }

    /// Spread by up to a tenth, since others were told the same.
    pub(super) fn retry_after(&mut self, seconds: u64, now: Monotonic, dice: u64) {
        let told_ms = seconds.min(MAX_RETRY_AFTER_S) * 1_000;
        let until = now.plus_ms(told_ms + dice % (told_ms / 10 + 1));
        self.hold = Hold::RetryAfter(until.max(self.held_until()));
    }

    /// A request got no answer. Gives what there is to tell.
    pub(super) fn silent(&mut self, now: Now, dice: u64) -> Option<PlayerEventKind> {
        let silence = self.silence.get_or_insert(Silence {
            since: now.mono,
            requests: 0,
        });
        silence.requests = silence.requests.saturating_add(1);
        let requests = silence.requests;
        self.back_off(now.mono.plus_ms(BACKOFF.pause_ms(requests, dice)));
        (requests == OFFLINE_AFTER).then_some(PlayerEventKind::OfflineEntered {
            last_online_at_utc: self.last_success_at,
        })
    }

    /// The control plane gave what it was asked for. Gives what there is to tell.
    pub(super) fn succeeded(&mut self, now: Now) -> Option<PlayerEventKind> {
        self.last_success_at = Some(now.wall);
        let was_online = self.is_online();
        let silence = self.silence.take()?;
        (!was_online).then_some(PlayerEventKind::OnlineRestored {
            offline_duration_seconds: now.mono.since(silence.since) / 1_000,
        })
    }
}
