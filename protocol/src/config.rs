//! A device's configuration: layers of partial documents, merged, then validated whole.
//!
//! Layers, weakest first: the image's defaults, the role's file, the device's own file, the version
//! that the control plane delivers. Tables merge key by key, anything else is replaced. Nothing is
//! applied unless the merged document is valid as a whole.

use serde::{Deserialize, Serialize};

use crate::command::LogLevel;
use crate::{RoleName, UnitName};

/// The defaults that every image carries: the weakest layer, with a value for every field.
///
/// The control plane judges a document against them, and an agent whose image has lost its file
/// falls back on them.
pub const IMAGE_DEFAULTS: &str = include_str!(
    "../../meta-fleet/recipes-fleet/fleet-agent/files/rootfs/usr/share/fleet/agent.toml"
);

/// The lowest `updates.bandwidth_limit_bytes_per_s`: below it the kernel gives a block of the bundle up (it
/// waits 300 s) before its bytes are there.
pub const MIN_BANDWIDTH_LIMIT_BYTES_PER_S: u64 = 16 * 1024;

/// The configuration in force. Every field has a value here; the image's defaults give the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        rename = "ConfigDocument",
        description = "A part of a device's configuration: what it leaves out, the layers below it give.",
        transform = as_part
    )
)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    pub role: RoleName,
    pub log_level: LogLevel,
    pub control: Control,
    pub updates: Updates,
    pub health: Health,
    pub thermal: Thermal,
    pub services: Services,
    pub spool: Spool,
}

/// Documents hold only what differs from the layers below.
#[cfg(feature = "schema")]
fn as_part(schema: &mut schemars::Schema) {
    schema.remove("required");
}

/// How often the device talks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// 5 to 86,400.
    pub heartbeat_interval_s: u32,
    /// Of the interval, either way: 0 to 50.
    pub jitter_percent: u8,
    /// Longest pause between tries when the control plane is away.
    pub max_backoff_s: u32,
    /// Deadline of one request.
    pub request_timeout_s: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Updates {
    /// Local times between which an installation may begin and the device be rebooted for it; absent: any
    /// time. An installation that is under way when it closes runs to its end.
    #[serde(default)]
    pub maintenance_window: Option<MaintenanceWindow>,
    /// Bytes a second while downloading, 16,384 or more; 0: no limit.
    pub bandwidth_limit_bytes_per_s: u64,
    /// Free bytes on the data partition below which no update is begun.
    pub min_free_bytes: u64,
    /// Seconds between the end of an installation and the reboot.
    pub reboot_delay_s: u32,
    pub paused: bool,
}

/// Wall-clock times of day; `end` before `start` spans midnight, equal times mean all day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// `HH:MM`
    pub start: jiff::civil::Time,
    pub end: jiff::civil::Time,
    /// IANA name, such as `Europe/Oslo`.
    pub timezone: String,
}

/// What a slot on trial has to show before it is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// All checks must hold this long without a break.
    pub window_s: u32,
    /// If they have not by then, the slot is bad.
    pub deadline_s: u32,
    /// Units that must be active.
    pub required_units: Vec<UnitName>,
    /// How many restarts of a required unit within the window count as a crash loop.
    pub max_restarts: u32,
    /// Whether the control plane has to give the device what it needs (an answer to its heartbeat, and
    /// its target) once the trial has begun.
    pub control_plane: ControlPlaneCheck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ControlPlaneCheck {
    /// Must be reached, unless it was not reached before the trial either, the network link is down,
    /// or it says itself that it is out of service (HTTP 502 to 504).
    Required,
    /// Looked at, never held against the slot.
    Excused,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Thermal {
    /// Degrees Celsius at which an event is raised.
    pub warn_c: f32,
    pub critical_c: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// Units that `restart_service` may name.
    pub restartable: Vec<UnitName>,
}

/// Events waiting for the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = as_part)
)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    pub max_events: u32,
    pub max_age_days: u32,
}

/// Why a document is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{layer}: not TOML: {reason}")]
    Syntax { layer: String, reason: String },
    /// The merged document does not fit; `field` is the path within it.
    #[error("`{field}`: {reason} (last set by {layer})")]
    Field {
        layer: String,
        field: String,
        reason: String,
    },
}

impl ConfigError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax { layer, .. } => format!("correct the syntax of {layer}"),
            Self::Field { layer, field, .. } => format!("change or remove `{field}` in {layer}"),
        }
    }
}

/// One partial document with the name that errors are to give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub name: String,
    pub table: toml::Table,
}

impl Layer {
    /// # Errors
    /// [`ConfigError::Syntax`] when `text` is no TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Syntax {
                layer: name.to_owned(),
                reason: e.message().to_owned(),
            })?;
        Ok(Self {
            name: name.to_owned(),
            table,
        })
    }

    /// From a document that came as JSON; `null` has no counterpart and is refused.
    pub fn from_json(
        name: &str,
        document: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, ConfigError> {
        let table = toml::Table::try_from(document).map_err(|e| ConfigError::Syntax {
            layer: name.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            table,
        })
    }
}

/// Merges `layers` (weakest first) and validates the result.
///
/// # Errors
/// Names the field and the layer that last set it.
pub fn merge(layers: &[Layer]) -> Result<DeviceConfig, ConfigError> {
    let mut merged = toml::Table::new();
    for layer in layers {
        merge_table(&mut merged, &layer.table);
    }
    let config: DeviceConfig = serde_path_to_error::deserialize(toml::Value::Table(merged))
        .map_err(|e| field_error(layers, &e.path().to_string(), e.inner().message()))?;
    config
        .check()
        .map_err(|(field, reason)| field_error(layers, field, &reason))?;
    Ok(config)
}

fn merge_table(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge_table(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn field_error(layers: &[Layer], field: &str, reason: &str) -> ConfigError {
    let sets = |layer: &&Layer| {
        let mut value: Option<&toml::Value> = None;
        for part in field.split(['.', '[']).filter(|p| !p.ends_with(']')) {
            let table = match value {
                None => &layer.table,
                Some(toml::Value::Table(table)) => table,
                Some(_) => return true,
            };
            match table.get(part) {
                Some(found) => value = Some(found),
                None => return false,
            }
        }
        true
    };
    let layer = layers
        .iter()
        .rev()
        .find(sets)
        .map_or("no layer", |l| l.name.as_str());
    ConfigError::Field {
        layer: layer.to_owned(),
        field: field.to_owned(),
        reason: reason.trim_end().to_owned(),
    }
}

impl DeviceConfig {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |field, value: u64, from: u64, to: u64| {
            if (from..=to).contains(&value) {
                Ok(())
            } else {
                Err((field, format!("{value} is not within {from} to {to}")))
            }
        };
        let control = &self.control;
        within(
            "control.heartbeat_interval_s",
            control.heartbeat_interval_s.into(),
            5,
            86_400,
        )?;
        within(
            "control.jitter_percent",
            control.jitter_percent.into(),
            0,
            50,
        )?;
        within(
            "control.max_backoff_s",
            control.max_backoff_s.into(),
            5,
            86_400,
        )?;
        within(
            "control.request_timeout_s",
            control.request_timeout_s.into(),
            1,
            600,
        )?;
        within(
            "updates.reboot_delay_s",
            self.updates.reboot_delay_s.into(),
            0,
            86_400,
        )?;
        let limit = self.updates.bandwidth_limit_bytes_per_s;
        if (1..MIN_BANDWIDTH_LIMIT_BYTES_PER_S).contains(&limit) {
            return Err((
                "updates.bandwidth_limit_bytes_per_s",
                format!(
                    "{limit} is too slow for an update ever to arrive: at least \
                     {MIN_BANDWIDTH_LIMIT_BYTES_PER_S}, or 0 for no limit"
                ),
            ));
        }
        within("health.window_s", self.health.window_s.into(), 1, 3_600)?;
        within(
            "health.deadline_s",
            self.health.deadline_s.into(),
            u64::from(self.health.window_s) + 1,
            7_200,
        )?;
        within(
            "spool.max_events",
            self.spool.max_events.into(),
            100,
            20_000,
        )?;
        within("spool.max_age_days", self.spool.max_age_days.into(), 1, 365)?;
        if self.thermal.warn_c >= self.thermal.critical_c {
            return Err((
                "thermal.warn_c",
                "must be below thermal.critical_c".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Layer {
        Layer::parse("the image's defaults", IMAGE_DEFAULTS).unwrap()
    }

    #[test]
    fn a_stronger_layer_wins_key_by_key() {
        let role = Layer::parse(
            "roles/battery.toml",
            "[control]\nheartbeat_interval_s = 600",
        )
        .unwrap();
        let config = merge(&[defaults(), role]).unwrap();
        assert_eq!(config.control.heartbeat_interval_s, 600);
        assert_eq!(config.control.jitter_percent, 10);
    }

    #[test]
    fn an_error_names_the_field_and_the_layer() {
        let check = |text: &str, expected_field: &str| {
            let bad = Layer::parse("the delivered version 4", text).unwrap();
            let error = merge(&[defaults(), bad]).unwrap_err();
            let ConfigError::Field { layer, field, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(
                (layer.as_str(), field.as_str()),
                ("the delivered version 4", expected_field)
            );
        };
        check(
            "[control]\nheartbeat_interval_s = 1",
            "control.heartbeat_interval_s",
        );
        check(
            "[control]\nheartbeat_interval_s = \"often\"",
            "control.heartbeat_interval_s",
        );
        check(
            "[health]\nrequired_units = [\"oops\"]",
            "health.required_units[0]",
        );
        check("[thermal]\nwarn_c = 200.0", "thermal.warn_c");
        check(
            "[updates]\nbandwidth_limit_bytes_per_s = 16383",
            "updates.bandwidth_limit_bytes_per_s",
        );
    }

    #[test]
    fn a_bandwidth_limit_is_none_or_one_that_an_update_gets_through() {
        let check = |limit: u64, accepted: bool| {
            let text = format!("[updates]\nbandwidth_limit_bytes_per_s = {limit}");
            let layer = Layer::parse("config.toml", &text).unwrap();
            assert_eq!(merge(&[defaults(), layer]).is_ok(), accepted, "{limit}");
        };
        check(0, true);
        check(1, false);
        check(16_383, false);
        check(16_384, true);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let bad = Layer::parse("config.toml", "[control]\nheartbeet = 4").unwrap();
        assert!(merge(&[defaults(), bad]).is_err());
    }
}
