//! Tells devices that there is something to fetch. A hint only: devices poll all the same.
//!
//! A device's stream may be open at another control plane: what is said here is said there too, a moment later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_protocol::{DeviceId, VenueId};
use tokio::sync::{broadcast, mpsc};

use super::App;
use crate::clock::random_secret;
use crate::store::{LONGEST_NOTICE, Notices, TenantContext};

/// What is waiting to be told to other control planes. What does not fit in is left out.
const WAITING: usize = 4_096;
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a device is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeupReason {
    Command,
    Target,
    /// Of the player: another manifest, or a command to it.
    Content,
}

impl WakeupReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Target => "target",
            Self::Content => "content",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Command, Self::Target, Self::Content]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

/// For one device, or `None` for all.
pub(super) type Wakeup = (Option<DeviceId>, WakeupReason);

/// The open streams by device.
#[derive(Debug, Default)]
pub struct Wakeups {
    streams: Mutex<Streams>,
    others: Option<mpsc::Sender<Wakeup>>,
}

#[derive(Debug, Default)]
struct Streams {
    by_device: HashMap<DeviceId, broadcast::Sender<WakeupReason>>,
    /// With so many, those that nobody listens to any more are looked for: at each opening that would cost all openings
    /// together the square of their number.
    tidied_at: usize,
}

impl Streams {
    fn tidy(&mut self) {
        if self.by_device.len() >= self.tidied_at {
            self.by_device.retain(|_, s| s.receiver_count() > 0);
            self.tidied_at = 2 * self.by_device.len() + 16;
        }
    }
}

impl Wakeups {
    /// What is sent to this device from now on. A reader that falls behind misses some; one is
    /// as good as many.
    pub fn subscribe(&self, id: &DeviceId) -> broadcast::Receiver<WakeupReason> {
        let mut streams = self.lock();
        streams.tidy();
        streams
            .by_device
            .entry(id.clone())
            .or_insert_with(|| broadcast::channel(8).0)
            .subscribe()
    }

    pub fn wake(&self, id: &DeviceId, reason: WakeupReason) {
        self.wake_here(Some(id), reason);
        self.tell((Some(id.clone()), reason));
    }

    pub fn wake_all(&self, reason: WakeupReason) {
        self.wake_here(None, reason);
        self.tell((None, reason));
    }

    /// Wakeups that others are told of, and what those are.
    pub(super) fn shared() -> (Self, mpsc::Receiver<Wakeup>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let wakeups = Self {
            others: Some(sender),
            ..Self::default()
        };
        (wakeups, receiver)
    }

    fn wake_here(&self, id: Option<&DeviceId>, reason: WakeupReason) {
        let streams = self.lock();
        match id {
            Some(id) => streams.by_device.get(id).into_iter().for_each(|stream| {
                let _ = stream.send(reason);
            }),
            None => streams.by_device.values().for_each(|stream| {
                let _ = stream.send(reason);
            }),
        }
    }

    fn tell(&self, wakeup: Wakeup) {
        if let Some(others) = &self.others {
            let _ = others.try_send(wakeup);
        }
    }

    /// How many streams are open.
    pub fn open(&self) -> u64 {
        let streams = self.lock();
        let open = streams.by_device.values();
        open.map(|s| s.receiver_count() as u64).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Has the screens of a venue, or of all venues, look again.
    pub(super) async fn wake_screens(&self, ctx: &TenantContext, venue: Option<&VenueId>) {
        match self.store.device_ids_of(ctx, venue).await {
            Ok(ids) => ids
                .iter()
                .for_each(|id| self.wakeups.wake(id, WakeupReason::Content)),
            // They look by themselves, a little later.
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                venue.id = venue.map(VenueId::as_str),
                "screens were not woken"
            ),
        }
    }

    /// Hands wakeups on between control planes on one database until this one is shut down.
    pub async fn run_relay(self: Arc<Self>, notices: Notices) {
        let waiting = self.to_tell.lock().await.take();
        let Some(waiting) = waiting else { return };
        // Who says it: what comes back from oneself was done already.
        let own = random_secret();
        let mut shutdown = self.shutdown_signal();
        tokio::select! {
            _ = shutdown.wait_for(|ended| *ended) => {}
            () = self.tell_others(&own, waiting) => {}
            () = self.hear_others(&own, notices) => {}
        }
    }

    async fn tell_others(&self, own: &str, mut waiting: mpsc::Receiver<Wakeup>) {
        let mut wakeups = Vec::new();
        while waiting.recv_many(&mut wakeups, WAITING).await > 0 {
            for notice in notices(own, &wakeups) {
                if let Err(error) = self.store.tell(&notice).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "other control planes were not told to wake their devices"
                    );
                }
            }
            wakeups.clear();
        }
    }

    async fn hear_others(&self, own: &str, mut notices: Notices) {
        let mut hears = true;
        loop {
            match notices.next().await {
                Ok(notice) => {
                    hears = true;
                    for (id, reason) in read(own, &notice) {
                        self.wakeups.wake_here(id.as_ref(), reason);
                    }
                }
                Err(error) => {
                    if std::mem::replace(&mut hears, false) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "what other control planes say is not heard at the moment"
                        );
                    }
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

/// Who says it, then a word for each wakeup: `command:dev_1` for one device, `target:` for all.
fn notices(own: &str, wakeups: &[Wakeup]) -> Vec<String> {
    let mut notices: Vec<String> = Vec::new();
    for (id, reason) in wakeups {
        let id = id.as_ref().map_or("", |id| id.as_str());
        let word = format!(" {}:{id}", reason.name());
        match notices.last_mut() {
            Some(last) if last.len() + word.len() <= LONGEST_NOTICE => last.push_str(&word),
            _ => notices.push(format!("{own}{word}")),
        }
    }
    notices
}

/// What others say. A word of a newer version that means nothing here is passed over.
fn read<'a>(own: &str, notice: &'a str) -> impl Iterator<Item = Wakeup> + use<'a> {
    let mut words = notice.split(' ');
    let is_own = words.next() == Some(own);
    words.filter(move |_| !is_own).filter_map(|word| {
        let (reason, id) = word.split_once(':')?;
        let id = match id {
            "" => None,
            id => Some(id.parse().ok()?),
        };
        Some((id, WakeupReason::of(reason)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_says_the_others_hear() {
        let device = |number: u32| format!("dev_{number:026}").parse::<DeviceId>().unwrap();
        let mut said: Vec<Wakeup> = (0..1_000)
            .map(|number| (Some(device(number)), WakeupReason::Target))
            .collect();
        said.push((None, WakeupReason::Command));
        let notices = notices("one", &said);
        assert!(notices.len() > 1);
        assert!(notices.iter().all(|n| n.len() <= LONGEST_NOTICE));
        let heard: Vec<_> = notices.iter().flat_map(|n| read("another", n)).collect();
        assert_eq!(heard, said);
        assert_eq!(notices.iter().flat_map(|n| read("one", n)).count(), 0);
        assert_eq!(read("one", "another song: target:").count(), 1);
    }
}
