//! One kind of request that fails among others that do not.

use fleet_tests::random::Random;

use super::*;

/// How often each lane is asked for in an hour in which one always fails, and what is told.
fn hour_without(failing: Lane, status: u16) -> (impl Fn(Lane) -> u32, String) {
    let mut bench = Bench::new();
    let mut asked = [0; Lane::ALL.len()];
    let mut random = Random::seeded(7);
    while bench.now_ms < 3_600_000 {
        bench.step(Event::Waiting(Upload::Events));
        let Some(lane) = bench.sync.in_flight else {
            bench.wait();
            continue;
        };
        asked[lane as usize] += 1;
        bench.dice = random.next();
        bench.answer(if lane == failing {
            Err(failure(status))
        } else {
            Ok(Success::Done { more: More::None })
        });
    }
    (move |lane| asked[lane as usize], bench.take().join("\n"))
}

#[test]
fn the_lane_that_fails_backs_off_and_the_others_go_on() {
    for failing in [Lane::Manifest, Lane::Heartbeat, Lane::Events] {
        for status in [403, 404, 500, 503] {
            let (asked, told) = hour_without(failing, status);
            for lane in Lane::REGULAR.into_iter().filter(|lane| *lane != failing) {
                assert!(
                    asked(lane) >= 45,
                    "{failing:?} {status}: {lane:?} {}",
                    asked(lane)
                );
            }
            let tries = asked(failing);
            assert!((12..=45).contains(&tries), "{failing:?} {status}: {tries}");
            assert!(!told.contains("OFFLINE_ENTERED"), "{failing:?} {status}");
        }
    }
}

#[test]
fn where_only_uploads_get_lost_there_is_no_outage() {
    let (asked, told) = hour_without(Lane::Events, 0);
    assert!(!told.contains("OFFLINE_ENTERED"));
    assert!(asked(Lane::Heartbeat) >= 45);
    assert!(asked(Lane::Events) <= 45);
}
