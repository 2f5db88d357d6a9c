//! The order in which a rollout takes its devices: stable, and different for every rollout.

use fleet_protocol::rollout::Phase;
use fleet_protocol::{DeviceId, RolloutId, Sha256};

/// A device's place in the order: by this key, then by id.
pub fn cohort_key(rollout: &RolloutId, device: &DeviceId) -> u64 {
    let digest = Sha256::of(format!("{rollout}/{device}"));
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk()
        .expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

/// The devices in order with the phase whose turn they are; `phases.len()` for those that no phase
/// reaches.
pub fn assign_phases(
    rollout: &RolloutId,
    mut devices: Vec<DeviceId>,
    phases: &[Phase],
) -> Vec<(DeviceId, u32)> {
    devices.sort_by_cached_key(|d| (cohort_key(rollout, d), d.clone()));
    let total = devices.len() as u64;
    let ends: Vec<u64> = phases
        .iter()
        .map(|p| p.percentage.of_rounded_up(total))
        .collect();
    devices
        .into_iter()
        .zip(0u64..)
        .map(|(device, place)| {
            let phase = ends.iter().position(|end| place < *end);
            let phase = u32::try_from(phase.unwrap_or(ends.len())).unwrap_or(u32::MAX);
            (device, phase)
        })
        .collect()
}
