//! Which frame is due: the part of the engine that can be tried without a screen.
//!
//! Times are running time of the output in nanoseconds. A frame is handed on a little before it is due,
//! because the sink waits for its moment by itself. When frames come too late the latest that is due is
//! shown and those before it are left out, so a slow decoder costs smoothness and not the clock.
//!
//! Invariants:
//! - Frames leave in their order, each at most once, and never more than [`LEAD_NS`] too early.
//! - The first frame leaves at once, and so does the last one that there is.

use std::collections::VecDeque;

/// How far ahead of its moment a frame is handed to the sink.
pub(super) const LEAD_NS: u64 = 60_000_000;

/// A frame and its place in time, from the item's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed<F> {
    pub(super) frame: F,
    pub(super) pts_ns: u64,
    /// 0: until something else comes.
    pub(super) duration_ns: u64,
    /// Which place in the decoder's memory it came from.
    pub(super) slot: usize,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<F> {
    /// Show this one at that time.
    Hand { timed: Timed<F>, at_ns: u64 },
    /// Too late: another one is due already.
    LeaveOut { timed: Timed<F> },
    /// Nothing before this time.
    Wait,
    /// The last frame will soon have been seen for its time. Said once.
    Over,
}

/// The frames of one item, before and while it is on the glass.
#[derive(Debug)]
pub(super) struct Pace<F> {
    queue: VecDeque<Timed<F>>,
    base_ns: Option<u64>,
    end_ns: u64,
    complete: bool,
    is_over: bool,
}

impl<F> Pace<F> {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            base_ns: None,
            end_ns: 0,
            complete: false,
            is_over: false,
        }
    }

    pub(super) fn add(&mut self, timed: Timed<F>) {
        self.queue.push_back(timed);
    }

    /// No more frames will come.
    pub(super) const fn complete(&mut self) {
        self.complete = true;
    }

    /// The item's beginning is on the glass at `base_ns`.
    pub(super) const fn begin(&mut self, base_ns: u64) {
        self.base_ns = Some(base_ns);
        self.end_ns = base_ns;
    }

    pub(super) const fn base_ns(&self) -> Option<u64> {
        self.base_ns
    }

    /// When what was handed on so far will have been seen.
    pub(super) const fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// When the next step has something to do; `None` before the item is shown, and while frames are missing.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let base_ns = self.base_ns?;
        let moment_ns = match self.queue.front() {
            Some(front) => base_ns.saturating_add(front.pts_ns),
            None if self.complete && !self.is_over => self.end_ns,
            None => return None,
        };
        Some(moment_ns.saturating_sub(LEAD_NS))
    }

    pub(super) fn is_starved(&self) -> bool {
        self.queue.is_empty() && !self.complete
    }

    pub(super) fn step(&mut self, now_ns: u64) -> Step<F> {
        let Some(base_ns) = self.base_ns else {
            return Step::Wait;
        };
        if self.due_ns().is_none_or(|due_ns| due_ns > now_ns) {
            return Step::Wait;
        }
        let Some(timed) = self.queue.pop_front() else {
            self.is_over = true;
            return Step::Over;
        };
        let at_ns = base_ns.saturating_add(timed.pts_ns);
        self.end_ns = self.end_ns.max(at_ns.saturating_add(timed.duration_ns));
        let next_is_due = self
            .queue
            .front()
            .is_some_and(|next| base_ns.saturating_add(next.pts_ns) <= now_ns);
        if next_is_due {
            Step::LeaveOut { timed }
        } else {
            Step::Hand { timed, at_ns }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME_NS: u64 = 40_000_000;

    fn film(frames: u64) -> Pace<u64> {
        let mut pace = Pace::new();
        for index in 0..frames {
            pace.add(Timed {
                frame: index,
                pts_ns: index * FRAME_NS,
                duration_ns: FRAME_NS,
                slot: 0,
            });
        }
        pace
    }

    #[test]
    fn nothing_leaves_before_the_item_is_shown() {
        let mut pace = film(3);
        assert_eq!(pace.due_ns(), None);
        assert_eq!(pace.step(u64::MAX), Step::Wait);
    }

    #[test]
    fn the_first_frame_leaves_at_once_and_the_others_at_their_time() {
        let mut pace = film(5);
        pace.complete();
        let begin_ns = 1_000_000_000;
        pace.begin(begin_ns);
        let mut handed = Vec::new();
        let mut now_ns = begin_ns;
        while let Some(due_ns) = pace.due_ns() {
            now_ns = now_ns.max(due_ns);
            match pace.step(now_ns) {
                Step::Hand { timed, at_ns } => handed.push((timed.frame, at_ns)),
                Step::Over => assert_eq!(pace.end_ns(), begin_ns + 5 * FRAME_NS),
                other => panic!("{other:?}"),
            }
        }
        let expected: Vec<_> = (0..5)
            .map(|index| (index, begin_ns + index * FRAME_NS))
            .collect();
        assert_eq!(handed, expected);
        assert_eq!(now_ns, begin_ns + 5 * FRAME_NS - LEAD_NS);
    }

    #[test]
    fn of_late_frames_the_latest_is_shown() {
        let mut pace = film(5);
        pace.begin(0);
        // The third one's time has come, the fourth one's not quite.
        let now_ns = 2 * FRAME_NS + 1;
        assert!(matches!(pace.step(now_ns), Step::LeaveOut { timed } if timed.frame == 0));
        assert!(matches!(pace.step(now_ns), Step::LeaveOut { timed } if timed.frame == 1));
        assert!(matches!(pace.step(now_ns), Step::Hand { timed, .. } if timed.frame == 2));
    }

    proptest! {
        #[test]
        fn frames_leave_in_order_once_and_not_too_early_and_the_last_one_does(
            gaps in proptest::collection::vec(0u64..100_000_000, 1..40),
            ticks in proptest::collection::vec(0u64..200_000_000, 1..200),
            base_ns in 0u64..10_000_000_000,
        ) {
            let mut pace = Pace::new();
            let mut pts_ns = 0;
            for (index, gap) in gaps.iter().enumerate() {
                pts_ns += gap;
                pace.add(Timed { frame: index, pts_ns, duration_ns: 0, slot: 0 });
            }
            pace.complete();
            pace.begin(base_ns);
            let mut now_ns = base_ns;
            let mut seen = Vec::new();
            let mut handed = Vec::new();
            let mut over = 0;
            for tick in ticks.iter().copied().chain([u64::MAX / 2]) {
                loop {
                    match pace.step(now_ns) {
                        Step::Hand { timed, at_ns } => {
                            prop_assert!(at_ns <= now_ns + LEAD_NS);
                            seen.push(timed.frame);
                            handed.push(timed.frame);
                        }
                        Step::LeaveOut { timed } => seen.push(timed.frame),
                        Step::Over => over += 1,
                        Step::Wait => break,
                    }
                }
                now_ns += tick;
            }
            while !matches!(pace.step(now_ns), Step::Wait) {}
            prop_assert!(over <= 1);
            prop_assert_eq!(&seen, &(0..seen.len()).collect::<Vec<_>>());
            if over == 1 {
                prop_assert_eq!(seen.len(), gaps.len());
                prop_assert_eq!(handed.last(), Some(&(gaps.len() - 1)));
            }
        }
    }
}
