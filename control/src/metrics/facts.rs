//! Facts of the moment, as gauges of one answer.

use fleet_protocol::rollout::RolloutStatus;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::kept;

const ROLLOUT_STATES: [RolloutStatus; 7] = [
    RolloutStatus::Running,
    RolloutStatus::Paused,
    RolloutStatus::RollingBack,
    RolloutStatus::Completed,
    RolloutStatus::RolledBack,
    RolloutStatus::Failed,
    RolloutStatus::Aborted,
];

/// Connections of a store's pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolUse {
    pub used: u64,
    pub idle: u64,
}

/// What stands in the store and on the disk when somebody asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the store answered; if not, devices and rollouts are left out.
    pub store_answers: bool,
    pub devices_online: u64,
    pub devices_offline: u64,
    /// By state's name, as the store has it.
    pub rollouts: Vec<(String, u64)>,
    pub wakeup_streams: u64,
    pub readers: PoolUse,
    pub writers: PoolUse,
    pub database_bytes: Option<u64>,
    /// Of the file system that the data folder is on.
    pub free_bytes: Option<u64>,
    pub size_bytes: Option<u64>,
}

impl Facts {
    pub(super) fn registry(&self) -> Registry {
        let registry = Registry::new();
        let one = |name, help, value: u64| {
            kept(&registry, IntGauge::new(name, help)).set(signed(value));
        };
        let by = |name, help, labels: &[&str]| {
            kept(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let up = u64::from(self.store_answers);
        one("fleet_store_up", "1 while the store answers.", up);
        if self.store_answers {
            let devices = by("fleet_devices", "Devices that are not revoked.", &["state"]);
            for (state, number) in [
                ("online", self.devices_online),
                ("offline", self.devices_offline),
            ] {
                devices.with_label_values(&[state]).set(signed(number));
            }
            let rollouts = by("fleet_rollouts", "Rollouts by state.", &["state"]);
            for state in ROLLOUT_STATES.map(RolloutStatus::name) {
                let found = self.rollouts.iter().find(|(name, _)| name == state);
                let number = found.map_or(0, |(_, number)| *number);
                rollouts.with_label_values(&[state]).set(signed(number));
            }
        }
        let help = "Wake-up streams that devices hold open.";
        one("fleet_wakeup_streams", help, self.wakeup_streams);
        let help = "Connections of the store's pools.";
        let connections = by("fleet_store_connections", help, &["pool", "state"]);
        for (pool, found) in [("read", self.readers), ("write", self.writers)] {
            for (state, number) in [("used", found.used), ("idle", found.idle)] {
                let gauge = connections.with_label_values(&[pool, state]);
                gauge.set(signed(number));
            }
        }
        for (name, help, value) in [
            (
                "fleet_database_size_bytes",
                "Size of the embedded database with its log.",
                self.database_bytes,
            ),
            (
                "fleet_data_free_bytes",
                "Free on the data folder's file system.",
                self.free_bytes,
            ),
            (
                "fleet_data_size_bytes",
                "Size of the data folder's file system.",
                self.size_bytes,
            ),
        ] {
            if let Some(value) = value {
                one(name, help, value);
            }
        }
        let help = "1; its labels say what runs.";
        let info = GaugeVec::new(Opts::new("fleet_build_info", help), &["version"]);
        kept(&registry, info)
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        registry
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
