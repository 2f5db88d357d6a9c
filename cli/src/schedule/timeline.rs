//! A timeline as a picture: a row a day, a sign for each half-hour, then every change in a table.
//!
//! The columns are what the clock on the wall shows. An hour that is skipped stays blank; one that is
//! repeated has the one column that it has on the wall, and what it shows longest.

use std::time::Duration;

use fleet_protocol::SlotId;
use fleet_protocol::schedule::Segment;
use fleet_schedule::{HandMinute, Screen, Warning, zone_data_version};
use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};

use super::local;
use crate::output::{Output, Tone};
use crate::text::human_duration;

const CELLS: i64 = 48;
const CELL: SignedDuration = SignedDuration::from_mins(30);
/// More rows than this are no picture any more.
const MAX_DAYS: usize = 35;
/// Every three hours, above their cells.
const HOURS: &str = "0     3     6     9     12    15    18    21    24";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DEAD_AIR: char = '×';
const FALLBACK: char = '─';
const ONE_OF_MANY: char = '#';

pub(super) fn text(
    segments: &[Segment],
    warnings: &[Warning],
    screen: &Screen,
    output: Output,
) -> String {
    let signs = Signs::of(segments);
    let mut text = head(segments, screen, output);
    if let Some(picture) = picture(segments, &signs, screen, output) {
        text += &picture;
    }
    text += &table(segments, &signs, screen, output);
    text += &dead_air(segments, output);
    if !warnings.is_empty() {
        text += &output.paint(Tone::Strong, "\nNever on this screen\n");
        for warning in warnings {
            text += &format!("  {} {warning}\n", output.paint(Tone::Busy, "!"));
        }
    }
    text
}

fn head(segments: &[Segment], screen: &Screen, output: Output) -> String {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return String::new();
    };
    let zone = screen.zone();
    format!(
        "{} from {} to {}, {} (zone data {})\n\n",
        output.paint(Tone::Strong, screen.device().as_str()),
        local(zone, first.from_utc),
        local(zone, last.to_utc),
        zone.name(),
        zone_data_version(),
    )
}

/// Which sign stands for what, by order of appearance.
struct Signs<'a>(Vec<&'a SlotId>);

impl<'a> Signs<'a> {
    fn of(segments: &'a [Segment]) -> Self {
        let mut slots = Vec::new();
        for slot in segments.iter().filter_map(|s| s.slot_id.as_ref()) {
            if slots.len() < LETTERS.len() && !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        Self(slots)
    }

    fn sign(&self, segment: &Segment) -> (char, Tone) {
        match (&segment.slot_id, &segment.playlist_id) {
            (Some(slot), _) => {
                let place = self.0.iter().position(|known| *known == slot);
                let letter = place.and_then(|place| LETTERS.chars().nth(place));
                (letter.unwrap_or(ONE_OF_MANY), Tone::Good)
            }
            (None, Some(_)) => (FALLBACK, Tone::Dim),
            (None, None) => (DEAD_AIR, Tone::Bad),
        }
    }
}

fn picture(
    segments: &[Segment],
    signs: &Signs<'_>,
    screen: &Screen,
    output: Output,
) -> Option<String> {
    let (first, last) = (segments.first()?.from_utc, segments.last()?.to_utc);
    let zone = screen.zone();
    // Just before the end, so that a range until midnight has no empty row.
    let end = last.saturating_sub(SignedDuration::from_nanos(1)).ok()?;
    let (first_day, last_day) = (zone.local(first).date(), zone.local(end).date());
    let days = first_day.series(jiff::Span::new().days(1));
    let days: Vec<Date> = days
        .take_while(|day| *day <= last_day)
        .take(MAX_DAYS + 1)
        .collect();
    if days.len() > MAX_DAYS {
        return None;
    }
    let mut text = output.paint(Tone::Dim, &format!("{:16}{HOURS}", "")) + "\n";
    for day in days {
        let cells = (0..CELLS).map(|cell| sign_of_cell(segments, signs, screen, day, cell));
        let name = day.strftime("%a %Y-%m-%d");
        text += &format!(
            "{name}  {}{}\n",
            painted(cells, output),
            clock_change(screen, day, output)
        );
    }
    text += &output.paint(
        Tone::Dim,
        &format!(
            "{:16}a sign is half an hour; {DEAD_AIR} nothing plays, {FALLBACK} a fallback\n\n",
            ""
        ),
    );
    Some(text)
}

fn instant(screen: &Screen, day: Date, cell: i64) -> Timestamp {
    let shown = day.to_datetime(Time::midnight());
    let shown = shown.saturating_add(SignedDuration::from_mins(cell * CELL.as_mins()));
    screen.zone().first_instant(HandMinute::of(shown))
}

/// What this half-hour shows longest; nothing, where it does not exist or was not asked for.
fn sign_of_cell(
    segments: &[Segment],
    signs: &Signs<'_>,
    screen: &Screen,
    day: Date,
    cell: i64,
) -> Option<(char, Tone)> {
    let begin = instant(screen, day, cell);
    let end = instant(screen, day, cell + 1);
    let passed = segments.partition_point(|segment| segment.to_utc <= begin);
    let within = segments[passed..]
        .iter()
        .take_while(|segment| segment.from_utc < end);
    let share = |segment: &Segment| {
        let (from, to) = (segment.from_utc.max(begin), segment.to_utc.min(end));
        to.duration_since(from)
    };
    // The first of equals, as the eye expects.
    let longest = within.reduce(|best, next| {
        if share(next) > share(best) {
            next
        } else {
            best
        }
    })?;
    (share(longest) > SignedDuration::ZERO).then(|| signs.sign(longest))
}

/// Runs of one tone are painted at once.
fn painted(cells: impl Iterator<Item = Option<(char, Tone)>>, output: Output) -> String {
    let mut runs: Vec<(Tone, String)> = Vec::new();
    for cell in cells {
        let (sign, tone) = cell.unwrap_or((' ', Tone::Dim));
        match runs.last_mut() {
            Some((last, run)) if *last == tone => run.push(sign),
            _ => runs.push((tone, sign.to_string())),
        }
    }
    runs.iter()
        .map(|(tone, run)| output.paint(*tone, run))
        .collect()
}

/// `23 h` or `25 h` beside a day of that length.
fn clock_change(screen: &Screen, day: Date, output: Output) -> String {
    let begin = instant(screen, day, 0);
    let length = instant(screen, day, CELLS).duration_since(begin);
    if length == SignedDuration::from_hours(24) {
        return String::new();
    }
    let length = human_duration(length.unsigned_abs());
    output.paint(Tone::Busy, &format!("  a day of {length}"))
}

fn table(segments: &[Segment], signs: &Signs<'_>, screen: &Screen, output: Output) -> String {
    let rows: Vec<Vec<String>> = segments
        .iter()
        .map(|segment| {
            let (sign, tone) = signs.sign(segment);
            let shows = match &segment.playlist_id {
                Some(playlist) => playlist.to_string(),
                None => output.paint(Tone::Bad, "nothing plays"),
            };
            let slot = match (&segment.slot_id, &segment.playlist_id) {
                (Some(slot), _) => slot.to_string(),
                (None, Some(_)) => output.paint(Tone::Dim, "fallback"),
                (None, None) => String::new(),
            };
            vec![
                output.paint(tone, &sign.to_string()),
                local(screen.zone(), segment.from_utc),
                human_duration(length(segment)),
                shows,
                slot,
            ]
        })
        .collect();
    output.table(&["", "from", "for", "playlist", "slot"], &rows)
}

fn length(segment: &Segment) -> Duration {
    segment
        .to_utc
        .duration_since(segment.from_utc)
        .unsigned_abs()
}

fn dead_air(segments: &[Segment], output: Output) -> String {
    let dark: Vec<Duration> = segments
        .iter()
        .filter(|segment| segment.playlist_id.is_none())
        .map(length)
        .collect();
    if dark.is_empty() {
        return String::new();
    }
    let times = match dark.len() {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let total = human_duration(dark.iter().sum());
    format!(
        "\n{}\n  Hint: a `fallbackPlaylistId` fills every hour that no slot has\n",
        output.paint(
            Tone::Bad,
            &format!("Dead air: nothing plays {times}, for {total} in all")
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;
    use crate::output::Color;
    use fleet_schedule::ScheduleFile;

    fn plain() -> Output {
        Output::new(&Global {
            color: Color::Never,
            ..Global::default()
        })
    }

    /// A day from 09:10 to 22:00 in London, and what the picture of the range is.
    fn picture_of(from: &str, to: &str) -> Vec<String> {
        let file =
            br#"{"timezone": "Europe/London", "devices": [{"deviceId": "lobby"}], "slots": [{
            "slotId": "day", "targetType": "DEVICE", "targetId": "lobby", "playlistId": "menu",
            "daysOfWeekMask": 127, "startMinutes": 550, "endMinutes": 1320}]}"#;
        let file = ScheduleFile::parse(file).unwrap().file;
        let screen = file.screen(&file.devices()[0]);
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let segments = file.into_schedule().timeline(&screen, from, to);
        let picture = picture(&segments, &Signs::of(&segments), &screen, plain());
        let picture = picture.unwrap_or_default();
        picture.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_day_is_a_row_and_a_change_within_a_cell_goes_to_the_longer() {
        let rows = picture_of("2026-10-24T00:00:00Z", "2026-10-24T23:00:00Z");
        assert_eq!(rows.len(), 4, "{rows:#?}");
        let (dark, lit) = ("×".repeat(16), "A".repeat(26));
        // From 01:00 on the wall; 09:00 to 09:30 is dark for ten minutes, and lit for twenty.
        assert_eq!(rows[1], format!("Sat 2026-10-24    {dark}{lit}××××"));
    }

    #[test]
    fn a_skipped_hour_is_blank_and_the_day_has_its_length() {
        let rows = picture_of("2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z");
        assert!(rows[1].starts_with("Sun 2026-03-29  ××  ××"), "{rows:#?}");
        assert!(rows[1].ends_with("  a day of 23h"), "{rows:#?}");
        let rows = picture_of("2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z");
        assert!(rows[1].ends_with("  a day of 1d 1h"), "{rows:#?}");
    }

    #[test]
    fn a_range_too_long_for_a_picture_has_none() {
        assert!(picture_of("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").is_empty());
    }

    #[test]
    fn dead_air_is_summed_up() {
        let at = |text: &str| text.parse().unwrap();
        let segment = |from_utc: &str, to_utc: &str, playlist: Option<&str>| Segment {
            from_utc: at(from_utc),
            to_utc: at(to_utc),
            playlist_id: playlist.map(|id| id.parse().unwrap()),
            slot_id: None,
        };
        let dark = [
            segment("2026-01-01T00:00:00Z", "2026-01-01T06:00:00Z", None),
            segment("2026-01-01T06:00:00Z", "2026-01-01T22:00:00Z", Some("p")),
            segment("2026-01-01T22:00:00Z", "2026-01-02T00:00:00Z", None),
        ];
        assert!(dead_air(&dark, plain()).contains("nothing plays 2 times, for 8h in all"));
        assert!(dead_air(&dark[..1], plain()).contains("nothing plays once, for 6h in all"));
        assert!(dead_air(&dark[1..2], plain()).is_empty());
    }
}
