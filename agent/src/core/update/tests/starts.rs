//! What a start finds, against what was meant.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::Slot;

use super::super::*;
use super::{Bench, b_on_trial, reboots};
use crate::core::Monotonic;
use crate::core::boot::SlotEnv;
use crate::core::fixtures::{booted, version};

#[test]
fn a_slot_that_used_up_its_attempts_before_the_end_was_noted_is_not_booted_again() {
    let mut bench = Bench::new();
    bench.target(2);
    let env = b_on_trial(3);
    bench.boot(Slot::A, 1, 2, env);
    assert_eq!(bench.state(), "rolledBack");
    assert!(!bench.has(reboots));
}

#[test]
fn another_root_hash_than_planned_is_not_kept() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let env = b_on_trial(1);
    bench.boot(Slot::B, 3, 2, env);
    assert_eq!(bench.state(), "rolledBack");
    assert!(bench.has(|e| matches!(e, Effect::MarkBad { slot: Slot::B })));
    assert!(bench.has(reboots));
}

#[test]
fn a_power_cut_between_lock_and_record_ends_committed() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b = SlotEnv::COMMITTED;
    bench.boot(Slot::B, 2, 2, env);
    assert_eq!(bench.state(), "committed");
    assert_eq!(bench.engine.other_version(), Some(&version(1)));
}

#[test]
fn without_a_way_back_a_failed_trial_ends_in_safe_mode() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.a.ok = false;
    env.b = SlotEnv {
        ok: true,
        tries: 1,
        locked: false,
    };
    bench.boot(Slot::B, 2, 2, env);
    bench.wait(601);
    bench.step(Event::Tick);
    assert!(bench.has(|e| matches!(e, Effect::EnterSafeMode { .. })));
    assert!(!bench.has(reboots));
}

#[test]
fn a_restarted_agent_goes_on_with_the_deadline_of_its_boot() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b.ok = true;
    env.b.tries = 1;
    bench.situation.now.mono = Monotonic::from_secs(20);
    bench.boot(Slot::B, 2, 2, env);
    bench.wait(500);
    bench.boot(Slot::B, 2, 2, env);
    bench.wait(99);
    assert_eq!(bench.step(Event::Tick).state(), "trial");
    bench.wait(2);
    assert_eq!(bench.step(Event::Tick).state(), "rolledBack");
}

#[test]
fn a_lock_that_is_set_already_ends_the_trial() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b.ok = true;
    env.b.tries = 1;
    bench.boot(Slot::B, 2, 2, env);
    assert_eq!(bench.state(), "trial");
    env.b = SlotEnv::COMMITTED;
    bench.boot(Slot::B, 2, 3, env);
    assert_eq!(bench.state(), "committed");
}

#[test]
fn a_lost_environment_is_rewritten_with_the_way_back_that_is_known() {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b = SlotEnv::COMMITTED;
    bench.boot(Slot::B, 2, 2, env);
    bench.step(Event::Booted(Boot {
        booted: booted(Slot::B, &version(2), 3),
        env: None,
        reset: ResetReason::Power,
        safe_mode: false,
    }));
    let rewritten = bench.effects.iter().find_map(|e| match e {
        Effect::RewriteBootEnv(env) => Some(*env),
        _ => None,
    });
    let rewritten = rewritten.unwrap();
    assert_eq!(
        (rewritten.first, rewritten.b),
        (Slot::B, SlotEnv::COMMITTED)
    );
    assert!(rewritten.a.bootable() && !rewritten.a.locked);
}

/// Committed in slot B, with version 1 in slot A to go back to.
fn committed_in_b() -> (Bench, BootEnv) {
    let mut bench = Bench::new();
    bench.target(2).finish(Ok(()));
    let mut env = BootEnv::committed_to(Slot::A);
    env.first = Slot::B;
    env.b = SlotEnv::COMMITTED;
    bench.boot(Slot::B, 2, 2, env);
    assert_eq!(bench.state(), "committed");
    (bench, env)
}

fn start(bench: &mut Bench, slot: Slot, major: u64, env: Option<BootEnv>, reset: ResetReason) {
    let boot_id = bench.engine.record().sequence;
    bench.engine = Engine::new(bench.engine.record().clone());
    bench.step(Event::Booted(Boot {
        booted: booted(slot, &version(major), boot_id),
        env,
        reset,
        safe_mode: env.is_none(),
    }));
}

#[test]
fn a_committed_slot_that_lost_its_lock_by_a_panic_proves_itself_again() {
    let (mut bench, mut env) = committed_in_b();
    env.b.locked = false;
    env.b.tries = 1;
    start(&mut bench, Slot::B, 2, Some(env), ResetReason::Panic);
    assert_eq!(bench.state(), "trial");
    start(&mut bench, Slot::A, 1, Some(env), ResetReason::Panic);
    assert_eq!(bench.state(), "rolledBack");
}

#[test]
fn a_committed_slot_that_the_bootloader_passes_over_has_failed() {
    let (mut bench, env) = committed_in_b();
    start(&mut bench, Slot::A, 1, Some(env), ResetReason::Power);
    assert_eq!(bench.state(), "rolledBack");
    assert!(bench.has(|e| matches!(
        e,
        Effect::RewriteBootEnv(env) if *env == BootEnv::committed_to(Slot::A)
    )));
}

#[test]
fn a_lost_environment_leads_back_to_the_committed_slot_but_not_for_ever() {
    let (mut bench, _) = committed_in_b();
    for _ in 0..2 {
        start(&mut bench, Slot::A, 1, None, ResetReason::Power);
        assert!(bench.has(reboots));
        assert!(bench.has(|e| matches!(
            e,
            Effect::RewriteBootEnv(env) if env.first == Slot::B && env.b.locked
        )));
    }
    start(&mut bench, Slot::A, 1, None, ResetReason::Power);
    assert!(!bench.has(reboots));
    assert_eq!(
        bench.engine.record().committed.as_ref().unwrap().slot,
        Slot::A
    );
}
