//! Configuration convergence: a delivered document is taken whole or not at all, applied for a trial,
//! and kept only if the device is healthy with it.
//!
//! ```text
//! delivered ─invalid─► rejected (remembered)
//!     │ valid
//!     ▼
//! provisional ──gate passed──► kept (the new last known good)
//!     └─────────gate failed──► reverted, rejected (remembered)
//! ```
//!
//! A trial that the agent does not live through, [`MAX_STARTS`] times in one boot, has failed. What is
//! delivered while the device's own changes are on trial waits for their end.
//!
//! What is new is told by the document, never by its version: a control plane that was restored from a
//! backup gives numbers out a second time. No document is a document too, the empty one with version 0.
//! Everything here belongs to the fleet that it came from; for another one the device begins anew.
//!
//! Layers, weakest first: those of the image and role ([`Base`]), the device's own changes, the
//! delivered document. A document that names a role which the image does not have is not taken.

use fleet_protocol::config::{DeviceConfig, Layer, merge};
use fleet_protocol::target::TargetConfig;
use fleet_protocol::{RoleName, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Rejected documents that are remembered; the oldest go first.
const MAX_REJECTED: usize = 16;
/// Of one trial in one boot. Below the number of crashes that leads to safe mode.
const MAX_STARTS: u8 = 3;

/// What the image gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Base {
    /// Weakest first.
    pub layers: Vec<Layer>,
    /// Those that it has, the one in `layers` among them.
    pub roles: Vec<RoleName>,
}

impl Base {
    /// What is wrong with a role that a document or a file names.
    pub fn unknown_role(&self, role: &RoleName) -> Option<String> {
        let known = || {
            let names: Vec<&str> = self.roles.iter().map(RoleName::as_str).collect();
            names.join(", ")
        };
        let is_known = self.roles.contains(role);
        (!is_known).then(|| format!("this image has no role `{role}`, but {}", known()))
    }
}

/// Changes above the image's layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Documents {
    /// Made on this device, by command or by hand.
    pub own: Map<String, Value>,
    /// From the control plane.
    pub delivered: Map<String, Value>,
    /// Of the delivered document; 0: none.
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    pub version: u64,
    /// Of the document. Absent in what an older agent kept, which went by the version.
    #[serde(default)]
    pub digest: Option<Sha256>,
    pub reason: String,
}

impl Rejected {
    fn is_of(&self, target: &TargetConfig) -> bool {
        match &self.digest {
            Some(digest) => *digest == digest_of(&target.document),
            None => self.version == target.version,
        }
    }
}

/// Equal documents have equal ones: the keys of a [`Map`] are sorted.
fn digest_of(document: &Map<String, Value>) -> Sha256 {
    Sha256::of(serde_json::to_vec(document).expect("a document is plain data"))
}

/// The persisted state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// Healthy with these.
    pub good: Documents,
    /// In force on trial, if anything is.
    pub provisional: Option<Documents>,
    /// How often the agent has started with it.
    pub starts: Starts,
    /// Delivered while the device's own changes are on trial.
    pub waiting: Option<TargetConfig>,
    pub rejected: Vec<Rejected>,
    /// Where all of this came from; absent until something was delivered.
    pub fleet: Option<Sha256>,
}

/// Within one boot: what power cuts do is not the configuration's fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Starts {
    pub boot_id: String,
    pub count: u8,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent started. A provisional configuration begins its trial again.
    Started {
        boot_id: String,
    },
    /// The image's layers are others now, such as those of another role.
    LayersChanged,
    /// What the control plane wants now; `None`: no document.
    Delivered {
        /// Whose control plane it is, if that is known.
        fleet: Option<Sha256>,
        target: Option<TargetConfig>,
    },
    /// A `config` command: merged over the device's own changes.
    OwnChanges(Map<String, Value>),
    /// The gate that [`Effect::Apply`] began has held.
    GatePassed,
    GateFailed {
        checks: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the state; the rest only if that worked.
    Persist(Box<Configuration>),
    /// Put this in force. On trial: begin a health gate and feed back how it ends.
    Apply {
        config: Box<DeviceConfig>,
        version: u64,
        on_trial: bool,
    },
    /// Raise `CONFIG_APPLIED`.
    Kept { version: u64 },
    /// What was delivered is in force already, perhaps under another version.
    Confirmed { version: u64 },
    /// Raise `CONFIG_REJECTED`, and answer a `config` command with it.
    Rejected { version: u64, reason: String },
    /// Not even the image's own layers are valid: keep what is in force.
    Unusable { reason: String },
}

impl Configuration {
    /// The version in force, 0 for the image's own.
    pub fn version(&self) -> u64 {
        self.in_force().version
    }

    fn in_force(&self) -> &Documents {
        self.provisional.as_ref().unwrap_or(&self.good)
    }

    /// Takes one event.
    #[must_use]
    pub fn step(mut self, event: Event, base: &Base) -> (Self, Vec<Effect>) {
        let before = self.clone();
        let mut effects = match event {
            Event::Started { boot_id } => self.start(boot_id, base),
            Event::LayersChanged => self.apply_in_force(base),
            Event::Delivered { fleet, target } => {
                let mut effects = self.belong_to(fleet, base);
                effects.extend(self.deliver(target.unwrap_or_else(no_document), base));
                effects
            }
            Event::OwnChanges(changes) => {
                let mut documents = self.good.clone();
                merge_json(&mut documents.own, changes);
                self.try_out(documents, base)
            }
            Event::GatePassed => match self.provisional.take() {
                Some(documents) => {
                    let version = documents.version;
                    self.good = documents;
                    let mut effects = vec![Effect::Kept { version }];
                    effects.extend(self.deliver_waiting(base));
                    effects
                }
                None => Vec::new(),
            },
            Event::GateFailed { checks } => {
                self.take_back(format!("not healthy with it: {}", checks.join(", ")), base)
            }
        };
        if self != before {
            effects.insert(0, Effect::Persist(Box::new(self.clone())));
        }
        (self, effects)
    }

    fn start(&mut self, boot_id: String, base: &Base) -> Vec<Effect> {
        if self.provisional.is_none() {
            return self.apply_good(base);
        }
        if self.starts.boot_id != boot_id {
            self.starts = Starts { boot_id, count: 0 };
        }
        self.starts.count = self.starts.count.saturating_add(1);
        if self.starts.count > MAX_STARTS {
            let reason = format!("the agent ended {MAX_STARTS} times while it was on trial");
            return self.take_back(reason, base);
        }
        self.apply_in_force(base)
    }

    fn apply_in_force(&mut self, base: &Base) -> Vec<Effect> {
        let Some(documents) = &self.provisional else {
            return self.apply_good(base);
        };
        match validate(base, documents) {
            Ok(config) => vec![apply(config, documents.version, true)],
            Err(reason) => self.take_back(reason, base),
        }
    }

    /// Ends the trial badly, if there is one.
    fn take_back(&mut self, reason: String, base: &Base) -> Vec<Effect> {
        let Some(documents) = self.provisional.take() else {
            return Vec::new();
        };
        let mut effects = self.reject(&documents, reason);
        effects.extend(self.apply_good(base));
        effects.extend(self.deliver_waiting(base));
        effects
    }

    fn deliver_waiting(&mut self, base: &Base) -> Vec<Effect> {
        match self.waiting.take() {
            Some(target) => self.deliver(target, base),
            None => Vec::new(),
        }
    }

    /// Drops what another fleet left here.
    fn belong_to(&mut self, fleet: Option<Sha256>, base: &Base) -> Vec<Effect> {
        let Some(fleet) = fleet else {
            return Vec::new();
        };
        let before = self.fleet.replace(fleet);
        if before.is_none_or(|before| before == fleet) {
            return Vec::new();
        }
        let ended = self.provisional.take().map(|documents| Effect::Rejected {
            version: documents.version,
            reason: "the device belongs to another fleet now".to_owned(),
        });
        *self = Self {
            fleet: self.fleet,
            ..Self::default()
        };
        let mut effects = Vec::from_iter(ended);
        effects.extend(self.apply_good(base));
        effects
    }

    fn deliver(&mut self, target: TargetConfig, base: &Base) -> Vec<Effect> {
        self.waiting = None;
        if target.document == self.in_force().delivered {
            return self.confirm(target.version);
        }
        if self.own_changes_on_trial() {
            self.waiting = Some(target);
            return Vec::new();
        }
        if target.document == self.good.delivered {
            self.provisional = None;
            self.good.version = target.version;
            let mut effects = self.apply_good(base);
            effects.push(Effect::Confirmed {
                version: target.version,
            });
            return effects;
        }
        if self.rejected.iter().any(|r| r.is_of(&target)) {
            return Vec::new();
        }
        let documents = Documents {
            own: self.good.own.clone(),
            delivered: target.document,
            version: target.version,
        };
        self.try_out(documents, base)
    }

    fn confirm(&mut self, version: u64) -> Vec<Effect> {
        let trial = self.provisional.as_mut();
        let is_good = trial.is_none_or(|documents| {
            documents.version = version;
            documents.delivered == self.good.delivered
        });
        if is_good {
            self.good.version = version;
        }
        vec![Effect::Confirmed { version }]
    }

    fn own_changes_on_trial(&self) -> bool {
        let provisional = self.provisional.as_ref();
        provisional.is_some_and(|documents| documents.delivered == self.good.delivered)
    }

    fn try_out(&mut self, documents: Documents, base: &Base) -> Vec<Effect> {
        match validate(base, &documents) {
            Ok(config) => {
                let version = documents.version;
                self.provisional = Some(documents);
                self.starts = Starts::default();
                vec![apply(config, version, true)]
            }
            Err(reason) => self.reject(&documents, reason),
        }
    }

    fn reject(&mut self, documents: &Documents, reason: String) -> Vec<Effect> {
        let version = documents.version;
        // The device's own changes are tried over a delivered document that is good in itself.
        if documents.delivered != self.good.delivered {
            self.rejected.push(Rejected {
                version,
                digest: Some(digest_of(&documents.delivered)),
                reason: reason.clone(),
            });
            let excess = self.rejected.len().saturating_sub(MAX_REJECTED);
            self.rejected.drain(..excess);
        }
        vec![Effect::Rejected { version, reason }]
    }

    /// The last known good; if a new image no longer accepts it, then without the delivered document,
    /// then without the device's own changes.
    fn apply_good(&mut self, base: &Base) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut reason = match validate(base, &self.good) {
            Ok(config) => return vec![apply(config, self.good.version, false)],
            Err(reason) => reason,
        };
        let dropped = std::mem::take(&mut self.good);
        for own in [dropped.own.clone(), Map::new()] {
            self.good = Documents {
                own,
                ..Documents::default()
            };
            if dropped.version != 0 && effects.is_empty() {
                effects.extend(self.reject(&dropped, reason.clone()));
            }
            match validate(base, &self.good) {
                Ok(config) => {
                    effects.push(apply(config, 0, false));
                    return effects;
                }
                Err(next) => reason = next,
            }
        }
        effects.push(Effect::Unusable { reason });
        effects
    }
}

fn no_document() -> TargetConfig {
    TargetConfig {
        version: 0,
        document: Map::new(),
    }
}

fn apply(config: DeviceConfig, version: u64, on_trial: bool) -> Effect {
    Effect::Apply {
        config: Box::new(config),
        version,
        on_trial,
    }
}

fn validate(base: &Base, documents: &Documents) -> Result<DeviceConfig, String> {
    let layer = |name: &str, map| Layer::from_json(name, map).map_err(|e| told(&e));
    let mut layers = base.layers.clone();
    layers.push(layer("the device's own changes", &documents.own)?);
    let name = format!("the delivered version {}", documents.version);
    layers.push(layer(&name, &documents.delivered)?);
    let config = merge(&layers).map_err(|e| told(&e))?;
    if let Some(window) = &config.updates.maintenance_window {
        super::admission::Window::parse(window)
            .map_err(|e| format!("`updates.maintenance_window.timezone`: {e}"))?;
    }
    if let Some(unknown) = base.unknown_role(&config.role) {
        return Err(format!("`role`: {unknown}"));
    }
    Ok(config)
}

fn told(error: &fleet_protocol::config::ConfigError) -> String {
    format!("{error}; {}", error.hint())
}

fn merge_json(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge_json(into, from),
            // A change to `null` takes the device's own value back.
            (_, Value::Null) => {
                into.remove(&key);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
