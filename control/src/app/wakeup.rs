//! Tells devices that there is something to fetch. A hint only: devices poll all the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fleet_protocol::DeviceId;
use tokio::sync::broadcast;

/// What a device is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeupReason {
    Command,
    Target,
}

impl WakeupReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Target => "target",
        }
    }
}

/// The open streams by device.
#[derive(Debug, Default)]
pub struct Wakeups(Mutex<HashMap<DeviceId, broadcast::Sender<WakeupReason>>>);

impl Wakeups {
    /// What is sent to this device from now on. A reader that falls behind misses some; one is
    /// as good as many.
    pub fn subscribe(&self, id: &DeviceId) -> broadcast::Receiver<WakeupReason> {
        let mut streams = self.lock();
        streams.retain(|_, s| s.receiver_count() > 0);
        streams
            .entry(id.clone())
            .or_insert_with(|| broadcast::channel(8).0)
            .subscribe()
    }

    pub fn wake(&self, id: &DeviceId, reason: WakeupReason) {
        if let Some(stream) = self.lock().get(id) {
            let _ = stream.send(reason);
        }
    }

    pub fn wake_all(&self, reason: WakeupReason) {
        for stream in self.lock().values() {
            let _ = stream.send(reason);
        }
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<DeviceId, broadcast::Sender<WakeupReason>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
