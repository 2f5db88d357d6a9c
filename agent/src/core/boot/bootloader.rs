//! A model of `grub.cfg`, so that whole update cycles can be tested without a machine.
//!
//! ```text
//! for SLOT in ORDER:
//!     if SLOT_OK = 1 and SLOT_LOCKED = 1: boot SLOT
//!     if SLOT_OK = 1 and SLOT_TRY < 3: SLOT_TRY += 1, save, boot SLOT
//!     (what has no kernel to load does not boot, and the loop goes on)
//! nothing left: B if it is locked, else A, then the other one, in safe mode
//! ```
//!
//! If the environment cannot be read, its backup takes its place.

use fleet_protocol::update::Slot;

use super::BootEnv;

/// What the bootloader boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Normal(Slot),
    /// All attempts are used up: with `fleet.safe_mode=1` on the command line.
    SafeMode(Slot),
}

impl Choice {
    pub const fn slot(self) -> Slot {
        match self {
            Self::Normal(slot) | Self::SafeMode(slot) => slot,
        }
    }
}

/// What boots next (`None`: nothing can be loaded at all), and the environment that is saved on the
/// way (`None`: left alone). `loads` tells whether a slot has a kernel.
pub fn next_boot(env: &BootEnv, loads: impl Fn(Slot) -> bool) -> (Option<Choice>, Option<BootEnv>) {
    let mut saved = None;
    for slot in [env.first, env.first.other()] {
        let state = env.slot(slot);
        if !state.bootable() {
            continue;
        }
        if !state.locked {
            saved.get_or_insert(*env).slot_mut(slot).tries += 1;
        }
        if loads(slot) {
            return (Some(Choice::Normal(slot)), saved);
        }
    }
    let likelier = if env.b.locked { Slot::B } else { Slot::A };
    let slot = [likelier, likelier.other()]
        .into_iter()
        .find(|slot| loads(*slot));
    (slot.map(Choice::SafeMode), saved)
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_ATTEMPTS, SlotEnv};
    use super::*;

    fn boots(mut env: BootEnv, count: usize) -> Vec<Choice> {
        let boot = |_| {
            let (choice, saved) = next_boot(&env, |_| true);
            env = saved.unwrap_or(env);
            choice.unwrap()
        };
        (0..count).map(boot).collect()
    }

    #[test]
    fn a_trial_gets_three_attempts_and_then_falls_back() {
        let mut env = BootEnv::committed_to(Slot::A);
        env.first = Slot::B;
        env.b = SlotEnv {
            ok: true,
            ..SlotEnv::default()
        };
        let mut expected = vec![Choice::Normal(Slot::B); MAX_ATTEMPTS.into()];
        expected.push(Choice::Normal(Slot::A));
        assert_eq!(boots(env, 4), expected);
    }

    #[test]
    fn a_locked_slot_boots_for_ever() {
        let env = BootEnv::committed_to(Slot::B);
        assert_eq!(boots(env, 100), vec![Choice::Normal(Slot::B); 100]);
    }

    #[test]
    fn with_nothing_left_the_locked_slot_boots_in_safe_mode() {
        let mut env = BootEnv::committed_to(Slot::B);
        env.first = Slot::A;
        env.b.ok = false;
        let boot = |loads: fn(Slot) -> bool| next_boot(&env, loads).0;
        assert_eq!(boot(|_| true), Some(Choice::SafeMode(Slot::B)));
        assert_eq!(boot(|s| s == Slot::A), Some(Choice::SafeMode(Slot::A)));
        assert_eq!(boot(|_| false), None);
    }

    #[test]
    fn a_slot_without_a_kernel_is_passed_over() {
        let mut env = BootEnv::committed_to(Slot::B);
        env.a = SlotEnv::COMMITTED;
        let (choice, saved) = next_boot(&env, |slot| slot == Slot::A);
        assert_eq!((choice, saved), (Some(Choice::Normal(Slot::A)), None));
    }
}
