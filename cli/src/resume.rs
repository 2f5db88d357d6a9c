//! Uploads that go on where a broken connection left them.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::client::Client;
use crate::clock;
use crate::error::{CommandError, Kind, Result};
use crate::output::Output;

/// Tries without any progress before giving up, and the growing pause between them.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// One file on its way.
#[derive(Clone, Copy)]
pub(crate) struct Upload<'a> {
    pub(crate) client: &'a Client,
    pub(crate) file: &'a Path,
    /// A path on the control plane.
    pub(crate) to: &'a str,
    pub(crate) size_bytes: u64,
}

impl Upload<'_> {
    /// Sends the file. `arrived` is asked before each try how many bytes of it are there; `None`: all.
    ///
    /// # Errors
    /// Kind unreachable after several tries without progress.
    pub(crate) fn run(
        self,
        bar: &ProgressBar,
        output: Output,
        mut arrived: impl FnMut() -> Result<Option<u64>>,
    ) -> Result<()> {
        let size = self.size_bytes;
        let fail = |e| CommandError::io(format!("cannot read {}", self.file.display()), e);
        let mut file = File::open(self.file).map_err(fail)?;
        let (mut reached, mut tries) = (0, 0);
        let result = loop {
            let sent = arrived().and_then(|first| {
                let Some(first) = first else { return Ok(()) };
                if first > reached {
                    (reached, tries) = (first, 0);
                }
                // All of it came, and the answer was lost: the last byte brings another one.
                let first = first.min(size.saturating_sub(1));
                file.seek(SeekFrom::Start(first)).map_err(fail)?;
                bar.set_position(first);
                self.client
                    .upload(self.to, first, size, &mut bar.wrap_read(&mut file))
            });
            match sent {
                Err(error) if error.kind == Kind::Unreachable && tries < TRIES => {
                    tries += 1;
                    bar.suspend(|| {
                        output.note(&format!("The upload broke off ({error}); going on with it"));
                    });
                    clock::pause(PAUSE * tries);
                }
                result => break result,
            }
        };
        bar.finish_and_clear();
        result.map_err(|error| match error.kind {
            Kind::Unreachable => error.hint(
                "try again when the control plane can be reached: what arrived of a bundle is kept",
            ),
            _ => error,
        })
    }
}
