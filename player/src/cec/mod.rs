//! The TV by CEC: told to go to standby and to come back, looked at, told again. Follows the HDMI CEC specification
//! (1.4b) and the kernel's interface (`linux/cec.h`).
//!
//! Some TVs show a notice instead of going to sleep when their signal stops, and hardly any comes back to this input by
//! itself. CEC is spoken where the kernel has an adapter for it; without one, or without a TV that takes part, nothing
//! depends on it. All of it happens on a thread of its own: an answer takes up to a second.

mod adapter;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fleet_protocol::player::Power;

use adapter::{Adapter, Address};

/// A TV that does not follow is told again, so often in all.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);
/// Between an order and the question what became of it: TVs take seconds to come on.
const SETTLES: Duration = Duration::from_secs(3);

/// The addresses of a TV, of all, and of a device that has none.
const TV: u8 = 0x0;
const ALL: u8 = 0xf;
const NOBODY: u8 = 0xf;
const IMAGE_VIEW_ON: u8 = 0x04;
const STANDBY: u8 = 0x36;
const ACTIVE_SOURCE: u8 = 0x82;
const GIVE_POWER_STATUS: u8 = 0x8f;
const REPORT_POWER_STATUS: u8 = 0x90;

#[derive(Debug, thiserror::Error)]
enum CecError {
    #[error("opening {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("asking {path} for its address")]
    Address {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no TV at {path} takes part in CEC")]
    Refused {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the TV at {path} does not follow: its power status is {status}")]
    NotFollowed { path: PathBuf, status: u8 },
    /// Nothing is plugged in, or what is has gone to sleep so deeply that the cable looks unplugged.
    #[error("no TV is seen at {path}")]
    NoTv { path: PathBuf },
}

/// Tells the TV what is wanted of it.
#[derive(Debug)]
pub(crate) struct Cec {
    /// `None`: no TV is to be told.
    orders: Option<mpsc::Sender<Power>>,
    failures: mpsc::Receiver<String>,
    told: Option<Power>,
}

impl Cec {
    /// For the adapters (`cec0` and so on) in `folder`; `None` for a player that has no display of the kernel.
    pub(crate) fn start(folder: Option<PathBuf>) -> Self {
        let (fail, failures) = mpsc::channel();
        let orders = folder.and_then(|folder| {
            let (order, orders) = mpsc::channel();
            let thread = thread::Builder::new().name("cec".to_owned());
            let spawned = thread.spawn(move || run(&folder, &orders, &fail));
            if let Err(error) = &spawned {
                log::warn!("no TV is told anything: {error}");
            }
            spawned.is_ok().then_some(order)
        });
        Self {
            orders,
            failures,
            told: None,
        }
    }

    /// To be called often. `wanted`: by the screen's hours, if it has any.
    pub(crate) fn follow(&mut self, wanted: Option<Power>) {
        if let Some(order) = order(self.told, wanted) {
            self.told = Some(order);
            if let Some(orders) = &self.orders {
                // A thread that has ended has nobody to tell.
                let _ = orders.send(order);
            }
        }
    }

    /// What went wrong since this was last asked; said once until it goes well.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failures.try_recv().ok()
    }
}

/// What is to be said now. A TV is left alone by a screen without hours, but not in standby.
fn order(told: Option<Power>, wanted: Option<Power>) -> Option<Power> {
    match (told, wanted) {
        (Some(Power::Off), None) => Some(Power::On),
        (_, None) => None,
        (told, Some(wanted)) => (told != Some(wanted)).then_some(wanted),
    }
}

fn run(folder: &Path, orders: &mpsc::Receiver<Power>, fail: &mpsc::Sender<String>) {
    let Ok(mut wanted) = orders.recv() else {
        return;
    };
    let mut left = TRIES;
    let mut failed = false;
    loop {
        left -= 1;
        match switch(folder, wanted) {
            Ok(()) => (left, failed) = (0, false),
            Err(CecError::NoTv { .. }) => {}
            Err(error) if left == 0 && !failed => {
                failed = true;
                let _ = fail.send(crate::media::with_causes(&error));
            }
            Err(_) => {}
        }
        let next = match left {
            0 => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => orders.recv_timeout(PAUSE),
        };
        match next {
            Ok(newer) => (wanted, left) = (newer, TRIES),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// All TVs; the first failure counts when every one was told.
fn switch(folder: &Path, wanted: Power) -> Result<(), CecError> {
    let told: Vec<_> = adapter::all(folder)
        .into_iter()
        .map(|path| switch_one(path, wanted))
        .collect();
    let (no_tv, others): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|told| matches!(told, Err(CecError::NoTv { .. })));
    let relevant = if others.is_empty() { no_tv } else { others };
    relevant.into_iter().collect()
}

fn switch_one(path: PathBuf, wanted: Power) -> Result<(), CecError> {
    let adapter = match Adapter::open(&path) {
        Ok(adapter) => adapter,
        Err(source) => return Err(CecError::Open { path, source }),
    };
    match adapter.is_input() {
        Ok(false) => {}
        Ok(true) => return Err(CecError::NoTv { path }),
        Err(source) => return Err(CecError::Address { path, source }),
    }
    let own = match adapter.address() {
        Ok(own) => own,
        Err(source) => return Err(CecError::Address { path, source }),
    };
    for message in messages(wanted, own) {
        // Of a TV that is not seen no answer is expected.
        if let Err(source) = adapter.send(&message)
            && own.is_some()
        {
            return Err(CecError::Refused { path, source });
        }
    }
    let Some(own) = own else {
        return Err(CecError::NoTv { path });
    };
    thread::sleep(SETTLES);
    let question = [header(own.logical, TV), GIVE_POWER_STATUS];
    match adapter.ask(&question, REPORT_POWER_STATUS) {
        Ok(Some(status)) if !is_followed(wanted, status) => {
            Err(CecError::NotFollowed { path, status })
        }
        // It took the order and does not say that it did not follow.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// `own`: of the player, if the TV is seen.
fn messages(wanted: Power, own: Option<Address>) -> Vec<Vec<u8>> {
    match (wanted, own) {
        (Power::Off, Some(own)) => vec![vec![header(own.logical, TV), STANDBY]],
        (Power::Off, None) => Vec::new(),
        (Power::On, Some(own)) => {
            let [high, low] = own.physical.to_be_bytes();
            vec![
                vec![header(own.logical, TV), IMAGE_VIEW_ON],
                vec![header(own.logical, ALL), ACTIVE_SOURCE, high, low],
            ]
        }
        // Asleep, a TV may look unplugged; it hears this from somebody without an address too.
        (Power::On, None) => vec![vec![header(NOBODY, TV), IMAGE_VIEW_ON]],
    }
}

const fn header(from: u8, to: u8) -> u8 {
    (from << 4) | to
}

/// 0 on, 1 standby, 2 on its way to on, 3 on its way to standby (CEC 1.4b, table 28).
const fn is_followed(wanted: Power, status: u8) -> bool {
    match wanted {
        Power::On => matches!(status, 0 | 2),
        Power::Off => matches!(status, 1 | 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tv_is_told_by_messages_as_the_specification_has_them() {
        let own = Some(Address {
            logical: 4,
            physical: 0x2100,
        });
        assert_eq!(messages(Power::Off, own), [[0x40, 0x36]]);
        let on: [&[u8]; 2] = [&[0x40, 0x04], &[0x4f, 0x82, 0x21, 0x00]];
        assert_eq!(messages(Power::On, own), on);
        assert_eq!(messages(Power::On, None), [[0xf0, 0x04]]);
        assert!(messages(Power::Off, None).is_empty());
    }

    #[test]
    fn a_tv_on_its_way_follows() {
        for (status, on) in [(0, true), (1, false), (2, true), (3, false)] {
            assert_eq!(is_followed(Power::On, status), on);
            assert_eq!(is_followed(Power::Off, status), !on);
        }
        // One that says nonsense is told again.
        assert!(!is_followed(Power::On, 9) && !is_followed(Power::Off, 9));
    }

    #[test]
    fn a_tv_is_told_each_change_once_and_left_alone_without_hours() {
        let check = |told, wanted, expected| assert_eq!(order(told, wanted), expected);
        check(None, None, None);
        // It may be off since a player before this one.
        check(None, Some(Power::On), Some(Power::On));
        check(Some(Power::On), Some(Power::On), None);
        check(Some(Power::On), Some(Power::Off), Some(Power::Off));
        check(Some(Power::Off), Some(Power::Off), None);
        check(Some(Power::Off), None, Some(Power::On));
        check(Some(Power::On), None, None);
    }

    #[test]
    fn where_there_is_no_adapter_nothing_happens_and_nothing_fails() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("null"), b"").unwrap();
        switch(dir.path(), Power::Off).unwrap();
    }

    #[test]
    fn what_is_no_adapter_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cec0"), b"").unwrap();
        let error = switch(dir.path(), Power::Off).unwrap_err();
        assert!(error.to_string().contains("cec0"), "{error}");
    }
}
