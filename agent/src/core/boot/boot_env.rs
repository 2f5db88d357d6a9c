//! What Fleet keeps in the boot environment: RAUC's `ORDER`, `X_OK`, `X_TRY`, and our `X_LOCKED`.
//!
//! - `X_OK`: the slot may be booted.
//! - `X_TRY`: attempts used up. Counted by the bootloader, and only while the slot is not locked.
//! - `X_LOCKED`: committed. Its attempts are not counted, so switching the mains off every night
//!   never uses them up. Setting it is the moment of the commit; it is cleared before anything is
//!   written to that slot.

use fleet_protocol::update::Slot;
use serde::{Deserialize, Serialize};

use super::grubenv::{GrubEnv, GrubEnvError};

/// How often a slot on trial is tried.
pub const MAX_ATTEMPTS: u8 = 3;

/// One slot as the bootloader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotEnv {
    pub ok: bool,
    pub tries: u8,
    pub locked: bool,
}

impl SlotEnv {
    pub const COMMITTED: Self = Self {
        ok: true,
        tries: 0,
        locked: true,
    };

    /// The bootloader would boot it.
    pub const fn bootable(self) -> bool {
        self.ok && (self.locked || self.tries < MAX_ATTEMPTS)
    }

    /// The bootloader has given it up after trying.
    pub const fn exhausted(self) -> bool {
        !self.locked && self.tries >= MAX_ATTEMPTS
    }
}

/// Fleet's part of the boot environment. The default is what a lost environment looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootEnv {
    /// The slot that `ORDER` names first.
    pub first: Slot,
    pub a: SlotEnv,
    pub b: SlotEnv,
}

/// Why an environment block says nothing usable about the slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootEnvError {
    #[error(transparent)]
    Block(#[from] GrubEnvError),
    #[error("the boot environment's `{name}` is `{value}`, expected {expected}")]
    Value {
        name: String,
        value: String,
        expected: &'static str,
    },
}

impl BootEnv {
    /// The environment of a device that runs a committed `slot` and knows nothing good of the other:
    /// the factory state, and what a corrupt environment is replaced by.
    pub const fn committed_to(slot: Slot) -> Self {
        let empty = SlotEnv {
            ok: false,
            tries: 0,
            locked: false,
        };
        match slot {
            Slot::A => Self {
                first: slot,
                a: SlotEnv::COMMITTED,
                b: empty,
            },
            Slot::B => Self {
                first: slot,
                a: empty,
                b: SlotEnv::COMMITTED,
            },
        }
    }

    pub const fn slot(&self, slot: Slot) -> &SlotEnv {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    pub const fn slot_mut(&mut self, slot: Slot) -> &mut SlotEnv {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }

    /// Fleet's variables out of a whole block. A missing one counts as 0, a missing `ORDER` as
    /// `A B`, as `grub.cfg` has it.
    ///
    /// # Errors
    /// When a value is none that RAUC, GRUB or the agent would have written.
    pub fn read(env: &GrubEnv) -> Result<Self, BootEnvError> {
        let order = env.get("ORDER").unwrap_or("A B");
        let first = order.split_ascii_whitespace().next();
        let first = first.and_then(|f| f.parse().ok());
        let known = order
            .split_ascii_whitespace()
            .all(|s| matches!(s, "A" | "B"));
        let first = first.filter(|_| known).ok_or(BootEnvError::Value {
            name: "ORDER".to_owned(),
            value: order.to_owned(),
            expected: "`A B` or `B A`",
        })?;
        Ok(Self {
            first,
            a: read_slot(env, Slot::A)?,
            b: read_slot(env, Slot::B)?,
        })
    }

    /// Parses a whole block.
    ///
    /// # Errors
    /// As [`GrubEnv::parse`] and [`Self::read`].
    pub fn parse(block: &[u8]) -> Result<Self, BootEnvError> {
        Self::read(&GrubEnv::parse(block)?)
    }

    /// Writes Fleet's variables into a block's, leaving others alone.
    pub fn write(&self, env: &mut GrubEnv) {
        let other = self.first.other();
        env.set("ORDER", &format!("{} {other}", self.first));
        for slot in [Slot::A, Slot::B] {
            let state = self.slot(slot);
            let flag = |on| if on { "1" } else { "0" };
            env.set(&format!("{slot}_OK"), flag(state.ok));
            env.set(&format!("{slot}_TRY"), &state.tries.to_string());
            env.set(&format!("{slot}_LOCKED"), flag(state.locked));
        }
    }

    /// A fresh block, for when the old one is corrupt.
    ///
    /// # Errors
    /// Cannot happen with these variables; the block's own limits are checked all the same.
    pub fn to_block(&self) -> Result<Vec<u8>, GrubEnvError> {
        let mut env = GrubEnv::default();
        self.write(&mut env);
        env.to_block()
    }
}

fn read_slot(env: &GrubEnv, slot: Slot) -> Result<SlotEnv, BootEnvError> {
    let flag = |suffix: &str| {
        let name = format!("{slot}_{suffix}");
        match env.get(&name) {
            None | Some("0" | "") => Ok(false),
            Some("1") => Ok(true),
            Some(value) => Err(BootEnvError::Value {
                value: value.to_owned(),
                name,
                expected: "0 or 1",
            }),
        }
    };
    let name = format!("{slot}_TRY");
    let tries = env.get(&name).filter(|v| !v.is_empty()).unwrap_or("0");
    Ok(SlotEnv {
        ok: flag("OK")?,
        tries: tries.parse().map_err(|_| BootEnvError::Value {
            value: tries.to_owned(),
            name,
            expected: "a number of attempts",
        })?,
        locked: flag("LOCKED")?,
    })
}

/// What has to change so that `booted`, which is committed, stays what boots: it is good, locked and
/// first. `None`: nothing. The other slot is left as it is; `env` is `None` if it is corrupt.
pub fn reconcile(env: Option<&BootEnv>, booted: Slot) -> Option<BootEnv> {
    let Some(env) = env else {
        return Some(BootEnv::committed_to(booted));
    };
    let mut wanted = *env;
    *wanted.slot_mut(booted) = SlotEnv::COMMITTED;
    wanted.first = booted;
    (wanted != *env).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::boot::bootloader::{Choice, next_boot};
    use proptest::prelude::*;

    fn any_slot_env() -> impl Strategy<Value = SlotEnv> {
        (any::<bool>(), 0u8..6, any::<bool>()).prop_map(|(ok, tries, locked)| SlotEnv {
            ok,
            tries,
            locked,
        })
    }

    fn any_env() -> impl Strategy<Value = BootEnv> {
        let slot = prop_oneof![Just(Slot::A), Just(Slot::B)];
        (slot, any_slot_env(), any_slot_env()).prop_map(|(first, a, b)| BootEnv { first, a, b })
    }

    #[test]
    fn a_value_that_nobody_writes_is_an_error() {
        let check = |name: &str, value: &str| {
            let mut env = GrubEnv::default();
            BootEnv::committed_to(Slot::A).write(&mut env);
            env.set(name, value);
            assert!(BootEnv::read(&env).is_err(), "{name}={value}");
        };
        check("ORDER", "");
        check("ORDER", "A C");
        check("A_OK", "yes");
        check("B_TRY", "-1");
        check("B_TRY", "256");
        check("A_LOCKED", "2");
    }

    #[test]
    fn a_corrupt_environment_is_rewritten_from_what_is_booted() {
        let wanted = reconcile(None, Slot::B).unwrap();
        assert_eq!(wanted, BootEnv::committed_to(Slot::B));
        assert_eq!(BootEnv::parse(&wanted.to_block().unwrap()).unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn an_environment_survives_its_block(env in any_env()) {
            prop_assert_eq!(BootEnv::parse(&env.to_block().unwrap()), Ok(env));
        }

        #[test]
        fn a_reconciled_environment_boots_the_same_slot_for_ever(
            env in prop::option::of(any_env()), second in any::<bool>(),
        ) {
            let booted = if second { Slot::B } else { Slot::A };
            let mut env = match (reconcile(env.as_ref(), booted), env) {
                (Some(changed), _) => changed,
                (None, Some(env)) => env,
                (None, None) => unreachable!("a corrupt environment is always rewritten"),
            };
            prop_assert_eq!(reconcile(Some(&env), booted), None);
            for _ in 0..50 {
                let (choice, next) = next_boot(&env, |_| true);
                prop_assert_eq!(choice, Some(Choice::Normal(booted)));
                env = next.unwrap_or(env);
            }
        }
    }
}
