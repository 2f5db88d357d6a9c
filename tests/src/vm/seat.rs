//! How many machines run at once on this host: as many as there are seats, whoever asks, in whatever process.
//!
//! A seat is a locked file, so a killed test frees its seat by dying.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::error::{Result, VmError};

const RETRY: Duration = Duration::from_millis(250);

/// One more than processors: a machine spends half of its time waiting.
pub fn seats() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get() + 1)
}

/// A place for one machine, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    _lock: File,
}

impl Seat {
    /// Waits for one of `seats` seats kept in `dir`.
    pub fn take(dir: &Path, seats: usize) -> Result<Self> {
        fs::create_dir_all(dir).map_err(VmError::io(format!("creating {}", dir.display())))?;
        loop {
            for number in 0..seats.max(1) {
                let path = dir.join(format!("seat-{number}"));
                let file = File::create(&path)
                    .map_err(VmError::io(format!("creating {}", path.display())))?;
                match file.try_lock() {
                    Ok(()) => return Ok(Self { _lock: file }),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(source)) => {
                        let what = format!("locking {}", path.display());
                        return Err(VmError::Io { what, source });
                    }
                }
            }
            std::thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_machine_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Seat::take(dir.path(), 1).unwrap();
        let path = dir.path().to_owned();
        let waiting = std::thread::spawn(move || Seat::take(&path, 1).is_ok());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
