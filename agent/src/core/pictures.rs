//! Whether pictures come to the glass: by the player's own count of them, which has to grow.

use fleet_protocol::heartbeat::HealthCheck;
use fleet_protocol::player::FrameCounts;

use super::Monotonic;

/// The player hands a picture on at least once a second, also while the screen is off on purpose or not there.
const STANDS_AFTER_MS: u64 = 10_000;
/// The check's name.
pub const PICTURES: &str = "pictures";

/// The count as it was seen.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// How many there were, seen or not, and since when that is so.
    seen: Option<(u64, Monotonic)>,
}

impl Pictures {
    /// `counts`: what the player says now; `None` as long as it has shown nothing.
    pub fn look(&mut self, counts: Option<FrameCounts>, now: Monotonic) -> HealthCheck {
        let check = |ok, detail| HealthCheck {
            name: PICTURES.to_owned(),
            ok,
            detail,
        };
        let Some(counts) = counts else {
            return check(false, "the player has shown nothing yet".to_owned());
        };
        let since = match self.seen {
            Some((pictures, since)) if pictures == counts.pictures() => since,
            _ => now,
        };
        self.seen = Some((counts.pictures(), since));
        let stands_ms = now.since(since);
        if stands_ms >= STANDS_AFTER_MS {
            return check(false, format!("none for {} s", stands_ms / 1_000));
        }
        let FrameCounts {
            presented,
            late,
            blank_ms,
            unseen,
        } = counts;
        let off = match unseen {
            0 => String::new(),
            unseen => format!(", {unseen} while the screen was off on purpose or not there"),
        };
        check(
            true,
            format!("{presented} shown, {late} late, {blank_ms} ms blank{off}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(presented: u64) -> FrameCounts {
        FrameCounts {
            presented,
            ..FrameCounts::default()
        }
    }

    #[test]
    fn a_count_that_grows_is_good_and_one_that_stands_is_not() {
        let mut pictures = Pictures::default();
        let mut check = |counts, at_ms, ok| {
            let check = pictures.look(counts, Monotonic(at_ms));
            assert_eq!(check.ok, ok, "{}", check.detail);
        };
        check(None, 0, false);
        check(Some(counts(1)), 1_000, true);
        check(Some(counts(9)), 4_000, true);
        check(Some(counts(9)), 13_999, true);
        check(Some(counts(9)), 14_000, false);
        // Another player has begun.
        check(Some(counts(2)), 15_000, true);
    }

    #[test]
    fn a_screen_that_is_off_on_purpose_is_not_blamed() {
        let mut pictures = Pictures::default();
        for second in 0..60 {
            let counts = FrameCounts {
                unseen: second,
                ..counts(9)
            };
            let check = pictures.look(Some(counts), Monotonic::from_secs(second));
            assert!(check.ok, "{}", check.detail);
        }
    }
}
