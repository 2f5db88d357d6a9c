use std::collections::BTreeMap;

use fleet_protocol::config::ControlPlaneCheck::{Excused, Required};
use proptest::prelude::*;

use super::*;
use crate::core::fixtures::gate_settings;

fn answered_at(second: u64) -> ControlPlaneSeen {
    ControlPlaneSeen {
        answered_at: Some(Monotonic::from_secs(second)),
        out_of_service: false,
    }
}

fn sample(ok: bool) -> Sample {
    Sample {
        checks: vec![HealthCheck {
            name: "units".to_owned(),
            ok,
            detail: String::new(),
        }],
        control_plane: answered_at(0),
        network_up: true,
        restarts: BTreeMap::new(),
    }
}

/// Samples at these seconds, and the verdict after the last.
fn run(samples: &[(u64, Sample)], before: ReachedBefore, settings: &Settings) -> Verdict {
    let mut gate = Gate::new(Monotonic(0), before);
    let mut last = gate.verdict(Monotonic(0), settings);
    for (second, sample) in samples {
        (gate, last) = gate.sample(sample, Monotonic::from_secs(*second), settings);
    }
    last
}

fn check(oks: &[(u64, bool)], expected: &Verdict) {
    let samples: Vec<_> = oks.iter().map(|(at, ok)| (*at, sample(*ok))).collect();
    let found = run(&samples, ReachedBefore::Yes, &gate_settings());
    assert_eq!(found, *expected, "{oks:?}");
}

fn holding(healthy_s: u64) -> Verdict {
    Verdict::Holding {
        healthy_ms: healthy_s * 1_000,
        window_ms: 60_000,
    }
}

fn failed(name: &str) -> Verdict {
    Verdict::Failed {
        checks: vec![name.to_owned()],
    }
}

#[test]
fn the_window_has_to_be_held_without_a_break() {
    check(&[(0, true), (30, true), (59, true)], &holding(59));
    check(&[(0, true), (30, true), (60, true)], &Verdict::Passed);
    check(
        &[(0, true), (30, false), (40, true), (60, true)],
        &holding(20),
    );
    // Nobody looked for 41 seconds.
    check(&[(0, true), (20, true), (61, true)], &holding(0));
}

#[test]
fn after_the_deadline_the_failed_checks_are_named() {
    check(&[(0, false), (599, false)], &holding(0));
    check(&[(0, false), (600, false)], &failed("units"));
}

#[test]
fn a_window_that_ends_at_the_deadline_still_passes() {
    check(&[(540, true), (570, true), (600, true)], &Verdict::Passed);
}

#[test]
fn the_control_plane_is_required_only_if_it_was_reached_before() {
    let check = |before, mode, network_up, passes: bool| {
        let away = Sample {
            control_plane: ControlPlaneSeen::default(),
            network_up,
            ..sample(true)
        };
        let settings = Settings {
            control_plane: mode,
            ..gate_settings()
        };
        let samples = [(0, away.clone()), (30, away.clone()), (60, away)];
        let found = run(&samples, before, &settings);
        assert_eq!(found == Verdict::Passed, passes, "{before:?} {mode:?}");
    };
    check(ReachedBefore::Yes, Required, true, false);
    check(ReachedBefore::Yes, Required, false, true);
    check(ReachedBefore::No, Required, true, true);
    check(ReachedBefore::Unknown, Required, true, true);
    check(ReachedBefore::Yes, Excused, true, true);
}

#[test]
fn only_what_was_answered_since_the_trial_began_counts() {
    let began = Monotonic::from_secs(100);
    let configuration = Gate::new(began, ReachedBefore::Yes);
    let slot = Gate::of_boot(began, ReachedBefore::Yes);
    let check = |gate: &Gate, seen: ControlPlaneSeen, passes: bool| {
        let mut gate = gate.clone();
        let mut verdict = gate.verdict(began, &gate_settings());
        for second in [100, 130, 160] {
            let sample = Sample {
                control_plane: seen,
                ..sample(true)
            };
            (gate, verdict) = gate.sample(&sample, Monotonic::from_secs(second), &gate_settings());
        }
        assert_eq!(verdict == Verdict::Passed, passes, "{seen:?}");
    };
    check(&configuration, answered_at(99), false);
    check(&configuration, answered_at(100), true);
    check(&configuration, answered_at(101), true);
    check(&slot, answered_at(99), true);
    check(&slot, ControlPlaneSeen::default(), false);
    let out_of_service = ControlPlaneSeen {
        out_of_service: true,
        ..answered_at(99)
    };
    check(&configuration, out_of_service, true);
}

#[test]
fn a_crash_loop_fails_at_once_and_a_single_restart_breaks_the_window() {
    let restarted = |count| Sample {
        restarts: [("player.service".parse().unwrap(), count)].into(),
        ..sample(true)
    };
    let run = |counts: &[u32]| {
        let samples = (0u64..).zip(counts).map(|(i, c)| (i * 10, restarted(*c)));
        let samples: Vec<_> = samples.collect();
        super::tests::run(&samples, ReachedBefore::Yes, &gate_settings())
    };
    assert_eq!(run(&[5, 5, 6, 6]), holding(0));
    assert_eq!(run(&[5, 6, 7, 8]), failed("crash-loop:player.service"));
    assert_eq!(run(&[0, 3]), failed("crash-loop:player.service"));
    // Counts that were there before, or that began anew, say nothing.
    assert_eq!(run(&[9, 0, 0, 0, 0, 0, 0]), Verdict::Passed);
}

proptest! {
    #[test]
    fn it_passes_only_after_a_whole_good_window(
        samples in prop::collection::vec((1u64..40, prop::bool::weighted(0.9)), 1..60),
    ) {
        let settings = gate_settings();
        let mut gate = Gate::new(Monotonic(0), ReachedBefore::Yes);
        let (mut now, mut good_since, mut last) = (0, None, 0);
        for (step, ok) in samples {
            now += step;
            let verdict;
            (gate, verdict) = gate.sample(&sample(ok), Monotonic::from_secs(now), &settings);
            if !ok || step * 1_000 > MAX_GAP_MS {
                good_since = None;
            }
            if ok {
                good_since.get_or_insert(now);
            }
            let held = good_since.map_or(0, |since| now - since);
            match verdict {
                Verdict::Passed => {
                    prop_assert!(held >= 60);
                    break;
                }
                Verdict::Failed { checks } => {
                    prop_assert!(now >= 600 && !checks.is_empty());
                    break;
                }
                Verdict::Holding { healthy_ms, .. } => {
                    prop_assert!(now < 600);
                    prop_assert_eq!(healthy_ms, held * 1_000);
                }
            }
            last = now;
        }
        prop_assert!(last <= now);
    }
}
