//! Drives the configuration: layers of the image and the role, the device's own changes, and what the
//! control plane delivers; a new one is kept only if the device is healthy with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access, FileError};
use fleet_protocol::config::{DeviceConfig, IMAGE_DEFAULTS, Layer, merge};
use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::target::TargetConfig;
use fleet_protocol::{RoleName, Sha256};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::context::{Ctx, InForce};
use crate::core::config::{Base, Configuration, Effect, Event};
use crate::core::gate::{Gate, Sample, Settings, Verdict};
use crate::platform::booted::read_state;
use crate::platform::paths::Paths;

const DEADLINE: Duration = Duration::from_mins(2);
const MAX_LAYER_BYTES: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) enum Message {
    Delivered {
        fleet: Option<Sha256>,
        target: Option<TargetConfig>,
        /// Told once that is decided on: in force, on trial, waiting for another trial's end, or rejected.
        taken: oneshot::Sender<()>,
    },
    /// A `config` command; answered when the changes are kept or rejected.
    OwnChanges {
        changes: Map<String, Value>,
        reply: oneshot::Sender<Result<String, String>>,
    },
    Sample(Sample),
    /// The device has enrolled for this role.
    Role(RoleName),
}

/// The configuration as the agent starts with it.
pub(super) struct Loaded {
    pub(super) in_force: InForce,
    configuration: Configuration,
    found: Found,
    effects: Vec<Effect>,
}

/// What is below the persisted documents.
#[derive(Debug, Clone)]
struct Found {
    base: Base,
    /// Why a role that was asked for is not this device's.
    problem: Option<String>,
}

/// Reads all layers. Never fails: what can't be read is left out, and said.
pub(super) fn load(paths: &Paths, role: Option<&RoleName>, boot_id: &str) -> Loaded {
    let found = find(paths, role);
    let configuration: Configuration = read_state(&file(paths)).unwrap_or_default();
    let started = Event::Started {
        boot_id: boot_id.to_owned(),
    };
    let (configuration, effects) = configuration.step(started, &found.base);
    // Before anything else: this start may be cut short by what is in force.
    if effects.iter().any(|e| matches!(e, Effect::Persist(_)))
        && let Err(error) = files::write_json(&file(paths), &configuration, Access::Secret)
    {
        log::warn!(error:%, hint = error.hint(); "the configuration could not be kept");
    }
    let applied = effects.iter().rev().find_map(|effect| match effect {
        Effect::Apply {
            config, version, ..
        } => Some((config.clone(), *version)),
        _ => None,
    });
    let (config, version) = applied.unwrap_or_else(|| (Box::new(fallback()), 0));
    Loaded {
        in_force: InForce {
            config: *config,
            version,
            problem: found.problem.clone(),
        },
        configuration,
        found,
        effects,
    }
}

fn fallback() -> DeviceConfig {
    let layer = Layer::parse("the built-in fallback", IMAGE_DEFAULTS);
    layer
        .and_then(|layer| merge(&[layer]))
        .expect("a test reads the built-in fallback")
}

fn file(paths: &Paths) -> PathBuf {
    paths.state().join("configuration.json")
}

/// The image's defaults, the role, and what was written by hand into `/data/fleet/config`. A role that the
/// image does not have leaves it its own.
fn find(paths: &Paths, role: Option<&RoleName>) -> Found {
    let defaults = layer("the image's defaults", &paths.default_config());
    let defaults = defaults.unwrap_or_else(|| {
        Layer::parse("the built-in fallback", IMAGE_DEFAULTS)
            .expect("a test reads the built-in fallback")
    });
    let named = defaults.table.get("role").and_then(|role| role.as_str());
    let own: Option<RoleName> = named.and_then(|role| role.parse().ok());
    let mut base = Base {
        layers: vec![defaults],
        roles: roles(paths, own.as_ref()),
    };
    let problem = role
        .and_then(|role| base.unknown_role(role))
        .map(|unknown| {
            let kept = own.as_ref().map_or("none", RoleName::as_str);
            format!("the provisioning file: {unknown}; the image's own is kept ({kept})")
        });
    let chosen = role.filter(|_| problem.is_none());
    if let Some(role) = chosen {
        let table = toml::Table::from_iter([("role".to_owned(), role.as_str().into())]);
        base.layers.push(Layer {
            name: "the provisioning file".to_owned(),
            table,
        });
    }
    if let Some(role) = chosen.or(own.as_ref()) {
        let path = paths.roles().join(format!("{role}.toml"));
        base.layers
            .extend(layer(&format!("roles/{role}.toml"), &path));
    }
    if let Some(local) = layer("config/local.toml", &paths.config().join("local.toml")) {
        let mut with_local = base.layers.clone();
        with_local.push(local);
        // Written by hand: a slip in it must not cost the rest.
        match merge(&with_local) {
            Ok(merged) if base.unknown_role(&merged.role).is_some() => {
                log::warn!("device.role":% = merged.role, hint = "name a role of this image";
                    "config/local.toml is left out: its role is unknown");
            }
            Ok(_) => base.layers = with_local,
            Err(error) => log::warn!(error:%, hint = error.hint(); "config/local.toml is left out"),
        }
    }
    Found { base, problem }
}

/// Those with a file in the image; its own has none if there is nothing to add to the defaults.
fn roles(paths: &Paths, own: Option<&RoleName>) -> Vec<RoleName> {
    let entries = std::fs::read_dir(paths.roles());
    let files = entries.into_iter().flatten().flatten();
    let mut roles: Vec<RoleName> = files
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".toml")?.parse().ok()
        })
        .chain(own.cloned())
        .collect();
    roles.sort();
    roles.dedup();
    roles
}

fn layer(name: &str, path: &std::path::Path) -> Option<Layer> {
    let text = match files::read_limited(path, MAX_LAYER_BYTES) {
        Ok(bytes) => String::from_utf8(bytes?).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let layer = text.and_then(|text| Layer::parse(name, &text).map_err(|e| e.to_string()));
    layer
        .inspect_err(|error| log::warn!(error:%; "{name} is left out"))
        .ok()
}

struct Driver {
    ctx: Ctx,
    configuration: Configuration,
    found: Found,
    /// Why what was delivered last is not in force.
    rejected: Option<String>,
    /// While something is on trial, with who waits for how it ends.
    trial: Option<Gate>,
    reply: Option<oneshot::Sender<Result<String, String>>>,
}

pub(super) async fn run(ctx: Ctx, loaded: Loaded, mut messages: mpsc::Receiver<Message>) {
    let stamp = ctx.liveness.register("config", DEADLINE);
    let mut driver = Driver {
        ctx,
        configuration: loaded.configuration.clone(),
        found: loaded.found,
        rejected: None,
        trial: None,
        reply: None,
    };
    driver.settle(loaded.configuration, loaded.effects);
    driver.tell_of_role();
    while let Some(message) = stamp.idle(messages.recv()).await {
        stamp.touch();
        match message {
            Message::Delivered {
                fleet,
                target,
                taken,
            } => {
                driver.feed(Event::Delivered { fleet, target });
                let _ = taken.send(());
            }
            Message::OwnChanges { changes, reply } => {
                if driver.trial.is_some() {
                    let busy = "another configuration is on trial: try again when it has ended";
                    let _ = reply.send(Err(busy.to_owned()));
                    continue;
                }
                driver.reply = Some(reply);
                driver.feed(Event::OwnChanges(changes));
                if driver.trial.is_none() {
                    driver.answer(Ok("nothing to change".to_owned()));
                }
            }
            Message::Sample(sample) => driver.sample(&sample),
            Message::Role(role) if role == driver.ctx.config().config.role => {}
            Message::Role(role) => {
                log::info!("device.role":% = role; "the device takes up its role");
                driver.found = find(&driver.ctx.device.paths, Some(&role));
                driver.feed(Event::LayersChanged);
                driver.tell_of_role();
            }
        }
    }
}

impl Driver {
    fn feed(&mut self, event: Event) {
        let (next, effects) = self.configuration.clone().step(event, &self.found.base);
        self.settle(next, effects);
    }

    /// Takes the new state over if it could be kept, and does what follows.
    fn settle(&mut self, next: Configuration, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(state) => {
                    if let Err(error) = self.persist(&state) {
                        log::error!(error:%, hint = error.hint(); "the configuration could not be kept");
                        self.answer(Err(format!("{error}; {}", error.hint())));
                        return;
                    }
                }
                Effect::Apply {
                    config,
                    version,
                    on_trial,
                } => self.apply(*config, version, on_trial),
                Effect::Kept { version } => {
                    self.end_trial();
                    self.tell(EventKind::ConfigApplied, Severity::Info, version, None);
                    self.answer(Ok("the changes are kept".to_owned()));
                }
                Effect::Confirmed { version } => self.confirm(version),
                Effect::Rejected { version, reason } => {
                    self.end_trial();
                    let severity = Severity::Warning;
                    self.tell(EventKind::ConfigRejected, severity, version, Some(&reason));
                    self.rejected = Some(reason.clone());
                    self.ctx.config.send_modify(|held| {
                        let mut changed = (**held).clone();
                        changed.problem = Some(reason.clone());
                        *held = Arc::new(changed);
                    });
                    self.answer(Err(reason));
                }
                Effect::Unusable { reason } => {
                    log::error!(error:% = reason; "the image's own configuration is unusable");
                }
            }
        }
        self.configuration = next;
    }

    fn persist(&self, state: &Configuration) -> Result<(), FileError> {
        files::write_json(&file(&self.ctx.device.paths), state, Access::Secret)
    }

    fn apply(&mut self, config: DeviceConfig, version: u64, on_trial: bool) {
        fleet_device::logging::set_level(config.log_level);
        let limit = config.updates.bandwidth_limit_bytes_per_s;
        self.ctx.limiter.set(limit);
        if on_trial {
            self.rejected = None;
        }
        self.ctx.config.send_replace(Arc::new(InForce {
            config,
            version,
            problem: self.problem(),
        }));
        self.trial = on_trial.then(|| Gate::new(clock::monotonic(), self.ctx.reached_recently()));
        self.ctx.config_trial.store(on_trial, Ordering::Relaxed);
        if on_trial {
            log::info!("config.version" = version; "a configuration is on trial");
            self.ctx.bells.health.notify_one();
        }
    }

    /// Nothing is tried: only what is said of the configuration in force may be another word now.
    fn confirm(&mut self, version: u64) {
        self.rejected = None;
        let held = self.ctx.config();
        let problem = self.problem();
        if held.version == version && held.problem == problem {
            return;
        }
        self.ctx.config.send_replace(Arc::new(InForce {
            version,
            problem,
            ..(*held).clone()
        }));
        if held.version != version && self.trial.is_none() {
            self.tell(EventKind::ConfigApplied, Severity::Info, version, None);
        }
    }

    fn problem(&self) -> Option<String> {
        self.rejected.clone().or_else(|| self.found.problem.clone())
    }

    /// At every start, and when the device enrols: it goes on, but not as what it was meant to be.
    fn tell_of_role(&self) {
        if let Some(problem) = &self.found.problem {
            let version = self.ctx.config().version;
            let severity = Severity::Warning;
            self.tell(EventKind::ConfigRejected, severity, version, Some(problem));
        }
    }

    fn end_trial(&mut self) {
        self.trial = None;
        self.ctx.config_trial.store(false, Ordering::Relaxed);
    }

    fn sample(&mut self, sample: &Sample) {
        let Some(gate) = self.trial.take() else {
            return;
        };
        let settings = Settings::from(&self.ctx.config().config.health);
        let (gate, verdict) = gate.sample(sample, clock::monotonic(), &settings);
        match verdict {
            Verdict::Holding { .. } => self.trial = Some(gate),
            Verdict::Passed => self.feed(Event::GatePassed),
            Verdict::Failed { checks } => self.feed(Event::GateFailed { checks }),
        }
    }

    fn tell(&self, kind: EventKind, severity: Severity, version: u64, reason: Option<&str>) {
        log::info!("config.version" = version, reason:?; "configuration: {kind:?}");
        let payload = serde_json::json!({ "configVersion": version, "reason": reason });
        self.ctx.events.raise(kind, severity, payload);
        self.ctx.bells.heartbeat.notify_one();
    }

    fn answer(&mut self, answer: Result<String, String>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_fallback_is_a_configuration() {
        assert_eq!(fallback().control.heartbeat_interval_s, 60);
    }

    #[test]
    fn a_device_without_any_file_still_has_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = load(&Paths::under(folder.path()), None, "b");
        assert_eq!(loaded.in_force.version, 0);
    }

    #[test]
    fn the_role_of_the_provisioning_file_wins_over_the_images() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let write = |path: &std::path::Path, text: &str| {
            files::write_atomic(path, text.as_bytes(), Access::Public).unwrap();
        };
        write(&paths.default_config(), IMAGE_DEFAULTS);
        write(
            &paths.roles().join("menu.toml"),
            "[control]\nheartbeat_interval_s = 300",
        );
        let role = "menu".parse().unwrap();
        let config = load(&paths, Some(&role), "b").in_force.config;
        assert_eq!(config.control.heartbeat_interval_s, 300);
        assert_eq!(config.role, role);
    }

    #[test]
    fn a_role_that_the_image_does_not_have_leaves_it_its_own_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let signage = paths.roles().join("signage.toml");
        files::write_atomic(&signage, b"[control]\njitter_percent = 7", Access::Public).unwrap();
        let in_force = load(&paths, Some(&"kiosk".parse().unwrap()), "b").in_force;
        assert_eq!(in_force.config.role.as_str(), "signage");
        assert_eq!(in_force.config.control.jitter_percent, 7);
        let expected = "the provisioning file: this image has no role `kiosk`, but signage; the image's own is kept \
                        (signage)";
        assert_eq!(in_force.problem.as_deref(), Some(expected));
    }

    #[test]
    fn a_slip_in_the_local_file_costs_only_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let local = paths.config().join("local.toml");
        files::write_atomic(
            &local,
            b"[control]\nheartbeat_interval_s = 1",
            Access::Public,
        )
        .unwrap();
        assert_eq!(
            load(&paths, None, "b")
                .in_force
                .config
                .control
                .heartbeat_interval_s,
            60
        );
    }
}
