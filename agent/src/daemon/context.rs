//! What all loops share: facts that don't change, values that one loop sets and others read, and bells
//! that one loop rings for another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_device::clock;
use fleet_device::limit::Limiter;
use fleet_device::request::RequestError;
use fleet_protocol::config::DeviceConfig;
use fleet_protocol::enrolment::PairingCode;
use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::heartbeat::{ErrorCounts, HealthCheck, ResetReason};
use fleet_protocol::update::{BootedSystem, UpdateState};
use fleet_protocol::why::WhyTrace;
use fleet_protocol::{DeviceId, Sha256, UnitName, Version};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::clock_keeper::ClockKeeper;
use super::events::EventSink;
use crate::client::{ControlPlane, TimeFloor};
use crate::core::contact::{Need, Needs, Outcome};
use crate::core::gate;
use crate::core::pictures::PICTURES;
use crate::core::standing::{Change, Standing, Word};
use crate::core::thermal::Thermal;
use crate::platform::boot_env::BootEnvFile;
use crate::platform::booted::ImageRelease;
use crate::platform::bus::Bus;
use crate::platform::paths::Paths;
use crate::platform::systemd::Liveness;

/// Failures in a row after which the control plane counts as away.
const FAILURES_UNTIL_AWAY: u32 = 2;

/// What never changes while the agent runs.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) paths: Paths,
    pub(super) release: ImageRelease,
    pub(super) booted: BootedSystem,
    pub(super) hardware: String,
    pub(super) serial_number: Option<String>,
    pub(super) reset_reason: ResetReason,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InForce {
    pub(super) config: DeviceConfig,
    /// Of the delivered document, 0 for the image's own.
    pub(super) version: u64,
    /// Why the one delivered last is not in force.
    pub(super) problem: Option<String>,
}

/// The way to the control plane, once the device has an identity.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) client: ControlPlane,
    pub(super) device_id: DeviceId,
    /// Which fleet the device is in.
    pub(super) fleet: Sha256,
}

/// How the control plane was last reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact {
    /// When a request last succeeded.
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_error: Option<String>,
    pub(super) failures: u32,
    pub(super) is_away: bool,
}

/// The update engine as others see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UpdateView {
    pub(super) state: UpdateState,
    pub(super) why: WhyTrace,
    /// The target's release, believed or not.
    pub(super) wanted: Option<Version>,
    pub(super) other_version: Option<Version>,
    pub(super) generation: u64,
}

/// The last look at the system's health.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Health {
    pub(super) checks: Vec<HealthCheck>,
    pub(super) restarts: BTreeMap<UnitName, u32>,
}

impl Health {
    pub(super) fn shows_pictures(&self) -> bool {
        let mut checks = self.checks.iter();
        checks.any(|check| check.name == PICTURES && check.ok)
    }
}

/// Rung when a loop has something to do before its time.
#[derive(Debug, Default)]
pub(super) struct Bells {
    pub(super) heartbeat: Notify,
    pub(super) target: Notify,
    pub(super) commands: Notify,
    pub(super) events: Notify,
    pub(super) health: Notify,
}

#[derive(Debug)]
pub(super) struct Context {
    pub(super) device: Device,
    pub(super) bus: Bus,
    pub(super) boot_env: BootEnvFile,
    pub(super) events: EventSink,
    pub(super) clock: ClockKeeper,
    pub(super) floor: TimeFloor,
    pub(super) limiter: Limiter,
    pub(super) liveness: Liveness,
    pub(super) bells: Bells,
    pub(super) config: watch::Sender<Arc<InForce>>,
    pub(super) link: watch::Sender<Option<Link>>,
    pub(super) server_url: watch::Sender<Option<String>>,
    /// Counts up when there may be something new for the player.
    pub(super) content_wakes: watch::Sender<u64>,
    /// What somebody has to type in to let the device join.
    pub(super) pairing_code: watch::Sender<Option<PairingCode>>,
    /// The end of the device's certificate.
    pub(super) certificate_ends: watch::Sender<Option<Timestamp>>,
    pub(super) update: watch::Sender<UpdateView>,
    pub(super) health: watch::Sender<Health>,
    pub(super) thermal: watch::Sender<Thermal>,
    pub(super) key_set_version: watch::Sender<u32>,
    pub(super) events_waiting: watch::Sender<u32>,
    /// A configuration is on trial.
    pub(super) config_trial: AtomicBool,
    /// Whether the control plane takes the device for one of its own.
    standing: Mutex<Standing>,
    contact: Mutex<Contact>,
    needs: Mutex<Needs>,
    errors: Mutex<ErrorCounts>,
}

/// What a loop is given. Cheap to clone.
pub(super) type Ctx = Arc<Context>;

/// Why a call to the control plane did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the device is not enrolled yet")]
    NotEnrolled,
    /// It was not even asked; see [`crate::core::standing`].
    #[error("the control plane does not accept this device")]
    NotAccepted,
    #[error(transparent)]
    Client(#[from] RequestError),
    #[error("the call was cut short")]
    Cut,
}

impl Context {
    pub(super) fn new(
        device: Device,
        boot_env: BootEnvFile,
        events: EventSink,
        clock: ClockKeeper,
        floor: TimeFloor,
        config: InForce,
    ) -> Self {
        let limit = config.config.updates.bandwidth_limit_bytes_per_s;
        Self {
            boot_env,
            events,
            clock,
            floor,
            limiter: Limiter::new(limit),
            bus: Bus::default(),
            liveness: Liveness::default(),
            bells: Bells::default(),
            config: watch::Sender::new(Arc::new(config)),
            link: watch::Sender::new(None),
            server_url: watch::Sender::new(None),
            content_wakes: watch::Sender::new(0),
            pairing_code: watch::Sender::new(None),
            certificate_ends: watch::Sender::new(None),
            update: watch::Sender::new(UpdateView {
                state: UpdateState::Idle,
                why: WhyTrace {
                    summary: "the agent is starting".to_owned(),
                    steps: Vec::new(),
                },
                wanted: None,
                other_version: None,
                generation: 0,
            }),
            health: watch::Sender::new(Health::default()),
            thermal: watch::Sender::new(Thermal::default()),
            key_set_version: watch::Sender::new(0),
            events_waiting: watch::Sender::new(0),
            config_trial: AtomicBool::new(false),
            standing: Mutex::default(),
            contact: Mutex::default(),
            needs: Mutex::default(),
            errors: Mutex::default(),
            device,
        }
    }

    pub(super) fn config(&self) -> Arc<InForce> {
        self.config.borrow().clone()
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    pub(super) fn fleet(&self) -> Option<Sha256> {
        self.link.borrow().as_ref().map(|link| link.fleet)
    }

    pub(super) fn contact(&self) -> Contact {
        self.contact_mut().clone()
    }

    fn contact_mut(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut ErrorCounts)) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut errors);
    }

    /// The counts so far; [`Self::counted`] takes them off when they have been delivered.
    pub(super) fn error_counts(&self) -> ErrorCounts {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn counted(&self, delivered: &ErrorCounts) {
        self.count(|errors| {
            let less = |count: &mut u32, by: u32| *count = count.saturating_sub(by);
            less(&mut errors.control_plane, delivered.control_plane);
            less(&mut errors.install, delivered.install);
            less(&mut errors.command, delivered.command);
            less(&mut errors.dropped_events, delivered.dropped_events);
        });
    }

    pub(super) fn config_on_trial(&self) -> bool {
        self.config_trial.load(Ordering::Relaxed)
    }

    /// Whether the control plane accepts the device.
    pub(super) fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the control plane ceased to accept the device, if it did.
    pub(super) fn refused_since(&self) -> Option<Timestamp> {
        self.standing().refused_since()
    }

    /// A heartbeat was answered. A refusal is believed after the longest pause between two tries.
    pub(super) fn heard_word(&self, word: Word) {
        let patience_ms = u64::from(self.config().config.control.max_backoff_s) * 1_000;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed;
        (*standing, changed) = standing.hear(word, clock::now(), patience_ms);
        drop(standing);
        match changed {
            Some(Change::Refused) => {
                let error = self.contact().last_error.unwrap_or_default();
                log::error!(error:%; "the control plane does not accept this device any more");
                let payload = serde_json::json!({ "reason": error });
                self.events
                    .raise(EventKind::IdentityRefused, Severity::Error, payload);
            }
            Some(Change::Restored) => {
                log::info!("the control plane accepts this device again");
                let payload = serde_json::json!({});
                self.events
                    .raise(EventKind::IdentityRestored, Severity::Info, payload);
                self.bells.target.notify_one();
                self.bells.commands.notify_one();
            }
            None => {}
        }
    }

    /// What stands in the way of the control plane, for people.
    pub(super) fn note_trouble(&self, trouble: String) {
        self.contact_mut().last_error = Some(trouble);
    }

    /// What of the control plane's answers the health gate counts.
    pub(super) fn needs(&self) -> Needs {
        *self.needs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one blocking call for what the agent can't do without; see [`Self::call`].
    pub(super) async fn call_for<T: Send + 'static>(
        &self,
        need: Need,
        call: impl FnOnce(&ControlPlane) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, CallError> {
        let asked = clock::monotonic();
        let result = match need {
            // What tells whether the device is accepted.
            Need::Heartbeat => self.ask(call).await,
            Need::Target => self.call(call).await,
        };
        let outcome = match &result {
            Ok(_) => Outcome::Answered,
            Err(CallError::Client(error)) if error.is_out_of_service() => Outcome::OutOfService,
            Err(_) => Outcome::Failed,
        };
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        *needs = needs.tried(need, asked, outcome);
        drop(needs);
        result
    }

    /// Makes one blocking call to the control plane, with the deadline of the configuration in force,
    /// and remembers how it went. One that does not accept the device is left in peace.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&ControlPlane) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, CallError> {
        if self.refused_since().is_some() {
            return Err(CallError::NotAccepted);
        }
        self.ask(call).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&ControlPlane) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, CallError> {
        let link = self.link().ok_or(CallError::NotEnrolled)?;
        let client = link.client.with_request_timeout(self.request_timeout());
        let result = tokio::task::spawn_blocking(move || call(&client)).await;
        let result = result.map_err(|_| CallError::Cut)?;
        self.note(result.as_ref().err());
        Ok(result?)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.config().config.control.request_timeout_s.into())
    }

    /// Any answer, be it a refusal, shows that the control plane is not away.
    pub(super) fn note(&self, error: Option<&RequestError>) {
        let answered = error.is_none_or(|e| e.status().is_some());
        let mut contact = self.contact_mut();
        contact.last_error = error.map(RequestError::with_hint);
        if error.is_none() {
            contact.last_success = Some(clock::wall());
        }
        if answered {
            contact.failures = 0;
        } else {
            contact.failures += 1;
        }
        let is_away = contact.failures >= FAILURES_UNTIL_AWAY;
        let changed = is_away != contact.is_away;
        contact.is_away = is_away;
        drop(contact);
        if let Some(error) = error {
            self.count(|errors| errors.control_plane = errors.control_plane.saturating_add(1));
            log::debug!(error:%; "a call to the control plane failed");
        }
        if changed && is_away {
            log::warn!(error:? = error.map(RequestError::with_hint); "the control plane is away");
            self.events.raise(
                EventKind::OfflineEntered,
                Severity::Warning,
                serde_json::json!({}),
            );
        } else if changed {
            log::info!("the control plane is back");
            self.events.raise(
                EventKind::OnlineRestored,
                Severity::Info,
                serde_json::json!({}),
            );
        }
    }

    /// Whether the control plane was reached of late: a fact for the health gate.
    pub(super) fn reached_recently(&self) -> gate::ReachedBefore {
        let interval_s = u64::from(self.config().config.control.heartbeat_interval_s);
        let recent_ms = (2 * interval_s + 60) * 1_000;
        self.needs().reached(clock::monotonic(), recent_ms)
    }
}

/// Any random number.
pub(super) fn dice() -> u64 {
    // Without randomness pauses are only less spread out.
    getrandom::u64().unwrap_or_else(|_| clock::monotonic().0)
}
