//! Whether the control plane can be reached at all, and for how long nobody asks it.

use fleet_protocol::instant::{Monotonic, Now};
use fleet_protocol::player::PlayerEventKind;
use jiff::Timestamp;

use super::lane::{BACKOFF, Lane};

/// One lost request is no outage.
const OFFLINE_AFTER: u32 = 2;

/// Nothing was answered since this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    since: Monotonic,
    /// Requests for the manifest, the smallest there are. Where only large ones get lost, that is no
    /// outage.
    manifests: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Link {
    /// Nothing is asked for before.
    held_until: Option<Monotonic>,
    silence: Option<Silence>,
    last_success_at: Option<Timestamp>,
}

impl Link {
    pub(super) fn held_until(&self) -> Monotonic {
        self.held_until.unwrap_or_default()
    }

    pub(super) fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    pub(super) fn is_online(&self) -> bool {
        self.silence.is_none_or(|s| s.manifests < OFFLINE_AFTER)
    }

    pub(super) fn last_success_at(&self) -> Option<Timestamp> {
        self.last_success_at
    }

    /// The pause is over, or somebody cannot wait.
    pub(super) fn release(&mut self) {
        self.held_until = None;
    }

    pub(super) fn hold(&mut self, until: Monotonic) {
        self.held_until = Some(until);
    }

    /// Whether it may be more than one lane that gets no answer.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.silence.is_some_and(|s| s.manifests > 0)
    }

    /// A request got no answer. The others wait a moment too, each lane then by its own count. Gives what
    /// there is to tell.
    pub(super) fn silent(&mut self, lane: Lane, now: Now, dice: u64) -> Option<PlayerEventKind> {
        self.hold(now.mono.plus_ms(BACKOFF.pause_ms(1, dice)));
        let silence = self.silence.get_or_insert(Silence {
            since: now.mono,
            manifests: 0,
        });
        if lane != Lane::Manifest {
            return None;
        }
        silence.manifests = silence.manifests.saturating_add(1);
        (silence.manifests == OFFLINE_AFTER).then_some(PlayerEventKind::OfflineEntered {
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
