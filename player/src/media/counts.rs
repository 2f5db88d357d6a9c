//! How many pictures came to the glass, how many of them late, and for how long there was none.
//!
//! Counted where the glass says so, else at the sink's door. There is none from the moment that a screen is to show
//! something until the first picture, and while the screen was taken away from what it showed. A screen that is not
//! there, or is off on purpose, is not blank: pictures that come meanwhile are unseen.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet_protocol::player::FrameCounts;

use super::display::Shown;

/// What is on the glass when the way to it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A predecessor's picture; or there is no glass that could be blank.
    Lit,
    Blank,
}

/// Whether a picture came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Punctual {
    InTime,
    Late,
}

#[derive(Debug, Default)]
struct Sums {
    presented: u64,
    late: u64,
    unseen: u64,
    blank: Duration,
    /// There is no picture now.
    blank_since: Option<Instant>,
}

impl Sums {
    fn end_blank(&mut self, now: Instant) {
        if let Some(since) = self.blank_since.take() {
            self.blank += now.saturating_duration_since(since);
        }
    }
}

/// Of one way to the glass, since it was opened.
#[derive(Debug)]
pub(super) struct Counts(Mutex<Sums>);

impl Counts {
    pub(super) fn new(found: Found, now: Instant) -> Self {
        Self(Mutex::new(Sums {
            blank_since: (found == Found::Blank).then_some(now),
            ..Sums::default()
        }))
    }

    /// What became of a picture by `now`.
    pub(super) fn count(&self, shown: Shown, punctual: Punctual, now: Instant) {
        let mut sums = self.sums();
        sums.end_blank(now);
        match shown {
            Shown::Seen { after_blank } => {
                sums.presented += 1;
                sums.late += u64::from(punctual == Punctual::Late);
                sums.blank += after_blank;
            }
            Shown::Unseen => sums.unseen += 1,
        }
    }

    /// Nothing of a predecessor is on the glass after all.
    pub(super) fn found_blank(&self, since: Instant) {
        self.sums().blank_since.get_or_insert(since);
    }

    /// The screen is off on purpose, since `now` at the latest.
    pub(super) fn dark(&self, now: Instant) {
        self.sums().end_blank(now);
    }

    /// One that was left out because the next one was due.
    pub(super) fn count_late(&self) {
        self.sums().late += 1;
    }

    pub(super) fn presented(&self) -> u64 {
        self.sums().presented
    }

    pub(super) fn read(&self, now: Instant) -> FrameCounts {
        let sums = self.sums();
        let since = |since: Instant| now.saturating_duration_since(since);
        let blank = sums.blank + sums.blank_since.map_or(Duration::ZERO, since);
        FrameCounts {
            presented: sums.presented,
            late: sums.late,
            blank_ms: u64::try_from(blank.as_millis()).unwrap_or(u64::MAX),
            unseen: sums.unseen,
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Shown = Shown::Seen {
        after_blank: Duration::ZERO,
    };

    /// What happens at which millisecond.
    #[derive(Clone, Copy)]
    enum Happening {
        Picture(Shown, Punctual),
        FoundBlank,
        Dark,
    }
    use Happening::{Dark, FoundBlank, Picture};
    use Punctual::{InTime, Late};

    fn check(found: Found, happenings: &[(u64, Happening)], expected: [u64; 4]) {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let counts = Counts::new(found, begin);
        for (ms, happening) in happenings {
            match happening {
                Picture(shown, punctual) => counts.count(*shown, *punctual, at(*ms)),
                FoundBlank => counts.found_blank(begin),
                Dark => counts.dark(at(*ms)),
            }
        }
        let read = counts.read(at(10_000));
        let read = [read.presented, read.late, read.unseen, read.blank_ms];
        assert_eq!(read, expected);
    }

    #[test]
    fn there_is_no_picture_until_the_first_one_unless_a_predecessor_left_his() {
        let pictures = [(300, Picture(SEEN, InTime)), (700, Picture(SEEN, Late))];
        check(Found::Blank, &pictures, [2, 1, 0, 300]);
        check(Found::Lit, &pictures, [2, 1, 0, 0]);
        check(Found::Blank, &[], [0, 0, 0, 10_000]);
        check(Found::Lit, &[], [0, 0, 0, 0]);
    }

    #[test]
    fn a_predecessor_who_left_nothing_is_found_out() {
        let happenings = [(20, FoundBlank), (300, Picture(SEEN, InTime))];
        check(Found::Lit, &happenings, [1, 0, 0, 300]);
        check(Found::Blank, &happenings, [1, 0, 0, 300]);
    }

    #[test]
    fn what_nobody_sees_is_neither_shown_nor_blank_nor_late() {
        let happenings = [
            (100, Picture(SEEN, InTime)),
            (1_000, Picture(Shown::Unseen, Late)),
            (2_000, Picture(Shown::Unseen, InTime)),
            (3_000, Picture(SEEN, InTime)),
        ];
        check(Found::Blank, &happenings, [2, 0, 2, 100]);
    }

    #[test]
    fn a_screen_that_begins_dark_on_purpose_is_not_blank() {
        let happenings = [
            (10, Dark),
            (500, Dark),
            (2_000, Picture(Shown::Unseen, InTime)),
            (3_000, Picture(SEEN, InTime)),
        ];
        check(Found::Blank, &happenings, [1, 0, 1, 10]);
    }

    #[test]
    fn a_screen_that_was_dark_for_a_new_beginning_was_blank() {
        let again = Shown::Seen {
            after_blank: Duration::from_millis(40),
        };
        let happenings = [
            (100, Picture(SEEN, InTime)),
            (5_000, Picture(again, InTime)),
        ];
        check(Found::Blank, &happenings, [2, 0, 0, 140]);
    }
}
