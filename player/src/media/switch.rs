//! Whether the glass is to be lit: said by the main loop, followed by the display's thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fleet_protocol::player::Power;

/// Shared by both. A glass that cannot be switched never looks at it.
#[derive(Debug, Default)]
pub(super) struct Switch {
    off: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Switch {
    pub(super) fn set(&self, wanted: Power) {
        self.off.store(wanted == Power::Off, Ordering::Relaxed);
    }

    pub(super) fn wanted(&self) -> Power {
        if self.off.load(Ordering::Relaxed) {
            Power::Off
        } else {
            Power::On
        }
    }

    /// The glass does not follow.
    pub(super) fn fail(&self, message: String) {
        if let Ok(mut failure) = self.failure.lock() {
            *failure = Some(message);
        }
    }

    /// What went wrong since this was last asked.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().ok()?.take()
    }
}
