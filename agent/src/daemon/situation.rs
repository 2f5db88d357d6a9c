//! Everything around the update engine at the moment of an event.

use fleet_device::clock;

use super::context::{Ctx, dice};
use crate::core::admission::{self, Window};
use crate::core::gate;
use crate::core::update::Situation;
use crate::platform::metrics;

/// The facts of this moment.
pub(super) fn situation(ctx: &Ctx) -> Situation {
    let now = clock::now();
    let config = ctx.config();
    let updates = &config.config.updates;
    let window = updates.maintenance_window.as_ref();
    Situation {
        now,
        facts: admission::Facts {
            now: now.wall,
            clock_floor: ctx.clock.floor(),
            compatible: ctx.device.release.compatible.clone(),
            hardware: ctx.device.hardware.clone(),
            // The configuration was validated with its time zone.
            window: window.and_then(|w| Window::parse(w).ok()),
            free_bytes: metrics::free_bytes(ctx.device.paths.data_partition()).unwrap_or(0),
            min_free_bytes: updates.min_free_bytes,
            paused: updates.paused,
            power_trouble: ctx.thermal.borrow().power_trouble().map(str::to_owned),
        },
        gate: gate::Settings::from(&config.config.health),
        reboot_delay_s: updates.reboot_delay_s,
        control_plane: ctx.reached_recently(),
        dice: dice(),
    }
}
