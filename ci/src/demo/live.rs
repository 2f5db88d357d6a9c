//! An update as it happens: one line that moves, and one that stays for each thing that was reached.

use std::time::{Duration, Instant};

use anyhow::Result;
use fleet_protocol::Version;
use fleet_protocol::device::DeviceDetail;
use fleet_protocol::update::{FailureReason, UpdateReport, UpdateState};
use fleet_tests::fleet::{Device, wait_until};
use fleet_tests::vm::Console;
use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Progress;

const LINE_CHARS: usize = 60;

/// Follows one update at a time.
#[derive(Debug)]
pub(super) struct Live<'a> {
    progress: Progress,
    serial: &'a Console,
    bundle_bytes: u64,
}

/// Where an update is expected to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    /// Given up by the device, which then runs what it ran before.
    TakenBack,
}

impl End {
    /// What to say when it is reached. The device reports a failed trial from the slot that failed and reboots then;
    /// what runs afterwards counts, whatever state the next target puts the engine into.
    fn outcome(
        self,
        report: &UpdateReport,
        version: &Version,
        given_up: Option<&FailureReason>,
    ) -> Option<String> {
        let booted = &report.booted;
        match (self, &report.state, given_up) {
            (Self::Committed, UpdateState::Committed { version: v, slot }, _) if v == version => {
                Some(format!("Committed: {version} runs from slot {slot}"))
            }
            (Self::TakenBack, _, Some(why)) if booted.version != *version => Some(format!(
                "Rolled back by itself: {} runs from slot {} again, because of {version}: {why}",
                booted.version, booted.slot,
            )),
            _ => None,
        }
    }
}

/// What is shown of a state.
#[derive(Debug, PartialEq)]
struct Shown {
    /// The same for as long as the same thing goes on.
    step: String,
    /// Of 100.
    done: u64,
    detail: String,
}

impl<'a> Live<'a> {
    pub(super) fn new(progress: Progress, serial: &'a Console, bundle_bytes: u64) -> Self {
        Self {
            progress,
            serial,
            bundle_bytes,
        }
    }

    /// Shows the way of `version` to `end`.
    pub(super) fn follow(
        &self,
        device: &Device<'_>,
        version: &Version,
        within: Duration,
        end: End,
    ) -> Result<()> {
        let bar = self.bar();
        let began = Instant::now();
        let mut current = (String::new(), began);
        let mut given_up = None;
        let reached = wait_until(&format!("release {version} to get there"), within, || {
            let detail = device.detail()?;
            if let Some(report) = &detail.update_report {
                if let UpdateState::RolledBack { version: v, why } = &report.state
                    && v == version
                {
                    given_up = Some(why.clone());
                }
                if let Some(outcome) = end.outcome(report, version, given_up.as_ref()) {
                    self.reached(&current, bar.as_ref());
                    return Ok((Some(outcome), String::new()));
                }
            }
            let Some(state) = state_of(&detail, version) else {
                return Ok((None, current.0.clone()));
            };
            let shown = self.show(&state, &detail);
            if shown.step != current.0 {
                self.reached(&current, bar.as_ref());
                current = (shown.step.clone(), Instant::now());
                if self.progress == Progress::Lines {
                    eprintln!("… {}", shown.step);
                }
            }
            if let Some(bar) = &bar {
                bar.set_position(shown.done);
                bar.set_message(format!("{} {}", shown.step, shown.detail));
            }
            Ok((None, shown.step))
        });
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        self.line(&reached?, began.elapsed());
        Ok(())
    }

    fn bar(&self) -> Option<ProgressBar> {
        if self.progress != Progress::Terminal {
            return None;
        }
        let template = "{spinner:.cyan} {bar:24.cyan/dim} {percent:>3} % {wide_msg} {elapsed:.dim}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        let bar = ProgressBar::new(100).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    /// The step before is over.
    fn reached(&self, (step, began): &(String, Instant), bar: Option<&ProgressBar>) {
        if step.is_empty() {
            return;
        }
        let took = began.elapsed();
        match bar {
            Some(bar) => bar.suspend(|| self.line(step, took)),
            None => self.line(step, took),
        }
    }

    fn line(&self, text: &str, took: Duration) {
        if self.progress != Progress::Quiet {
            eprintln!("✓ {text} ({:.1} s)", took.as_secs_f64());
        }
    }

    fn show(&self, state: &UpdateState, detail: &DeviceDetail) -> Shown {
        match state {
            UpdateState::Installing {
                version,
                slot,
                percent,
                downloaded_bytes,
                message,
            } => Shown {
                step: format!("Installing {version} into slot {slot}"),
                done: u64::from(*percent),
                detail: format!(
                    "{} of {} MB fetched; {message}",
                    downloaded_bytes / 1_000_000,
                    self.bundle_bytes / 1_000_000
                ),
            },
            UpdateState::RebootPending { version, slot } => Shown {
                step: format!("Rebooting into slot {slot} with {version} on trial"),
                done: 100,
                detail: last_line(self.serial),
            },
            UpdateState::Trial {
                version,
                slot,
                healthy_for_s,
                window_s,
            } => Shown {
                step: format!("On trial: {version} in slot {slot}"),
                done: (healthy_for_s * 100)
                    .checked_div(*window_s)
                    .unwrap_or(0)
                    .min(100),
                detail: trial_detail(detail, *healthy_for_s, *window_s, self.serial),
            },
            UpdateState::RolledBack { version, why } => Shown {
                step: format!("Given up, going back: {version}: {why}"),
                done: 100,
                detail: last_line(self.serial),
            },
            other => Shown {
                step: format!("Update {}", other.name()),
                done: 0,
                detail: String::new(),
            },
        }
    }
}

fn trial_detail(detail: &DeviceDetail, healthy_s: u64, window_s: u64, serial: &Console) -> String {
    let checks = detail.heartbeat.iter().flat_map(|h| &h.health);
    let failed: Vec<&str> = checks
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    if !detail.device.online {
        last_line(serial)
    } else if failed.is_empty() {
        format!("healthy for {healthy_s} of {window_s} s")
    } else {
        format!("not healthy: {}", failed.join(", "))
    }
}

/// The newer of report and heartbeat, if it is about `version`.
fn state_of(detail: &DeviceDetail, version: &Version) -> Option<UpdateState> {
    let report = detail.update_report.as_ref().map(|r| &r.state);
    let beat = detail.heartbeat.as_ref().map(|h| &h.update);
    match (report, beat) {
        // Progress within a state comes with heartbeats too.
        (Some(report), Some(beat)) if report.name() == beat.name() && furthest(beat, report) => {
            Some(beat)
        }
        (Some(report), _) => Some(report),
        (None, beat) => beat,
    }
    .filter(|state| state.version() == Some(version))
    .cloned()
}

fn furthest(one: &UpdateState, other: &UpdateState) -> bool {
    let position = |state: &UpdateState| match state {
        UpdateState::Installing { percent, .. } => u64::from(*percent),
        UpdateState::Trial { healthy_for_s, .. } => *healthy_for_s,
        _ => 0,
    };
    one.version() == other.version() && position(one) > position(other)
}

/// What the serial line said last, fit for one line of a terminal.
pub(super) fn last_line(serial: &Console) -> String {
    let tail = serial.tail();
    let line = tail.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(LINE_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::Sha256;
    use fleet_protocol::update::{BootedSystem, Slot};

    fn live(serial: &Console) -> Live<'_> {
        Live::new(Progress::Quiet, serial, 100_000_000)
    }

    #[test]
    fn progress_of_an_installation_is_one_step_that_moves() {
        let dir = tempfile::tempdir().unwrap();
        let serial = Console::new(dir.path().join("serial.log"));
        let state = |percent, downloaded_bytes| UpdateState::Installing {
            version: Version::new(2, 0, 0),
            slot: Slot::B,
            percent,
            downloaded_bytes,
            message: "Copying image".to_owned(),
        };
        let detail = serde_json::json!({
            "deviceId": "dev_1", "name": "screen-1", "compatible": "x", "hardware": "x",
            "enrolledAt": "2026-01-01T00:00:00Z", "online": true, "version": "1.0.0",
            "targetGeneration": 1
        });
        let detail: DeviceDetail = serde_json::from_value(detail).unwrap();
        let live = live(&serial);
        let first = live.show(&state(10, 5_000_000), &detail);
        let second = live.show(&state(60, 50_000_000), &detail);
        assert_eq!(first.step, second.step);
        assert_eq!((first.done, second.done), (10, 60));
        assert!(second.detail.contains("50 of 100 MB"), "{}", second.detail);
    }

    #[test]
    fn a_failed_trial_ends_only_when_the_other_version_runs() {
        let version = Version::new(3, 0, 0);
        let report = |running: u64, state| UpdateReport {
            sequence: 1,
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            rollout_id: None,
            generation: 1,
            booted: BootedSystem {
                slot: Slot::B,
                version: Version::new(running, 0, 0),
                root_hash: Sha256::of("root"),
                boot_id: "boot".to_owned(),
            },
            state,
            downloaded_bytes: 0,
        };
        let why = FailureReason::DidNotBoot { attempts: 3 };
        let rolled_back = UpdateState::RolledBack {
            version: version.clone(),
            why: why.clone(),
        };
        let committed = UpdateState::Committed {
            version: Version::new(2, 0, 0),
            slot: Slot::B,
        };
        let end = |report: &UpdateReport| End::TakenBack.outcome(report, &version, Some(&why));
        assert_eq!(end(&report(3, rolled_back)), None);
        assert!(end(&report(2, committed)).is_some());
    }
}
