//! A token that is refused, and accepted again.

use super::*;

#[test]
fn two_refusals_in_a_row_make_the_token_invalid_and_a_success_valid() {
    let mut bench = Bench::new();
    bench.answer(Err(failure(401)));
    bench.run_until_manifest();
    bench.answer(Ok(Success::NotModified));
    bench.run_until_manifest();
    bench.answer(Err(failure(401)));
    assert!(!bench.take().join("\n").contains("TOKEN"));
    let before = bench.now_ms;
    bench.wait();
    assert!(bench.now_ms - before >= 30_000, "a glitch has time to pass");
    // On whichever lane.
    bench.answer(Err(failure(401)));
    let told = bench.take().join("\n");
    assert!(
        told.contains("DEVICE_TOKEN_INVALID") && told.contains("TokenInvalid"),
        "{told}"
    );
    assert_eq!(bench.sync.phase(), Phase::Unregistered);

    for _ in 0..3 {
        let before = bench.now_ms;
        bench.step(Event::Waiting(Upload::Events));
        bench.wait();
        assert!(bench.now_ms - before >= 15 * 60_000, "asks seldom");
        assert_eq!(
            bench.sync.in_flight,
            Some(Lane::Manifest),
            "and for nothing else"
        );
        bench.answer(Err(failure(401)));
        let told = bench.take().join("\n");
        assert!(!told.contains("TOKEN_INVALID"), "{told}");
    }
    bench.wait();
    bench.answer(Ok(Success::NotModified));
    assert!(bench.take().join("\n").contains("Registered"));
    assert_ne!(bench.sync.phase(), Phase::Unregistered);
}

#[test]
fn a_new_token_is_tried_at_once() {
    let mut bench = Bench::new();
    bench.answer(Err(failure(401)));
    bench.wait();
    bench.answer(Err(failure(401)));
    bench.take();
    bench.step(Event::Registered);
    let second = bench.now_ms / 1_000;
    let expected = ["Registered", "manifest "];
    assert_eq!(
        bench.take(),
        expected.map(|what| format!("{second} {what}"))
    );
}
