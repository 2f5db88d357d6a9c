//! Single steps of the engine: what is answered, what is ignored, what waits for what.

use fleet_protocol::Version;
use fleet_protocol::config::MaintenanceWindow;
use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::target::TargetKind;
use fleet_protocol::update::{RefuseReason, Slot};
use fleet_protocol::why::Verdict;

use super::*;
use crate::core::admission::{SlotContent, Window};
use crate::core::after;
use crate::core::boot::SlotEnv;
use crate::core::fixtures::{booted, candidate, release, situation, version, wanted};
use crate::core::gate;

/// An engine with the effects of its last step.
struct Bench {
    engine: Engine,
    situation: Situation,
    effects: Vec<Effect>,
}

impl Bench {
    /// Version 1 in slot A, committed in the factory.
    fn new() -> Self {
        let mut bench = Self {
            engine: Engine::new(Record::default()),
            situation: situation(),
            effects: Vec::new(),
        };
        bench.boot(Slot::A, 1, 1, BootEnv::committed_to(Slot::A));
        bench
    }

    fn step(&mut self, event: Event) -> &mut Self {
        (self.engine, self.effects) = self.engine.clone().step(event, &self.situation);
        self
    }

    fn boot(&mut self, slot: Slot, major: u64, boot_id: u64, env: BootEnv) -> &mut Self {
        self.engine = Engine::new(self.engine.record().clone());
        self.step(Event::Booted(Boot {
            booted: booted(slot, &version(major), boot_id),
            env: Some(env),
            reset: ResetReason::Orderly,
            safe_mode: false,
        }))
    }

    fn target(&mut self, major: u64) -> &mut Self {
        self.step(Event::TargetReceived {
            generation: major,
            release: Some(candidate(&release(major))),
        })
    }

    fn transaction(&self) -> String {
        match &self.engine.record().state {
            State::Installing(installing) => installing.transaction_id.clone(),
            state => panic!("{state:?}"),
        }
    }

    fn finish(&mut self, result: Result<(), InstallError>) -> &mut Self {
        let transaction_id = self.transaction();
        self.step(Event::InstallFinished {
            transaction_id,
            result,
        })
    }

    fn state(&self) -> &'static str {
        self.engine.view(&self.situation).name()
    }

    fn has(&self, found: fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(found)
    }

    fn answer(&self) -> Result<String, String> {
        let answer = self.effects.iter().find_map(|e| match e {
            Effect::Answer(answer) => Some(answer.clone()),
            _ => None,
        });
        answer.expect("an operator is always answered")
    }

    fn wait(&mut self, seconds: u64) {
        let now = &mut self.situation.now;
        now.mono = now.mono.plus_ms(seconds * 1_000);
        now.wall = after(now.wall, seconds);
    }
}

/// Slot B is first, and the bootloader has begun to count its attempts.
fn b_on_trial(tries: u8) -> BootEnv {
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b = SlotEnv {
        ok: true,
        tries,
        locked: false,
    };
    env
}

fn reboots(effect: &Effect) -> bool {
    matches!(effect, Effect::Reboot { .. })
}

#[test]
fn every_boot_is_reported_and_no_restart_of_the_agent() {
    let mut bench = Bench::new();
    let said = |bench: &Bench| {
        let mut reports = bench.effects.iter().filter_map(|e| match e {
            Effect::Report(report) => Some((report.sequence, report.booted.clone())),
            _ => None,
        });
        reports.next_back()
    };
    let (first, _) = said(&bench).expect("a report of the first boot");
    bench.boot(Slot::A, 1, 2, BootEnv::committed_to(Slot::A));
    let (second, of) = said(&bench).expect("a report of the second boot");
    assert!(second > first);
    assert_eq!(of, booted(Slot::A, &version(1), 2));
    bench.boot(Slot::A, 1, 2, BootEnv::committed_to(Slot::A));
    assert_eq!(said(&bench).map(|(sequence, _)| sequence), Some(second));
}

#[test]
fn a_release_under_another_name_than_its_systems_own_is_given_up() {
    let mut bench = Bench::new();
    let mut release = release(2);
    release.version = Version::new(2, 0, 1);
    bench.step(Event::TargetReceived {
        generation: 1,
        release: Some(candidate(&release)),
    });
    bench.finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    *env.slot_mut(Slot::B) = SlotEnv {
        ok: true,
        locked: false,
        tries: 1,
    };
    bench.boot(Slot::B, 2, 2, env);
    assert_eq!(bench.state(), "rolledBack");
    bench.boot(Slot::A, 1, 3, BootEnv::committed_to(Slot::A));
    bench.step(Event::TargetReceived {
        generation: 2,
        release: Some(candidate(&release)),
    });
    assert_eq!(bench.state(), "rolledBack");
}

#[test]
fn an_installation_begins_by_clearing_the_lock() {
    let mut bench = Bench::new();
    bench.target(2);
    assert!(matches!(
        bench.effects.as_slice(),
        [
            Effect::Persist(_),
            Effect::DisarmLock { slot: Slot::B },
            Effect::StartInstall(_),
            Effect::Report(_)
        ]
    ));
}

#[test]
fn a_lock_that_cannot_be_cleared_is_tried_again_later() {
    let mut bench = Bench::new();
    bench.target(2).step(Event::MarkFailed {
        slot: Slot::B,
        detail: "read-only".to_owned(),
    });
    assert_eq!(bench.state(), "deferred");
    bench.wait(7_200);
    assert_eq!(bench.step(Event::Tick).state(), "installing");
}

#[test]
fn nothing_happens_before_the_machine_is_known() {
    let mut bench = Bench::new();
    bench.engine = Engine::new(Record::default());
    bench.target(2);
    assert!(bench.effects.is_empty());
    bench.step(Event::Operator(OperatorCommand::RollBack));
    assert!(bench.answer().is_err());
}

#[test]
fn an_answer_about_another_installation_is_stale() {
    let mut bench = Bench::new();
    bench.target(2).step(Event::InstallFinished {
        transaction_id: "another".to_owned(),
        result: Ok(()),
    });
    assert_eq!(bench.state(), "installing");
    assert!(bench.effects.is_empty());
}

#[test]
fn the_end_of_an_installation_decides_what_comes_next() {
    let check = |result, expected: &str, tried_again: bool| {
        let mut bench = Bench::new();
        bench.target(2).finish(result);
        assert_eq!(bench.state(), expected);
        bench.wait(7_200);
        bench.step(Event::Tick);
        assert_eq!(bench.state() == "installing", tried_again, "{expected}");
    };
    let detail = || "x".to_owned();
    check(Ok(()), "rebootPending", false);
    check(
        Err(InstallError::Transient { detail: detail() }),
        "deferred",
        true,
    );
    check(
        Err(InstallError::Permanent { detail: detail() }),
        "rolledBack",
        false,
    );
    let why = RefuseReason::BundleRejected { detail: detail() };
    check(Err(InstallError::Refused(why)), "refused", false);
}

/// Midnight in UTC: closed from here on.
fn closed() -> Option<Window> {
    Window::parse(&MaintenanceWindow {
        start: "02:00".parse().unwrap(),
        end: "03:00".parse().unwrap(),
        timezone: "UTC".to_owned(),
    })
    .ok()
}

#[test]
fn an_installation_goes_on_when_the_window_closes_and_another_does_not_begin() {
    let mut bench = Bench::new();
    bench.target(2);
    bench.situation.facts.window = closed();
    bench.step(Event::Tick);
    assert_eq!(bench.state(), "installing");
    assert!(bench.effects.is_empty());
    bench.finish(Err(InstallError::Transient {
        detail: "the connection broke off".to_owned(),
    }));
    bench.wait(24 * 3_600 - 60);
    bench.step(Event::Tick);
    let why = bench.engine.why(&bench.situation);
    let held = why.steps.iter().find(|s| s.verdict == Verdict::Wait);
    assert_eq!(held.unwrap().step, "window", "{why:?}");
}

#[test]
fn going_back_to_the_other_slot_does_not_wait_for_the_window() {
    let reboots_at_once = |kind, major: u64| {
        let mut bench = Bench::new();
        bench.boot(Slot::A, 2, 2, BootEnv::committed_to(Slot::A));
        bench.engine = Engine::new(Record {
            other: Some(SlotContent {
                version: version(major),
                root_hash: release(major).root_hash,
            }),
            ..bench.engine.record().clone()
        });
        bench.boot(Slot::A, 2, 3, BootEnv::committed_to(Slot::A));
        bench.situation.facts.window = closed();
        bench.situation.facts.free_bytes = 0;
        let held = wanted(&release(major), kind, 1);
        bench.step(Event::TargetReceived {
            generation: 1,
            release: Some(Candidate::Verified(Box::new(held))),
        });
        assert!(bench.has(|e| matches!(e, Effect::SwitchSlot { slot: Slot::B })));
        bench.step(Event::SlotSwitched {
            slot: Slot::B,
            result: Ok(()),
        });
        assert_eq!(bench.state(), "rebootPending");
        bench.has(reboots)
    };
    assert!(reboots_at_once(TargetKind::Rollback, 1));
    assert!(!reboots_at_once(TargetKind::Install, 3));
}

#[test]
fn the_reboot_waits_for_the_window_unless_a_person_insists() {
    let mut bench = Bench::new();
    bench.target(2);
    bench.situation.facts.window = closed();
    bench.finish(Ok(()));
    assert!(!bench.has(reboots));
    let why = bench.engine.why(&bench.situation);
    assert!(why.steps[0].until.is_some(), "{why:?}");
    let force = OperatorCommand::Update { force: true };
    bench.step(Event::Operator(force));
    assert!(bench.has(reboots));
    assert!(bench.answer().is_ok());
}

#[test]
fn a_reboot_is_asked_for_once_and_again_if_it_does_not_come() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    assert!(bench.has(reboots));
    bench.step(Event::Tick);
    assert!(!bench.has(reboots));
    bench.wait(600);
    bench.step(Event::Tick);
    assert!(bench.has(reboots));
}

#[test]
fn a_reboot_is_denied_while_installing_and_on_trial() {
    let mut bench = Bench::new();
    assert!(bench.engine.may_reboot().is_ok());
    bench.target(2);
    assert!(bench.engine.may_reboot().is_err());
}

#[test]
fn a_new_target_ends_an_installation_that_is_no_longer_wanted() {
    let mut bench = Bench::new();
    bench.target(2).target(3);
    assert!(bench.has(|e| matches!(e, Effect::CancelInstall { .. })));
    bench.finish(Err(InstallError::Transient {
        detail: "cancelled".to_owned(),
    }));
    assert_eq!(bench.state(), "installing");
    let plan = match &bench.engine.record().state {
        State::Installing(installing) => installing.plan.version.clone(),
        state => panic!("{state:?}"),
    };
    assert_eq!(plan, version(3));
}

#[test]
fn there_is_nothing_to_go_back_to_on_a_new_device() {
    let mut bench = Bench::new();
    bench.step(Event::Operator(OperatorCommand::RollBack));
    assert!(bench.answer().is_err());
    assert_eq!(bench.state(), "idle");
}

#[test]
fn a_refusal_is_reported_once() {
    let mut bench = Bench::new();
    bench.situation.facts.hardware = "other".to_owned();
    let mut picky = release(2);
    picky.hardware = vec!["qemu".to_owned()];
    let target = Event::TargetReceived {
        generation: 1,
        release: Some(candidate(&picky)),
    };
    bench.step(target.clone());
    assert_eq!(bench.state(), "refused");
    assert!(bench.has(|e| matches!(e, Effect::Report(_))));
    bench.step(target).step(Event::Tick);
    assert!(bench.effects.is_empty());
    let why = bench.engine.why(&bench.situation);
    assert_eq!(why.steps[0].verdict, Verdict::Hold);
}

#[test]
fn a_report_is_repeated_after_a_restart_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.target(2);
    let sequence = bench.engine.record().sequence;
    let env = BootEnv::committed_to(Slot::A);
    bench.boot(Slot::A, 1, 2, env);
    let repeats = |bench: &Bench| {
        let of = |e: &&Effect| matches!(e, Effect::Report(r) if r.sequence == sequence);
        bench.effects.iter().filter(of).count()
    };
    assert_eq!(repeats(&bench), 1);
    bench.step(Event::ReportAcknowledged { sequence });
    bench.boot(Slot::A, 1, 3, env);
    assert_eq!(repeats(&bench), 0);
}

#[test]
fn a_damaged_memory_whose_counts_are_at_their_end_still_reports() {
    let mut bench = Bench::new();
    let damaged = Record {
        sequence: u64::MAX,
        interruptions: u32::MAX,
        repairs: u32::MAX,
        ..bench.engine.record().clone()
    };
    bench.engine = Engine::new(damaged);
    bench.boot(Slot::A, 1, 2, BootEnv::committed_to(Slot::A));
    assert!(bench.has(|effect| matches!(effect, Effect::Report(_))));
}

#[test]
fn a_downgrade_below_the_floor_of_a_committed_release_is_refused() {
    let mut bench = Bench::new();
    let mut raised = release(2);
    raised.rollback_floor = Some(version(2));
    bench
        .step(Event::TargetReceived {
            generation: 1,
            release: Some(candidate(&raised)),
        })
        .finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b = SlotEnv::COMMITTED;
    bench.boot(Slot::B, 2, 2, env);
    bench.step(Event::Operator(OperatorCommand::RollBack));
    assert!(bench.answer().unwrap_err().contains("lowest version"));
    let back = wanted(&release(1), TargetKind::Rollback, 1);
    bench.step(Event::TargetReceived {
        generation: 2,
        release: Some(Candidate::Verified(Box::new(back))),
    });
    assert_eq!(bench.state(), "refused");
}

#[test]
fn a_release_installed_by_hand_raises_the_floor_when_it_is_committed() {
    let floor_after = |installed: u64| {
        let mut by_hand = ByHand::of(&release(installed));
        by_hand.rollback_floor = Some(version(2));
        let mut bench = Bench::new();
        bench.engine = Engine::new(Record {
            by_hand: Some(by_hand),
            ..bench.engine.record().clone()
        });
        let env = b_on_trial(1);
        bench.boot(Slot::B, 2, 2, env);
        assert_eq!(bench.state(), "trial");
        while bench.state() == "trial" {
            bench.wait(10);
            let mut sample = gate::Sample::default();
            sample.control_plane.answered_at = Some(bench.situation.now.mono);
            bench.step(Event::HealthSample(sample));
            if bench.has(|e| matches!(e, Effect::LockSlot { .. })) {
                bench.step(Event::MarkedGood { slot: Slot::B });
            }
        }
        assert_eq!(bench.state(), "committed");
        assert_eq!(bench.engine.record().by_hand, None);
        bench.engine.record().rollback_floor.clone()
    };
    assert_eq!(floor_after(2), Some(version(2)));
    assert_eq!(floor_after(3), None);
}

mod any_order;
mod starts;
