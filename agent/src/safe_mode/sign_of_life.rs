//! Heartbeats from safe mode, so that the operator sees where the device is. They need its identity on
//! `/data` and a network; without either it is tried again later, and nothing else waits for it.

use std::time::Duration;

use fleet_device::clock;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::event::{Event, EventBatch, EventKind, Severity};
use fleet_protocol::heartbeat::{ErrorCounts, Heartbeat, OperatingMode, ResetReason};
use fleet_protocol::update::UpdateState;
use fleet_protocol::{EventId, RoleName};
use jiff::Timestamp;

use super::facts::{self, DataState};
use crate::client::{ControlPlane, TimeFloor};
use crate::daemon::clock_keeper::{self, ClockKeeper};
use crate::daemon::identity::{self, Identity};
use crate::daemon::status::Status;
use crate::platform::booted::{self, read_state};
use crate::platform::cmdline::CommandLine;
use crate::platform::key_chain::KeyChain;
use crate::platform::metrics::{self, Meter};
use crate::platform::paths::Paths;
use crate::platform::sysfs;

const INTERVAL: Duration = Duration::from_mins(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const BACKOFF: Backoff = Backoff {
    base_ms: 5_000,
    max_ms: 300_000,
};

/// For as long as safe mode lasts.
pub(super) async fn run(paths: Paths) {
    let mut voice = Some(Voice {
        paths,
        meter: Meter::new(),
        link: None,
        told: false,
    });
    let mut failures = 0;
    while let Some(mut speaker) = voice.take() {
        let spoken = tokio::task::spawn_blocking(move || {
            let answered = speaker.speak();
            (speaker, answered)
        });
        // Only a runtime that ends cuts it short.
        let Ok((speaker, answered)) = spoken.await else {
            return;
        };
        voice = Some(speaker);
        failures = if answered { 0 } else { failures + 1 };
        let pause = if answered {
            INTERVAL
        } else {
            let dice = getrandom::u64().unwrap_or_default();
            Duration::from_millis(BACKOFF.pause_ms(failures, dice))
        };
        tokio::time::sleep(pause).await;
    }
}

struct Voice {
    paths: Paths,
    meter: Meter,
    link: Option<Link>,
    /// The operator was told why the device is here.
    told: bool,
}

impl Voice {
    /// Blocking. Whether the control plane answered.
    fn speak(&mut self) -> bool {
        let Some(link) = self.link.take().or_else(|| connect(&self.paths)) else {
            return false;
        };
        let Some(heartbeat) = self.heartbeat(&link.identity) else {
            return false;
        };
        match link.client.heartbeat(&heartbeat) {
            Ok(ack) => link.heard(ack.server_time),
            Err(error) => {
                log::debug!(error:%; "a heartbeat from safe mode was not answered");
                return false;
            }
        }
        if !self.told {
            self.told = tell(&self.paths, &link.client);
        }
        self.link = Some(link);
        true
    }

    /// What the agent last knew of itself, and what can be seen now. `None`: the image does not say
    /// what it is.
    fn heartbeat(&mut self, identity: &Identity) -> Option<Heartbeat> {
        let paths = &self.paths;
        let release = booted::image_release(paths).ok()?;
        let system = booted::system(paths, &release);
        let last: Option<Status> = read_state(&paths.status_file());
        let role = identity.role.clone();
        let role = role.or_else(|| last.as_ref()?.role.clone());
        Some(Heartbeat {
            device_time: clock::wall(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            compatible: release.compatible,
            hardware: sysfs::model(paths),
            role: role.or_else(default_role)?,
            mode: OperatingMode::Safe,
            booted: system,
            other_version: last.as_ref().and_then(|s| s.other_version.clone()),
            uptime_seconds: metrics::uptime_seconds(paths),
            reset_reason: last
                .as_ref()
                .map_or(ResetReason::Unknown, |s| s.reset_reason),
            update: last.as_ref().map_or_else(
                || facts::last_update(paths).unwrap_or(UpdateState::Idle),
                |s| s.update.clone(),
            ),
            health: Vec::new(),
            metrics: self.meter.read(paths),
            network: metrics::network(paths),
            errors: ErrorCounts::default(),
            status: None,
            next_within_seconds: u32::try_from(INTERVAL.as_secs()).ok(),
            config_version: last.as_ref().map_or(0, |s| s.config_version),
            // As the agent reports it: 0 without a usable key set.
            key_set_version: KeyChain::load(paths).map_or(0, |chain| chain.version()),
        })
    }
}

fn default_role() -> Option<RoleName> {
    "signage".parse().ok()
}

/// The way to the control plane, with the clock that its answers set.
struct Link {
    client: ControlPlane,
    identity: Identity,
    clock: ClockKeeper,
}

impl Link {
    /// What is installed here by hand is judged by this clock, and by what is kept of it.
    fn heard(&self, server_time: Timestamp) {
        self.clock.heard(server_time);
        if let Err(error) = self.clock.keep() {
            log::debug!(error:%; "the time could not be kept");
        }
    }
}

fn connect(paths: &Paths) -> Option<Link> {
    let identity = identity::load(paths)?;
    let floor = TimeFloor::default();
    let built_at = booted::image_release(paths).ok()?.built_at;
    let evidence = clock_keeper::evidence(paths, built_at);
    let (clock, _) = ClockKeeper::start(paths, floor.clone(), evidence);
    match identity::connect(paths, &identity, &floor, REQUEST_TIMEOUT) {
        Ok(client) => Some(Link {
            client,
            identity,
            clock,
        }),
        Err(error) => {
            log::debug!(error:%; "no heartbeats from safe mode");
            None
        }
    }
}

fn tell(paths: &Paths, client: &ControlPlane) -> bool {
    let cause = facts::cause(paths, &CommandLine::read(paths), &DataState::read(paths));
    let Some(event_id) = random_id() else {
        return false;
    };
    let now = clock::wall();
    let event = Event {
        event_id,
        event_type: EventKind::SafeModeEntered,
        event_time_utc: now,
        severity: Severity::Error,
        payload: serde_json::json!({ "cause": cause.sentence() }),
    };
    let batch = EventBatch {
        device_time: now,
        events: vec![event],
    };
    client.events(&batch).is_ok()
}

fn random_id() -> Option<EventId> {
    let random = getrandom::u64().ok()?;
    format!("evt_{random:016x}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::key_chain::tests::{IMAGE_KEY, NEXT_KEY, device_with_key_sets, key_set};
    use fleet_device::files::{self, Access};

    fn voice(paths: &Paths) -> Voice {
        Voice {
            paths: paths.clone(),
            meter: Meter::new(),
            link: None,
            told: false,
        }
    }

    #[test]
    fn the_heartbeat_names_the_key_set_in_force() {
        let next = key_set(2, NEXT_KEY, IMAGE_KEY);
        let check = |chain: &[_], version: u32| {
            let (_root, paths) = device_with_key_sets(chain);
            let write = |path: &std::path::Path, text: &str| {
                files::write_atomic(path, text.as_bytes(), Access::Public).unwrap();
            };
            write(
                &paths.release_file(),
                r#"{"version":"1.2.3","compatible":"c","builtAt":"2026-01-01T00:00:00Z"}"#,
            );
            write(
                &paths.identity().join("identity.json"),
                r#"{"deviceId":"dev_1","tenantId":"ten_1","serverUrl":"https://fleet.example"}"#,
            );
            let identity = identity::load(&paths).unwrap();
            let heartbeat = voice(&paths).heartbeat(&identity).unwrap();
            assert_eq!(heartbeat.mode, OperatingMode::Safe);
            assert_eq!(heartbeat.key_set_version, version);
        };
        check(&[], 1);
        check(&[next], 2);
    }
}
