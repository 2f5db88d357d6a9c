//! The one way out of this boot.

use super::context::Ctx;

/// Asks systemd to reboot in order; the engine asks again if nothing comes of it.
pub(super) async fn reboot(ctx: &Ctx) -> bool {
    let asked = match ctx.bus.systemd().await {
        Ok(systemd) => systemd.reboot().await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match asked {
        Ok(()) => true,
        Err(error) => {
            log::error!(error:%; "systemd does not reboot");
            false
        }
    }
}
