//! One range on its way, mended where the connection breaks.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::source::SourceError;
use super::streams::Loan;

/// For one range, from the first failure to giving up: below the 300 s after which the kernel calls
/// RAUC's block device dead.
const PATIENCE: Duration = Duration::from_mins(4);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// One range on its way, over as many upstream responses as it takes.
pub(super) struct Transfer<'a> {
    shared: &'a Shared,
    loan: Option<Loan>,
    pub(super) position: u64,
    pub(super) end: u64,
    failing_since: Option<Instant>,
    pause: Duration,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(shared: &'a Shared, position: u64, end: u64) -> Self {
        Self {
            shared,
            loan: None,
            position,
            end,
            failing_since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// At least one byte of the range, or the reason why there will be none.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        loop {
            match self.try_next(buffer) {
                Ok(0) => {}
                Ok(read) => {
                    self.failing_since = None;
                    self.pause = FIRST_PAUSE;
                    return Ok(read);
                }
                Err(SourceError::Passing(reason)) => {
                    self.wait_out(reason)?;
                }
                Err(lasting) => return Err(lasting),
            }
        }
    }

    /// 0: nothing of the range yet, but nothing wrong either.
    fn try_next(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut loan = match self.loan.take() {
            Some(loan) => loan,
            None => self.shared.streams.borrow(self.position, self.end)?,
        };
        let before = loan.position();
        let wanted = if before < self.position {
            self.position - before
        } else {
            self.end - self.position
        };
        let wanted = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = match loan.read(&mut buffer[..wanted]) {
            Ok(read) => read,
            Err(error) => {
                self.shared.streams.give_up(loan);
                return Err(SourceError::Passing(error.to_string()));
            }
        };
        if read == 0 && !loan.is_used_up() {
            self.shared.streams.give_up(loan);
            return Err(SourceError::Passing("the connection broke off".to_owned()));
        }
        let bytes = read as u64;
        self.shared.downloaded.fetch_add(bytes, Ordering::Relaxed);
        // The agent never closes its limiter.
        let _ = self.shared.limiter.pass(read);
        if loan.is_used_up() {
            self.shared.streams.give_back(loan);
        } else {
            self.loan = Some(loan);
        }
        if before < self.position {
            return Ok(0);
        }
        self.position += bytes;
        Ok(read)
    }

    fn wait_out(&mut self, reason: String) -> Result<(), SourceError> {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        if self.shared.stopping.load(Ordering::Relaxed) || now - since > PATIENCE {
            return Err(SourceError::Passing(reason));
        }
        if since == now {
            log::info!(error:% = reason, "bundle.position" = self.position;
                "the download broke off and goes on from there");
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }

    pub(super) fn finish(&mut self) {
        if let Some(loan) = self.loan.take() {
            self.shared.streams.give_back(loan);
        }
    }
}

impl Drop for Transfer<'_> {
    /// RAUC hung up in the middle.
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            self.shared.streams.give_up(loan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BundleSource, Place, Streams};
    use super::*;
    use fleet_device::limit::Limiter;
    use proptest::prelude::*;

    const SIZE: usize = 300_000;

    #[allow(clippy::cast_possible_truncation, reason = "the low byte is meant")]
    fn content() -> Vec<u8> {
        (0..SIZE).map(|i| (i ^ (i >> 8)) as u8).collect()
    }

    fn shared(path: std::path::PathBuf) -> Shared {
        let source = BundleSource {
            size_bytes: SIZE as u64,
            place: Place::File { path },
        };
        Shared {
            streams: Streams::new(source),
            limiter: Limiter::default(),
            path: String::new(),
            downloaded: 0.into(),
            connections: 0.into(),
            stopping: false.into(),
            trouble: std::sync::Mutex::default(),
            tail: std::sync::Mutex::default(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn ranges_in_any_order_give_the_files_bytes(
            ranges in prop::collection::vec((0..SIZE, 1usize..70_000, any::<bool>()), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("b");
            let content = content();
            std::fs::write(&path, &content).unwrap();
            let shared = shared(path);
            let mut follow = 0;
            for (from, length, sequential) in ranges {
                let from = if sequential && follow < SIZE { follow } else { from };
                let to = (from + length).min(SIZE);
                follow = to;
                let mut transfer = Transfer::new(&shared, from as u64, to as u64);
                let mut got = vec![0; to - from];
                let mut filled = 0;
                while filled < got.len() {
                    filled += transfer.next(&mut got[filled..]).unwrap();
                }
                transfer.finish();
                prop_assert!(got == content[from..to], "{}..{}", from, to);
            }
        }
    }
}
