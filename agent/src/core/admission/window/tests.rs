use proptest::prelude::*;

use super::*;
use crate::core::fixtures::at;

pub(crate) fn window(start: &str, end: &str, timezone: &str) -> Window {
    Window::parse(&MaintenanceWindow {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
        timezone: timezone.to_owned(),
    })
    .unwrap()
}

#[test]
fn a_window_opens_at_its_local_time() {
    let check = |start, end, zone, now: &str, expected: Option<&str>| {
        let now: Timestamp = now.parse().unwrap();
        let expected = expected.map(|t| t.parse::<Timestamp>().unwrap());
        assert_eq!(window(start, end, zone).opens_at(now), expected, "{now}");
    };
    check("02:00", "05:00", "UTC", "2026-06-01T03:00:00Z", None);
    check(
        "02:00",
        "05:00",
        "UTC",
        "2026-06-01T05:00:00Z",
        Some("2026-06-02T02:00:00Z"),
    );
    // Over midnight.
    check("23:00", "01:00", "UTC", "2026-06-01T00:30:00Z", None);
    check(
        "23:00",
        "01:00",
        "UTC",
        "2026-06-01T12:00:00Z",
        Some("2026-06-01T23:00:00Z"),
    );
    // Equal times: all day.
    check("03:00", "03:00", "UTC", "2026-06-01T12:00:00Z", None);
    // 29 March 2026, 02:00 to 03:00 does not exist in Oslo; a window inside opens all the same.
    check(
        "02:15",
        "02:45",
        "Europe/Oslo",
        "2026-03-29T00:00:00Z",
        Some("2026-03-29T00:15:00Z"),
    );
    // 25 October 2026, 02:00 to 03:00 comes twice there: it is open in both.
    check(
        "02:15",
        "02:45",
        "Europe/Oslo",
        "2026-10-25T00:20:00Z",
        None,
    );
    check(
        "02:15",
        "02:45",
        "Europe/Oslo",
        "2026-10-25T01:20:00Z",
        None,
    );
}

#[test]
fn an_unknown_time_zone_is_an_error_that_says_so() {
    let error = Window::parse(&MaintenanceWindow {
        start: "02:00".parse().unwrap(),
        end: "03:00".parse().unwrap(),
        timezone: "Europe/Olso".to_owned(),
    })
    .unwrap_err();
    assert!(error.to_string().contains("Europe/Olso"));
}

proptest! {
    #[test]
    fn a_window_that_opens_is_open_then(
        start in 0i8..24, end in 0i8..24, minute in 0i8..60, now in 1_700_000_000i64..1_900_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    ) {
        let window = window(&format!("{start:02}:{minute:02}"), &format!("{end:02}:30"), zone);
        if let Some(opens_at) = window.opens_at(at(now)) {
            prop_assert!(opens_at > at(now));
            prop_assert_eq!(window.opens_at(opens_at), None);
        }
    }
}
