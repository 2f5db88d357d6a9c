//! A model of `grub.cfg`, so that whole update cycles can be tested without a machine.
//!
//! ```text
//! for SLOT in ORDER:
//!     if SLOT_OK = 1 and (SLOT_LOCKED = 1 or SLOT_TRY < 3):
//!         if SLOT_LOCKED != 1: SLOT_TRY += 1, save
//!         boot SLOT
//! nothing left: boot the locked slot (the first of ORDER if none or both are) in safe mode
//! ```

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

/// The slot that boots next, and the environment that is saved on the way (`None`: left alone).
/// `env` is `None` if the block is corrupt: GRUB then reads no variable at all.
pub fn next_boot(env: Option<&BootEnv>) -> (Choice, Option<BootEnv>) {
    let Some(env) = env else {
        return (Choice::SafeMode(Slot::A), None);
    };
    for slot in [env.first, env.first.other()] {
        let state = env.slot(slot);
        if state.ok && state.locked {
            return (Choice::Normal(slot), None);
        }
        if state.bootable() {
            let mut saved = *env;
            saved.slot_mut(slot).tries += 1;
            return (Choice::Normal(slot), Some(saved));
        }
    }
    let only_other_locked = !env.slot(env.first).locked && env.slot(env.first.other()).locked;
    let last = if only_other_locked {
        env.first.other()
    } else {
        env.first
    };
    (Choice::SafeMode(last), None)
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_ATTEMPTS, SlotEnv};
    use super::*;

    fn boots(mut env: BootEnv, count: usize) -> Vec<Choice> {
        let boot = |_| {
            let (choice, saved) = next_boot(Some(&env));
            env = saved.unwrap_or(env);
            choice
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
        let mut env = BootEnv::committed_to(Slot::A);
        env.first = Slot::B;
        env.a.ok = false;
        assert_eq!(next_boot(Some(&env)).0, Choice::SafeMode(Slot::A));
        assert_eq!(next_boot(None).0, Choice::SafeMode(Slot::A));
    }
}
