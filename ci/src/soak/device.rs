//! One device of the soak: update, cut, see what comes of it, again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::trust::ReleaseMetadata;
use fleet_protocol::update::{UpdateReport, UpdateState};
use fleet_protocol::{RolloutId, Version};
use fleet_tests::fleet::template::Template;
use fleet_tests::fleet::wait_until;
use fleet_tests::fleet::{Device, Fleet, FleetError};
use fleet_tests::kit::{Kit, release};
use fleet_tests::random::Random;
use fleet_tests::vm::{Boot, Programs, Vm};

use super::record::{Outcome, Record};

/// A cycle's instants are drawn from this: installation, reboot, trial and commit fit in.
const CYCLE_MS: u64 = 70_000;
/// After the first cut of a cycle: the boot, and what is left of the update.
const AGAIN_MS: u64 = 45_000;
const CUTS_A_CYCLE: u64 = 8;
/// Not back by then is a brick. Six times the slowest boot with an installation that was seen.
const SETTLE_WITHIN: Duration = Duration::from_mins(8);
/// The planner's next pass sees the report that settled it.
const ROLLOUT_ENDS_WITHIN: Duration = Duration::from_mins(1);
const ONLINE_WITHIN: Duration = Duration::from_mins(2);

/// One thread's work.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) kit: Arc<Kit>,
    pub(super) tools: Arc<dyn Programs>,
    pub(super) template: Template,
    pub(super) dir: PathBuf,
    pub(super) seed: u64,
    pub(super) stop: Arc<AtomicBool>,
}

struct Soaked {
    fleet: Fleet,
    vm: Vm,
    template: Template,
    random: Random,
    dir: PathBuf,
}

impl Worker {
    /// Goes on until told to stop, or until the soak itself breaks.
    pub(super) fn run(&self, report: &Sender<Result<Record>>) {
        if let Err(error) = self.work(report) {
            // Nobody listening means that it is over anyway.
            let _ = report.send(Err(error));
        }
    }

    fn work(&self, report: &Sender<Result<Record>>) -> Result<()> {
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir).context("removing an earlier device")?;
        }
        let (fleet, vm) = self
            .template
            .resume(&self.kit, &self.tools, &self.dir, None)?;
        let mut soaked = Soaked {
            fleet,
            vm,
            template: self.template.clone(),
            random: Random::seeded(self.seed),
            dir: self.dir.clone(),
        };
        soaked.fleet.wait_online(ONLINE_WITHIN)?;
        for name in [release::GOOD, release::BETTER] {
            soaked.publish(name)?;
        }
        let mut targets = [release::GOOD, release::BETTER].into_iter().cycle();
        let mut target = targets.next().context("there are two")?;
        for cycle in 1.. {
            let version = self.kit.bundle(target)?.version.clone();
            for record in soaked.cycle(cycle, &version)? {
                let outcome = record.outcome;
                if report.send(Ok(record)).is_err() || outcome == Outcome::Brick {
                    return Ok(());
                }
                // After a fallback the same release is asked for again.
                if outcome == Outcome::Settled {
                    target = targets.next().context("they are cycled through")?;
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }
}

impl Soaked {
    /// Both ways must be allowed, so the metadata permits the downgrade.
    fn publish(&self, name: &str) -> Result<()> {
        let bundle = self.fleet.kit().bundle(name)?;
        let metadata = ReleaseMetadata {
            allow_downgrade: true,
            ..self.fleet.metadata(bundle)?
        };
        let envelope = self.fleet.signer().sign(&metadata);
        self.fleet
            .publish_as(bundle, envelope, ReleaseStatus::Stable)?;
        Ok(())
    }

    fn device(&self) -> Device<'_> {
        Device {
            fleet: &self.fleet,
            id: &self.template.device,
        }
    }

    fn cycle(&mut self, number: u64, version: &Version) -> Result<Vec<Record>> {
        let rollout = self.fleet.roll_out(version)?.rollout_id;
        let mut records = Vec::new();
        let cuts = 1 + self.random.below(CUTS_A_CYCLE);
        for cut in 0..cuts {
            let limit = if cut == 0 { CYCLE_MS } else { AGAIN_MS };
            let after_ms = self.random.below(limit);
            let state = self.run_for(Duration::from_millis(after_ms));
            self.vm.power_cut();
            self.vm.power_on(Boot::Cold)?;
            records.push(Record {
                device: self.dir.clone(),
                cycle: number,
                after_ms,
                state,
                outcome: Outcome::CutAgain,
                detail: String::new(),
            });
        }
        let (outcome, detail) = self.settle(&rollout, version)?;
        if let Some(last) = records.last_mut() {
            last.outcome = outcome;
            last.detail = detail;
        }
        if matches!(outcome, Outcome::Settled | Outcome::FellBack) {
            self.wait_final(&rollout)?;
        }
        Ok(records)
    }

    /// Lets it run; says in what state it was at the end.
    fn run_for(&self, time: Duration) -> String {
        let began = Instant::now();
        if let Some(left) = time.checked_sub(began.elapsed()) {
            std::thread::sleep(left);
        }
        let detail = self.device().detail().ok();
        let report = detail.and_then(|d| d.update_report);
        report.map_or_else(|| "unknown".to_owned(), |r| r.state.name().to_owned())
    }

    /// A device can be in one rollout at a time, so the next cycle begins when this one's is over.
    fn wait_final(&self, rollout: &RolloutId) -> Result<()> {
        wait_until("the rollout to end", ROLLOUT_ENDS_WITHIN, || {
            let view = self.fleet.rollout(rollout)?;
            let seen = view.status.name().to_owned();
            Ok((view.status.is_final().then_some(()), seen))
        })?;
        Ok(())
    }

    /// Waits for the end of the cycle. Whatever it is, the device has to be heard from again.
    fn settle(&self, rollout: &RolloutId, version: &Version) -> Result<(Outcome, String)> {
        let root_hash = {
            let bundles = self.fleet.kit().bundles.values();
            let bundle = bundles.into_iter().find(|b| b.version == *version);
            bundle.context("the release is in the kit")?.root_hash
        };
        let since = fleet_tests::fleet::now();
        let settled = self
            .device()
            .wait("the update to settle", SETTLE_WITHIN, |d| {
                let heard = d.device.last_seen_at.is_some_and(|at| at > since);
                heard
                    && d.update_report
                        .as_ref()
                        .is_some_and(|r| ends(r, rollout, version))
            });
        match settled {
            Err(error @ FleetError::Deadline { .. }) => {
                // Still talking, it only never got where it was sent.
                let online = self.device().detail().is_ok_and(|d| d.device.online);
                let outcome = if online {
                    Outcome::WrongSlot
                } else {
                    Outcome::Brick
                };
                Ok((outcome, error.to_string()))
            }
            Err(error) => Err(error.into()),
            Ok(detail) => {
                let report = detail.update_report.context("it was there a moment ago")?;
                let text = serde_json::to_string(&report).unwrap_or_default();
                let outcome = match &report.state {
                    UpdateState::RolledBack { .. } => Outcome::FellBack,
                    _ if report.booted.root_hash == root_hash => Outcome::Settled,
                    _ => Outcome::WrongSlot,
                };
                Ok((outcome, text))
            }
        }
    }
}

/// This update is over, one way or the other; what an earlier one left as its state does not count.
fn ends(report: &UpdateReport, rollout: &RolloutId, wanted: &Version) -> bool {
    let (UpdateState::Committed { version, .. } | UpdateState::RolledBack { version, .. }) =
        &report.state
    else {
        return false;
    };
    version == wanted && report.rollout_id.as_ref() == Some(rollout)
}
