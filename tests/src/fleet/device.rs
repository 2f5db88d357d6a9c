//! One device as the control plane sees it, and waiting for it to get somewhere.

use std::time::{Duration, Instant};

use fleet_protocol::command::{CommandKind, CommandView, CreateCommand};
use fleet_protocol::device::{DeviceDetail, Page};
use fleet_protocol::event::Event;
use fleet_protocol::rollout::RolloutView;
use fleet_protocol::update::{Slot, UpdateState};
use fleet_protocol::{DeviceId, Version};

use serde_json::json;

use super::error::{FleetError, Result};
use super::{Fleet, template};

/// Between two questions: at first, and when it has taken long. Each one costs the machine that the device needs.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const CONFIGURED_WITHIN: Duration = Duration::from_mins(3);
const INSTALLED_WITHIN: Duration = Duration::from_mins(15);

/// Asks until `ask` has an answer. What it saw last goes into the error.
///
/// # Errors
/// [`FleetError::Deadline`] after `within`. An unreachable control plane is asked again; every other error ends it.
pub fn wait_until<T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> Result<(Option<T>, String)>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        let last = match ask() {
            Ok((Some(answer), _)) => return Ok(answer),
            Ok((None, seen)) => seen,
            Err(error @ FleetError::Unreachable { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        let waited = began.elapsed();
        if waited > within {
            return Err(FleetError::Deadline {
                what: what.to_owned(),
                waited,
                last,
            });
        }
        let pause = (waited / 20).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        std::thread::sleep(pause);
    }
}

/// A device that has enrolled.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    pub fleet: &'a Fleet,
    pub id: &'a DeviceId,
}

impl Device<'_> {
    pub fn detail(&self) -> Result<DeviceDetail> {
        self.fleet.device(self.id)
    }

    /// Waits until what the control plane knows of it satisfies `wanted`.
    pub fn wait(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&DeviceDetail) -> bool,
    ) -> Result<DeviceDetail> {
        wait_until(what, within, || {
            let detail = self.detail()?;
            let seen = brief(&detail);
            Ok((wanted(&detail).then_some(detail), seen))
        })
    }

    /// Waits for a state of the update engine, as last reported.
    pub fn wait_state(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&UpdateState) -> bool,
    ) -> Result<DeviceDetail> {
        self.wait(what, within, |detail| {
            detail
                .update_report
                .as_ref()
                .is_some_and(|report| wanted(&report.state))
        })
    }

    /// Waits until `version` runs and is committed.
    pub fn wait_committed(&self, version: &Version, within: Duration) -> Result<DeviceDetail> {
        let what = format!("{version} to be committed");
        self.wait_state(
            &what,
            within,
            |state| matches!(state, UpdateState::Committed { version: v, .. } if v == version),
        )
    }

    /// Has these changes to the stories' configuration delivered, and waits until they are in force.
    pub fn configure(&self, changes: &serde_json::Value, within: Duration) -> Result<()> {
        let before = self.detail()?.heartbeat.map_or(0, |h| h.config_version);
        self.fleet.configure(&template::test_config(changes))?;
        self.wait("the configuration", within, |d| {
            d.heartbeat
                .as_ref()
                .is_some_and(|h| h.config_version > before)
        })?;
        Ok(())
    }

    /// Publishes a release of the kit, rolls it out to everyone, and waits until it is installed here. The reboot is
    /// `reboot_delay_s` away then.
    pub fn install(&self, name: &str, reboot_delay_s: u32) -> Result<RolloutView> {
        let delay = json!({"updates": {"reboot_delay_s": reboot_delay_s}});
        self.configure(&delay, CONFIGURED_WITHIN)?;
        let rollout = self.fleet.roll_out(&self.fleet.publish(name)?)?;
        self.wait_state("the reboot to be pending", INSTALLED_WITHIN, |state| {
            matches!(state, UpdateState::RebootPending { .. })
        })?;
        Ok(rollout)
    }

    /// The slot that it last said it runs from.
    pub fn slot(&self) -> Result<Option<Slot>> {
        Ok(self.detail()?.update_report.map(|r| r.booted.slot))
    }

    pub fn events(&self) -> Result<Vec<Event>> {
        let path = format!("/v1/devices/{}/events", self.id);
        Ok(self.fleet.api().get::<Page<Event>>(&path)?.items)
    }

    /// Sends a command and waits for its result.
    pub fn command(&self, kind: CommandKind, within: Duration) -> Result<CommandView> {
        let sent = self.send(kind)?;
        let name = sent.command.kind.name();
        let path = format!("/v1/devices/{}/commands", self.id);
        wait_until(&format!("the result of `{name}`"), within, || {
            let page: Page<CommandView> = self.fleet.api().get(&path)?;
            let mine = page
                .items
                .into_iter()
                .find(|c| c.command.command_id == sent.command.command_id);
            let seen = mine.as_ref().map(|c| format!("{:?}", c.status));
            let done = mine.filter(|c| c.result.is_some());
            Ok((done, seen.unwrap_or_else(|| "not listed".to_owned())))
        })
    }

    /// Sends a command.
    pub fn send(&self, kind: CommandKind) -> Result<CommandView> {
        let request = CreateCommand {
            kind,
            expires_in_seconds: None,
        };
        let path = format!("/v1/devices/{}/commands", self.id);
        self.fleet.api().post(&path, &request)
    }
}

/// One line for messages.
fn brief(detail: &DeviceDetail) -> String {
    let report = detail.update_report.as_ref().map(|report| {
        format!(
            "slot {} {}, {}",
            report.booted.slot,
            report.booted.version,
            serde_json::to_string(&report.state).unwrap_or_default()
        )
    });
    format!(
        "{} {}, {}",
        detail.device.device_id,
        if detail.device.online {
            "online"
        } else {
            "offline"
        },
        report.unwrap_or_else(|| "no report yet".to_owned())
    )
}
