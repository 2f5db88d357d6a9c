//! Temperature, throttling and supply: looked at, told once, and known to the update engine.

use std::time::Duration;

use super::context::Ctx;
use crate::core::thermal::Thresholds;
use crate::platform::sysfs;

const INTERVAL: Duration = Duration::from_secs(20);
const DEADLINE: Duration = Duration::from_mins(2);

pub(super) async fn run(ctx: Ctx) {
    let stamp = ctx.liveness.register("thermal", DEADLINE);
    loop {
        let at = {
            let thermal = &ctx.config().config.thermal;
            Thresholds {
                warn_c: thermal.warn_c,
                critical_c: thermal.critical_c,
            }
        };
        let reading = sysfs::thermal(&ctx.device.paths);
        let state = *ctx.thermal.borrow();
        let (state, raised) = state.step(reading, at);
        ctx.thermal.send_replace(state);
        for event in raised {
            let payload = serde_json::json!({
                "detail": event.detail,
                "temperatureC": reading.temperature_c,
            });
            ctx.events.raise(event.kind, event.severity, payload);
        }
        stamp.sleep(INTERVAL).await;
    }
}
