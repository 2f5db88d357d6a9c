//! The screen that a schedule is asked for.

use fleet_protocol::TargetId;
use fleet_protocol::schedule::Target;

use crate::zone::Zone;

/// A device with its groups and its effective time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    device: TargetId,
    targets: Vec<Target>,
    zone: Zone,
}

impl Screen {
    pub fn new(
        device: impl Into<TargetId>,
        groups: impl IntoIterator<Item = TargetId>,
        zone: Zone,
    ) -> Self {
        let device = device.into();
        let mut targets: Vec<Target> = groups.into_iter().map(Target::Group).collect();
        targets.push(Target::Device(device.clone()));
        targets.sort();
        targets.dedup();
        Self {
            device,
            targets,
            zone,
        }
    }

    pub fn device(&self) -> &TargetId {
        &self.device
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Each once: the device itself and its groups.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }
}
