//! When each kind of request is due.
//!
//! The contract allows a device two requests a minute for manifest, commands and heartbeat, and six for
//! events (§27.4): pauses here keep below that unless the manifest itself asks for more. A `Retry-After` is
//! for the lane that got it, as the limits are, and nothing cuts it short.

use fleet_protocol::backoff::Backoff;
use fleet_protocol::instant::Monotonic;

/// Of a lane that gets no success.
pub(super) const BACKOFF: Backoff = Backoff {
    base_ms: 5_000,
    max_ms: 300_000,
};
/// A `Retry-After` of more is taken for this.
pub const MAX_RETRY_AFTER_S: u64 = 3_600;
/// Rows that come together are sent together.
const GATHER_MS: u64 = 10_000;

/// One kind of request. Of several that are due since the same instant, the first of these goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Manifest,
    Results,
    Commands,
    Heartbeat,
    Events,
    Proofs,
}

impl Lane {
    pub const ALL: [Self; 6] = [
        Self::Manifest,
        Self::Results,
        Self::Commands,
        Self::Heartbeat,
        Self::Events,
        Self::Proofs,
    ];
    /// Asked for again and again by the clock.
    pub(super) const REGULAR: [Self; 3] = [Self::Manifest, Self::Commands, Self::Heartbeat];
}

/// What is sent when there is something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upload {
    /// Of commands.
    Results,
    Events,
    Proofs,
}

impl Upload {
    pub const fn lane(self) -> Lane {
        match self {
            Self::Results => Lane::Results,
            Self::Events => Lane::Events,
            Self::Proofs => Lane::Proofs,
        }
    }

    const fn gather_ms(self) -> u64 {
        match self {
            // An operator waits for it.
            Self::Results => 0,
            Self::Events | Self::Proofs => GATHER_MS,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    due: Option<Monotonic>,
    /// By the control plane's word, whenever it is due.
    not_before: Monotonic,
    asked_at: Option<Monotonic>,
    /// In a row.
    failures: u32,
    /// The last of them got no answer at all.
    unanswered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lanes([State; Lane::ALL.len()]);

impl State {
    fn due(&self) -> Option<Monotonic> {
        self.due.map(|due| due.max(self.not_before))
    }
}

impl Lanes {
    fn of(&mut self, lane: Lane) -> &mut State {
        &mut self.0[lane as usize]
    }

    pub(super) fn failures(&self, lane: Lane) -> u32 {
        self.0[lane as usize].failures
    }

    /// The lane that has been due for longest, and since when.
    pub(super) fn next(&self, may_ask: fn(Lane) -> bool) -> Option<(Monotonic, Lane)> {
        Lane::ALL
            .into_iter()
            .filter(|lane| may_ask(*lane))
            .filter_map(|lane| Some((self.0[lane as usize].due()?, lane)))
            .min()
    }

    /// Due at `at`, or earlier if it already is.
    pub(super) fn set(&mut self, lane: Lane, at: Monotonic) {
        let state = self.of(lane);
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
    }

    /// From the manifest on, whatever was due before.
    pub(super) fn begin_regular(&mut self, at: Monotonic) {
        for lane in Lane::REGULAR {
            self.of(lane).due = Some(at);
        }
    }

    /// There are rows to send. While the lane backs off that is no news.
    pub(super) fn gather(&mut self, upload: Upload, now: Monotonic) {
        if self.failures(upload.lane()) == 0 {
            self.set(upload.lane(), now.plus_ms(upload.gather_ms()));
        }
    }

    pub(super) fn asked(&mut self, lane: Lane, now: Monotonic) {
        let state = self.of(lane);
        state.due = None;
        state.asked_at = Some(now);
    }

    pub(super) fn succeeded(&mut self, lane: Lane) {
        let state = self.of(lane);
        state.failures = 0;
        state.unanswered = false;
    }

    /// Counts a failure and gives the number in a row. The lane is due again after a pause.
    pub(super) fn failed(
        &mut self,
        lane: Lane,
        unanswered: bool,
        now: Monotonic,
        dice: u64,
    ) -> u32 {
        let state = self.of(lane);
        state.failures = state.failures.saturating_add(1);
        state.unanswered = unanswered;
        state.due = Some(now.plus_ms(BACKOFF.pause_ms(state.failures, dice)));
        state.failures
    }

    /// Spread by up to a tenth, since others were told the same.
    pub(super) fn retry_after(&mut self, lane: Lane, seconds: u64, now: Monotonic, dice: u64) {
        let told_ms = seconds.min(MAX_RETRY_AFTER_S) * 1_000;
        self.of(lane).not_before = now.plus_ms(told_ms + dice % (told_ms / 10 + 1));
    }

    /// Due at `at`, or later if it already is.
    pub(super) fn put_off(&mut self, lane: Lane, at: Monotonic) {
        let state = self.of(lane);
        state.due = Some(state.due.map_or(at, |due| due.max(at)));
    }

    /// Somebody answers again: what got no answer need not wait any longer.
    pub(super) fn reached(&mut self, now: Monotonic) {
        for state in &mut self.0 {
            if std::mem::take(&mut state.unanswered) {
                state.due = state.due.map(|due| due.min(now));
            }
        }
    }

    /// Commands and heartbeats go along with the manifest, unless they were asked for just now.
    pub(super) fn follow_manifest(&mut self, now: Monotonic, check_ms: u64) {
        for lane in [Lane::Commands, Lane::Heartbeat] {
            let state = self.of(lane);
            let rested = state
                .asked_at
                .is_none_or(|at| now.since(at) >= check_ms / 2);
            if rested && state.failures == 0 {
                self.set(lane, now);
            }
        }
    }

    /// What was left after an upload.
    pub(super) fn go_on_with(&mut self, upload: Upload, now: Monotonic) {
        self.set(upload.lane(), now.plus_ms(upload.gather_ms()));
    }
}
