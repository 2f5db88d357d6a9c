//! RAUC's D-Bus interface, after `src/de.pengutronix.rauc.Installer.xml` of RAUC 1.13 to 1.15.
//!
//! Properties are never cached: a restarted RAUC would leave the old values standing.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant, proxy};

/// `de.pengutronix.rauc.Installer`
#[proxy(
    interface = "de.pengutronix.rauc.Installer",
    default_service = "de.pengutronix.rauc",
    default_path = "/"
)]
pub(super) trait Installer {
    /// Answers when the installation has begun; its end is told by [`Self::receive_completed`].
    fn install_bundle(&self, source: &str, args: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;

    fn inspect_bundle(
        &self,
        source: &str,
        args: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// `state`: `good`, `bad` or `active`; gives the slot's name and a message.
    fn mark(&self, state: &str, slot_identifier: &str) -> zbus::Result<(String, String)>;

    fn get_slot_status(&self) -> zbus::Result<Vec<(String, HashMap<String, OwnedVariant>)>>;

    fn get_primary(&self) -> zbus::Result<String>;

    /// `idle` or `installing`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn operation(&self) -> zbus::Result<String>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn last_error(&self) -> zbus::Result<String>;

    /// Percent, message, depth.
    #[zbus(property(emits_changed_signal = "false"))]
    fn progress(&self) -> zbus::Result<(i32, String, i32)>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn compatible(&self) -> zbus::Result<String>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn boot_slot(&self) -> zbus::Result<String>;

    /// 0 is success.
    #[zbus(signal)]
    fn completed(&self, result: i32) -> zbus::Result<()>;
}
