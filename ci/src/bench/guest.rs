//! What is measured inside a device, in QEMU. Emulation is slow, so ratios say more than seconds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fleet_protocol::event::{Event, EventKind};
use fleet_tests::fleet::template::Template;
use fleet_tests::fleet::{Device, Fleet, wait_until};
use fleet_tests::kit::{Kit, release};
use fleet_tests::vm::{Boot, Programs, Vm};
use jiff::Timestamp;
use serde_json::json;

use super::table::Row;
use crate::progress::Progress;

const BOOT: Duration = Duration::from_mins(4);
const INSTALL: Duration = Duration::from_mins(5);
const SHORT: Duration = Duration::from_mins(1);
/// The product's own intervals, for what an idle device costs.
const PRODUCT_HEARTBEAT_S: u32 = 60;

/// Measures on devices that begin enrolled and idle.
#[derive(Debug)]
pub(super) struct Bench {
    kit: Arc<Kit>,
    tools: Arc<dyn Programs>,
    template: Template,
    dir: PathBuf,
    progress: Progress,
}

struct Subject {
    fleet: Fleet,
    vm: Vm,
    template: Template,
}

impl Subject {
    fn device(&self) -> Device<'_> {
        Device {
            fleet: &self.fleet,
            id: &self.template.device,
        }
    }
}

impl Bench {
    pub(super) fn new(
        kit: Arc<Kit>,
        tools: Arc<dyn Programs>,
        dir: &Path,
        progress: Progress,
    ) -> Result<Self> {
        let step = progress.step("Enrolling the device that all begin as");
        let template = Template::ensure(&kit, &tools)?;
        step.done("");
        Ok(Self {
            kit,
            tools,
            template,
            dir: dir.to_owned(),
            progress,
        })
    }

    fn subject(&self, name: &str) -> Result<Subject> {
        let dir = self.dir.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).context("removing an earlier measurement")?;
        }
        let (fleet, vm) = self.template.resume(&self.kit, &self.tools, &dir, None)?;
        fleet.wait_online(SHORT)?;
        Ok(Subject {
            fleet,
            vm,
            template: self.template.clone(),
        })
    }

    /// The same bundle, from the same server, into the same slot: by the agent, and by RAUC alone.
    pub(super) fn installations(&self, repeat: usize) -> Result<Vec<Row>> {
        let mut by_agent = Vec::new();
        let mut by_rauc = Vec::new();
        for round in 1..=repeat.max(1) {
            let step = self
                .progress
                .step(format!("Installation {round} of {repeat}"));
            by_agent.push(self.by_agent()?);
            by_rauc.push(self.by_rauc()?);
            step.done("");
        }
        let pair = (median(by_agent), median(by_rauc));
        Ok(vec![Row::compared(
            "Install by the agent against `rauc install` alone",
            pair,
            "s",
            "at most 1.05",
        )])
    }

    fn by_agent(&self) -> Result<f64> {
        let subject = self.subject("by-agent")?;
        // No reboot into the middle of it.
        subject.device().install(release::GOOD, 3600)?;
        let took = wait_until("the events of the installation", SHORT, || {
            let events = subject.device().events()?;
            let begun = entered(&events, "installing");
            let ended = entered(&events, "rebootPending");
            let took = begun.zip(ended).map(|(begun, ended)| ended - begun);
            Ok((took, format!("{} events", events.len())))
        })?;
        Ok(took.total(jiff::Unit::Second)?)
    }

    fn by_rauc(&self) -> Result<f64> {
        let mut subject = self.subject("by-rauc")?;
        subject.fleet.publish(release::GOOD)?;
        let sha256 = self.kit.bundle(release::GOOD)?.sha256;
        // RAUC streams as a user of its own, who has to be able to read the key.
        let command = format!(
            "mkdir -p /run/by-rauc && cd /run/by-rauc && \
             (cd /data/fleet/identity && cp device.cert.pem device.key.pem ca.pem token /run/by-rauc) && chmod 444 * && \
             began=$(cut -d' ' -f1 /proc/uptime) && \
             rauc install --tls-cert=$PWD/device.cert.pem --tls-key=$PWD/device.key.pem --tls-ca=$PWD/ca.pem \
             --http-header=\"X-Device-Token: $(cat token)\" \
             https://10.0.2.100:8443/v1/device/bundles/{sha256} >rauc.log 2>&1 && \
             echo $began $(cut -d' ' -f1 /proc/uptime) || {{ cat rauc.log; false; }}"
        );
        let said = subject.vm.shell()?.run_within(&command, INSTALL)?;
        let line = said.lines().last().unwrap_or_default();
        let mut figures = line.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(begun)), Some(Ok(ended))) = (figures.next(), figures.next()) else {
            anyhow::bail!("RAUC's installation printed {said}");
        };
        Ok(ended - begun)
    }

    /// From one release to the next, which differs by one package.
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub(super) fn adaptive(&self) -> Result<Vec<Row>> {
        let step = self.progress.step("Update of one package");
        let subject = self.subject("adaptive")?;
        let good = subject.fleet.publish(release::GOOD)?;
        subject.fleet.roll_out(&good)?;
        subject
            .device()
            .wait_committed(&good, INSTALL + BOOT + BOOT)?;
        let before = subject.fleet.network().to_device();
        let better = subject.fleet.publish(release::BETTER)?;
        subject.fleet.roll_out(&better)?;
        subject
            .device()
            .wait_committed(&better, INSTALL + BOOT + BOOT)?;
        let carried = subject.fleet.network().to_device() - before;
        let full = self.kit.bundle(release::BETTER)?.size_bytes as f64;
        step.done(&format!("{} MB", carried / 1_000_000));
        Ok(vec![Row::compared(
            "Bytes on the wire for one package changed, against the whole bundle",
            (carried as f64 / 1e6, full / 1e6),
            "MB",
            "",
        )])
    }

    /// A cold boot, then nothing to do, at the product's own intervals.
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub(super) fn boot_and_idle(&self, minutes: u64) -> Result<Vec<Row>> {
        let step = self.progress.step("Cold boot");
        let mut subject = self.subject("idle")?;
        let intervals = json!({"control": {
            "heartbeat_interval_s": PRODUCT_HEARTBEAT_S, "jitter_percent": 10, "max_backoff_s": 900
        }});
        subject.device().configure(&intervals, SHORT)?;
        subject.vm.sh("sync")?;
        subject.vm.power_cut();
        subject.vm.power_on(Boot::Cold)?;
        subject.vm.shell()?.wait_ready(BOOT)?;
        let mut active_after_s = |unit: &str| -> Result<f64> {
            let wait = format!(
                "until systemctl is-active -q {unit}; do sleep 1; done; \
                 systemctl show -P ActiveEnterTimestampMonotonic {unit}"
            );
            let micros: f64 = subject.vm.shell()?.run_within(&wait, BOOT)?.parse()?;
            Ok(micros / 1e6)
        };
        let agent_s = active_after_s("fleet-agent.service")?;
        // It says that it is ready with the first picture.
        let picture_s = active_after_s("fleet-player.service")?;
        let system_s = active_after_s("multi-user.target")?;
        step.done(&format!("{agent_s:.1} s"));

        let step = self
            .progress
            .step(format!("An idle device, {minutes} minutes"));
        // What a boot leaves to be done is over.
        subject.vm.shell()?.run_within("sleep 60", BOOT)?;
        let usage = "p=$(systemctl show -P MainPID fleet-agent.service); \
            echo $(awk '{print $14+$15}' /proc/$p/stat) $(awk '/^VmRSS/{print $2}' /proc/$p/status) \
            $(cut -d' ' -f1 /proc/uptime)";
        let network = |subject: &Subject| {
            let network = subject.fleet.network();
            network.to_device() + network.from_device()
        };
        let (before, bytes_before) = (figures(&subject.vm.sh(usage)?)?, network(&subject));
        let sleep = format!("sleep {}", minutes * 60);
        let within = Duration::from_secs(minutes * 60 * 3 + 60);
        subject.vm.shell()?.run_within(&sleep, within)?;
        let (after, bytes_after) = (figures(&subject.vm.sh(usage)?)?, network(&subject));
        step.done("");
        let seconds = after[2] - before[2];
        let cpu_percent = (after[0] - before[0]) / seconds;
        let bytes_a_day = (bytes_after - bytes_before) as f64 / seconds * 86_400.0;
        Ok(vec![
            Row::plain("Kernel start to agent ready", agent_s, "s"),
            Row::compared(
                "Kernel start to the first picture, against `multi-user.target` of the same boot",
                (picture_s, system_s),
                "s",
                "",
            ),
            Row::against("Agent's resident memory", after[1] / 1e3, "MB", 12.0),
            Row::plain(
                "Agent's processor use when idle, of one emulated core",
                cpu_percent,
                "%",
            ),
            Row::plain("Bytes on the wire a day when idle", bytes_a_day / 1e6, "MB"),
        ])
    }
}

/// When the agent's update came into this state, by the device's clock.
fn entered(events: &[Event], state: &str) -> Option<Timestamp> {
    let mut changes = events
        .iter()
        .filter(|event| event.event_type == EventKind::UpdateStateChanged);
    let change = changes.find(|event| event.payload["state"] == state)?;
    Some(change.event_time_utc)
}

/// Three numbers in a line; clock ticks are hundredths of a second, so ticks a second are per cent.
fn figures(said: &str) -> Result<[f64; 3]> {
    let parsed: Vec<f64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    parsed
        .try_into()
        .map_err(|_| anyhow::anyhow!("expected three figures, got `{said}`"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
