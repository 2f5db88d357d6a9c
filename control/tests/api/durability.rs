//! What was acknowledged is kept, however the control plane ends.

use fleet_control::clock::random_secret;
use nix::sys::signal::Signal;

use crate::load::{Kept, begin, lost};
use crate::world::program::Program;

/// Sends the signal after so many acknowledgments, while more is being written. Answers what was acknowledged, and how the
/// server ended.
fn end_under_load(
    mut program: Program,
    round: usize,
    signal: Signal,
    after: usize,
) -> (Vec<Kept>, std::process::ExitStatus) {
    let kept = std::thread::scope(|scope| {
        let acknowledged = begin(scope, &program, round);
        let mut kept: Vec<Kept> = acknowledged.iter().take(after).collect();
        assert_eq!(kept.len(), after, "the server ended by itself");
        program.signal(signal);
        // What the last requests were answered, too.
        kept.extend(acknowledged.iter());
        kept
    });
    (kept, program.wait())
}

/// 1 to 40, by chance.
fn somewhere() -> usize {
    usize::from_str_radix(&random_secret()[..4], 16).unwrap() % 40 + 1
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::serve(data.path());
    let (kept, status) = end_under_load(program, 0, Signal::SIGTERM, 40);
    assert!(status.success(), "{status}");
    assert_eq!(lost(&Program::serve(data.path()), &kept), []);
}

#[test]
fn a_kill_at_any_instant_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for round in 0..5 {
        let program = Program::serve(data.path());
        assert_eq!(lost(&program, &kept), [], "after {round} kills");
        let (more, status) = end_under_load(program, round, Signal::SIGKILL, somewhere());
        assert!(!status.success());
        kept.extend(more);
    }
    assert_eq!(lost(&Program::serve(data.path()), &kept), []);
}
