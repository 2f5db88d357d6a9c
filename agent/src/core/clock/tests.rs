use proptest::prelude::*;

use super::*;

mod glitches;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn word(time: i64, heard_s: u64) -> Word {
    Word {
        time: at(time),
        at: Monotonic::from_secs(heard_s),
        not_after: Some(at(1_000_000)),
    }
}

/// Built at 1,000, said to be 9,000 by a clock that was written down.
fn seen_ahead() -> Knowledge {
    Knowledge::new(Evidence {
        built_at: Some(at(1_000)),
        last_seen: Some(at(9_000)),
        ..Evidence::default()
    })
}

#[test]
fn a_clock_at_1970_is_set_to_the_latest_that_is_known() {
    let evidence = Evidence {
        built_at: Some(at(1_000)),
        server_time: Some(at(2_000)),
        last_seen: Some(at(1_500)),
        ..Evidence::default()
    };
    assert_eq!(evidence.at_start(at(5)), Decision::Step { to: at(2_000) });
    assert_eq!(evidence.at_start(at(2_000)), Decision::Leave);
    assert_eq!(Evidence::default().at_start(at(5)), Decision::Leave);
}

#[test]
fn what_an_earlier_version_kept_is_read() {
    let kept = r#"{"builtAt":"2026-01-01T00:00:00Z","serverTime":"2099-01-01T00:00:00Z"}"#;
    let evidence: Evidence = serde_json::from_str(kept).unwrap();
    // Its server time was never bounded: it is a guess now.
    assert_eq!(evidence.certain(), evidence.built_at);
}

#[test]
fn the_first_word_sets_the_clock_forwards_and_backwards() {
    let check = |wall, said, discipline, expected| {
        let (_, found) = seen_ahead().hear(word(said, 0), at(wall), discipline);
        assert_eq!(found, expected, "{wall} {said}");
    };
    let to = |second| Decision::Step { to: at(second) };
    check(2_500, 4_000, Discipline::None, to(4_000));
    check(9_000, 4_000, Discipline::None, to(4_000));
    check(4_010, 4_000, Discipline::None, Decision::Leave);
    check(9_000, 4_000, Discipline::TimeService, Decision::Leave);
    check(2_500, 4_000, Discipline::TimeService, to(4_000));
    // Not below the image's build time, nor beyond the end of the server's certificate.
    check(9_000, 5, Discipline::None, to(1_000));
    check(9_000, 9_000_000, Discipline::None, to(1_000_000));
}

#[test]
fn a_local_clock_that_ran_ahead_is_forgotten_when_the_control_plane_speaks() {
    let known = seen_ahead();
    assert_eq!(known.floor(Discipline::None), at(9_000));
    assert_eq!(known.evidence().certain(), Some(at(1_000)));
    let (known, _) = known.hear(word(4_000, 0), at(9_000), Discipline::None);
    assert_eq!(known.floor(Discipline::None), at(4_000));
    assert_eq!(known.evidence().last_seen, Some(at(4_000)));
}

#[test]
fn a_time_service_makes_up_for_a_clock_that_ran_ahead() {
    assert_eq!(seen_ahead().floor(Discipline::TimeService), at(1_000));
}

#[test]
fn one_wrong_word_among_right_ones_moves_nothing() {
    let (known, _) = seen_ahead().hear(word(4_000, 0), at(4_000), Discipline::None);
    let (after_lie, decision) = known.hear(word(900_000, 60), at(4_060), Discipline::None);
    assert_eq!(decision, Decision::Leave);
    assert_eq!(after_lie.evidence(), known.evidence());
    let (back, decision) = after_lie.hear(word(4_120, 120), at(4_120), Discipline::None);
    assert_eq!(decision, Decision::Leave);
    assert_eq!(back.told(Monotonic::from_secs(180)), Some(at(4_180)));
    // Two that agree are followed, and the certain part of it only slowly.
    let (led, decision) = after_lie.hear(word(900_060, 120), at(4_120), Discipline::None);
    assert_eq!(decision, Decision::Step { to: at(900_060) });
    assert_eq!(led.evidence().certain(), Some(at(1_600)));
}

#[test]
fn what_is_certain_catches_up_with_a_control_plane_that_agrees_with_itself() {
    let (mut known, _) = seen_ahead().hear(word(4_000, 0), at(4_000), Discipline::None);
    for minute in 1..=10_u32 {
        let next = word(4_000 + 60 * i64::from(minute), u64::from(minute) * 60);
        (known, _) = known.hear(next, next.time, Discipline::None);
    }
    assert_eq!(known.evidence().certain(), Some(at(4_600)));
}

#[test]
fn a_captured_control_plane_cannot_take_back_what_is_certain() {
    let mut known = seen_ahead();
    for second in (0..2_000).step_by(100) {
        let next = word(4_000 + second, u64::try_from(second).unwrap());
        (known, _) = known.hear(next, next.time, Discipline::None);
    }
    assert_eq!(known.evidence().certain(), Some(at(5_900)));
    for second in (2_000..4_000).step_by(100) {
        let next = word(10, u64::try_from(second).unwrap());
        (known, _) = known.hear(next, at(6_000), Discipline::None);
    }
    assert_eq!(known.floor(Discipline::None), at(5_900));
}
