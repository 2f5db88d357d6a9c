//! What the glass showed, made of what was seen at each look: pure.
//!
//! Only what was seen counts. A frame that came and went between two looks too far apart may have been shown, so it is
//! not held against a player.

use std::time::Duration;

use fleet_tests::code::Code;

use super::films::Film;

/// What one look at the glass found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Picture(Code),
    /// No picture anywhere: black, or any one colour.
    Blank,
    /// Parts of pictures: the server was drawing, or the picture is not where it should be.
    Parts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Since the player's start.
    pub(super) at: Duration,
    pub(super) seen: Seen,
}

/// Drawing a picture takes no longer; parts for longer than this are no picture.
const DRAWN_WITHIN: Duration = Duration::from_millis(12);
/// Of looks further apart than this nothing is concluded about the frames between them.
const BLIND: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Story {
    /// When the first picture was there.
    pub(super) first: Duration,
    /// From one film to the next.
    pub(super) transitions: u32,
    /// After the first picture.
    pub(super) blank: Duration,
    pub(super) longest_blank: Duration,
    /// That were due.
    pub(super) frames: u32,
    pub(super) missed: u32,
    /// Longest time between two looks.
    pub(super) blind: Duration,
}

impl Story {
    pub(super) fn blank_each(&self) -> Duration {
        self.blank / self.transitions.max(1)
    }

    pub(super) fn missed_percent(&self) -> f64 {
        f64::from(self.missed) * 100.0 / f64::from(self.frames.max(1))
    }
}

/// `None` if there was no picture at all.
pub(super) fn story(looks: &[Look], films: &[Film]) -> Option<Story> {
    let begin = looks
        .iter()
        .position(|look| matches!(look.seen, Seen::Picture(_)))?;
    let looks = &looks[begin..];
    let mut story = Story {
        first: looks.first()?.at,
        ..Story::default()
    };
    for run in looks.chunk_by(|a, b| is_picture(a) == is_picture(b)) {
        if run.first().is_some_and(is_picture) {
            continue;
        }
        // Until the next picture; a run at the end has not ended.
        let (from, to) = (run[0].at, run_end(looks, run));
        let lasted = to.saturating_sub(from);
        let drawing = run.iter().all(|look| look.seen == Seen::Parts);
        if !(drawing && lasted <= DRAWN_WITHIN) {
            story.blank += lasted;
            story.longest_blank = story.longest_blank.max(lasted);
        }
    }
    count_frames(looks, films, &mut story);
    Some(story)
}

const fn is_picture(look: &Look) -> bool {
    matches!(look.seen, Seen::Picture(_))
}

/// When something else than this run was seen.
fn run_end(looks: &[Look], run: &[Look]) -> Duration {
    let last = run[run.len() - 1].at;
    let next = looks.iter().find(|look| look.at > last);
    next.map_or(last, |look| look.at)
}

/// Frames that should have come and did not. A film that has not ended is counted as far as it was seen.
fn count_frames(looks: &[Look], films: &[Film], story: &mut Story) {
    let length = |item: u16| {
        let film = films.iter().find(|film| film.item == item);
        film.map_or(0, |film| film.frames)
    };
    // The film and its latest frame.
    let mut now: Option<Code> = None;
    let mut before = looks[0].at;
    for look in looks {
        let apart = look.at.saturating_sub(before);
        story.blind = story.blind.max(apart);
        before = look.at;
        let Seen::Picture(code) = look.seen else {
            continue;
        };
        if now == Some(code) {
            continue;
        }
        let left_out = match now {
            Some(shown) if shown.item == code.item && shown.frame < code.frame => {
                story.frames += u32::from(code.frame - shown.frame);
                code.frame - shown.frame - 1
            }
            shown => {
                let rest = shown.map_or(0, |shown| {
                    length(shown.item).saturating_sub(shown.frame + 1)
                });
                story.transitions += u32::from(shown.is_some());
                story.frames += u32::from(rest) + u32::from(code.frame) + 1;
                rest + code.frame
            }
        };
        if apart <= BLIND {
            story.missed += u32::from(left_out);
        }
        now = Some(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn films() -> Vec<Film> {
        serde_json::from_value(serde_json::json!([
            {"item": 1, "frames": 3, "framesASecond": 25, "file": "1.mp4"},
            {"item": 2, "frames": 3, "framesASecond": 25, "file": "2.mp4"},
        ]))
        .unwrap()
    }

    fn picture(item: u16, frame: u16) -> Seen {
        Seen::Picture(Code { item, frame })
    }

    /// Looks 10 ms apart, the first after 100 ms.
    fn look(seen: &[Seen]) -> Vec<Look> {
        let at = (10..).map(|index| Duration::from_millis(index * 10));
        let looks = at.zip(seen);
        looks.map(|(at, &seen)| Look { at, seen }).collect()
    }

    #[test]
    fn a_black_moment_between_two_films_is_blank_and_the_time_before_the_first_is_not() {
        let looks = look(&[
            Seen::Blank,
            Seen::Blank,
            picture(1, 0),
            picture(1, 1),
            picture(1, 2),
            Seen::Blank,
            Seen::Blank,
            picture(2, 0),
        ]);
        let story = story(&looks, &films()).unwrap();
        assert_eq!(story.first, Duration::from_millis(120));
        assert_eq!(story.transitions, 1);
        assert_eq!(story.blank, Duration::from_millis(20));
        assert_eq!(story.longest_blank, Duration::from_millis(20));
        assert_eq!((story.frames, story.missed), (4, 0));
    }

    #[test]
    fn a_picture_that_is_being_drawn_is_not_blank_and_one_that_stays_in_parts_is() {
        let check = |parts: usize, blank_ms: u64| {
            let mut seen = vec![picture(1, 0)];
            seen.extend(vec![Seen::Parts; parts]);
            seen.push(picture(1, 1));
            let story = story(&look(&seen), &films()).unwrap();
            assert_eq!(story.blank, Duration::from_millis(blank_ms), "{parts}");
        };
        check(0, 0);
        check(1, 0);
        check(2, 20);
    }

    #[test]
    fn frames_left_out_within_a_film_at_its_end_and_at_the_next_ones_beginning_are_missed() {
        let check = |seen: &[Seen], frames: u32, missed: u32| {
            let story = story(&look(seen), &films()).unwrap();
            assert_eq!((story.frames, story.missed), (frames, missed), "{seen:?}");
        };
        check(&[picture(1, 0), picture(1, 0), picture(1, 1)], 2, 0);
        check(&[picture(1, 0), picture(1, 2)], 3, 1);
        check(&[picture(1, 0), picture(2, 0)], 4, 2);
        check(&[picture(1, 2), picture(2, 1)], 5, 3);
        // The same film once more.
        check(&[picture(1, 2), picture(1, 0)], 4, 2);
    }

    #[test]
    fn what_nobody_looked_at_is_not_held_against_a_player() {
        let mut looks = look(&[picture(1, 0), picture(1, 2)]);
        looks[1].at += Duration::from_millis(50);
        let story = story(&looks, &films()).unwrap();
        assert_eq!(story.missed, 0);
        assert_eq!(story.blind, Duration::from_millis(60));
    }

    #[test]
    fn nothing_seen_is_no_story() {
        assert_eq!(story(&look(&[Seen::Blank; 3]), &films()), None);
    }
}
