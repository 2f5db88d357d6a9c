//! A serial line of the guest: everything it says is kept in memory and in a log file, and can be waited for.
//!
//! A reader thread owns the socket's reading end and ends with it. A [`Mark`] is a place in what was said, so that
//! a story waits for what comes *after* something, and a line from an earlier boot can't satisfy it.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Result, VmError};

const TAIL_BYTES: usize = 2_500;

/// A place in what the guest has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(usize);

impl Mark {
    /// Before the first word.
    pub const START: Self = Self(0);
}

#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    /// The line is up. While the machine is off nothing can be waited for.
    connected: bool,
    /// Counts power cycles: the end of an earlier one's line says nothing about the present one.
    cycle: u64,
}

/// One line; it outlives power cycles, the log goes on.
#[derive(Debug, Clone)]
pub struct Console {
    log: PathBuf,
    said: Arc<(Mutex<Said>, Condvar)>,
}

impl Console {
    /// A line that is not connected yet, logging to `log`.
    pub fn new(log: impl Into<PathBuf>) -> Self {
        Self {
            log: log.into(),
            said: Arc::default(),
        }
    }

    /// Connects the line to a started machine.
    pub(super) fn attach(&self, stream: UnixStream) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(VmError::io(format!("opening {}", self.log.display())))?;
        let cycle = {
            let mut state = self.lock();
            state.connected = true;
            state.cycle += 1;
            state.cycle
        };
        let said = Arc::clone(&self.said);
        let mut stream = stream;
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                // A full disk must not stop the story: memory still has the line.
                let _ = file.write_all(&buffer[..count]);
                let mut state = said.0.lock().unwrap_or_else(PoisonError::into_inner);
                state.bytes.extend_from_slice(&buffer[..count]);
                said.1.notify_all();
            }
            let mut state = said.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.cycle == cycle {
                state.connected = false;
            }
            said.1.notify_all();
        });
        Ok(())
    }

    /// Where the log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Here and now.
    pub fn mark(&self) -> Mark {
        Mark(self.lock().bytes.len())
    }

    /// What was said since `mark`.
    pub fn since(&self, mark: Mark) -> String {
        let state = self.lock();
        String::from_utf8_lossy(state.bytes.get(mark.0..).unwrap_or_default()).into_owned()
    }

    /// How often `text` was said since `mark`.
    pub fn count_since(&self, mark: Mark, text: &str) -> usize {
        self.since(mark).matches(text).count()
    }

    /// Waits until `text` is said after `mark`; returns the place right behind it.
    ///
    /// # Errors
    /// [`VmError::Deadline`] after `within`, [`VmError::Off`] as soon as the machine is off.
    pub fn wait_for(&self, text: &str, mark: Mark, within: Duration) -> Result<Mark> {
        let began = Instant::now();
        let mut from = mark.0;
        let mut state = self.lock();
        loop {
            let fresh = state.bytes.get(from..).unwrap_or_default();
            if let Some(at) = find(fresh, text.as_bytes()) {
                return Ok(Mark(from + at + text.len()));
            }
            from = state
                .bytes
                .len()
                .saturating_sub(text.len())
                .max(mark.0.min(state.bytes.len()));
            let waited = began.elapsed();
            if !state.connected {
                return Err(VmError::Off {
                    what: format!("while waiting for `{text}`"),
                    detail: tail(&state.bytes),
                });
            }
            let Some(left) = within.checked_sub(waited) else {
                return Err(VmError::Deadline {
                    what: format!("`{text}` on the line"),
                    waited,
                    tail: tail(&state.bytes),
                    log: self.log.clone(),
                });
            };
            state = self
                .said
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The last lines, for messages.
    pub fn tail(&self) -> String {
        tail(&self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(TAIL_BYTES);
    let text = String::from_utf8_lossy(&bytes[from..]);
    let printable = text.chars().filter(|c| *c == '\n' || !c.is_control());
    printable.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Console, UnixStream, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::new(dir.path().join("serial.log"));
        let (guest, host) = UnixStream::pair().unwrap();
        console.attach(host).unwrap();
        (console, guest, dir)
    }

    #[test]
    fn a_text_split_over_two_reads_is_found() {
        let (console, mut guest, _dir) = connected();
        guest.write_all(b"fleet-agent re").unwrap();
        console
            .wait_for("re", Mark::START, Duration::from_secs(5))
            .unwrap();
        guest.write_all(b"ady\n").unwrap();
        console
            .wait_for("agent ready", Mark::START, Duration::from_secs(5))
            .unwrap();
    }

    #[test]
    fn what_was_said_before_the_mark_does_not_count() {
        let (console, mut guest, _dir) = connected();
        guest.write_all(b"login: ").unwrap();
        let mark = console
            .wait_for("login: ", Mark::START, Duration::from_secs(5))
            .unwrap();
        let error = console.wait_for("login: ", mark, Duration::from_millis(20));
        assert!(matches!(error, Err(VmError::Deadline { .. })));
    }

    #[test]
    fn a_machine_that_goes_off_ends_the_wait_at_once() {
        let (console, mut guest, _dir) = connected();
        guest.write_all(b"Kernel panic").unwrap();
        drop(guest);
        let error = console
            .wait_for("ready", Mark::START, Duration::from_mins(1))
            .unwrap_err();
        assert!(error.to_string().contains("Kernel panic"), "{error}");
    }
}
