//! What effects do to the simulated device. The installer keeps RAUC's order of things, with a moment
//! for a power cut between any two.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::Slot;

use super::device::{Content, Device, Off, Running, UNSIGNED, major};
use crate::core::boot::SlotEnv;
use crate::core::fixtures::{release, version};
use crate::core::update::{Effect, Event, InstallError, InstallOrder};

impl Device {
    pub(super) fn perform(&mut self, effect: Effect) -> Running<()> {
        match effect {
            Effect::Persist(record) => {
                self.disk = Some(serde_json::to_string(&record).unwrap());
            }
            Effect::RewriteBootEnv(env) => self.env = Some(env),
            Effect::BackUpBootEnv(env) => self.backup = env,
            Effect::DisarmLock { slot } => self.change(slot, |s| {
                s.locked = false;
                s.tries = 0;
            }),
            Effect::StartInstall(order) => self.install(&order)?,
            Effect::CancelInstall { .. } | Effect::Answer(_) => {}
            Effect::Report(report) => {
                let sequence = report.sequence;
                self.queue.push_back(Event::ReportAcknowledged { sequence });
                self.reported.insert(sequence, report.state);
            }
            Effect::SwitchSlot { slot } => {
                let running = self.running.as_ref().map(|(slot, _)| *slot);
                let locked = self.env.unwrap().slot(slot).locked;
                assert!(running == Some(slot) || !locked, "its attempts are counted");
                self.make_primary(slot);
                let result = Ok(());
                self.queue.push_back(Event::SlotSwitched { slot, result });
            }
            Effect::MarkGood { slot } => {
                self.attempts.remove(&slot);
                self.change(slot, |s| {
                    s.ok = true;
                    s.tries = 0;
                });
            }
            Effect::LockSlot { slot } => {
                self.attempts.remove(&slot);
                self.change(slot, |s| *s = SlotEnv::COMMITTED);
                self.queue.push_back(Event::MarkedGood { slot });
            }
            Effect::MarkBad { slot } => self.change(slot, |s| {
                s.ok = false;
                s.tries = 0;
            }),
            Effect::EnterSafeMode { .. } => self.safe_mode = true,
            Effect::Reboot { .. } => return Err(Off(ResetReason::Orderly)),
        }
        Ok(())
    }

    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut SlotEnv)) {
        let env = self
            .env
            .as_mut()
            .expect("a lost environment is rewritten first");
        change(env.slot_mut(slot));
    }

    fn make_primary(&mut self, slot: Slot) {
        self.attempts.remove(&slot);
        self.change(slot, |s| {
            s.ok = true;
            s.tries = 0;
        });
        self.env.as_mut().unwrap().first = slot;
    }

    /// RAUC: mark bad, write, verify, make primary.
    pub(super) fn install(&mut self, order: &InstallOrder) -> Running<()> {
        let (running, _) = self.running.clone().unwrap();
        assert_ne!(order.slot, running, "the running slot is never written");
        let env = self.env.unwrap().slot(order.slot).locked;
        assert!(!env, "the lock is cleared before anything is written");
        let hashes = release(major(&order.version)).bundle;
        assert_eq!(order.manifest_sha256, hashes.manifest_sha256, "signed");
        assert_ne!(order.version, version(UNSIGNED), "signed");
        self.change(order.slot, |s| {
            s.ok = false;
            s.tries = 0;
        });
        self.slots.insert(order.slot, Content::Garbage);
        let transaction_id = order.transaction_id.clone();
        self.moment()?;
        if self.install_failures > 0 {
            self.install_failures -= 1;
            self.queue.push_back(Event::InstallFinished {
                transaction_id,
                result: Err(InstallError::Transient {
                    detail: "the connection broke".to_owned(),
                }),
            });
            return Ok(());
        }
        self.feed_progress(&transaction_id)?;
        self.slots
            .insert(order.slot, Content::Image(order.version.clone()));
        self.installs.push(order.version.clone());
        self.moment()?;
        self.make_primary(order.slot);
        self.moment()?;
        self.queue.push_back(Event::InstallFinished {
            transaction_id,
            result: Ok(()),
        });
        Ok(())
    }

    fn feed_progress(&mut self, transaction_id: &str) -> Running<()> {
        self.feed(Event::InstallProgress {
            transaction_id: transaction_id.to_owned(),
            percent: 50,
            downloaded_bytes: 50,
            message: "Copying".to_owned(),
        })
    }
}
